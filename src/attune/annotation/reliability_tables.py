"""The tables of annotator agreement.

Every row is one group. ``all`` in a column stands for the whole: all annotators (pairs pooled), all tasks, or all
variables; in the arrays here it has index 0 of its axis. Axes: D draws (row 0 is the sample itself), V variables,
P pairs, T tasks. How groups are pooled is said in :mod:`attune.annotation.agreement`, where intervals come from in
:mod:`attune.annotation.bootstrap`.

Labels are ``binary`` (``no`` or anything else) or ``multi`` (every value of the vocabulary, and ``no``). What is
undefined is NaN, an empty cell in the file; ``undefined`` counts the draws in which kappa was undefined and ``note``
says why a cell is empty.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from attune.annotation import agreement, events, tolerance
from attune.annotation.agreement import Array
from attune.annotation.bootstrap import Bootstrap
from attune.annotation.counts import Counts
from attune.annotation.protocol import Protocol
from attune.annotation.tallies import PER_SESSION, Tallies, pairs_of

ALL = "all"
LABELS = ("binary", "multi")
PEOPLE = ("annotator", "annotator_1", "annotator_2")  # the columns that name annotators
DECIMALS = 6  # another order of summing differs later than this, so files do not differ


@dataclass(frozen=True)
class Groups:
    """What every table is made from."""

    tallies: Tallies
    draws: Bootstrap
    protocol: Protocol

    @cached_property
    def sums(self) -> dict[str, dict[str, Array]]:
        """What was counted per session, by its name in the tallies and by variable, summed over every draw."""
        places = [(field, variable) for field in PER_SESSION for variable in getattr(self.tallies, field)]
        summed = self.draws.sums_of([getattr(self.tallies, field)[variable] for field, variable in places])
        found: dict[str, dict[str, Array]] = {}
        for (field, variable), sums in zip(places, summed, strict=True):
            found.setdefault(field, {})[variable] = sums
        return found

    @property
    def variables(self) -> list[str]:
        """Names along the axis V."""
        return list(self.protocol.variables)

    def names(
        self, present: npt.NDArray[np.bool_], variables: Sequence[str], others: dict[str, Sequence[Any]]
    ) -> dict[str, Any]:
        """Columns that name the groups which are present, ``(variables, P + 1, ...)``."""
        index = np.nonzero(present)
        initials = self.protocol.annotators
        people = np.array([(ALL, ALL), *((initials[a], initials[b]) for a, b in pairs_of(initials))], dtype=object)
        columns: dict[str, Any] = {
            "variable": np.array(variables, dtype=object)[index[0]],
            "annotator_1": people[index[1], 0],
            "annotator_2": people[index[1], 1],
        }
        for place, (name, values) in enumerate(others.items(), start=2):
            columns[name] = np.array(values, dtype=object)[index[place]]
        return columns


def agreement_table(groups: Groups, labels: str) -> pd.DataFrame:
    """Coefficients on samples per variable, pair and task, for one kind of labels.

    Columns: variable, annotator_1, annotator_2, task, labels, sessions, comparisons (samples compared, over all pairs),
    agreement, kappa, ac1 and alpha with their intervals (``_low``, ``_high``), pabak, undefined, note; and for binary
    labels prevalence_index, bias_index (pairs only: pooled annotators have no order), positive_ and negative_agreement.
    """
    sums = _sums(groups, labels)
    compared = _pooled([agreement.total(each) for each in sums])
    agreed = _pooled([agreement.observed(each) for each in sums])
    sessions = _sessions(groups.tallies.pairs, lambda tables: agreement.total(_with_whole(tables, 2)))
    present = sessions > 0

    columns = groups.names(present, [ALL, *groups.variables], {"task": [ALL, *groups.protocol.tasks]})
    columns |= {
        "labels": labels,
        "sessions": sessions[present],
        "comparisons": compared[0][present].round().astype(int),
    }
    chances = {
        "agreement": np.zeros_like(agreed),
        "kappa": _pooled([agreement.expected_cohen(each) for each in sums]),
        "ac1": _pooled([agreement.expected_gwet(each) for each in sums]),
    }
    for name, chance in chances.items():
        columns |= _estimated(groups, name, agreement.corrected(agreed, chance, compared), sessions)
    columns |= _estimated(groups, "alpha", _alpha(groups, labels, sums), sessions)
    uniform = _pooled([agreement.expected_uniform(each) for each in sums])
    columns["pabak"] = agreement.corrected(agreed, uniform, compared)[0][present]
    if labels == "binary":
        columns |= _binary_indices(_pooled(sums)[0][present], columns["annotator_1"] == ALL)
    return _finished(columns, "every label alike")


def kappas(groups: Groups, labels: str) -> Array:
    """Kappa of every draw and group, ``(D, V + 1, P + 1, T + 1)``, for what compares two kinds of groups."""
    counts = (agreement.observed, agreement.expected_cohen, agreement.total)
    sums = _sums(groups, labels)
    return agreement.corrected(*(_pooled([count(each) for each in sums]) for count in counts))


def tolerance_table(groups: Groups, labels: str, tolerances_ms: Sequence[int]) -> pd.DataFrame:
    """Kappa against tolerance per variable and pair, for one kind of labels, beside the mean length of a span.

    Columns: variable, annotator_1, annotator_2, tolerance_ms, labels, sessions, agreement and kappa with intervals,
    mean_span_s (of these annotators), undefined, note.
    """
    field = "tolerant_binary" if labels == "binary" else "tolerant"
    sums = [tolerance.counts(groups.sums[field][variable]) for variable in groups.variables]  # 3 x (D, P, K)
    agreed, chance, compared = (_pooled([each[part] for each in sums]) for part in range(3))
    sessions = _sessions(getattr(groups.tallies, field), lambda tallies: tolerance.counts(tallies)[2])
    present = sessions > 0

    columns = groups.names(present, [ALL, *groups.variables], {"tolerance_ms": list(tolerances_ms)})
    columns |= {"labels": labels, "sessions": sessions[present]}
    columns |= _estimated(groups, "agreement", agreement.corrected(agreed, np.zeros_like(agreed), compared), sessions)
    columns |= _estimated(groups, "kappa", agreement.corrected(agreed, chance, compared), sessions)
    columns["mean_span_s"] = np.broadcast_to(_mean_spans(groups)[..., None], present.shape)[present]
    return _finished(columns, "every label alike")


def event_table(groups: Groups) -> pd.DataFrame:
    """Agreement on events (:mod:`attune.annotation.events`) per variable, pair and value.

    Columns: variable, annotator_1, annotator_2, value, sessions, linked (pairs of spans), same (links of equal values),
    unlinked (spans without partner), agreement, kappa with its interval, undefined, note. In the row of one value,
    linked and unlinked count where either annotator gave that value, and kappa is that value against all else.
    """
    parts = []
    for variable, settings in groups.protocol.variables.items():
        sums = groups.sums["events"][variable]  # (D, P, L, L)
        whole, single = events.event_counts(sums), _value_counts(sums)
        counts = [np.concatenate([one[..., None], many], axis=-1) for one, many in zip(whole, single, strict=True)]
        kappa = agreement.corrected(*(_with_whole(each, 1) for each in counts))[:, None]  # (D, 1, P + 1, 1 + values)
        compared = _sessions({variable: groups.tallies.events[variable]}, agreement.total)[1]
        sessions = np.repeat(compared[None, :, None], kappa.shape[-1], axis=2)
        present = sessions > 0

        columns = groups.names(present, [variable], {"value": [ALL, *settings.values]})
        columns["sessions"] = sessions[present]
        numbers = _event_numbers(_with_whole(sums, 1)[0])
        columns |= {name: each[None][present] for name, each in numbers.items()}
        columns |= _estimated(groups, "kappa", kappa, sessions)
        parts.append(_finished(columns, "fewer than two values, or no events"))
    return pd.concat(parts, ignore_index=True)


def span_lengths(groups: Groups) -> pd.DataFrame:
    """Number and mean length of each annotator's spans (``no`` is none) inside the common time, per variable."""
    rows = []
    for variable in groups.variables:
        number, milliseconds = groups.tallies.spans[variable].T
        for annotator, count, length in zip(groups.protocol.annotators, number, milliseconds, strict=True):
            mean = length / count / 1000 if count else np.nan
            rows.append({"variable": variable, "annotator": annotator, "spans": int(count), "mean_span_s": mean})
    return pd.DataFrame(rows).round(DECIMALS)


def coverage(groups: Groups, sample_ms: int) -> pd.DataFrame:
    """Seconds that all annotators of a session covered, per session and task, and how many annotators those are."""
    covered, tasks = groups.tallies.covered, groups.protocol.tasks
    samples = np.array([samples for _, _, samples in covered], dtype=np.int64)
    columns = {  # not a dictionary for each row: there are many sessions
        "session": np.repeat(np.array([session for session, _, _ in covered], dtype=object), len(tasks)),
        "task": np.tile(np.array(tasks, dtype=object), len(covered)),
        "annotators": np.repeat(np.array([annotators for _, annotators, _ in covered], dtype=np.int64), len(tasks)),
        "compared_s": samples.ravel() * sample_ms / 1000,
    }
    return pd.DataFrame(columns)


def annotators(protocol: Protocol, names: str) -> pd.DataFrame:
    """What stands for the annotators where many people look: letters by their order in the protocol, or initials.

    Args:
        protocol: names the annotators.
        names: ``anonymous`` or ``initials``.

    Returns:
        A table of the columns annotator, letter and shown; the last is one of the others.
    """
    letters = [chr(ord("A") + place) if place < 26 else f"A{place}" for place in range(len(protocol.annotators))]
    table = pd.DataFrame({"annotator": list(protocol.annotators), "letter": letters})
    return table.assign(shown=table["letter" if names == "anonymous" else "annotator"])


def shown(table: pd.DataFrame, annotators: pd.DataFrame) -> pd.DataFrame:
    """A table in which every annotator has the name that is shown (``all`` remains)."""
    names = dict(zip(annotators["annotator"], annotators["shown"], strict=True))
    columns = [column for column in PEOPLE if column in table.columns]
    return table.assign(**{column: table[column].map(lambda name: names.get(name, name)) for column in columns})


def _labelled(tables: Array, labels: str) -> Array:
    return agreement.binary(tables) if labels == "binary" else tables


def _sums(groups: Groups, labels: str) -> list[Array]:
    """Agreement tables of every draw, ``(D, P, T + 1, L, L)`` per variable."""
    return [_with_whole(_labelled(groups.sums["pairs"][variable], labels), 2) for variable in groups.variables]


def _with_whole(counts: Array, axis: int) -> Array:
    """Put the sum over an axis before its entries."""
    return np.concatenate([counts.sum(axis=axis, keepdims=True), counts], axis=axis)


def _pooled(variables: list[Array]) -> Array:
    """Stack counts ``(D, P, ...)`` of the variables to ``(D, V + 1, P + 1, ...)``, index 0 being the sum."""
    return _with_whole(np.stack([_with_whole(each, 1) for each in variables], axis=1), 1)


def _sessions(counted: dict[str, Counts], compared: Callable[[Array], Array]) -> npt.NDArray[np.int64]:
    """In how many sessions a group was compared, ``(V + 1, P + 1, ...)``.

    Args:
        counted: counts of every variable.
        compared: how often was compared in some sessions, from their counts, ``(n, P, ...)``.
    """
    shape = _pooled([compared(np.zeros((1, *counts.shape))) for counts in counted.values()]).shape[1:]
    number = np.zeros(shape, dtype=np.int64)
    for parts in zip(*(counts.parts() for counts in counted.values()), strict=True):
        number += (_pooled([compared(part) for part in parts]) > 0).sum(axis=0)
    return number


def _alpha(groups: Groups, labels: str, sums: list[Array]) -> Array:
    """Krippendorff's alpha ``(D, V + 1, P + 1, T + 1)``: of a pair, or (index 0) of all annotators of a session."""
    observed, expected, total = [], [], []
    for variable, pairs in zip(groups.variables, sums, strict=True):
        everyone = _with_whole(_labelled(groups.sums["all_raters"][variable], labels), 1)
        matrices = np.concatenate([everyone[:, None], pairs + np.swapaxes(pairs, -1, -2)], axis=1)
        observed.append(agreement.observed(matrices))
        expected.append(agreement.expected_krippendorff(matrices))
        total.append(agreement.total(matrices))
    return agreement.corrected(*(_with_whole(np.stack(each, axis=1), 1) for each in (observed, expected, total)))


def _estimated(groups: Groups, name: str, values: Array, sessions: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Columns of one coefficient ``(D, ...)``: value, low, high; one session has no interval."""
    present = sessions > 0
    low, high = groups.draws.interval(np.where(sessions > 1, values, np.nan))
    columns: dict[str, Any] = {name: values[0][present], f"{name}_low": low[present], f"{name}_high": high[present]}
    if name == "kappa":
        columns["undefined"] = np.isnan(values[1:]).sum(axis=0)[present]
    return columns


def _binary_indices(tables: Array, pooled: npt.NDArray[np.bool_]) -> dict[str, Array]:
    specific = agreement.specific_agreement(tables)
    return {
        "prevalence_index": agreement.prevalence_index(tables),
        "bias_index": np.where(pooled, np.nan, agreement.bias_index(tables)),
        "positive_agreement": specific[..., 1],
        "negative_agreement": specific[..., 0],
    }


def _mean_spans(groups: Groups) -> Array:
    """Mean length of a span in seconds, ``(V + 1, P + 1)``."""
    totals = _with_whole(np.stack([groups.tallies.spans[variable] for variable in groups.variables]), 0)
    people = [list(range(totals.shape[1])), *map(list, pairs_of(groups.protocol.annotators))]
    number, milliseconds = np.stack([totals[:, chosen].sum(axis=1) for chosen in people], axis=1).transpose(2, 0, 1)
    return np.where(number > 0, milliseconds / np.maximum(number, 1) / 1000, np.nan)


def _value_counts(tables: Array) -> tuple[Array, Array, Array]:
    """Agreements, chance and comparisons of each value against all else, ``(..., values)``."""
    single = events.value_tables(tables)
    return agreement.observed(single), agreement.expected_cohen(single), agreement.total(single)


def _event_numbers(tables: Array) -> dict[str, Array]:
    """Numbers of links and of spans without partner, and raw agreement: ``(P + 1, L, L)`` to ``(P + 1, L)`` each."""
    links, alone = tables[..., :-1, :-1] / 2, tables[..., :-1, -1] + tables[..., -1, :-1]
    same = np.diagonal(links, axis1=-2, axis2=-1)
    linked = links.sum(axis=-1) + links.sum(axis=-2) - same
    single = agreement.agreement(events.value_tables(tables))
    return {
        "linked": np.concatenate([agreement.total(links)[:, None], linked], axis=1).round().astype(int),
        "same": _with_whole(same, 1).round().astype(int),
        "unlinked": _with_whole(alone, 1).round().astype(int),
        "agreement": np.concatenate([agreement.agreement(tables)[:, None], single], axis=1),
    }


def _finished(columns: dict[str, Any], why_undefined: str) -> pd.DataFrame:
    """Add the note and round."""
    table = pd.DataFrame(columns).round(DECIMALS)
    numbers = table.select_dtypes("float").columns
    table[numbers] += 0.0  # no -0.0
    lonely = np.where(table["sessions"] == 1, "one session: no interval", "")
    note = np.where(table["kappa"].isna(), f"kappa undefined: {why_undefined}", lonely)
    order = [name for name in table.columns if name != "undefined"]
    return table[[*order, "undefined"]].assign(note=note.astype(object))
