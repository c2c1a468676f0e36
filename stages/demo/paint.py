"""Simulate the annotators' painting of their snippets from the truth about the demo recordings."""

from pathlib import Path

from tqdm import tqdm

from attune import artifacts, console, params
from attune.annotation.protocol import Protocol
from attune.attention.snippets import SNIPPETS
from attune.demo import painting
from attune.demo.config import DemoConfig
from attune.demo.truth import iterate_masks
from attune.video.clips import ClipConfig, num_frames
from attune.video.files import VideoConfig


def main(source: Path, masks: Path, out: Path) -> None:
    """Write the folder OUT of painted maps of the snippets in the table SOURCE."""
    config = params.load("demo", DemoConfig)
    protocol = params.load("engagement.protocol", Protocol)
    clips = params.load("engagement.clips", ClipConfig)
    video = params.load("engagement.video", VideoConfig)
    snippets = artifacts.read_table(source, SNIPPETS)
    painters = painting.painters(protocol.annotators, config)
    with artifacts.replacing_folder(out) as folder:
        if len(snippets):
            first = next(iterate_masks(masks / f"{snippets['session'].iloc[0]}.npz", 1))
            width = painting.frame_width(video.height, video.width_multiple, first)
            look = painting.Look((num_frames(clips, video.frame_rate), video.height, width), video.frame_rate)
            total = len(snippets) + int(snippets["again"].sum())
            made = painting.paint_all(snippets, masks, folder, look, painters, config.seed)
            for _ in tqdm(made, desc="painting", unit="snippet", total=total, disable=None):
                pass
        for lock in folder.glob("*/.*.lock.partial"):  # nobody else writes there
            lock.unlink()


if __name__ == "__main__":
    console.run(main)
