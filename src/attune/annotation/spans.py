"""Spans: the tables that hold them and the algebra that fills tasks without gap or overlap.

A span is half-open, ``[start_ms, end_ms)``, in integer milliseconds. On one tier of one annotator spans never overlap;
two spans touch if one ends where the next starts.

Every operation works on all sessions at once: each (session, annotator) gets its own stretch of one long time axis, so
that cutting and filling are a few binary searches over sorted arrays, and time grows linearly with the corpus.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from attune import artifacts
from attune.problems import Problem, raise_errors

Times = npt.NDArray[np.int64]

ORIGINAL = {
    "session": "str",
    "annotator": "str",
    "variable": "str",
    "value": "str",
    "start_ms": "int64",
    "end_ms": "int64",
}
TASKS = {"session": "str", "annotator": "str", "task": "str", "start_ms": "int64", "end_ms": "int64"}
FILLED = {
    "session": "str",
    "annotator": "str",
    "task": "str",
    "variable": "str",
    "value": "str",
    "start_ms": "int64",
    "end_ms": "int64",
}
STRATIFIED = {
    "session": "str",
    "annotator": "str",
    "task": "str",
    "variable": "str",
    "fold": "int64",
    "engaged": "int64",
    "start_ms": "int64",
    "end_ms": "int64",
}
AGAIN = "Run the stage that writes it again."
ROWS = 8_000  # read at a time: a few megabytes, some ten sessions; time hardly depends on it
LATEST_MS = 30 * 24 * 3_600_000  # a recording lasts less than a month; bounds the long axis


def read(path: Path, columns: dict[str, str]) -> pd.DataFrame:
    """Read a span table and hold it against its columns, one of the constants above, and the rules of spans.

    Raises:
        InputError: the file is missing or breaks the contract: a column or a name is absent, a time is no number,
            negative or beyond :data:`LATEST_MS`, a span ends before it starts or is empty, two spans overlap.
    """
    table = artifacts.read_table(path, columns)
    raise_errors(check(table, str(path)))
    return table


def read_parts(path: Path, columns: dict[str, str], rows: int = ROWS) -> Iterator[pd.DataFrame]:
    """As :func:`read`, some whole sessions at a time, so that memory does not grow with the number of sessions.

    Args:
        path: a table; one whose rows are not sorted by session, as the stages sort them, is read at once.
        columns: one of the constants above.
        rows: how many rows to read at a time; one long session may be longer.

    Yields:
        Tables whose index counts the rows of the file, in the order of the sessions; none after the first violation.

    Raises:
        InputError: at the end, with all violations in the file.
    """
    if not _is_sorted(path, rows):
        yield read(path, columns).sort_values("session", kind="stable")
        return
    problems: list[Problem] = []
    for part in _sessions_together(artifacts.read_table_parts(path, columns, rows)):
        problems += check(part, str(path))
        if not problems:
            yield part
    raise_errors(problems)


def _is_sorted(path: Path, rows: int) -> bool:
    latest = ""
    for chunk in artifacts.read_table_parts(path, {"session": "str"}, rows):
        names = [latest, *chunk["session"]]
        if any(later < earlier for earlier, later in pairwise(names)):
            return False
        latest = names[-1]
    return True


def _sessions_together(chunks: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Cut a table that is sorted by session between sessions instead of anywhere."""
    rest = None
    for chunk in chunks:
        table = chunk if rest is None else pd.concat([rest, chunk])
        rest = table
        if len(table):
            first = int(np.searchsorted(table["session"].to_numpy(), table["session"].iloc[-1]))
            rest = table.iloc[first:]
            if first:
                yield table.iloc[:first]
    if rest is not None:
        yield rest


def check(table: pd.DataFrame, file: str) -> list[Problem]:
    """All violations of the rules of spans in a table whose index counts the rows of its file."""
    if table.empty:
        return [Problem(file, "", "no rows", "at least one span", AGAIN)]
    start, end = table["start_ms"].to_numpy(), table["end_ms"].to_numpy()
    found = [
        row_problem(file, table.index[row], f"an empty {name}", f"the name of the {name}", "Name it.")
        for name in ("session", "annotator", "task", "variable")
        if name in table
        for row in rows_where(table[name].to_numpy() == "")
    ]
    for row in rows_where((start < 0) | (end > LATEST_MS)):
        times = f"[{start[row]}, {end[row]})"
        found.append(
            row_problem(file, table.index[row], times, f"times from 0 to {LATEST_MS} ms", "Correct the times.")
        )
    for row in rows_where(end <= start):
        later = f"end_ms > start_ms = {start[row]}"
        found.append(row_problem(file, table.index[row], f"end_ms = {end[row]}", later, "Correct or remove the span."))
    for name, wrong, expected in (
        ("fold", lambda values: values < 0, "the number of a fold, from 0"),
        ("engaged", lambda values: (values != 0) & (values != 1), "0 or 1"),
    ):
        values = table[name].to_numpy() if name in table else np.empty(0)
        found += [
            row_problem(file, table.index[row], f"{name} = {values[row]}", expected, AGAIN)
            for row in rows_where(wrong(values))
        ]
    return found or _overlaps(table, file)


def rows_where(mask: npt.NDArray[np.bool_]) -> list[int]:
    """Positions at which a mask is true."""
    return [int(row) for row in np.flatnonzero(mask)]


def row_problem(file: str, row: int, found: str, expected: str, cure: str) -> Problem:
    """A problem in a row of a table, counted from 0, told by its line in the file."""
    return Problem(file, f"line {row + 2}", found, expected, cure)


def _overlaps(table: pd.DataFrame, file: str) -> list[Problem]:
    owner = [name for name in ("session", "annotator", "variable") if name in table]
    order = _order(table, owner)
    ordered = table.iloc[order].reset_index(drop=True)
    again = _as_before(ordered, owner) & (ordered["start_ms"] < ordered["end_ms"].shift()).to_numpy()
    return [
        row_problem(
            file,
            table.index[order[place]],
            f"[{ordered['start_ms'][place]}, {ordered['end_ms'][place]}), "
            f"which overlaps line {table.index[order[place - 1]] + 2}",
            f"spans of {', '.join(map(str, ordered.loc[place, owner]))} that do not overlap",
            "Shorten or remove one of the two.",
        )
        for place in rows_where(again)
    ]


def _order(table: pd.DataFrame, owner: list[str]) -> Times:
    codes = [pd.factorize(table[name], sort=True)[0] for name in reversed(owner)]
    return np.lexsort((table["end_ms"].to_numpy(), table["start_ms"].to_numpy(), *codes))


def _as_before(table: pd.DataFrame, columns: list[str]) -> npt.NDArray[np.bool_]:
    same = np.ones(len(table), dtype=bool)
    same[:1] = False
    for name in columns:
        values = table[name].to_numpy()
        same[1:] &= values[1:] == values[:-1]
    return same


def merge(table: pd.DataFrame, owner: list[str]) -> pd.DataFrame:
    """Sort spans and make one of neighbours that touch and are equal in all columns but their times.

    Args:
        table: spans that do not overlap within one owner.
        owner: the columns that tell whose time a row covers; rows come back sorted by them, then by time.
    """
    ordered = table.iloc[_order(table, owner)].reset_index(drop=True)
    rest = [name for name in table.columns if name not in ("start_ms", "end_ms")]
    touches = ordered["start_ms"].to_numpy() == ordered["end_ms"].shift().to_numpy()
    first = ~(_as_before(ordered, rest) & touches)
    last = np.append(first[1:], True)[: len(first)]
    merged = ordered[first].reset_index(drop=True)
    merged["end_ms"] = ordered["end_ms"].to_numpy()[last]
    return merged


def intersect(starts: Times, ends: Times, other_starts: Times, other_ends: Times) -> tuple[Times, Times, Times, Times]:
    """Every overlap of two sorted lists of spans, neither of which overlaps itself.

    Returns:
        index into the first list, index into the second, start and end of each overlap, all (N,), sorted by time.
    """
    low = np.searchsorted(other_ends, starts, side="right")
    count = np.maximum(np.searchsorted(other_starts, ends, side="left") - low, 0)
    one = np.repeat(np.arange(len(starts)), count)
    other = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count - low, count)
    return one, other, np.maximum(starts[one], other_starts[other]), np.minimum(ends[one], other_ends[other])


def subtract(starts: Times, ends: Times, holes: tuple[Times, Times]) -> tuple[Times, Times, Times]:
    """What is left of sorted spans that do not overlap when other such spans are cut out.

    Returns:
        index of the span each rest belongs to, its start and its end, all (N,), sorted by time.
    """
    _, _, hole_starts, hole_ends = intersect(starts, ends, *holes)
    # Along the axis, rests start where a span starts or a hole ends, and end where a hole starts or a span ends, by
    # turns: sorting both lists pairs them, with an empty rest where a hole meets a border or another hole.
    rest_starts, rest_ends = np.sort(np.append(starts, hole_ends)), np.sort(np.append(hole_starts, ends))
    kept = rest_starts < rest_ends
    rest_starts, rest_ends = rest_starts[kept], rest_ends[kept]
    return np.searchsorted(starts, rest_starts, side="right") - 1, rest_starts, rest_ends
