"""Tables of spans that many sessions leave small: rows picked as they are read, names as categories.

A column of names takes eight bytes a row and a text of some sixty, a column of categories one to four bytes. Categories
are in alphabetical order, so that sorting and grouping give what they give for names; rows whose number does not grow
with the corpus can go back to names by :func:`plain`.
"""

from array import array
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from attune.annotation import spans


def read(
    path: Path, columns: dict[str, str], keep: Callable[[pd.DataFrame], pd.DataFrame] = lambda part: part
) -> pd.DataFrame:
    """As :func:`attune.annotation.spans.read`, for rows that are chosen, with names as categories.

    Args:
        path: a span table.
        columns: one of the constants of :mod:`attune.annotation.spans`.
        keep: gives the rows and columns to keep of some whole sessions.

    Returns:
        The rows that were kept, sorted by session as :func:`attune.annotation.spans.read_parts` does, counted from 0.
        Numbers have the smallest type, without sign: :func:`plain` before calculating.

    Raises:
        InputError: the file is missing or breaks the rules, also in rows that are not kept.
    """
    table = gather(keep(part) for part in spans.read_parts(path, columns))
    for name, kind in columns.items():
        if kind != "str" and name in table:  # no number of a span is negative
            table[name] = _small(table[name])
    return table


def gather(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """One table of parts (at least one) with the same columns of names and whole numbers; names become categories."""
    numbers: dict[str, array[int]] = {}
    known: dict[str, dict[str, int]] = {}
    for part in parts:
        for name, column in part.items():
            kept = numbers.setdefault(str(name), array("q" if column.dtype.kind == "i" else "i"))
            if column.dtype.kind == "i":
                kept.frombytes(column.to_numpy(np.int64).tobytes())
                continue
            codes, found = pd.factorize(column)
            places = known.setdefault(str(name), {})
            place = np.array([places.setdefault(text, len(places)) for text in found], dtype=np.int32)
            kept.frombytes(place[codes].tobytes())
    columns: dict[str, object] = {}
    for name in list(numbers):
        values = np.frombuffer(numbers.pop(name), dtype=np.int32 if name in known else np.int64)
        columns[name] = _categories(values, list(known[name])) if name in known else values
    return pd.DataFrame(columns, copy=False)


def plain(table: pd.DataFrame) -> pd.DataFrame:
    """The same rows with names instead of categories, and numbers with a sign."""
    return table.astype(
        {
            name: np.int64 if kind.kind == "u" else object
            for name, kind in table.dtypes.items()
            if kind.kind == "u" or isinstance(kind, pd.CategoricalDtype)
        }
    )


def _small(column: pd.Series) -> pd.Series:
    return column.astype(np.min_scalar_type(int(column.max()) if len(column) else 0))


def _categories(codes: np.ndarray, names: list[str]) -> pd.Categorical:
    order = sorted(range(len(names)), key=names.__getitem__)
    rank = np.empty(len(names), dtype=np.min_scalar_type(-max(len(names), 1)))
    rank[order] = np.arange(len(names))
    return pd.Categorical.from_codes(rank[codes], categories=pd.Index([names[place] for place in order], dtype=object))
