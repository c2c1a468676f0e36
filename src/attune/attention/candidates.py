"""Candidates for snippets: the clips on which annotators agree, of which the best are kept.

The rules are those of :mod:`attune.attention.snippets`. Sessions are looked at a few at a time. Of each task, variable
and label so many candidates are kept that the choice is the same as from all of them, however many there are:

- A choice that has taken n clips takes the first pair that overlaps neither them nor itself.
- Candidates of one task, variable and label start at different places of the grid, so that any clip overlaps at most
  k = 2 * floor((duration - 1) / grid) + 1 of them, and n clips at most n * k.
- Among the first n * k + k + 1 candidates of a list, at least k + 1 are therefore free, unless the list ends before.
- Of k + 1 free ones, at least one does not overlap a given clip. So the first positive one that is free finds its
  negative one among these; and if fewer negative ones are free, all are known and the first of them that has any
  positive one has it among these.

A list that is cut after the first (n + 1) * k + 1 candidates, where n is the most that is ever taken, hence gives the
same pairs as the whole list (``tests/attention/test_candidates.py`` compares them).
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
from pydantic import TypeAdapter, ValidationError

from attune.attention.painting_record import Identifier
from attune.problems import InputError, Problem
from attune.video import clips, draws
from attune.video.clips import ClipConfig

GRID_MS = 500  # not a parameter: ids and with them painted maps would change
LABELS = (0, 1)
Cell = tuple[str, str]  # task and variable
_IDENTIFIER: TypeAdapter[str] = TypeAdapter(Identifier)


class Coding(NamedTuple):
    """What annotators could code, in the protocol's order."""

    annotators: Sequence[str]
    tasks: Sequence[str]
    variables: Sequence[str]

    @property
    def cells(self) -> list[Cell]:
        """Every task and variable."""
        return list(product(self.tasks, self.variables))


class Candidate(NamedTuple):
    """A clip that may be chosen; sorting by it is the order of preference."""

    rank: tuple[bool, int]
    snippet: str
    session: str
    task: str
    variable: str
    start_ms: int
    label: int


def overlap(one: Candidate, other: Candidate, duration_ms: int) -> bool:
    """Whether two clips show the same time."""
    return one.session == other.session and abs(one.start_ms - other.start_ms) < duration_ms


def enough(taken: int, duration_ms: int) -> int:
    """How many candidates of a task, variable and label suffice where at most so many clips are taken, see above."""
    hidden = 2 * ((duration_ms - 1) // GRID_MS) + 1
    return (taken + 1) * hidden + 1


class Pools:
    """The best candidates of every task, variable and label in some sessions, and how many there are in all.

    Args of the constructor:
        cells: the tasks and variables of interest.
        size: candidates kept of each label.

    Attributes:
        sessions: number of sessions.
        counts: of every cell the number of sessions with candidates, of negative and of positive ones.
    """

    def __init__(self, cells: Sequence[Cell], size: int) -> None:
        self.sessions = 0
        self.counts = {cell: [0, 0, 0] for cell in cells}
        self._size = size
        self._best: dict[Cell, tuple[list[tuple[int, Candidate]], ...]] = {cell: ([], []) for cell in cells}

    def add(self, candidates: dict[Cell, list[Candidate]], late: int = 0) -> None:
        """Add all candidates of a session, by cell; those of sessions that are later rank behind all others."""
        self.sessions += 1
        for cell, there in candidates.items():
            counts = self.counts[cell]
            counts[0] += bool(there)
            for one in there:
                counts[1 + one.label] += 1
                self._best[cell][one.label].append((late, one))
            for best in self._best[cell]:
                if len(best) > 2 * self._size:
                    best.sort()
                    del best[self._size :]

    def best(self, cell: Cell, label: int) -> list[Candidate]:
        """The best candidates in order, all if there are no more than the size."""
        return [one for _, one in sorted(self._best[cell][label])[: self._size]]


def find(
    stratified: pd.DataFrame, coding: Coding, min_raters: int, seed: int, config: ClipConfig
) -> Iterator[tuple[set[str], dict[Cell, list[Candidate]]]]:
    """The clips on which all who coded the task agree, session by session.

    Args:
        stratified: columns ``spans.STRATIFIED``, some whole sessions.
        coding: the tasks and variables.
        min_raters: annotators who must agree.
        seed: of the ranks.
        config: length of the clips.

    Yields:
        The annotators of a session, and its candidates of every task and variable.

    Raises:
        InputError: a name is not fit to be part of a file's name.
    """
    grid = _grid(stratified, config.duration_ms)
    people = sorted(set(stratified["annotator"]))
    labels = clips.label(grid, stratified, list(coding.variables), people, config)
    coded = pd.MultiIndex.from_frame(stratified[["session", "task", "annotator"]].drop_duplicates())
    there = np.stack(
        [pd.MultiIndex.from_frame(grid[["session", "task"]].assign(a=name)).isin(coded) for name in people], 1
    )
    able = there.sum(1) >= min_raters
    agreed = [able & ((labels == label) | ~there[:, None]).all(2).T for label in LABELS]  # (V, N) each
    rows_of = grid.groupby("session").indices
    for session, spans in stratified.groupby("session", sort=True):
        found: dict[Cell, list[Candidate]] = {cell: [] for cell in coding.cells}
        rows = rows_of.get(session, np.empty(0, dtype=np.intp))
        for (v, variable), label in product(enumerate(coding.variables), LABELS):
            chosen = grid.iloc[rows[agreed[label][v, rows]]]
            for task, starts in chosen.groupby("task")["start_ms"]:
                ranked = _ranked(str(session), str(task), variable, starts.tolist(), label, seed, config.duration_ms)
                found.setdefault((str(task), variable), []).extend(ranked)
        yield set(spans["annotator"]), {cell: found[cell] for cell in coding.cells}


def snippet_id(session: str, task: str, variable: str, start_ms: int) -> str:
    """The stable id of a snippet.

    Raises:
        InputError: a name is not fit to be part of a file's name.
    """
    name = _name(session, task, variable, start_ms)
    try:
        return _IDENTIFIER.validate_python(name)
    except ValidationError:
        expected = "names of letters, digits, spaces, and . _ + - (160 bytes in all)"
        raise InputError(Problem("snippet", "", repr(name), expected, "Rename the session, task or tier.")) from None


def _name(session: str, task: str, variable: str, start_ms: int) -> str:
    return f"{session}-{task}-{variable}-{start_ms:07d}"


def _ranked(
    session: str, task: str, variable: str, starts: list[int], label: int, seed: int, duration_ms: int
) -> list[Candidate]:
    snippet_id(session, task, variable, max(starts))  # the longest: if this one is good, all are
    names = [_name(session, task, variable, start_ms) for start_ms in starts]
    keys = draws.combine(np.array([draws.name_key("snippet", name) for name in names], dtype=np.uint64), seed).tolist()
    return [
        Candidate((start_ms % duration_ms != 0, key), name, session, task, variable, start_ms, label)
        for start_ms, key, name in zip(starts, keys, names, strict=True)
    ]


def _grid(stratified: pd.DataFrame, duration_ms: int) -> pd.DataFrame:
    """Every clip on the grid between the first and the last span of each task, columns ``clips.CLIPS``."""
    parts = []
    for (session, task), rows in stratified.groupby(["session", "task"]):
        first = -(-int(rows["start_ms"].min()) // GRID_MS) * GRID_MS
        starts = np.arange(first, int(rows["end_ms"].max()) - duration_ms + 1, GRID_MS, dtype=np.int64)
        parts.append(pd.DataFrame({"session": session, "task": task, "index": 0, "start_ms": starts}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(clips.CLIPS))
