"""Make one page of all results, with every picture and video in it."""

from pathlib import Path

from attune import artifacts, console, params
from attune.annotation.protocol import Protocol
from attune.annotation.reliability import ReliabilityConfig
from attune.report import page
from attune.video.clips import ClipConfig
from attune.video.files import VideoConfig


def main(metrics: Path, plots: Path, overlays: Path, snippets: Path, paintings: Path, frames: Path, out: Path) -> None:
    """Write the page."""
    built = page.build(
        page.Sources(metrics, plots, overlays, snippets, paintings, frames),
        params.load("engagement.report", page.ReportConfig),
        params.load("engagement.protocol", Protocol),
        params.load("engagement.reliability", ReliabilityConfig).names,
        params.load("engagement.clips", ClipConfig),
        params.load("engagement.video", VideoConfig),
    )
    artifacts.write_text(out, built)


if __name__ == "__main__":
    console.run(main)
