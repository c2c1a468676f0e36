"""How annotators turn behaviour into spans: late, with gaps, and each in a style of their own.

The order is: bouncing below the threshold is no excitement; every border comes late; what is too short goes unnoticed;
some spans are missed. Coding stops at the borders of the tasks, except for a few spans that run across.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from attune.annotation.protocol import NO
from attune.demo.behaviour import Session, Span
from attune.demo.config import Style

TASK_JITTER_MS = 120  # standard deviation of an annotator's task borders
CARRY_SHARE = 0.1  # share of spans at the end of a task that are coded beyond it
SLIVER_MS = 200  # nobody codes less than this at the border of a task


Coding = dict[str, list[Span]]


def code(session: Session, style: Style, rng: np.random.Generator) -> Coding:
    """Code one session.

    Returns:
        The annotator's spans for ``task``, ``ignore`` and every variable, in order and without overlap; no span has
        the value ``no``.
    """
    tasks = _tasks(session, rng)
    coded = {"task": tasks, "ignore": _ignored(session, tasks, style, rng)}
    for variable, states in session.states.items():
        seen = perceive(states, style, session.duration_ms, rng)
        coded[variable] = list(_inside(seen, tasks, session.duration_ms, rng))
    return coded


def perceive(states: Sequence[Span], style: Style, duration_ms: int, rng: np.random.Generator) -> list[Span]:
    """Apply threshold, lag, minimum span and missed spans to the states of one variable.

    Returns:
        Engaged spans in order, not yet cut to the tasks.
    """
    values = ["attending" if span.value == "excited" and _calm(span, style) else span.value for span in states]
    starts = np.array([span.start_ms for span in states], float)
    starts[1:] += np.maximum(rng.normal(style.lag_ms, style.lag_jitter_ms, len(starts) - 1), 0)
    starts = np.minimum(np.maximum.accumulate(np.rint(starts)), duration_ms)
    changes = _merge(zip(values, starts.astype(int).tolist(), strict=True))
    ends = [start for _, start in changes[1:]] + [duration_ms]
    noticed = _merge(
        change
        for index, (change, end) in enumerate(zip(changes, ends, strict=True))
        if index == 0 or end - change[1] >= style.min_span_ms
    )
    ends = [start for _, start in noticed[1:]] + [duration_ms]
    engaged = [
        Span(value, start, end)
        for (value, start), end in zip(noticed, ends, strict=True)
        if value != NO and end > start
    ]
    kept = rng.random(len(engaged)) >= style.missed
    return [span for span, keep in zip(engaged, kept, strict=True) if keep]


def _calm(span: Span, style: Style) -> bool:
    return span.intensity < style.excited_threshold


def _merge(changes: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Drop changes to the value that was there before."""
    merged: list[tuple[str, int]] = []
    for value, start in changes:
        if not merged or merged[-1][0] != value:
            merged.append((value, start))
    return merged


def _tasks(session: Session, rng: np.random.Generator) -> list[Span]:
    """Task borders jitter by at most 0.4 s; a pause is at least 1 s, so that tasks never touch."""
    shifts = np.clip(rng.normal(0, TASK_JITTER_MS, (len(session.tasks), 2)), -400, 400).round().astype(int).tolist()
    return [
        Span(task.value, task.start_ms + first, task.end_ms + last)
        for task, (first, last) in zip(session.tasks, shifts, strict=True)
    ]


def _ignored(session: Session, tasks: list[Span], style: Style, rng: np.random.Generator) -> list[Span]:
    marked = []
    for span in session.ignore:
        first, last = np.maximum(rng.normal(style.lag_ms, style.lag_jitter_ms, 2), 0).round().astype(int).tolist()
        limit = min(task.end_ms for task in tasks if task.end_ms > span.start_ms)
        if (end := min(span.end_ms + last, limit)) - (span.start_ms + first) >= SLIVER_MS:
            marked.append(Span(span.value, span.start_ms + first, end))
    return marked


def _inside(spans: list[Span], tasks: list[Span], duration_ms: int, rng: np.random.Generator) -> Iterable[Span]:
    """Cut spans to the tasks; a few at the end of a task run on for up to half of the pause."""
    limits = [task.start_ms for task in tasks[1:]] + [duration_ms]
    for task, limit in zip(tasks, limits, strict=True):
        carried, distance = rng.random() < CARRY_SHARE, rng.uniform(0.1, 0.5)
        last = task.end_ms + (round(distance * (limit - task.end_ms)) if carried else 0)
        for span in spans:
            start, end = max(span.start_ms, task.start_ms), min(span.end_ms, last)
            if end - start >= SLIVER_MS and start < task.end_ms:
                yield Span(span.value, start, end)
