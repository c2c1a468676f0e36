"""What is counted in each session, so that every coefficient can be found without the samples again.

Axes: S sessions, P pairs of annotators in the protocol's order, T tasks, L labels (``no`` first).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from attune.annotation import events, tolerance
from attune.annotation.agreement import MISSING, Array, coincidences, tabulate
from attune.annotation.counts import Counts
from attune.annotation.protocol import Protocol
from attune.annotation.sampling import Integers, Session

PER_SESSION = ("pairs", "all_raters", "tolerant", "tolerant_binary", "events")


@dataclass(frozen=True)
class Tallies:
    """Counts per session, for every variable; only sessions with two annotators and common time are counted.

    Attributes:
        sessions: names, ``(S,)``.
        pairs: agreement tables, ``(S, P, T, L, L)``.
        all_raters: coincidence matrices of all annotators, ``(S, T, L, L)``.
        tolerant: sums of :func:`tolerance.tally` of all labels, ``(S, P, tolerances, 2, 2 + 2 L)``.
        tolerant_binary: the same of engaged or not, ``(S, P, tolerances, 2, 6)``.
        events: event tables, ``(S, P, L, L)``; the last label is "no match".
        spans: number and total milliseconds of each annotator's spans in all sessions, ``(annotators, 2)``.
        covered: samples of common time per task and number of annotators, of every session there is.
    """

    sessions: list[str]
    pairs: dict[str, Counts]
    all_raters: dict[str, Counts]
    tolerant: dict[str, Counts]
    tolerant_binary: dict[str, Counts]
    events: dict[str, Counts]
    spans: dict[str, Array]
    covered: list[tuple[str, int, Integers]]


def collect(sessions: Iterable[Session], protocol: Protocol, reaches: Sequence[int], event_overlap: float) -> Tallies:
    """Count every session; the samples of a session are dropped before the next is read.

    Args:
        sessions: the sampled sessions.
        protocol: the names and their order.
        reaches: tolerances in samples.
        event_overlap: share of the longer span that links two events.
    """
    names: list[str] = []
    covered: list[tuple[str, int, Integers]] = []
    nothing = {variable: _nothing(variable, protocol, reaches) for variable in protocol.variables}
    spans = {variable: none.pop("spans") for variable, none in nothing.items()}
    counted = {
        field: {variable: Counts(none[field].shape) for variable, none in nothing.items()} for field in PER_SESSION
    }
    for session in sessions:
        inside = session.task[session.task != MISSING]
        covered.append((session.name, len(session.annotators), np.bincount(inside, minlength=len(protocol.tasks))))
        if len(session.annotators) < 2 or not len(inside):
            continue
        names.append(session.name)
        for variable in protocol.variables:
            counts = _count(session, variable, protocol, reaches, event_overlap)
            spans[variable] += counts["spans"]
            for field in PER_SESSION:
                counted[field][variable].add(counts[field])
    return Tallies(names, covered=covered, spans=spans, **counted)


def pairs_of(annotators: Sequence[str]) -> list[tuple[int, int]]:
    """All pairs of positions, in the protocol's order."""
    return list(combinations(range(len(annotators)), 2))


def _nothing(variable: str, protocol: Protocol, reaches: Sequence[int]) -> dict[str, Array]:
    pairs, people = len(pairs_of(protocol.annotators)), len(protocol.annotators)
    tasks, levels = len(protocol.tasks), 1 + len(protocol.variables[variable].values)
    return {
        "pairs": np.zeros((pairs, tasks, levels, levels)),
        "all_raters": np.zeros((tasks, levels, levels)),
        "tolerant": np.zeros((pairs, len(reaches), 2, 2 + 2 * levels)),
        "tolerant_binary": np.zeros((pairs, len(reaches), 2, 6)),
        "events": np.zeros((pairs, levels, levels)),
        "spans": np.zeros((people, 2)),
    }


def _count(
    session: Session, variable: str, protocol: Protocol, reaches: Sequence[int], event_overlap: float
) -> dict[str, Array]:
    """Everything that is counted of one variable in one session."""
    counted = _nothing(variable, protocol, reaches)
    values = len(protocol.variables[variable].values)
    levels = 1 + values
    codes, spans = session.codes[variable], session.events[variable]
    engaged = np.where(codes == MISSING, MISSING, codes > 0)
    here = [session.task == task for task in range(len(protocol.tasks))]
    for task, samples in enumerate(here):
        counted["all_raters"][task] = coincidences(codes[:, samples], levels)
    for person, (parts, _) in zip(session.annotators, spans, strict=True):
        counted["spans"][person] = len(parts), np.diff(parts).sum()

    # An annotator without a tier for this variable left no label at all, not even ``no``: nothing to compare.
    row = {person: row for row, person in enumerate(session.annotators) if (codes[row] != MISSING).any()}
    for pair, (one, other) in enumerate(pairs_of(protocol.annotators)):
        if one not in row or other not in row:
            continue
        first, second = row[one], row[other]
        for task, samples in enumerate(here):
            counted["pairs"][pair, task] = tabulate(codes[first, samples], codes[second, samples], levels)
        for step, reach in enumerate(reaches):
            counted["tolerant"][pair, step] = tolerance.tally(codes[first], codes[second], levels, reach)
            counted["tolerant_binary"][pair, step] = tolerance.tally(engaged[first], engaged[second], 2, reach)
        counted["events"][pair] = events.event_table(*spans[first], *spans[second], values, event_overlap)
    return counted
