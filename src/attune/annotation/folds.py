"""Folds: groups of sessions that resemble each other in how often each behaviour occurs in each task.

A session is never split. Folds count from 0; the last one is the test fold, which no search and no choice of an epoch
looks at. Which fold that is depends on the annotations alone: see :func:`_named`.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError

from attune import artifacts
from attune.annotation import compact, fold_search, spans
from attune.annotation.chance import engaged_shares
from attune.annotation.protocol import NO, Name
from attune.params import FILE, Params
from attune.problems import InputError, Problem, raise_errors

DIGITS = 9  # of every number that is written
CELL = ["task", "variable"]


class FoldConfig(Params):
    """How sessions are assigned to folds.

    Attributes:
        num_folds: number of folds, the test fold included.
        tries: number of random splits; if there are no more splits than that, all are compared.
        seed: of the random splits.
        groups: sessions of which every fold should hold at least one, such as those of one experimenter.
    """

    num_folds: int = Field(ge=2)
    tries: int = Field(ge=1)
    seed: int = Field(default=0, ge=0)
    groups: dict[Name, tuple[Name, ...]] = Field(default_factory=dict)


class PixelValues(Params):
    """Mean and standard deviation of red, green and blue, in the units 0 to 1, over ``count`` pixels."""

    count: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Part(Params):
    """What a set of sessions holds.

    Attributes:
        sessions: their names, sorted.
        annotated_ms: annotated time over all annotators, tasks and variables.
        empirical_probability: task: variable: engaged share of its annotated time; None where there is no such time.
        groups: how many sessions of each group there are.
    """

    sessions: tuple[str, ...]
    annotated_ms: int
    empirical_probability: dict[str, dict[str, float | None]]
    groups: dict[str, int]


class Fold(Part):
    """One fold: its share of the score and the statistics of its own sessions' pixels."""

    score: float
    pixel_values: PixelValues


class FoldStatistics(Params):
    """The balance of a split, as it is written to fold_statistics.json.

    Attributes:
        num_folds: number of folds.
        test_fold: index of the test fold, the last one.
        score: sum of the folds' scores; 0 if all folds are alike.
        method: how the split was found.
        tries: how many splits were listed or drawn.
        all_sessions: the same numbers over all folds.
        folds: the folds in order.
    """

    num_folds: int
    test_fold: int
    score: float
    method: str
    tries: int
    all_sessions: Part
    folds: tuple[Fold, ...]


@dataclass(frozen=True)
class Stratified:
    """Sessions assigned to folds.

    Attributes:
        folds: the sessions of each fold, sorted.
        times: :func:`tally` of these sessions.
        problems: warnings about sessions that were left out and about groups too small for the folds.
    """

    folds: tuple[tuple[str, ...], ...]
    times: pd.DataFrame
    scores: tuple[float, ...]
    method: str
    tries: int
    problems: list[Problem]


def tally(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Sum up what folds are balanced by.

    Args:
        parts: tables with the columns :data:`spans.FILLED`, each with some sessions.

    Returns:
        session, task, variable (categories), annotated and engaged: milliseconds over all annotators.
    """
    return compact.gather(map(_sums, parts))


def _sums(part: pd.DataFrame) -> pd.DataFrame:
    length = part["end_ms"] - part["start_ms"]
    lengths = part[["session", *CELL]].assign(annotated=length, engaged=length.where(part["value"] != NO, 0))
    return lengths.groupby(["session", *CELL], as_index=False).sum()


def stratify(times: pd.DataFrame, recorded: Collection[str], config: FoldConfig, file: str) -> Stratified:
    """Assign every session that is annotated and recorded to one fold.

    Args:
        times: :func:`tally` of all annotated sessions, in any order.
        recorded: sessions with frames.
        config: number of folds, groups and effort.
        file: name of the annotations' table for messages.

    Raises:
        InputError: there are fewer sessions than folds, or a group names a session that does not exist.
    """
    annotated = set(times["session"])
    sessions = sorted(annotated & set(recorded))
    raise_errors(_session_problems(sessions, annotated | set(recorded), config, file))
    times = times[times["session"].isin(sessions)]
    contributions = contributions_of(times, sessions, config)
    found = fold_search.search(contributions, config.num_folds, config.tries, config.seed)
    split, scores = _named(found.split, contributions, config.num_folds)
    fold_of = dict(zip(sessions, split, strict=True))
    return Stratified(
        tuple(tuple(name for name in sessions if fold_of[name] == fold) for fold in range(config.num_folds)),
        times,
        scores,
        found.method,
        found.scored,
        _left_out(annotated, set(recorded), file) + _scarce(times, sessions, config, file),
    )


def assign(filled: pd.DataFrame, folds: Sequence[Sequence[str]]) -> pd.DataFrame:
    """Give filled spans their folds; touching spans that are equally engaged become one.

    Args:
        filled: columns :data:`spans.FILLED`; sessions in no fold are left out.
        folds: the sessions of each fold.

    Returns:
        columns :data:`spans.STRATIFIED`.
    """
    fold_of = {session: fold for fold, sessions in enumerate(folds) for session in sessions}
    filled = filled[filled["session"].isin(fold_of)]
    engaged = filled.assign(
        engaged=(filled["value"] != NO).astype("int64"), fold=filled["session"].map(fold_of).astype("int64")
    )
    return spans.merge(engaged[list(spans.STRATIFIED)], ["session", "annotator", "task", "variable"])


def contributions_of(times: pd.DataFrame, sessions: list[str], config: FoldConfig) -> fold_search.Contributions:
    """What every session adds to its fold, cells (task, variable) and groups in alphabetical order."""
    sums = times.pivot_table(
        index="session", columns=CELL, values=["annotated", "engaged"], aggfunc="sum", fill_value=0, sort=True
    ).reindex(sessions, fill_value=0)
    member = [[int(session in config.groups[group]) for group in sorted(config.groups)] for session in sessions]
    return fold_search.Contributions(
        sums["engaged"].to_numpy().astype(np.int64),
        sums["annotated"].to_numpy().astype(np.int64),
        np.array(member, dtype=np.int64).reshape(len(sessions), -1),
    )


def _named(
    split: fold_search.Split, contributions: fold_search.Contributions, num_folds: int
) -> tuple[list[int], tuple[float, ...]]:
    """Number the folds: the one most like the whole (the smallest score) comes last, as the test fold.

    The others keep the order of their first sessions, and of folds with equal scores the first becomes the test fold.
    """
    sums = np.stack([contributions.table[split == fold].sum(axis=0) for fold in range(num_folds)])
    scores = np.round(fold_search.Scorer(contributions, num_folds).fold_scores(sums), DIGITS)
    test = int(np.argmin(scores))
    order = [*(fold for fold in range(num_folds) if fold != test), test]
    return [order.index(fold) for fold in split], tuple(float(scores[fold]) for fold in order)


def _session_problems(sessions: list[str], known: set[str], config: FoldConfig, file: str) -> list[Problem]:
    found = []
    for group, members in sorted(config.groups.items()):
        if strangers := sorted(set(members) - known):
            cure = "Correct the names, or remove them from the group."
            where = f"engagement.folds.groups.{group}"
            found.append(Problem(str(FILE), where, ", ".join(strangers), "sessions of the recordings", cure))
    if len(sessions) < config.num_folds:
        cure = "Record or annotate more sessions, or lower engagement.folds.num_folds."
        expected = f"at least {config.num_folds} sessions with video, one for each fold"
        found.append(Problem(file, "", f"{len(sessions)} ({', '.join(sessions) or 'none'})", expected, cure))
    return found


def _left_out(annotated: set[str], recorded: set[str], file: str) -> list[Problem]:
    def warning(session: str, found: str, expected: str, cure: str) -> Problem:
        return Problem(file, f"session {session}", found, expected, f"{cure} It is left out.", severity="warning")

    return [
        warning(session, "annotations alone", "a video of the session too", "Add its video.")
        for session in sorted(annotated - recorded)
    ] + [
        warning(session, "a video alone", "annotations of the session too", "Annotate it.")
        for session in sorted(recorded - annotated)
    ]


def _scarce(times: pd.DataFrame, sessions: list[str], config: FoldConfig, file: str) -> list[Problem]:
    """Warnings where the penalty for a fold that lacks something cannot vanish."""

    def warning(file: str, where: str, count: int, cure: str) -> Problem:
        expected = f"at least {config.num_folds} sessions, one for each fold"
        return Problem(file, where, str(count), expected, cure, severity="warning")

    coded = times[[*CELL, "session"]].drop_duplicates().groupby(CELL, as_index=False).count()
    return [
        warning(str(FILE), f"engagement.folds.groups.{group}", count, "Some folds will hold none of the group.")
        for group, members in sorted(config.groups.items())
        if (count := len(set(members) & set(sessions))) < config.num_folds
    ] + [
        warning(file, f"task {task}, variable {variable}", count, "Some folds will lack it.")
        for task, variable, count in coded.itertuples(index=False, name=None)
        if count < config.num_folds
    ]


def statistics(stratified: Stratified, pixels: Mapping[int, PixelValues], config: FoldConfig) -> FoldStatistics:
    """Gather the balance of a split; ``pixels`` holds the pixel values of each fold's own sessions."""
    times = stratified.times
    cells = list(times[CELL].drop_duplicates().sort_values(CELL).itertuples(index=False, name=None))
    folds = [
        Fold(
            **_part(times, members, cells, config).model_dump(),
            score=score,
            pixel_values=pixels[fold],
        )
        for fold, (members, score) in enumerate(zip(stratified.folds, stratified.scores, strict=True))
    ]
    everyone = tuple(sorted(name for names in stratified.folds for name in names))
    return FoldStatistics(
        num_folds=config.num_folds,
        test_fold=config.num_folds - 1,
        score=round(sum(stratified.scores), DIGITS),
        method=stratified.method,
        tries=stratified.tries,
        all_sessions=_part(times, everyone, cells, config),
        folds=tuple(folds),
    )


def _part(times: pd.DataFrame, sessions: tuple[str, ...], cells: list[tuple[str, str]], config: FoldConfig) -> Part:
    times = times[times["session"].isin(sessions)]
    shares = engaged_shares(times)
    probability: dict[str, dict[str, float | None]] = {}
    for task, variable in cells:
        share = shares.get((task, variable))
        probability.setdefault(task, {})[variable] = None if share is None else round(share, DIGITS)
    members = Counter(group for group, names in config.groups.items() for name in sessions if name in names)
    groups = {group: members[group] for group in sorted(config.groups)}
    return Part(
        sessions=sessions,
        annotated_ms=int(times["annotated"].sum()),
        empirical_probability=probability,
        groups=groups,
    )


def read_statistics(path: Path) -> FoldStatistics:
    """Read fold_statistics.json.

    Raises:
        InputError: the file is missing or not what :func:`statistics` makes.
    """
    try:
        return FoldStatistics.model_validate(artifacts.read_json(path))
    except ValidationError as error:
        raise InputError(
            Problem(
                str(path),
                ".".join(map(str, detail["loc"])),
                detail["msg"],
                "the statistics of the folds",
                "Run the stage make_folds again.",
            )
            for detail in error.errors()
        ) from None
