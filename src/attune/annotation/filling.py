"""Filling: every (session, annotator, task, variable) covered exactly, with ``no`` where nothing was annotated."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from attune.annotation.protocol import NO, Protocol
from attune.annotation.spans import FILLED, TASKS, Times, intersect, merge, row_problem, rows_where, subtract
from attune.problems import InputError, Problem, raise_errors


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
    optional variable without any span of an annotator in a session counts as not coded there, and is not filled: "no"
    throughout would count as agreement. A tier that is there but empty says "no" in the table (:mod:`.checks`).

    Args:
        original: columns :data:`ORIGINAL`, keeping the rules of :func:`check`, in any order.
        protocol: names of the tiers and their vocabularies.
        file: name of the table for messages.

    Raises:
        InputError: a variable, a task or a value is none of the protocol's.
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


def fill_parts(parts: Iterable[pd.DataFrame], protocol: Protocol, file: str) -> Iterator[Filled]:
    """Fill a table that comes some sessions at a time.

    Raises:
        InputError: at the end, with every row that :func:`fill` refuses, or if no annotator has any task time.
    """
    problems: list[Problem] = []
    some_time = False
    for part in parts:
        try:
            filled = fill(part, protocol, file)
        except InputError as error:
            problems += error.problems
            continue
        some_time |= not filled.tasks.empty
        yield filled
    if not some_time and not problems:
        cure = f"Annotate the tasks on the tier {protocol.task_tier}."
        problems.append(Problem(file, "", "no task time at all", f"spans of the tier {protocol.task_tier}", cure))
    raise_errors(problems)


def _vocabulary_problems(original: pd.DataFrame, protocol: Protocol, file: str) -> list[Problem]:
    allowed = {name: {*variable.values, NO} for name, variable in protocol.variables.items()}
    allowed[protocol.task_tier] = set(protocol.tasks)
    variable = original["variable"].to_numpy()
    known = [*allowed, protocol.ignore_tier]
    found = [
        row_problem(
            file,
            original.index[row],
            f"the variable {variable[row]!r}",
            f"one of {', '.join(known)}",
            "Correct the name.",
        )
        for row in rows_where(~original["variable"].isin(known).to_numpy())
    ]
    for name, values in allowed.items():
        listed = f"one of {', '.join(sorted(values))} on the tier {name}"
        rows = rows_where((variable == name) & ~original["value"].isin(values).to_numpy())
        found += [
            row_problem(file, original.index[row], repr(original["value"].iloc[row]), listed, "Correct the value.")
            for row in rows
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
