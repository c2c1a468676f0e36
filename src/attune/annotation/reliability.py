"""How far the annotators agree: the settings, all tables, and the few numbers to compare between runs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pandas as pd
from pydantic import Field, model_validator

from attune import artifacts
from attune.annotation import reliability_tables, sampling, tallies
from attune.annotation.bootstrap import Bootstrap
from attune.annotation.protocol import Protocol
from attune.annotation.reliability_tables import ALL, Groups
from attune.params import Params
from attune.problems import Problem

_GROUP = {"variable": "str", "annotator_1": "str", "annotator_2": "str", "labels": "str", "sessions": "int64"}
_KAPPA = {"kappa": "float64", "kappa_low": "float64", "kappa_high": "float64"}
# What the figures and the headline need of the files that `measure` fills.
COLUMNS = {
    "agreement": {**_GROUP, "task": "str", "agreement": "float64", **_KAPPA, "ac1": "float64", "alpha": "float64"},
    "tolerance": {**_GROUP, "tolerance_ms": "int64", **_KAPPA, "mean_span_s": "float64"},
    "annotators": {"annotator": "str", "letter": "str", "shown": "str"},
}

COMPARED = ("agreement", "tolerance", "events", "span_lengths", "coverage")


class ReliabilityConfig(Params):
    """How annotators are compared.

    Attributes:
        sample_ms: distance of the samples.
        tolerances_ms: tolerances for kappa against time, multiples of ``sample_ms``.
        event_overlap: share of the longer of two spans that must overlap for them to be the same event.
        bootstrap: number of draws of sessions.
        confidence: share of the draws that an interval holds.
        seed: seed of the draws.
        names: what stands for the annotators in metrics/ and plots/, which git holds and many people see: letters
            (``anonymous``) or their ``initials``.
    """

    sample_ms: int = Field(gt=0)
    tolerances_ms: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    event_overlap: float = Field(gt=0.5, le=1)
    bootstrap: int = Field(ge=100)
    confidence: float = Field(gt=0, lt=1)
    seed: int = Field(ge=0)
    names: Literal["anonymous", "initials"] = "anonymous"

    @model_validator(mode="after")
    def _tolerances_on_the_grid(self) -> Self:
        if wrong := [tolerance for tolerance in self.tolerances_ms if tolerance % self.sample_ms]:
            raise ValueError(f"tolerances_ms that are multiples of sample_ms = {self.sample_ms} (not: {wrong})")
        return self


def measure(
    tasks: Iterable[pd.DataFrame], filled: Iterable[pd.DataFrame], protocol: Protocol, config: ReliabilityConfig
) -> dict[str, pd.DataFrame]:
    """All tables, by the name of their file: agreement, tolerance, events, span_lengths, coverage and annotators.

    Args:
        tasks: tables with the columns ``spans.TASKS``, each with some whole sessions, in the order of their names.
        filled: the same with the columns ``spans.FILLED``.
        protocol: the names and their order.
        config: how annotators are compared.

    Raises:
        InputError: a table holds a name that the protocol does not know.
    """
    reaches = [tolerance_ms // config.sample_ms for tolerance_ms in config.tolerances_ms]
    sampled = sampling.sessions(tasks, filled, protocol, config.sample_ms)
    counted = tallies.collect(sampled, protocol, reaches, config.event_overlap)
    draws = Bootstrap.over(len(counted.sessions), config.bootstrap, config.confidence, config.seed)
    groups = Groups(counted, draws, protocol)
    kinds = reliability_tables.LABELS
    return {
        "agreement": _joined([reliability_tables.agreement_table(groups, labels) for labels in kinds]),
        "tolerance": _joined(
            [reliability_tables.tolerance_table(groups, labels, config.tolerances_ms) for labels in kinds]
        ),
        "events": reliability_tables.event_table(groups),
        "span_lengths": reliability_tables.span_lengths(groups),
        "coverage": reliability_tables.coverage(groups, config.sample_ms),
        "annotators": reliability_tables.annotators(protocol, config.names),
    }


def read(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables that figures and headline are made from, from the folder of the stage measure_reliability.

    Raises:
        InputError: a file is missing or lacks a column.
    """
    return {name: artifacts.read_table(folder / f"{name}.csv", columns) for name, columns in COLUMNS.items()}


def compared(folder: Path, annotators: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables of which people compare versions, as text, with the names that are to be shown.

    Args:
        folder: the folder of the stage measure_reliability.
        annotators: the table ``annotators``.

    Raises:
        InputError: a file is missing.
    """
    found = {}
    for name in COMPARED:
        path = folder / f"{name}.csv"
        columns = path.read_text(encoding="utf-8").partition("\n")[0].split(",") if path.is_file() else []
        table = artifacts.read_table(path, dict.fromkeys(columns, "str"))
        found[name] = reliability_tables.shown(table, annotators)
    return found


def headline(table: pd.DataFrame) -> dict[str, float | None]:
    """The few numbers to compare between runs, per variable, from the table ``agreement``: all annotators and tasks."""
    chosen = table[(table["task"] == ALL) & (table["annotator_1"] == ALL) & (table["variable"] != ALL)]
    numbers: dict[str, float | None] = {}
    for variable in dict.fromkeys(chosen["variable"]):
        rows = chosen[chosen["variable"] == variable].set_index("labels")
        for column in ("agreement", "kappa", "kappa_low", "kappa_high", "ac1", "alpha"):
            numbers[f"{variable}_{column}"] = _or_none(rows.at["binary", column])
        numbers[f"{variable}_kappa_multi"] = _or_none(rows.at["multi", "kappa"])
    return numbers


def warnings(tables: dict[str, pd.DataFrame]) -> list[Problem]:
    """What the reader of the tables must know: sessions and tasks that could not be compared."""
    coverage = tables["coverage"]
    found = []
    for session, rows in coverage.groupby("session", sort=True):
        if (rows["annotators"] < 2).all():
            cure = "Its agreement cannot be measured; a second annotator would allow it."
            found.append(("one annotator", "two or more", str(session), "", cure))
            continue
        for task in rows.loc[rows["compared_s"] == 0, "task"]:
            cure = "The task is left out of the comparison; check the times in the task tier of each annotator."
            found.append(("no time that all annotators covered", "common time", str(session), f"task {task}", cure))
    return [
        Problem(f"session {session}", where, what, expected, cure, severity="warning")
        for what, expected, session, where, cure in found
    ]


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True)


def _or_none(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
