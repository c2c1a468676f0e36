"""The folder of recordings, ``engagement.raw`` of params.yaml, judged before any stage gets it.

DVC puts the value into the commands of stages, within double quotes, and gives these to a shell. Spaces, apostrophes
and letters of any language pass it unchanged; what the shell would replace or run is refused here.
"""

from pathlib import Path
from typing import Any

from pydantic import model_validator

from attune.params import FILE, Params
from attune.problems import Problem

KEY = "engagement.raw"
FOLDERS = ("engagement", "video", "attention")
SPECIAL = '"$`\\'


class RawFolder(Params):
    """The value, whatever it is."""

    value: Any

    @model_validator(mode="before")
    @classmethod
    def _wrap(cls, value: Any) -> dict[str, Any]:
        return {"value": value}


def check(value: Any, made: Path, root: Path = Path()) -> Problem | None:
    """What is wrong with the value, None if nothing is.

    Args:
        value: of the parameter.
        made: the folder that the demo's stages make, which need not be there yet.
        root: what a relative path starts from.
    """
    if not isinstance(value, str) or not value.strip():
        return _problem(repr(value), "the path of a folder", "Put a path in quotes there.")
    if found := sorted({letter for letter in value if letter in SPECIAL or letter < " " or letter == "\x7f"}):
        expected = f"a path without {' '.join(SPECIAL)} and control characters, which a shell would not leave alone"
        return _problem(f"{value!r} with {' '.join(map(repr, found))}", expected, "Rename the folder, or link to it.")
    if value.startswith("~"):
        return _problem(repr(value), "a path as it is, for nothing replaces ~", "Write the whole path, from / on.")
    if value.startswith("-"):
        return _problem(repr(value), "a path that does not look like an option", f"Write ./{value}.")
    if "://" in value:
        return _problem(repr(value), "a folder of this machine", "Copy the recordings into a folder, or mount it.")
    folder = root / value
    if folder.resolve() == (root / made).resolve():
        return None
    if missing := [name for name in FOLDERS if not (folder / name).is_dir()]:
        there = f"no {', no '.join(missing)} in {value!r}" if folder.is_dir() else f"no folder {value!r}"
        cure = "Correct the path; `dvc pull` if DVC has the folder; what goes where: README, 'Your own recordings'."
        return _problem(there, f"a folder with {', '.join(FOLDERS)} in it", cure)
    return None


def _problem(found: str, expected: str, cure: str) -> Problem:
    return Problem(str(FILE), KEY, found, expected, cure)
