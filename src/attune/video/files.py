"""Video files on the disk: which of a folder's files are sessions, what they are, and where their frames are.

A session is named by its video's file name without the extension. Times start at the container's start
(:mod:`attune.video.probe`); frames follow the exact rational rate (:mod:`attune.video.store`).
"""

import unicodedata
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from attune.params import Params
from attune.problems import InputError, Problem
from attune.video.probe import VideoInfo, probe
from attune.video.store import frame_index, frame_time_ms, num_frames, open_frames

__all__ = [
    "EXTENSIONS",
    "VideoConfig",
    "VideoInfo",
    "find_videos",
    "frame_index",
    "frame_time_ms",
    "num_frames",
    "open_frames",
    "probe",
]

EXTENSIONS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".m4v", ".ts", ".mts", ".m2ts", ".gif")
NAMED = 5  # ignored files that a message names


def _exact(value: Any) -> Fraction:
    """A rate as it is written: 25/8, 3 or 3.125."""
    try:
        rate = Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        raise ValueError("a number of frames per second such as 25/8") from None
    if not 0 < rate <= 120 or rate.denominator > 1_000_000:
        raise ValueError("a number of frames per second above 0 and up to 120")
    return rate


class VideoConfig(Params):
    """The processed video's form.

    Attributes:
        height: rows of pixels, an even number.
        width_multiple: the width is the multiple of this nearest to the source's proportions, an even number.
        frame_rate: frames per second, an exact fraction.
    """

    height: int = Field(ge=16, le=2160)
    width_multiple: int = Field(ge=2, le=256)
    frame_rate: Annotated[Fraction, BeforeValidator(_exact)]

    @field_validator("height", "width_multiple")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("an even number (the coding stores colours for blocks of two by two pixels)")
        return value


def find_videos(folder: Path) -> tuple[dict[str, Path], list[Problem]]:
    """The videos of a folder by session, sorted.

    Hidden files and DVC's own (``.dvc``) are passed over; anything else that is no video by its name gets a warning.

    Returns:
        The videos, and the warnings.

    Raises:
        InputError: the folder is missing or holds no video, or two videos are of the same session.
    """
    videos: dict[str, Path] = {}
    problems: list[Problem] = []
    for path in _entries(folder):
        if path.suffix.lower() not in EXTENSIONS:
            kinds = " ".join(EXTENSIONS)
            problems.append(
                Problem(str(path), "", "another kind of file", kinds, "It was ignored; move it away.", "warning")
            )
        elif not str(path).isprintable() or not _is_utf8(path):
            name = ascii(path.name)
            problems.append(Problem(str(folder), "", f"the name {name}", "a printable name in UTF-8", "Rename it."))
        elif (session := unicodedata.normalize("NFC", path.stem)) in videos:  # as the annotations name it
            found = f"{videos[session].name} of the same session"
            problems.append(Problem(str(path), "", found, "one video per session", "Move one of them away."))
        else:
            videos[session] = path
    if wrong := [problem for problem in problems if problem.severity == "error"]:
        raise InputError(wrong)
    if not videos:
        found = "no video" + _ignored([Path(problem.file).name for problem in problems])
        expected = f"at least one video ({' '.join(EXTENSIONS)})"
        raise InputError(Problem(str(folder), "", found, expected, "Put the videos there, <session>.mp4."))
    return videos, problems


def _ignored(names: list[str]) -> str:
    """The files that were no video by their name, as the end of a sentence."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f" but {', '.join(map(ascii, names[:NAMED]))}{more}" if names else ""


def _entries(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(
            Problem(
                str(folder), "", f"{error.strerror}", "a folder of videos", "Check `engagement.raw` in params.yaml."
            )
        ) from None
    return [path for path in entries if not path.name.startswith(".") and path.suffix != ".dvc"]


def _is_utf8(path: Path) -> bool:
    try:
        return bool(str(path).encode())
    except UnicodeEncodeError:
        return False
