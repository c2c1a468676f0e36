"""Snippets: the clips on which people paint their attention.

A snippet is a clip (:mod:`attune.video.clips`) with a task, a variable and a label, ``start_ms`` on a fixed grid of the
recording's time, and an id made of these alone: ``<session>-<task>-<variable>-<start_ms, 7 digits>``. The rules:

- A clip is a *candidate* if every annotator who coded its task covers the whole of it and all of their labels are
  equal; that label is the snippet's. At least ``min_raters`` of them must be there.
- An annotator's *own* snippets come from sessions that this annotator did not label at all.
- *Shared* snippets are painted by every annotator, whoever labelled the session. They are what people are compared with
  each other on: where each session lacks one annotator at most, no two of them have an own snippet in common. They
  come from the sessions that most annotators labelled, as far as these suffice, and leave the others to own ones.
- Snippets come in pairs, one positive and one negative, of the same task and variable, so that numbers are equal. No
  two snippets of one annotator overlap in time, whatever their variable.
- Which ones: candidates are ranked by a hash of seed and id, those that start at a multiple of the clip's length first,
  for they waste no time between snippets. Pairs are taken in rounds, one per task and variable each, the scarcest
  first. A round depends on those before it alone, so that wanting more keeps what was chosen; shared ones come first.
- ``again`` of an annotator's snippets, from the earliest rounds, come back to be painted a second time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field, TypeAdapter, ValidationError

from attune.attention.painting_record import AGAIN, Identifier
from attune.params import Params
from attune.problems import InputError, Problem
from attune.video import clips, draws
from attune.video.clips import ClipConfig

GRID_MS = 500  # not a parameter: ids and with them painted maps would change
SNIPPETS = {
    "snippet": "str",
    "session": "str",
    "annotator": "str",
    "task": "str",
    "variable": "str",
    "start_ms": "int64",
    "label": "int64",
    "kind": "str",  # own or shared
    "again": "int64",  # 1 if it comes back to be painted a second time
}
REPORT = ["annotator", "kind", "task", "variable", "sessions", "positive_starts", "negative_starts", "wanted", "chosen"]
EVERYBODY = "everybody"
_IDENTIFIER: TypeAdapter[str] = TypeAdapter(Identifier)


class SnippetConfig(Params):
    """How many snippets are chosen, and from where.

    Attributes:
        folds: the test fold alone, or all folds, whose clips the models have learned from.
        own: snippets of each label per annotator, task and variable, at most.
        shared: snippets of each label per task and variable that every annotator paints, at most.
        again: snippets per annotator that come back later.
        min_raters: annotators who must agree on a snippet.
        seed: of the choice.
    """

    folds: Literal["test", "all"] = "test"
    own: int = Field(default=2, ge=0, le=1000)
    shared: int = Field(default=1, ge=0, le=1000)
    again: int = Field(default=2, ge=0, le=1000)
    min_raters: int = Field(default=2, ge=1)
    seed: int = Field(default=0, ge=0)


class Coding(NamedTuple):
    """What annotators could code, in the protocol's order."""

    annotators: Sequence[str]
    tasks: Sequence[str]
    variables: Sequence[str]


class _Candidate(NamedTuple):
    """A clip that may be chosen; sorting by it is the order of preference."""

    rank: tuple[bool, int]
    snippet: str
    session: str
    task: str
    variable: str
    start_ms: int
    label: int


@dataclass(frozen=True)
class Chosen:
    """The choice.

    Attributes:
        table: columns :data:`SNIPPETS`, sorted by annotator and snippet.
        report: columns :data:`REPORT`; ``annotator`` is ``everybody`` for shared snippets.
        problems: warnings about what could not be found.
    """

    table: pd.DataFrame
    report: pd.DataFrame
    problems: list[Problem]


def snippet_id(session: str, task: str, variable: str, start_ms: int) -> str:
    """The stable id of a snippet.

    Raises:
        InputError: a name is not fit to be part of a file's name.
    """
    name = f"{session}-{task}-{variable}-{start_ms:07d}"
    try:
        return _IDENTIFIER.validate_python(name)
    except ValidationError:
        expected = "names of letters, digits, spaces, and . _ + - (160 bytes in all)"
        raise InputError(Problem("snippet", "", repr(name), expected, "Rename the session, task or tier.")) from None


def choose(stratified: pd.DataFrame, coding: Coding, config: SnippetConfig, clip_config: ClipConfig) -> Chosen:
    """Choose the snippets of every annotator.

    Args:
        stratified: columns ``spans.STRATIFIED``; the last fold is the test fold.
        coding: names of annotators, tasks and variables.
        config: how many, and from where.
        clip_config: length of the clips.

    Raises:
        InputError: a name is not fit to be part of a file's name.
    """
    if config.folds == "test" and not stratified.empty:
        stratified = stratified[stratified["fold"] == stratified["fold"].max()]
    found = _candidates(stratified, coding, config, clip_config)
    coders = {str(session): set(rows["annotator"]) for session, rows in stratified.groupby("session")}
    cells = list(product(coding.tasks, coding.variables))
    duration_ms = clip_config.duration_ms

    lacking = {session: len(set(coding.annotators) - people) for session, people in coders.items()}
    shared = _rounds(sorted(found, key=lambda one: lacking[one.session]), cells, config.shared, [], duration_ms)
    report = [_tell(EVERYBODY, "shared", found, shared, cells, config.shared)]
    rows: list[tuple[object, ...]] = []
    for annotator in coding.annotators:
        free = [one for one in found if annotator not in coders[one.session]]
        own = _rounds(free, cells, config.own, shared, duration_ms)
        report.append(_tell(annotator, "own", free, own, cells, config.own))
        again = {one.snippet for one in [*own, *shared][: config.again]}
        for kind, chosen in (("own", own), ("shared", shared)):
            rows += [(*_row(one, annotator), kind, int(one.snippet in again)) for one in chosen]
    table = pd.DataFrame(rows, columns=list(SNIPPETS)).astype({"start_ms": "int64", "label": "int64", "again": "int64"})
    told = pd.concat(report, ignore_index=True)
    return Chosen(
        table.sort_values(["annotator", "snippet"], ignore_index=True), told, _problems(told, coders, coding, config)
    )


def gone(snippets: pd.DataFrame, painted: Iterable[tuple[str, str]]) -> list[Problem]:
    """Warnings about painted maps whose snippet is no longer in its painter's list.

    Args:
        snippets: columns :data:`SNIPPETS`.
        painted: annotator and painting of each map.
    """
    wanted = set(zip(snippets["annotator"], snippets["snippet"], strict=True))
    expected = "a painting of a snippet in candidate_snippets.csv"
    cure = "It is left out; restore the parameters and annotations that it was chosen with, or remove its folder."
    return [
        Problem(f"{annotator}/{painting}", "", "a snippet that is not there", expected, cure, "warning")
        for annotator, painting in painted
        if not {(annotator, painting), (annotator, painting.removesuffix(AGAIN))} & wanted
    ]


def _grid(stratified: pd.DataFrame, duration_ms: int) -> pd.DataFrame:
    """Every clip on the grid between the first and the last span of each task, columns ``clips.CLIPS``."""
    parts = []
    for (session, task), rows in stratified.groupby(["session", "task"]):
        first = -(-int(rows["start_ms"].min()) // GRID_MS) * GRID_MS
        starts = np.arange(first, int(rows["end_ms"].max()) - duration_ms + 1, GRID_MS, dtype=np.int64)
        parts.append(pd.DataFrame({"session": session, "task": task, "index": 0, "start_ms": starts}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(clips.CLIPS))


def _candidates(
    stratified: pd.DataFrame, coding: Coding, config: SnippetConfig, clip_config: ClipConfig
) -> list[_Candidate]:
    """The clips on which all who coded the task agree, best first."""
    if stratified.empty:
        return []
    grid = _grid(stratified, clip_config.duration_ms)
    people = sorted(set(stratified["annotator"]))
    labels = clips.label(grid, stratified, list(coding.variables), people, clip_config)
    coded = pd.MultiIndex.from_frame(stratified[["session", "task", "annotator"]].drop_duplicates())
    there = np.stack(
        [pd.MultiIndex.from_frame(grid[["session", "task"]].assign(a=name)).isin(coded) for name in people], 1
    )
    enough = there.sum(1) >= config.min_raters
    found = []
    for v, variable in enumerate(coding.variables):
        for label in (0, 1):
            agreed = enough & ((labels[:, v] == label) | ~there).all(1)
            rows = grid.loc[agreed, ["session", "task", "start_ms"]]
            for session, task, start_ms in rows.itertuples(index=False):
                name = snippet_id(session, task, variable, int(start_ms))
                key = int(draws.combine(draws.name_key("snippet", name), config.seed))
                rank = (int(start_ms) % clip_config.duration_ms != 0, key)
                found.append(_Candidate(rank, name, session, task, variable, int(start_ms), label))
    return sorted(found)


def _rounds(
    candidates: Sequence[_Candidate],
    cells: Sequence[tuple[str, str]],
    number: int,
    taken: Sequence[_Candidate],
    duration_ms: int,
) -> list[_Candidate]:
    """Take one pair per task and variable and round, in the order of the rounds."""
    pools: dict[tuple[str, str], tuple[list[_Candidate], list[_Candidate]]] = {cell: ([], []) for cell in cells}
    for one in candidates:
        if (cell := (one.task, one.variable)) in pools:
            pools[cell][one.label].append(one)
    chosen: list[_Candidate] = []
    scarce = sorted(cells, key=lambda cell: min(map(len, pools[cell])))
    for _ in range(number):
        for cell in scarce:
            occupied = [*taken, *chosen]
            negative, positive = (
                [one for one in pool if not any(_overlap(one, other, duration_ms) for other in occupied)]
                for pool in pools[cell]
            )
            pair = next(((p, n) for p in positive for n in negative if not _overlap(p, n, duration_ms)), ())
            chosen += pair
            pools[cell] = (negative, positive) if pair else ([], [])
    return chosen


def _overlap(one: _Candidate, other: _Candidate, duration_ms: int) -> bool:
    return one.session == other.session and abs(one.start_ms - other.start_ms) < duration_ms


def _row(one: _Candidate, annotator: str) -> tuple[object, ...]:
    return one.snippet, one.session, annotator, one.task, one.variable, one.start_ms, one.label


def _tell(
    annotator: str,
    kind: str,
    candidates: Sequence[_Candidate],
    chosen: Sequence[_Candidate],
    cells: Sequence[tuple[str, str]],
    number: int,
) -> pd.DataFrame:
    """Rows of the report: what there was and what was chosen."""
    rows = []
    for task, variable in cells:
        there = [one for one in candidates if (one.task, one.variable) == (task, variable)]
        sessions, positive = len({one.session for one in there}), sum(one.label for one in there)
        count = sum((one.task, one.variable) == (task, variable) for one in chosen)
        rows.append((annotator, kind, task, variable, sessions, positive, len(there) - positive, 2 * number, count))
    return pd.DataFrame(rows, columns=REPORT)


def _problems(
    report: pd.DataFrame, coders: Mapping[str, set[str]], coding: Coding, config: SnippetConfig
) -> list[Problem]:
    """One warning for each annotator, and one for the shared snippets, if some are missing."""
    problems = []
    for (annotator, kind), rows in report[report["chosen"] < report["wanted"]].groupby(["annotator", "kind"]):
        all_rows = report[(report["annotator"] == annotator) & (report["kind"] == kind)]
        lacking = ", ".join(
            f"{row.task} {row.variable} {row.chosen} of {row.wanted}"
            f" ({row.positive_starts} positive, {row.negative_starts} negative starts)"
            for row in rows.itertuples()
        )
        which = [name for name, people in coders.items() if kind == "shared" or annotator not in people]
        whose = "that were labelled" if kind == "shared" else f"without labels by {annotator}"
        found = f"{all_rows['chosen'].sum()} in {len(which)} session(s) {whose}; {lacking}"
        cure = "Nothing to do if they suffice; else "
        cure += "lower engagement.snippets." + str(kind)
        cure += ", or take folds: all." if config.folds == "test" else "."
        expected = f"{all_rows['wanted'].sum()} {kind} snippets, half of them positive"
        problems.append(Problem("snippets", str(annotator), found, expected, cure, "warning"))
    return problems
