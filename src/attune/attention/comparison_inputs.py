"""What is compared: painted maps, the machine's maps of the same snippets, and who is held against whom.

Every first painting of a snippet is a reference. Held against it are

- each method's map for both targets, the *machine*;
- the paintings of the same snippet by others, the *ceiling*: no machine can be asked to agree better than people do;
- the painter's own unannounced repetition, the *repeat*;
- two *floors*, which a map that has understood anything must beat: a Gaussian at the centre (``centre``), and a
  painting of another clip (``permuted``): the same painter's next one that is of another session, by the snippets' ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from attune.attention import painting
from attune.problems import InputError, Problem

SNIPPETS = {
    "snippet": "str",
    "session": "str",
    "annotator": "str",
    "task": "str",
    "variable": "str",
    "start_ms": "int64",
    "label": "int64",
}
MIN_APART_MS = 5000  # between the starts of two clips of a session that count as different ones
CENTRE, PERMUTED, HUMAN, REPEAT = "centre", "permuted", "human", "repeat"


@dataclass(frozen=True)
class Painted:
    """A painting of a snippet that is there.

    Attributes:
        label: the consensus of those who rated it: the others for a painter's own snippets, everybody for shared ones.
        own_label: what the painter saw in it, ``None`` if not told.
        folder: where the map lies.
    """

    snippet: str
    session: str
    task: str
    variable: str
    start_ms: int
    label: int
    annotator: str
    own_label: int | None
    again: bool
    folder: Path


@dataclass(frozen=True)
class Opponent:
    """A painting that is held against a reference: ``method`` is human, repeat or permuted."""

    method: str
    annotator: str
    snippet: str
    folder: Path


@dataclass(frozen=True)
class Pairing:
    """A reference and what is held against it: the file of the machine's maps and other paintings."""

    reference: Painted
    machine: Path
    opponents: tuple[Opponent, ...]


@dataclass(frozen=True)
class Inventory:
    """All pairings, and how complete they are.

    Attributes:
        counts: candidates, painted ones, those not painted yet, repetitions, and paintings whose snippet is gone.
        gone: the latter, as ``annotator/painting``.
        problems: warnings about them.
    """

    pairings: list[Pairing]
    counts: dict[str, int]
    gone: list[str]
    problems: list[Problem]


def collect(paintings: Path, machine: Path, snippets: pd.DataFrame) -> Inventory:
    """Find everything that is to be compared.

    Args:
        paintings: the folder of all paintings, ``<raw>/attention``.
        machine: folder of the machine's maps, one file per snippet.
        snippets: the candidates, with the columns :data:`SNIPPETS`.

    Raises:
        InputError: a painting is damaged, or the machine's maps of a painted snippet are missing.
    """
    known = {str(row.snippet): row for row in snippets.itertuples()}
    painted, gone, problems = [], [], []
    for place in painting.list_paintings(paintings):
        try:
            info = painting.read_info(place.folder)
        except InputError as error:
            problems += error.problems
            continue
        row = known.get(info.snippet)
        if row is None:
            gone.append(f"{place.annotator}/{place.painting}")
            problems.append(_gone(place.folder, info.snippet))
            continue
        painted.append(_painted(info, row, place.folder))
    first = [item for item in painted if not item.again]
    problems += [_missing(path) for path in sorted({_file(machine, item) for item in first}) if not path.is_file()]
    if errors := [problem for problem in problems if problem.severity == "error"]:
        raise InputError(errors)
    done = {(item.annotator, item.snippet) for item in first}
    wanted = set(zip(snippets["annotator"], snippets["snippet"], strict=True))
    counts = {
        "candidates": len(wanted),
        "painted": len(first),
        "not_painted_yet": len(wanted - done),
        "repeated": len(painted) - len(first),
        "snippet_gone": len(gone),
    }
    pairings = [Pairing(item, _file(machine, item), _opponents(item, painted)) for item in first]
    return Inventory(pairings, counts, gone, problems)


def _painted(info: painting.Info, row: Any, folder: Path) -> Painted:
    return Painted(
        snippet=info.snippet,
        session=row.session,
        task=row.task,
        variable=row.variable,
        start_ms=int(row.start_ms),
        label=int(row.label),
        annotator=folder.parent.name,
        own_label=info.labels.get(row.variable),
        again=info.painting != info.snippet,
        folder=folder,
    )


def _file(machine: Path, item: Painted) -> Path:
    return machine / f"{item.snippet}.npz"


def _opponents(item: Painted, painted: Sequence[Painted]) -> tuple[Opponent, ...]:
    found = []
    for other in painted:
        if other.snippet == item.snippet and other.folder != item.folder:
            if other.annotator == item.annotator:
                found.append(Opponent(REPEAT, other.annotator, other.snippet, other.folder))
            elif not other.again:
                found.append(Opponent(HUMAN, other.annotator, other.snippet, other.folder))
    if (other_clip := _permuted(item, painted)) is not None:
        found.append(Opponent(PERMUTED, other_clip.annotator, other_clip.snippet, other_clip.folder))
    return tuple(found)


def _permuted(item: Painted, painted: Sequence[Painted]) -> Painted | None:
    """The painting of another clip: the same painter's before others', of another session before the same one."""

    def preference(other: Painted) -> tuple[bool, bool, bool, str, str]:
        earlier = other.snippet < item.snippet  # the next one, and after the last the first
        return other.annotator != item.annotator, other.session == item.session, earlier, other.snippet, other.annotator

    others = [
        other
        for other in painted
        if not other.again and (other.session != item.session or abs(other.start_ms - item.start_ms) >= MIN_APART_MS)
    ]
    return min(others, key=preference, default=None)


def _gone(folder: Path, snippet: str) -> Problem:
    cure = "It is left out and counted. Put the old choice of snippets back, or move the painting out of the folder."
    expected = "a snippet of the table of candidates"
    return Problem(str(folder), "info.json, snippet", snippet, expected, cure, "warning")


def _missing(path: Path) -> Problem:
    return Problem(str(path), "", "no such file", "machine attention of a painted snippet", "Run the stage attribute.")
