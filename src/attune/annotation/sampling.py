"""Annotations sampled on a grid of time, session by session: what raters are compared on.

Samples lie at ``t = k * sample_ms`` for k = 0, 1, ... on one grid for all raters; a span ``[start_ms, end_ms)`` holds
those with ``start_ms <= t < end_ms``. Compared is the time that all annotators of the session covered: the
intersection of their spans of the same task. Label 0 is ``no``, the others follow in the protocol's order.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from attune.annotation.agreement import MISSING
from attune.annotation.protocol import NO, Protocol
from attune.annotation.spans import FILLED, TASKS
from attune.problems import InputError, Problem

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Session:
    """One session as its annotators saw it.

    Attributes:
        name: the session.
        annotators: positions of its annotators in the protocol's list, ascending, ``(A,)``.
        task: position of the task at every sample, -1 outside the common time, ``(n,)``.
        codes: per variable the label of every annotator at every sample, -1 outside the common time, ``(A, n)``.
        events: per variable one pair per annotator: the spans with a value other than ``no``, cut to the common time,
            ``(m, 2)`` in milliseconds, and their values, ``(m,)`` counted from 0.
    """

    name: str
    annotators: tuple[int, ...]
    task: Integers
    codes: dict[str, Integers]
    events: dict[str, list[tuple[Integers, Integers]]]


def sessions(
    tasks: Iterable[pd.DataFrame], parts: Iterable[pd.DataFrame], protocol: Protocol, sample_ms: int
) -> Iterator[Session]:
    """Sample every session, in the order of their names; one at a time, so that memory stays small.

    Args:
        tasks: tables with the columns ``spans.TASKS``, each with some whole sessions, in the order of their names.
        parts: tables with the columns ``spans.FILLED``, each with some whole sessions, in the order of their names.
        protocol: the names and their order.
        sample_ms: distance of the samples.

    Raises:
        InputError: a table holds a name that the protocol does not know.
    """
    coming = iter(tasks)
    rest = pd.DataFrame(columns=list(TASKS)).astype(TASKS)
    for filled in parts:
        latest = filled["session"].max() if len(filled) else ""
        while rest.empty or rest["session"].max() <= latest:
            if (more := next(coming, None)) is None:
                break
            rest = pd.concat([rest, more])
        due = rest["session"] <= latest
        yield from _sampled(rest[due], filled, protocol, sample_ms)
        rest = rest[~due]
    for left in (rest, *coming):
        if len(left):
            yield from _sampled(left, pd.DataFrame(columns=list(FILLED)), protocol, sample_ms)


def _sampled(tasks: pd.DataFrame, filled: pd.DataFrame, protocol: Protocol, sample_ms: int) -> Iterator[Session]:
    tasks, filled = _encoded(tasks, filled, protocol)
    spans = {name: rows.drop(columns="session").to_numpy(np.int64) for name, rows in filled.groupby("session")}
    nothing = np.empty((0, len(filled.columns) - 1), dtype=np.int64)
    for name, rows in tasks.groupby("session", sort=True):
        numbers = rows.drop(columns="session").to_numpy(np.int64)
        yield _sample(str(name), numbers, spans.get(name, nothing), protocol, sample_ms)


def intersect(first: Integers, second: Integers) -> tuple[Integers, npt.NDArray[np.intp]]:
    """Common parts of two lists of spans, ``(n, 2)`` and ``(m, 2)``, in order of time.

    Returns:
        The parts ``(k, 2)`` and the index of the first list's span that each was cut from, ``(k,)``.
    """
    start = np.maximum(first[:, None, 0], second[None, :, 0])
    end = np.minimum(first[:, None, 1], second[None, :, 1])
    rows, columns = np.nonzero(end > start)
    parts = np.stack([start[rows, columns], end[rows, columns]], axis=1)
    order = np.argsort(parts[:, 0], kind="stable")
    return parts[order], rows[order]


def _encoded(tasks: pd.DataFrame, filled: pd.DataFrame, protocol: Protocol) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Replace all names but the sessions' by positions, and put the columns into a fixed order."""
    problems: list[Problem] = []
    people = list(protocol.annotators)
    activities = list(protocol.tasks)
    labels = {name: [NO, *variable.values] for name, variable in protocol.variables.items()}
    value = pd.Series(MISSING, index=filled.index, dtype="int64")
    for name, known in labels.items():
        rows = filled["variable"] == name
        value[rows] = _position("filled spans", f"value of {name}", filled["value"][rows], known, problems)
    times = ["start_ms", "end_ms"]
    encoded_tasks = tasks[["session", *times]].assign(
        annotator=_position("task spans", "annotator", tasks["annotator"], people, problems),
        task=_position("task spans", "task", tasks["task"], activities, problems),
    )
    encoded_filled = filled[["session", *times]].assign(
        annotator=_position("filled spans", "annotator", filled["annotator"], people, problems),
        task=_position("filled spans", "task", filled["task"], activities, problems),
        variable=_position("filled spans", "variable", filled["variable"], list(labels), problems),
        value=value,
    )
    if problems:
        raise InputError(problems)
    return encoded_tasks, encoded_filled


def _position(file: str, what: str, column: pd.Series, known: list[str], problems: list[Problem]) -> Integers:
    position = column.map({name: number for number, name in enumerate(known)})
    for stranger in sorted({str(name) for name in column[position.isna()]}):
        cure = "Run the stages that write the spans again, or correct engagement.protocol."
        problems.append(Problem(file, f"column {what}", stranger, f"one of {', '.join(known)}", cure))
    return np.asarray(position.fillna(MISSING), dtype=np.int64)


def _sample(name: str, tasks: Integers, filled: Integers, protocol: Protocol, sample_ms: int) -> Session:
    """Sample one session from rows of start, end, annotator, task (and, in ``filled``, variable and value)."""
    people = tuple(int(person) for person in np.unique(tasks[:, 2]))
    common = {
        int(activity): _common_time(tasks[tasks[:, 3] == activity], people) for activity in np.unique(tasks[:, 3])
    }
    task = np.full(-(-int(tasks[:, 1].max()) // sample_ms), MISSING, dtype=np.int64)
    for activity, spans in common.items():
        for samples in _slices(spans, sample_ms):
            task[samples] = activity

    codes: dict[str, Integers] = {}
    events: dict[str, list[tuple[Integers, Integers]]] = {}
    for position, variable in enumerate(protocol.variables):
        codes[variable] = np.full((len(people), len(task)), MISSING, dtype=np.int64)
        events[variable] = []
        for row, person in enumerate(people):
            mine = filled[(filled[:, 4] == position) & (filled[:, 2] == person)]
            parts, values = _cut(mine, common)
            for samples, value in zip(_slices(parts, sample_ms), values, strict=True):
                codes[variable][row, samples] = value
            events[variable].append((parts[values > 0], values[values > 0] - 1))
    return Session(name, people, task, codes, events)


def _common_time(tasks: Integers, people: tuple[int, ...]) -> Integers:
    """The time that all annotators gave to one task, ``(k, 2)``."""
    common = tasks[tasks[:, 2] == people[0], :2]
    for person in people[1:]:
        common, _ = intersect(common, tasks[tasks[:, 2] == person, :2])
    return common


def _cut(filled: Integers, common: dict[int, Integers]) -> tuple[Integers, Integers]:
    """One annotator's spans of one variable, cut to the common time of their tasks, and their labels."""
    parts, values = [np.empty((0, 2), dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for activity, spans in common.items():
        mine = filled[filled[:, 3] == activity]
        cut, origin = intersect(mine[:, :2], spans)
        parts.append(cut)
        values.append(mine[origin, 5])
    return np.concatenate(parts), np.concatenate(values)


def _slices(spans: Integers, sample_ms: int) -> list[slice]:
    """The samples that lie inside each half-open span."""
    return [slice(int(start), int(end)) for start, end in -(-spans // sample_ms)]
