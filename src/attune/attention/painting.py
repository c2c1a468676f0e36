"""Painted maps on disk: one folder per annotator and painting, saved and replaced as a whole.

``<root>/<annotator>/<painting>/`` holds

- ``map.npz``: ``map``, float32 (T, H, W), values in [0, 1] to the nearest 1/1024, which makes the file a quarter of the
  size, T frames of the processed clip at the processed video's size; and ``version``;
- ``strokes.json``: the operations of :mod:`attune.attention.strokes` with the map's shape, from which the map can be
  rebuilt at another size of brush;
- ``info.json``: who, when, which snippet, labels given, seconds spent per frame, version;
- ``versions/``: the latest ten versions, this one included, ``0001.json`` and so on, each with strokes and info.

``<painting>`` is the snippet's id, or the id followed by ``_again`` for its repetition. Versions count from 1.
A folder is there, old or new and whole, at every moment (:mod:`attune.attention.folders`). A reader of several files
may meet two versions; :func:`load` sees to that.
"""

import datetime
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from attune import artifacts
from attune.attention import folders
from attune.attention.painting_record import (
    AGAIN,
    FORMAT,
    Document,
    Identifier,
    Info,
    Painting,
    Version,
    as_text,
    problem,
    read,
)
from attune.attention.strokes import Clear, Copy, Interpolate, Operation, Shape, Stroke, check, rasterise
from attune.problems import InputError, Problem

__all__ = [
    "AGAIN",
    "Clear",
    "ConflictError",
    "Copy",
    "Identifier",
    "Info",
    "Interpolate",
    "Operation",
    "Painting",
    "Place",
    "Shape",
    "Stroke",
    "check",
    "list_paintings",
    "load",
    "load_version",
    "place",
    "rasterise",
    "read_info",
    "read_map",
    "rebuild",
    "save",
]

VERSIONS = 10  # that are kept
LEVELS = 1024  # steps of a stored value between 0 and 1
_TRIES = 200  # of a reader while versions change

Found = TypeVar("Found")


class Place(NamedTuple):
    """Where a painting lies."""

    annotator: str
    painting: str
    folder: Path


class ConflictError(Exception):
    """Somebody else has saved the painting since it was loaded."""

    def __init__(self, expected: int, current: int) -> None:
        self.expected, self.current = expected, current
        super().__init__(f"expected version {expected}, found {current}")


def place(root: Path, annotator: str, painting: str) -> Path:
    """The folder of a painting.

    Raises:
        InputError: a name is not fit to be one component of a path.
    """
    try:
        Info(annotator=annotator, painting=painting, snippet=painting)
    except ValidationError as error:
        raise problem(root, error) from None
    return root / annotator / painting


def save(
    root: Path,
    painting: Painting,
    shape: Shape,
    *,
    expected_version: int | None = None,
    keep_previous: bool = True,
    painted: npt.NDArray[np.float32] | None = None,
    now: datetime.datetime | None = None,
) -> Painting:
    """Save a painting as the next version of its folder.

    Args:
        root: the folder of all paintings, ``<raw>/attention``.
        painting: its ``version``, ``created`` and ``saved`` are not used.
        shape: (T, H, W) of the map.
        expected_version: the version that is to be replaced, 0 if there should be none; None replaces any.
        keep_previous: whether the version before stays in versions/ too; a program that saves every second says no most
            of the time, lest the latest ten versions be the last ten seconds.
        painted: the map of the strokes, from a :class:`attune.attention.strokes.Growing`, which is quicker for a
            painting that is saved again and again; the caller warrants that it is theirs.
        now: the time that is written down, with its zone; the clock's unless given.

    Returns:
        The painting as saved.

    Raises:
        ConflictError: another version is there than the expected one.
        InputError: the strokes do not fit the shape, or there is not one time per frame.
    """
    folder = place(root, painting.annotator, painting.painting)
    if painted is None or painted.shape != tuple(shape):
        painted = None
        check(painting.strokes, shape, f"{painting.annotator}/{painting.painting}")
    if len(painting.seconds) not in (0, shape[0]):
        found, expected = f"{len(painting.seconds)} times", f"one per frame, {shape[0]}"
        raise InputError(Problem(str(folder), "seconds", found, expected, "Save again."))
    painted = _rounded(rasterise(painting.strokes, shape) if painted is None else painted)
    saved = (now or datetime.datetime.now(datetime.UTC)).astimezone(datetime.UTC)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folders.locked(folder):
        folders.recover_locked(folder)
        before = read_info(folder) if folder.exists() else None
        version = before.version if before else 0
        if expected_version not in (None, version):
            raise ConflictError(expected_version or 0, version)
        created = before.created if before and before.created else saved
        result = painting.model_copy(update={"version": version + 1, "created": created, "saved": saved})
        new = artifacts.partial(folder)
        artifacts.remove(new)
        try:
            _write(new, result, shape, painted, folder / "versions", version if not keep_previous else None)
            folders.swap(new, folder)
        finally:
            artifacts.remove(new)
    return result


def load(folder: Path) -> Painting:
    """Read a painting whole, even while it is being saved.

    Raises:
        InputError: there is none, or its files are damaged.
    """
    for _ in range(_TRIES):
        info = read_info(folder)
        document = _steadily(folder, lambda: read(folder / "strokes.json", Document))
        if info.version == document.version:
            return Painting(**info.model_dump(), strokes=document.strokes)
        time.sleep(0.005)
    found = f"version {info.version} beside strokes of version {document.version}"
    raise InputError(Problem(str(folder), "", found, "one version", "Take one from its folder versions/."))


def load_version(folder: Path, version: int) -> tuple[Painting, Shape]:
    """Read one of the kept versions and the shape of its map.

    Raises:
        InputError: it is not kept, or its file is damaged.
    """
    folders.recover(folder)
    kept = read(folder / "versions" / f"{version:04d}.json", Version)
    return Painting.model_validate({**kept.info, "strokes": kept.strokes}), kept.shape


def read_info(folder: Path) -> Info:
    """Read what is known about a painting, without its strokes.

    Raises:
        InputError: there is none, or its file is damaged.
    """
    return _steadily(folder, lambda: read(folder / "info.json", Info))


def read_map(folder: Path) -> npt.NDArray[np.float32]:
    """Read a painted map, float32 (T, H, W), values in [0, 1].

    Raises:
        InputError: there is none, or its file is damaged.
    """
    return _steadily(folder, lambda: _read_map(folder / "map.npz"))


def _read_map(path: Path) -> npt.NDArray[np.float32]:
    try:
        with np.load(path, allow_pickle=False) as file:
            painted: npt.NDArray[np.float32] = file["map"].astype(np.float32)
    except Exception as error:  # zipfile, zlib and numpy each have their own
        raise InputError(Problem(str(path), "", str(error), "a painted map", "Paint and save it again.")) from None
    if painted.ndim != 3 or not np.isfinite(painted).all() or (painted < 0).any():
        found = f"shape {painted.shape}"
        raise InputError(Problem(str(path), "", found, "finite values >= 0, (T, H, W)", "Paint and save it again."))
    return painted


def rebuild(folder: Path, radius_scale: float = 1.0) -> npt.NDArray[np.float32]:
    """The map from the strokes alone, with every brush so many times as large, float32 (T, H, W).

    Raises:
        InputError: there is no painting, its strokes are damaged, or the factor is out of its range.
    """
    document = _steadily(folder, lambda: read(folder / "strokes.json", Document))
    return _rounded(rasterise(document.strokes, document.shape, radius_scale))


def list_paintings(root: Path) -> list[Place]:
    """Every painting below the folder of all paintings, sorted by annotator and painting."""
    if not root.is_dir():
        return []
    for _ in range(_TRIES):
        for aside in root.glob("*/.*.previous.partial"):
            folders.recover(aside.with_name(aside.name[1:].removesuffix(".previous.partial")))
        found = [path.parent for path in root.glob("*/*/info.json") if not path.parent.name.startswith(".")]
        if not any(root.glob("*/.*.previous.partial")):  # else a save may have hidden a folder from the look
            break
    return sorted(Place(folder.parent.name, folder.name, folder) for folder in found)


def _steadily(folder: Path, look: Callable[[], Found]) -> Found:
    """What a look into a folder finds, also between the two steps in which some systems exchange folders."""
    for _ in range(_TRIES):
        folders.recover(folder)
        before = _identity(folder)
        try:
            return look()
        except InputError:
            if _identity(folder) == before:  # nobody saved meanwhile: it is absent or damaged
                raise
        time.sleep(0.005)
    return look()


def _identity(folder: Path) -> int | None:
    try:
        return folder.stat().st_ino
    except FileNotFoundError:
        return None


def _rounded(painted: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return (np.round(painted * LEVELS) / LEVELS).astype(np.float32)


def _write(
    new: Path,
    painting: Painting,
    shape: Shape,
    painted: npt.NDArray[np.float32],
    versions: Path,
    dropped: int | None = None,
) -> None:
    """Build the folder of a version beside the one that it will replace."""
    (new / "versions").mkdir(parents=True)
    kept = sorted(versions.glob("*.json"), key=lambda path: int(path.stem)) if versions.is_dir() else []
    kept = [path for path in kept if int(path.stem) != dropped]
    for path in kept[len(kept) - min(len(kept), VERSIONS - 1) :]:
        folders.keep(path, new / "versions")
    info = {"format": FORMAT, **painting.model_dump(mode="json", exclude={"strokes"})}
    head = {"format": FORMAT, "version": painting.version, "shape": list(shape)}
    with artifacts.replacing(new / "map.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, map=painted, version=np.array(painting.version))
    artifacts.write_text(new / "strokes.json", as_text(head, painting.strokes))
    artifacts.write_json(new / "info.json", info)
    del info["format"]
    name = f"{painting.version:04d}.json"
    artifacts.write_text(new / "versions" / name, as_text({**head, "info": info}, painting.strokes))
