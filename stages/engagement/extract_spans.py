"""Read every ELAN file, check it against the protocol, write spans and EasyDIAg tab files."""

from pathlib import Path

from attune import console, params
from attune.annotation import extraction
from attune.annotation.protocol import Protocol
from attune.video import files


def main(eaf_folder: Path, video_folder: Path, table: Path, tab_folder: Path) -> None:
    """Write the spans of all sessions, or report everything that is wrong and write nothing."""
    protocol = params.load("engagement.protocol", Protocol)
    durations_ms, unreadable = extraction.durations(video_folder, files.find_videos, files.probe)
    console.warn([*unreadable, *extraction.extract(eaf_folder, protocol, durations_ms, table, tab_folder)])


if __name__ == "__main__":
    console.run(main)
