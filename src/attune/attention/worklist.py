"""A painter's list: which snippets one annotator paints, in which order, under which names the page knows them.

The order looks random but depends on the names alone, so that it stays when the program starts again and when other
snippets come or go. The snippets that by the table's column ``again`` come back are shown early, and again half a list
later, as far as the list allows; nothing that the page is told shows which. The page knows an item by :attr:`Item.key`
alone, which says neither session nor time; labels and the other annotators' rows of the table are dropped where it is
read.
"""

import hashlib
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from attune import artifacts
from attune.annotation.protocol import Protocol
from attune.attention import painting
from attune.problems import InputError, Problem

COLUMNS = {
    "snippet": "str",
    "session": "str",
    "annotator": "str",
    "task": "str",
    "variable": "str",
    "start_ms": "int64",
    "again": "int64",
}
EARLY = 3  # what comes back is first shown in about the first third of the list


@dataclass(frozen=True)
class Item:
    """One entry of a painter's list.

    Attributes:
        key: the name that the page knows.
        painting: the name of its folder: the snippet's id, or that with ``_again``.
        snippet: the snippet's id.
        session: the session it is cut from.
        task: the play activity.
        variable: the behaviour that it was chosen for.
        start_ms: where it begins.
    """

    key: str
    painting: str
    snippet: str
    session: str
    task: str
    variable: str
    start_ms: int


def read(path: Path, annotator: str, protocol: Protocol) -> list[Item]:
    """Read one annotator's list from the table of all snippets that were chosen.

    Raises:
        InputError: the annotator is not in the protocol or has no snippets, or the table breaks its contract.
    """
    if annotator not in protocol.annotators:
        expected = f"one of {', '.join(protocol.annotators)}"
        cure = "Name an annotator of engagement.protocol in params.yaml."
        raise InputError(Problem("attune paint", "annotator", annotator, expected, cure))
    table = artifacts.read_table(path, COLUMNS)
    own = table[table["annotator"] == annotator]
    if own.empty:
        cure = "Run `dvc repro`; its stage choose_snippets says what it could not find."
        raise InputError(Problem(str(path), "", f"no snippet for {annotator}", "at least one", cure))
    _check(path, own, protocol)
    return arrange(own, annotator)


def arrange(own: pd.DataFrame, annotator: str) -> list[Item]:
    """The items of a list in their order, repetitions included; see the module."""

    def place(row: dict[Hashable, Any]) -> int:
        drawn = int(_digest("order", annotator, row["snippet"]), 16)
        return drawn // EARLY if row["again"] else drawn

    rows = sorted(own.to_dict("records"), key=place)
    shown = [(float(rank), row["snippet"], row) for rank, row in enumerate(rows)]
    later = -(-len(rows) // 2) + 0.5
    shown += [(rank + later, name + painting.AGAIN, row) for rank, name, row in shown if row["again"]]
    items = []
    for _, name, row in sorted(shown, key=lambda entry: entry[:2]):
        fixed = {key: str(row[key]) for key in ("snippet", "session", "task", "variable")}
        key = _digest("key", annotator, name)[:20]
        items.append(Item(key=key, painting=name, start_ms=int(row["start_ms"]), **fixed))
    return items


def orphans(root: Path, annotator: str, items: list[Item]) -> list[Problem]:
    """Warnings about the annotator's paintings that are not on the list (any more)."""
    listed = {item.painting for item in items} | {item.snippet + painting.AGAIN for item in items}
    return [
        Problem(
            str(found.folder),
            "",
            "a painting of a snippet that is not on the list now",
            "a snippet of the list",
            "It is kept, and used where its snippet is; delete the folder if it is not wanted.",
            "warning",
        )
        for found in painting.list_paintings(root)
        if found.annotator == annotator and found.painting not in listed
    ]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(("attune paint", *parts)).encode()).hexdigest()


def _check(path: Path, own: pd.DataFrame, protocol: Protocol) -> None:
    """Hold the rows against the protocol; their cells become parts of paths."""
    cure = "Run the stage choose_snippets again."
    problems = [
        Problem(str(path), f"snippet {name}", f"{count} rows for one annotator", "one", cure)
        for name, count in Counter(own["snippet"]).items()
        if count > 1
    ]
    for row in own.itertuples():
        place = f"line {int(str(row.Index)) + 2}"
        if not protocol.knows_session(str(row.session)):
            problems.append(Problem(str(path), place, f"session {row.session}", "a session of the protocol", cure))
        if row.variable not in protocol.variables:
            problems.append(Problem(str(path), place, f"variable {row.variable}", "one of the protocol", cure))
        if row.again not in (0, 1):
            problems.append(Problem(str(path), place, f"again {row.again}", "0 or 1", cure))
        if str(row.snippet).endswith(painting.AGAIN):
            problems.append(Problem(str(path), place, str(row.snippet), f"an id without {painting.AGAIN}", cure))
    if problems:
        raise InputError(problems)
    for row in own.itertuples():
        painting.place(path, str(row.annotator), str(row.snippet))
        painting.place(path, str(row.annotator), str(row.session))
