"""Render the synthetic play sessions, annotate them and write down the truth about them."""

from pathlib import Path

from tqdm import tqdm

from attune import console, params
from attune.annotation.protocol import Protocol
from attune.demo import recordings
from attune.demo.config import DemoConfig


def main(out: Path) -> None:
    """Write engagement/, video/ and truth/ into the folder OUT."""
    config = params.load("demo", DemoConfig)
    protocol = params.load("engagement.protocol", Protocol)
    with tqdm(total=config.sessions, desc="recording", unit="session", disable=None) as bar:
        recordings.record(out, config, protocol, finished=lambda _: bar.update())


if __name__ == "__main__":
    console.run(main)
