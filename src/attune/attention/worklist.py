"""A painter's list: which snippets one annotator paints, in which order, under which names the page knows them.

The order looks random but depends on the names alone, so that it stays when the program starts again and when other
snippets come or go. A few snippets come back in the second half of the list, as far from their first time as it
allows; nothing that the page is told shows which. The page knows an item by :attr:`Item.key` alone, which says neither
session nor time; labels and the other annotators' rows of the table are dropped where it is read.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

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
}
FEWEST = 4  # snippets of a list in which a repetition is not noticed at once
REPEATED = 1 / 8  # of a list


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
    rows = sorted(own.to_dict("records"), key=lambda row: _digest("order", annotator, str(row["snippet"])))
    again = [f"{row['snippet']}{painting.AGAIN}" for row in _repeated(rows, annotator)]
    order = [str(row["snippet"]) for row in rows]
    half = -(-len(order) // 2)
    for name in again:
        order.insert(order.index(name.removesuffix(painting.AGAIN)) + half + 1, name)
    by_snippet = {str(row["snippet"]): row for row in rows}
    items = []
    for name in order:
        row = by_snippet[name.removesuffix(painting.AGAIN) if name in again else name]
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


def _repeated(rows: list[dict[object, object]] | list[dict[str, object]], annotator: str) -> list[dict[str, object]]:
    """The rows that come back: of the first half, so that there is time in between."""
    if len(rows) < FEWEST:
        return []
    first = [{str(key): value for key, value in row.items()} for row in rows[: len(rows) // 2]]
    first.sort(key=lambda row: _digest("again", annotator, str(row["snippet"])))
    return first[: max(1, round(REPEATED * len(rows)))]


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
        if str(row.snippet).endswith(painting.AGAIN):
            problems.append(Problem(str(path), place, str(row.snippet), f"an id without {painting.AGAIN}", cure))
    if problems:
        raise InputError(problems)
    for row in own.itertuples():
        painting.place(path, str(row.annotator), str(row.snippet))
        painting.place(path, str(row.annotator), str(row.session))
