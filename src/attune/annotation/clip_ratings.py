"""A model as one more rater: how far it agrees with the annotators, beside how far these agree with each other.

Rated are back-to-back clips (:mod:`attune.video.clips`), label 1 for engaged. A clip counts for a pair if both of its
raters labelled it. Two kinds of pairs are pooled apart, in the column ``raters``:

- ``humans``: every pair of annotators;
- ``model``: every annotator with the model. Its alpha pools these pairs, so that what annotators make of each other
  does not enter.

Pooling, coefficients and intervals are those of :mod:`attune.annotation.reliability_tables`; one draw of sessions
serves both kinds, so that the interval of their difference is that of a paired comparison. Kappa of samples in time,
as the stage measure_reliability finds it, is higher or lower than kappa of clips: only numbers of this module are
comparable with each other.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from attune import artifacts
from attune.annotation import reliability_tables
from attune.annotation.agreement import MISSING, Array, coincidences, tabulate
from attune.annotation.bootstrap import Bootstrap
from attune.annotation.counts import Counts
from attune.annotation.protocol import Protocol
from attune.annotation.reliability import ReliabilityConfig
from attune.annotation.reliability_tables import ALL, DECIMALS, Groups
from attune.annotation.tallies import Tallies, pairs_of
from attune.problems import InputError, Problem, raise_errors

MODEL = "model"
HUMANS = "humans"
KINDS = (HUMANS, MODEL)
LEVELS = 2
LABELS = "binary"
RATINGS = {
    "session": "str",
    "task": "str",
    "variable": "str",
    "start_ms": "int64",
    "end_ms": "int64",
    "rater": "str",
    "label": "int64",
    "probability": "float64",
}
_CLIP = ["session", "task", "start_ms"]
Codes = npt.NDArray[np.int64]


def read(path: Path, protocol: Protocol) -> pd.DataFrame:
    """The ratings of clips, columns :data:`RATINGS`; the probability of an annotator's label is undefined.

    Raises:
        InputError: the table is missing, empty, rates a clip twice, holds another label than 0 and 1 or a name that
            the protocol does not know, or an annotator is called ``model``.
    """
    table = artifacts.read_table(path, RATINGS)
    check_name(protocol.annotators)
    cure = "Run the stage rate_clips again."
    if table.empty:
        raise InputError(Problem(str(path), "", "no rows", "ratings of clips", cure))
    known = {
        "rater": (*protocol.annotators, MODEL),
        "task": protocol.tasks,
        "variable": tuple(protocol.variables),
        "label": (0, 1),
    }
    problems = [
        Problem(str(path), f"column {column}", str(name), f"one of {', '.join(map(str, names))}", cure)
        for column, names in known.items()
        for name in sorted(set(table[column]) - set(names))
    ]
    if table.duplicated([*_CLIP, "variable", "rater"]).any():
        problems.append(Problem(str(path), "", "two ratings of a clip by one rater", "one", cure))
    raise_errors(problems)
    return table


def check_name(annotators: tuple[str, ...]) -> None:
    """Refuse an annotator whose name stands for the model.

    Raises:
        InputError: there is one.
    """
    if MODEL in annotators:
        cure = "Give the annotator other initials."
        raise InputError(Problem("annotators", "", f"an annotator called '{MODEL}'", "another name", cure))


def measure(ratings: pd.DataFrame, protocol: Protocol, config: ReliabilityConfig) -> dict[str, pd.DataFrame]:
    """All tables, by the name of their file.

    Args:
        ratings: columns :data:`RATINGS`, as :func:`read` returns them.
        protocol: the names and their order.
        config: draws of sessions and the confidence of intervals.

    Returns:
        ``agreement``: as :func:`reliability_tables.agreement_table`, with the column ``raters`` in front.
        ``difference``: per variable and task, pairs pooled: kappa of humans, of the model, and the difference (model
        less humans) with its interval.
        ``annotators``: the raters and the letters that stand for them; the model is called so in both.
    """
    raters = protocol.model_copy(update={"annotators": (*protocol.annotators, MODEL)})
    counted = collect(ratings, raters)
    draws = Bootstrap.over(len(counted[MODEL].sessions), config.bootstrap, config.confidence, config.seed)
    groups = {kind: Groups(counted[kind], draws, raters) for kind in KINDS}
    tables = {kind: reliability_tables.agreement_table(groups[kind], LABELS) for kind in KINDS}
    agreement = pd.concat([tables[kind].assign(raters=kind) for kind in KINDS], ignore_index=True)
    letters = reliability_tables.annotators(protocol, config.names)
    letters.loc[len(letters)] = MODEL
    return {
        "agreement": agreement[["raters", *agreement.columns.drop("raters")]],
        "difference": _difference(groups, tables),
        "annotators": letters,
    }


def collect(ratings: pd.DataFrame, raters: Protocol) -> dict[str, Tallies]:
    """Count every session's clips, by the kind of the pairs; what is not counted on clips is left empty.

    Args:
        ratings: columns :data:`RATINGS`.
        raters: the protocol with the model as its last annotator.
    """
    sessions = sorted(set(ratings["session"]))
    shape = len(sessions), len(pairs_of(raters.annotators)), len(raters.tasks), LEVELS, LEVELS
    pairs = {kind: {name: np.zeros(shape) for name in raters.variables} for kind in KINDS}
    everyone = {kind: {name: np.zeros((shape[0], *shape[2:])) for name in raters.variables} for kind in KINDS}
    for variable in raters.variables:
        for session, task, codes in _parts(ratings[ratings["variable"] == variable], sessions, raters):
            for pair, (one, other) in enumerate(pairs_of(raters.annotators)):
                kind = MODEL if raters.annotators[other] == MODEL else HUMANS
                table = tabulate(codes[one], codes[other], LEVELS)
                pairs[kind][variable][session, pair, task] = table
                if kind == MODEL:
                    everyone[MODEL][variable][session, task] += table + table.T
            everyone[HUMANS][variable][session, task] = coincidences(codes[:-1], LEVELS)

    def kept(counts: dict[str, Array]) -> dict[str, Counts]:
        return {name: Counts.of(each) for name, each in counts.items()}

    return {
        kind: Tallies(sessions, kept(pairs[kind]), kept(everyone[kind]), {}, {}, events={}, spans={}, covered=[])
        for kind in KINDS
    }


def shown(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The tables of :func:`measure` with the names that are shown where many people look."""
    people = tables["annotators"]
    return {name: reliability_tables.shown(table, people) for name, table in tables.items()}


def headline(tables: dict[str, pd.DataFrame], ratings: pd.DataFrame) -> dict[str, float | None]:
    """The few numbers to compare between runs, over all tasks: kappa of both kinds per variable, and the difference."""
    numbers: dict[str, float | None] = {
        "sessions": ratings["session"].nunique(),
        "clips": len(ratings[_CLIP].drop_duplicates()),
    }
    agreement, difference = tables["agreement"], tables["difference"]
    pooled = agreement[(agreement["annotator_1"] == ALL) & (agreement["task"] == ALL)]
    for variable in [name for name in dict.fromkeys(pooled["variable"]) if name != ALL]:
        for kind in KINDS:
            rows = pooled[(pooled["variable"] == variable) & (pooled["raters"] == kind)]
            for column in ("kappa", "kappa_low", "kappa_high"):
                numbers[f"{variable}_{kind}_{column}"] = _or_none(rows[column])
        rows = difference[(difference["variable"] == variable) & (difference["task"] == ALL)]
        for column in ("difference", "difference_low", "difference_high"):
            numbers[f"{variable}_{column}"] = _or_none(rows[column])
    return numbers


def _parts(ratings: pd.DataFrame, sessions: list[str], raters: Protocol) -> list[tuple[int, int, Codes]]:
    """Position of session and task, and the labels of their clips by every rater, ``(raters, clips)``."""
    if ratings.empty:
        return []
    labels = ratings.pivot(index=_CLIP, columns="rater", values="label").reindex(columns=list(raters.annotators))
    return [
        (sessions.index(str(session)), raters.tasks.index(str(task)), rows.fillna(MISSING).to_numpy(np.int64).T)
        for (session, task), rows in labels.groupby(level=[0, 1], sort=True)
    ]


def _difference(groups: dict[str, Groups], tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Kappa of the model with humans less kappa of humans with each other, pairs pooled."""
    either = groups[MODEL]
    kappa = {kind: reliability_tables.kappas(groups[kind], LABELS)[:, :, 0] for kind in KINDS}  # (D, V + 1, T + 1)
    change = kappa[MODEL] - kappa[HUMANS]
    low, high = either.draws.interval(change)
    rows = []
    for v, variable in enumerate([ALL, *either.variables]):
        for t, task in enumerate([ALL, *either.protocol.tasks]):
            counts = [_sessions(tables[kind], variable, task) for kind in KINDS]
            if not all(counts):
                continue
            bounds = [low[v, t], high[v, t]] if min(counts) > 1 else [np.nan, np.nan]
            values = [kappa[HUMANS][0, v, t], kappa[MODEL][0, v, t], change[0, v, t], *bounds]
            rows.append([variable, task, *values])
    names = ["variable", "task", HUMANS, MODEL, "difference", "difference_low", "difference_high"]
    return pd.DataFrame(rows, columns=names).round(DECIMALS)


def _sessions(table: pd.DataFrame, variable: str, task: str) -> int:
    """In how many sessions a group of pooled pairs was compared."""
    chosen = (table["variable"] == variable) & (table["task"] == task) & (table["annotator_1"] == ALL)
    return int(table.loc[chosen, "sessions"].sum())


def _or_none(column: Any) -> float | None:
    return None if not len(column) or pd.isna(column.iloc[0]) else float(column.iloc[0])
