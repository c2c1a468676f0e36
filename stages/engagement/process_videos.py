"""Down-sample every video and decode it once into the frame store."""

from pathlib import Path

from tqdm import tqdm

from attune import console, params
from attune.video import files, processing


def main(source: Path, videos: Path, frames: Path, work: Path) -> None:
    """Process all videos of a folder; pieces that an earlier run finished are taken from the work folder."""
    config = params.load("engagement.video", files.VideoConfig)
    processing.check_apart(source, [videos, frames, work])
    found, warnings = files.find_videos(source)
    console.warn(warnings)
    with tqdm(total=len(found), desc="videos", unit="video", disable=None) as bar:
        pieces = processing.process(found, work, config, on_done=lambda _: bar.update())
    console.warn(problem for piece in pieces.values() for problem in piece.warnings)
    processing.write_outputs(pieces, videos, frames, work)


if __name__ == "__main__":
    console.run(main)
