"""Spans: the tables that hold them and the algebra that fills tasks without gap or overlap.

A span is half-open, ``[start_ms, end_ms)``, in integer milliseconds. On one tier of one annotator spans never overlap;
two spans touch if one ends where the next starts.

Every operation works on all sessions at once: each (session, annotator) gets its own stretch of one long time axis, so
that cutting and filling are a few binary searches over sorted arrays, and time grows linearly with the corpus.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from attune import artifacts
from attune.annotation.protocol import NO, Protocol
from attune.problems import InputError, Problem, raise_errors

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


def check(table: pd.DataFrame, file: str) -> list[Problem]:
    """All violations of the rules of spans in a table whose index counts the rows of its file."""
    if table.empty:
        return [Problem(file, "", "no rows", "at least one span", "Run the stage that writes it again.")]
    start, end = table["start_ms"].to_numpy(), table["end_ms"].to_numpy()
    found = [
        _row_problem(file, row, f"an empty {name}", f"the name of the {name}", "Name it.")
        for name in ("session", "annotator", "task", "variable")
        if name in table
        for row in _rows(table[name].to_numpy() == "")
    ]
    for row in _rows((start < 0) | (end > LATEST_MS)):
        times = f"[{start[row]}, {end[row]})"
        found.append(_row_problem(file, row, times, f"times from 0 to {LATEST_MS} ms", "Correct the times."))
    for row in _rows(end <= start):
        later = f"end_ms > start_ms = {start[row]}"
        found.append(_row_problem(file, row, f"end_ms = {end[row]}", later, "Correct or remove the span."))
    return found or _overlaps(table, file)


def _rows(mask: npt.NDArray[np.bool_]) -> list[int]:
    return [int(row) for row in np.flatnonzero(mask)]


def _row_problem(file: str, row: int, found: str, expected: str, cure: str) -> Problem:
    return Problem(file, f"line {row + 2}", found, expected, cure)


def _overlaps(table: pd.DataFrame, file: str) -> list[Problem]:
    owner = [name for name in ("session", "annotator", "variable") if name in table]
    order = _order(table, owner)
    ordered = table.iloc[order].reset_index(drop=True)
    again = _as_before(ordered, owner) & (ordered["start_ms"] < ordered["end_ms"].shift()).to_numpy()
    return [
        _row_problem(
            file,
            int(order[place]),
            f"[{ordered['start_ms'][place]}, {ordered['end_ms'][place]}), which overlaps line {order[place - 1] + 2}",
            f"spans of {', '.join(map(str, ordered.loc[place, owner]))} that do not overlap",
            "Shorten or remove one of the two.",
        )
        for place in _rows(again)
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


@dataclass(frozen=True)
class Filled:
    """Annotations on task time alone, every millisecond of it explicit.

    Attributes:
        tasks: columns :data:`TASKS`, sorted by session, annotator and time.
        spans: columns :data:`FILLED`, sorted by session, annotator, task, variable and time.
        problems: warnings about annotators without task time, who are left out.
    """

    tasks: pd.DataFrame
    spans: pd.DataFrame
    problems: list[Problem]


def fill(original: pd.DataFrame, protocol: Protocol, file: str) -> Filled:
    """Cut spans to the tasks and fill every gap with ``no``.

    A task's time is its own spans less the spans of the ignore tier. Each (session, annotator, task, variable) covers
    that time exactly, without overlap; touching spans of equal value become one, as do touching spans of one task. An
    optional variable of which an annotator placed no span in a session counts as not coded there, and is not filled:
    the table cannot tell an empty tier from an absent one, and "no" throughout would count as agreement.

    Args:
        original: columns :data:`ORIGINAL`, keeping the rules of :func:`check`, in any order.
        protocol: names of the tiers and their vocabularies.
        file: name of the table for messages.

    Raises:
        InputError: a variable, a task or a value is none of the protocol's, or no annotator has any task time.
    """
    raise_errors(_vocabulary_problems(original, protocol, file))
    names = (
        original[["session", "annotator"]].drop_duplicates().sort_values(["session", "annotator"], ignore_index=True)
    )
    pair = pd.MultiIndex.from_frame(names).get_indexer(pd.MultiIndex.from_frame(original[["session", "annotator"]]))
    reach = int(original["end_ms"].max()) + 1  # longer than any recording, so that neighbours on the axis never touch
    coded = original.assign(
        pair=pair, start_ms=original["start_ms"] + pair * reach, end_ms=original["end_ms"] + pair * reach
    )
    coded = coded[["pair", "variable", "value", "start_ms", "end_ms"]].sort_values("start_ms")
    tasks = _task_time(coded, protocol)
    if tasks.empty:
        raise InputError(
            Problem(file, "", "no task time at all", f"spans of the tier {protocol.task_tier}", "Annotate the tasks.")
        )
    spans = merge(
        pd.concat([_fill_variable(coded, tasks, name, protocol) for name in protocol.variables], ignore_index=True),
        ["pair", "task", "variable"],
    )
    without = names[~names.index.isin(tasks["pair"])]
    return Filled(
        _decoded(tasks, names, reach, TASKS),
        _decoded(spans, names, reach, FILLED),
        [_no_task_time(file, *pair) for pair in without.itertuples(index=False, name=None)],
    )


def _vocabulary_problems(original: pd.DataFrame, protocol: Protocol, file: str) -> list[Problem]:
    allowed = {name: {*variable.values, NO} for name, variable in protocol.variables.items()}
    allowed[protocol.task_tier] = set(protocol.tasks)
    variable = original["variable"].to_numpy()
    known = [*allowed, protocol.ignore_tier]
    found = [
        _row_problem(file, row, f"the variable {variable[row]!r}", f"one of {', '.join(known)}", "Correct the name.")
        for row in _rows(~original["variable"].isin(known).to_numpy())
    ]
    for name, values in allowed.items():
        listed = f"one of {', '.join(sorted(values))} on the tier {name}"
        rows = _rows((variable == name) & ~original["value"].isin(values).to_numpy())
        found += [
            _row_problem(file, row, repr(original["value"].iloc[row]), listed, "Correct the value.") for row in rows
        ]
    return found


def _no_task_time(file: str, session: str, annotator: str) -> Problem:
    where = f"session {session}, annotator {annotator}"
    cure = "Annotate the tasks if they took place; until then this annotator is left out of the session."
    return Problem(file, where, "no task time", "a task that is not ignored throughout", cure, severity="warning")


def _task_time(coded: pd.DataFrame, protocol: Protocol) -> pd.DataFrame:
    tasks = coded[coded["variable"] == protocol.task_tier]
    ignored = coded[coded["variable"] == protocol.ignore_tier]
    owner, starts, ends = subtract(*_times(tasks), _times(ignored))
    kept = tasks.iloc[owner]
    rests = {"pair": kept["pair"].to_numpy(), "task": kept["value"].to_numpy(), "start_ms": starts, "end_ms": ends}
    return merge(pd.DataFrame(rests), ["pair"])


def _fill_variable(coded: pd.DataFrame, tasks: pd.DataFrame, name: str, protocol: Protocol) -> pd.DataFrame:
    spans = coded[coded["variable"] == name]
    if not protocol.variables[name].required:
        tasks = tasks[tasks["pair"].isin(spans["pair"])]
    spans = spans[spans["value"] != NO]
    owner, source, starts, ends = intersect(*_times(tasks), *_times(spans))
    gap_owner, gap_starts, gap_ends = subtract(*_times(tasks), _times(spans))
    covered = tasks.iloc[np.append(owner, gap_owner)]
    return pd.DataFrame(
        {
            "pair": covered["pair"].to_numpy(),
            "task": covered["task"].to_numpy(),
            "variable": name,
            "value": np.append(spans["value"].to_numpy()[source], np.full(len(gap_owner), NO, dtype=object)),
            "start_ms": np.append(starts, gap_starts),
            "end_ms": np.append(ends, gap_ends),
        }
    )


def _times(table: pd.DataFrame) -> tuple[Times, Times]:
    return table["start_ms"].to_numpy(), table["end_ms"].to_numpy()


def _decoded(table: pd.DataFrame, names: pd.DataFrame, reach: int, columns: dict[str, str]) -> pd.DataFrame:
    pair = table["pair"].to_numpy()
    whose = {name: names[name].to_numpy()[pair] for name in ("session", "annotator")}
    when = {name: table[name].to_numpy() - pair * reach for name in ("start_ms", "end_ms")}
    return table.assign(**whose, **when)[list(columns)]
