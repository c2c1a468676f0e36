"""Agreement of two raters on events: did both see the same span, and did they name it alike?

Spans are half-open, ``(n, 2)`` arrays of ``start_ms, end_ms``; the spans of one rater do not overlap each other.

:func:`event_table` and :func:`event_kappa` follow EasyDIAg (Holle & Rein 2015, "EasyDIAg: A tool for easy
determination of interrater agreement", Behavior Research Methods 47, 837-847), which otherwise needs MATLAB:

1. Two spans are linked if they overlap by at least 60 % of the longer of the two. Above one half this links each span
   at most once, so EasyDIAg's search for the best partner and the plain rule give the same links.
2. A link counts twice in the table, once for the span of each rater, in the cell of the two values. A span without a
   link counts once, against "no match", the last row and column.
3. Nobody can count what neither rater saw, so the last cell is empty by construction. The agreements expected by
   chance come from iterative proportional fitting with that cell held at zero; its limit has the closed form used here.

Deviations: kappa below 0 is reported as it is (EasyDIAg reports 0), and kappa of a table with fewer than two values is
undefined, because the fitted table then equals the observed one and kappa would be 0 for perfect raters too.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from attune.annotation.agreement import Array, Codes, corrected, kappa, tabulate

Spans = npt.NDArray[np.int64]


def overlaps(first: Spans, second: Spans) -> Array:
    """Shared time of every pair of spans in milliseconds, ``(n, m)``."""
    start = np.maximum(first[:, None, 0], second[None, :, 0])
    end = np.minimum(first[:, None, 1], second[None, :, 1])
    return np.maximum(end - start, 0).astype(float)


def link(first: Spans, second: Spans, threshold: float = 0.6) -> npt.NDArray[np.intp]:
    """Pairs ``(links, 2)`` of indices of spans that overlap by at least ``threshold`` of the longer one.

    Raises:
        ValueError: the threshold is not above one half; a span could then have several partners.
    """
    if not 0.5 < threshold <= 1:
        raise ValueError(f"Expected 0.5 < threshold <= 1, got {threshold}")
    longer = np.maximum(np.diff(first)[:, 0][:, None], np.diff(second)[:, 0][None, :])
    return np.argwhere(overlaps(first, second) / np.maximum(longer, 1) >= threshold)


def event_table(
    first: Spans, first_codes: Codes, second: Spans, second_codes: Codes, values: int, threshold: float = 0.6
) -> Array:
    """Agreement table of events, ``(values + 1, values + 1)``, the last row and column being "no match".

    Args:
        first: spans of the first rater.
        first_codes: their values, ``(n,)`` in ``range(values)``.
        second: spans of the second rater.
        second_codes: their values, ``(m,)``.
        values: number of values of the variable.
        threshold: share of the longer span that must overlap.
    """
    links = link(first, second, threshold)
    alone = np.delete(first_codes, links[:, 0])
    missed = np.delete(second_codes, links[:, 1])
    table = 2 * tabulate(first_codes[links[:, 0]], second_codes[links[:, 1]], values + 1)
    table[:, values] += np.bincount(alone, minlength=values + 1)
    table[values] += np.bincount(missed, minlength=values + 1)
    return table


def expected_events(tables: Array) -> Array:
    """Agreements expected by chance in event tables ``(..., V + 1, V + 1)``, to ``(...)``.

    Independence outside the empty last cell: with row sums r, column sums c, their sums R and C over the values, and M
    comparisons among the values alone, the fitted diagonal is r_k c_k M / (R C).
    """
    rows, columns = tables.sum(axis=-1)[..., :-1], tables.sum(axis=-2)[..., :-1]
    linked = tables[..., :-1, :-1].sum(axis=(-2, -1))
    margins = rows.sum(axis=-1) * columns.sum(axis=-1)
    return linked * (rows * columns).sum(axis=-1) / np.maximum(margins, 1)


def event_counts(tables: Array) -> tuple[Array, Array, Array]:
    """Agreements, agreements expected by chance and comparisons of event tables; all 0 where kappa is undefined."""
    used = ((tables.sum(axis=-1) + tables.sum(axis=-2))[..., :-1] > 0).sum(axis=-1) > 1
    agreed = np.trace(tables, axis1=-2, axis2=-1)
    return agreed * used, expected_events(tables) * used, tables.sum(axis=(-2, -1)) * used


def event_kappa(tables: Array) -> Array:
    """EasyDIAg's kappa of event tables ``(..., V + 1, V + 1)``; NaN where fewer than two values occur."""
    return corrected(*event_counts(tables))


def value_tables(tables: Array) -> Array:
    """One table ``(2, 2)`` per value, that value against all else: ``(..., V + 1, V + 1)`` to ``(..., V, 2, 2)``.

    Index 1 is the value. "All else" against "all else" is what remains of the whole table, as in EasyDIAg.
    """
    both = np.diagonal(tables, axis1=-2, axis2=-1)[..., :-1]
    first = tables.sum(axis=-1)[..., :-1] - both
    second = tables.sum(axis=-2)[..., :-1] - both
    neither = tables.sum(axis=(-2, -1))[..., None] - both - first - second
    return np.stack([np.stack([neither, second], axis=-1), np.stack([first, both], axis=-1)], axis=-2)


def value_kappa(tables: Array) -> Array:
    """Cohen's kappa of every value against all else, ``(..., V + 1, V + 1)`` to ``(..., V)``."""
    return kappa(value_tables(tables))


@dataclass(frozen=True)
class Overlap:
    """ELAN's overlap of two tiers.

    Attributes:
        average: mean of overlap / total extent over all rows, a span without partner counting 0.
        weighted: the same over linked spans alone, weighted by their extent.
    """

    average: float
    weighted: float


def elan_overlap(first: Spans, second: Spans) -> Overlap:
    """The overlap measure of ELAN's "Compare annotators": shared time by total extent, per pair of spans.

    Pairs are taken in the order of their ratio, each span once. NaN where there is nothing to compare.
    """
    shared = overlaps(first, second)
    extent = np.maximum(first[:, None, 1], second[None, :, 1]) - np.minimum(first[:, None, 0], second[None, :, 0])
    ratio = shared / np.maximum(extent, 1)
    rows, columns, chosen = set[int](), set[int](), []
    for cell in np.argsort(-ratio, axis=None, kind="stable"):
        row, column = divmod(int(cell), len(second))
        if ratio[row, column] > 0 and row not in rows and column not in columns:
            rows.add(row)
            columns.add(column)
            chosen.append((row, column))
    compared = len(first) + len(second) - len(chosen)
    linked = tuple(np.array(chosen, dtype=int).reshape(-1, 2).T)
    average = ratio[linked].sum() / compared if compared else np.nan
    weighted = shared[linked].sum() / extent[linked].sum() if chosen else np.nan
    return Overlap(float(average), float(weighted))
