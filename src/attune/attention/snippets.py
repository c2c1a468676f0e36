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
from typing import Literal

import pandas as pd
from pydantic import Field

from attune.attention import candidates
from attune.attention.candidates import Candidate, Coding, Pools, overlap
from attune.attention.painting_record import AGAIN
from attune.params import Params
from attune.problems import Problem
from attune.video.clips import ClipConfig

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


def choose(parts: Iterable[pd.DataFrame], coding: Coding, config: SnippetConfig, clip_config: ClipConfig) -> Chosen:
    """Choose the snippets of every annotator; memory does not grow with the number of sessions.

    Args:
        parts: tables with the columns ``spans.STRATIFIED``, each with some whole sessions, in any order; the last fold
            is the test fold.
        coding: names of annotators, tasks and variables.
        config: how many, and from where.
        clip_config: length of the clips.

    Raises:
        InputError: a name is not fit to be part of a file's name.
    """
    everybody, alone = _collect(parts, coding, config, clip_config)
    duration_ms = clip_config.duration_ms
    shared = _rounds(everybody, config.shared, [], duration_ms)
    report = [_tell(EVERYBODY, "shared", everybody, shared, config.shared)]
    rows: list[tuple[object, ...]] = []
    for annotator, pools in alone.items():
        own = _rounds(pools, config.own, shared, duration_ms)
        report.append(_tell(annotator, "own", pools, own, config.own))
        again = {one.snippet for one in [*own, *shared][: config.again]}
        for kind, chosen in (("own", own), ("shared", shared)):
            rows += [(*_row(one, annotator), kind, int(one.snippet in again)) for one in chosen]
    table = pd.DataFrame(rows, columns=list(SNIPPETS)).astype({"start_ms": "int64", "label": "int64", "again": "int64"})
    told = pd.concat(report, ignore_index=True)
    sessions = {EVERYBODY: everybody.sessions} | {name: pools.sessions for name, pools in alone.items()}
    return Chosen(
        table.sort_values(["annotator", "snippet"], ignore_index=True), told, _problems(told, sessions, config)
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


def _collect(
    parts: Iterable[pd.DataFrame], coding: Coding, config: SnippetConfig, clip_config: ClipConfig
) -> tuple[Pools, dict[str, Pools]]:
    """The candidates for everybody, and those for each annotator alone."""
    latest = -1
    everybody, alone = _no_candidates(coding, config, clip_config)
    for part in parts:
        if config.folds == "test" and len(part):
            if part["fold"].max() > latest:  # what was found is not from the last fold
                latest = part["fold"].max()
                everybody, alone = _no_candidates(coding, config, clip_config)
            part = part[part["fold"] == latest]
        if part.empty:
            continue
        for people, found in candidates.find(part, coding, config.min_raters, config.seed, clip_config):
            everybody.add(found, late=len(set(coding.annotators) - people))
            for annotator, pools in alone.items():
                if annotator not in people:
                    pools.add(found)
    return everybody, alone


def _no_candidates(coding: Coding, config: SnippetConfig, clip_config: ClipConfig) -> tuple[Pools, dict[str, Pools]]:
    cells = coding.cells
    sizes = [
        candidates.enough(2 * number * len(cells), clip_config.duration_ms)
        for number in (config.shared, config.shared + config.own)
    ]
    return Pools(cells, sizes[0]), {annotator: Pools(cells, sizes[1]) for annotator in coding.annotators}


def _rounds(pools: Pools, number: int, taken: Sequence[Candidate], duration_ms: int) -> list[Candidate]:
    """Take one pair per task and variable and round, in the order of the rounds."""
    left = {cell: [pools.best(cell, label) for label in candidates.LABELS] for cell in pools.counts}
    chosen: list[Candidate] = []
    scarce = sorted(left, key=lambda cell: min(pools.counts[cell][1:]))
    for _ in range(number):
        for cell in scarce:
            occupied = [*taken, *chosen]
            negative, positive = (
                [one for one in pool if not any(overlap(one, other, duration_ms) for other in occupied)]
                for pool in left[cell]
            )
            pair = next(((p, n) for p in positive for n in negative if not overlap(p, n, duration_ms)), ())
            chosen += pair
            left[cell] = [negative, positive] if pair else [[], []]
    return chosen


def _row(one: Candidate, annotator: str) -> tuple[object, ...]:
    return one.snippet, one.session, annotator, one.task, one.variable, one.start_ms, one.label


def _tell(annotator: str, kind: str, pools: Pools, chosen: Sequence[Candidate], number: int) -> pd.DataFrame:
    """Rows of the report: what there was and what was chosen."""
    rows = []
    for (task, variable), (sessions, negative, positive) in pools.counts.items():
        count = sum((one.task, one.variable) == (task, variable) for one in chosen)
        rows.append((annotator, kind, task, variable, sessions, positive, negative, 2 * number, count))
    return pd.DataFrame(rows, columns=REPORT)


def _problems(report: pd.DataFrame, sessions: Mapping[str, int], config: SnippetConfig) -> list[Problem]:
    """One warning for each annotator, and one for the shared snippets, if some are missing."""
    problems = []
    for (annotator, kind), rows in report[report["chosen"] < report["wanted"]].groupby(["annotator", "kind"]):
        all_rows = report[(report["annotator"] == annotator) & (report["kind"] == kind)]
        lacking = ", ".join(
            f"{row.task} {row.variable} {row.chosen} of {row.wanted}"
            f" ({row.positive_starts} positive, {row.negative_starts} negative starts)"
            for row in rows.itertuples()
        )
        whose = "that were labelled" if kind == "shared" else f"without labels by {annotator}"
        found = f"{all_rows['chosen'].sum()} in {sessions[str(annotator)]} session(s) {whose}; {lacking}"
        cure = "Nothing to do if they suffice; else "
        cure += "lower engagement.snippets." + str(kind)
        cure += ", or take folds: all." if config.folds == "test" else "."
        expected = f"{all_rows['wanted'].sum()} {kind} snippets, half of them positive"
        problems.append(Problem("snippets", str(annotator), found, expected, cure, "warning"))
    return problems
