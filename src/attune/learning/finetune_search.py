"""Search for the settings of fine-tuning: plan, run, unify. Plan and unify, here, need no torch.

The plan is a table with one row per setting, task and variable, fold and repetition. A row's hash names all that
determines its result, so a result found under that hash is the row's, wherever and whenever it was computed. Any
subset of rows can be run on any machine (:mod:`attune.learning.finetune_run`), each in its own folder, and gathered
afterwards. Each training fold validates while the others are learned from; the test fold has no part in it.

A row's score is its best trailing mean of the validation F1, and 0 if its loss diverged.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import AfterValidator, Field, field_validator

from attune import artifacts
from attune.annotation.protocol import Name
from attune.learning import search
from attune.learning.training_config import FinetuneSettings, TrainingConfig
from attune.params import Params
from attune.problems import InputError, Problem

NAMES = tuple(FinetuneSettings.model_fields)
PLAN = {
    "row": "int64",
    "hash": "str",
    "setting": "int64",
    "task": "str",
    "variable": "str",
    "fold": "int64",
    "repetition": "int64",
    **dict.fromkeys(NAMES, "float64"),
}
RESULT = "result.json"
RESULTS = "results.json"
LISTED = 20  # missing rows that a message names


class Target(Params):
    """A task and variable on which settings are compared."""

    task: Name
    variable: Name

    def __str__(self) -> str:
        return f"{self.task}-{self.variable}"


class FinetuneSearchConfig(Params):
    """How the settings of fine-tuning are searched for.

    Attributes:
        targets: tasks and variables on which every setting is tried; the winner is the best on their mean.
        first: index of the first setting; other than 0 where an experiment or a cluster takes a part of the search.
        settings: how many settings are drawn.
        repetitions: how often each is trained on every split.
        seed: of the settings, the clips, the first weights and the order of clips.
        space: the distribution of each setting.
        training: the course of a run.
    """

    targets: tuple[Target, ...] = Field(min_length=1)
    first: int = Field(default=0, ge=0)
    settings: int = Field(ge=1)
    repetitions: int = Field(ge=1)
    seed: int = Field(ge=0)
    space: Annotated[search.Space, AfterValidator(partial(search.check, model=FinetuneSettings))]
    training: TrainingConfig

    @field_validator("targets")
    @classmethod
    def _once(cls, value: tuple[Target, ...]) -> tuple[Target, ...]:
        if len(set(map(str, value))) != len(value):
            raise ValueError("every target once")
        return value


class Winner(FinetuneSettings):
    """The settings that the final training takes, and how they were found.

    Attributes:
        epochs: median of the runs' best epochs.
        score: mean over folds and repetitions of the best smoothed validation F1.
        score_std: its spread.
        head_score: mean validation F1 before fine-tuning, not smoothed.
        setting: index of the drawn setting.
        runs: how many runs the score is the mean of.
        diverged: how many of them ended with a loss that was not finite.
    """

    epochs: int
    score: float
    score_std: float
    head_score: float
    setting: int
    runs: int
    diverged: int

    def settings(self) -> FinetuneSettings:
        """What a model is fine-tuned with."""
        return FinetuneSettings(**{name: getattr(self, name) for name in NAMES})


class Untyped(Params, extra="allow"):
    """A section of the parameters that a plan only compares; the stages before have checked it."""


def plan(config: FinetuneSearchConfig, folds: Sequence[int], common: Any, data: Mapping[str, Any]) -> pd.DataFrame:
    """List the rows of a search.

    Args:
        config: the search.
        folds: the training folds.
        common: everything that all rows depend on besides ``config``, as JSON.
        data: the same for each target, by its name.

    Returns:
        Columns :data:`PLAN`, rows counted from 0.
    """
    settings = search.draw_all(config.space, config.settings, config.seed, config.first)
    rows = []
    for setting in settings.to_dict("records"):
        drawn = FinetuneSettings.model_validate({name: setting[name] for name in NAMES}).model_dump()
        for target in config.targets:
            for fold in folds:
                for repetition in range(config.repetitions):
                    named = {"task": target.task, "variable": target.variable, "fold": fold, "repetition": repetition}
                    course = config.training.model_dump(mode="json")
                    content = [named, drawn, config.seed, course, common, data[str(target)]]
                    rows.append({"hash": _hash(content), "setting": setting["setting"], **named, **drawn})
    return pd.DataFrame(rows).assign(row=np.arange(len(rows)))[list(PLAN)]


def read_plan(path: Path) -> pd.DataFrame:
    """Read a plan.

    Raises:
        InputError: the file is missing or no plan.
    """
    table = artifacts.read_table(path, PLAN)
    strange = [name for name in table["hash"] if not re.fullmatch(r"[0-9a-f]{32}", name)]
    if strange or not len(table) or table["row"].tolist() != list(range(len(table))):
        found = repr(strange[0]) if strange else f"{len(table)} rows in another order"
        cure = "Run the stage plan_finetune_search again."
        raise InputError(Problem(str(path), "", found, "the rows of a plan with their hashes", cure))
    return table


def select(table: pd.DataFrame, rows: str | None, shard: str | None) -> pd.DataFrame:
    """Some rows of a plan.

    Args:
        table: the plan.
        rows: numbers of rows, such as ``3,7``.
        shard: ``2/8`` is the second of eight parts; row r belongs to part ``r modulo 8 + 1``.

    Raises:
        InputError: the text is not of this form, or there is no such row; both are given.
    """

    def refuse(option: str, found: str, expected: str) -> InputError:
        return InputError(Problem("command line", option, found, expected, "Change the option."))

    if rows is not None and shard is not None:
        raise refuse("--shard", "--rows as well", "one of the two")
    if rows is not None:
        if not re.fullmatch(r"\d+(,\d+)*", rows):
            raise refuse("--rows", repr(rows), "numbers of rows such as 3,7")
        wanted = sorted({int(number) for number in rows.split(",")})
        if wanted[-1] >= len(table):
            raise refuse("--rows", str(wanted[-1]), f"rows from 0 to {len(table) - 1}")
        return table.iloc[wanted]
    if shard is not None:
        parts = re.fullmatch(r"(\d+)/(\d+)", shard)
        if not parts or not 1 <= int(parts[1]) <= int(parts[2]):
            raise refuse("--shard", repr(shard), "a part and the number of parts, such as 2/8")
        return table[table["row"] % int(parts[2]) == int(parts[1]) - 1]
    return table


def read_result(work: Path, hashed: str) -> dict[str, Any] | None:
    """The result of a row; None if there is none, or if what is there belongs to another row."""
    path = work / hashed / RESULT
    if not path.is_file():
        return None
    try:
        result = artifacts.read_json(path)
    except InputError:
        return None
    return result if isinstance(result, dict) and result.get("hash") == hashed else None


def gather(file: bytes, work: Path) -> int:
    """Take over results that another run of the search, in an experiment or elsewhere, left in :data:`RESULTS`.

    Args:
        file: its content: results by hash.
        work: folder with one folder per row; what is there stays.

    Returns:
        How many were new.
    """
    new = 0
    for hashed, result in json.loads(file).items():
        if re.fullmatch(r"[0-9a-f]{32}", hashed) and read_result(work, hashed) is None:
            artifacts.write_json(work / hashed / RESULT, result)
            new += 1
    return new


@dataclass(frozen=True)
class Unified:
    """What a search found.

    Attributes:
        sources: the results as they came, by hash; :func:`gather` takes them over into another copy of the project.
        runs: the rows that count, with score, epochs (the best), head_score (before fine-tuning), trained and diverged.
        curves: row, epoch and its scores, of the same rows.
        results: one row per setting.
        winner: the best setting.
        problems: warnings.
    """

    sources: dict[str, dict[str, Any]]
    runs: pd.DataFrame
    curves: pd.DataFrame
    results: pd.DataFrame
    winner: dict[str, search.Scalar]
    problems: list[Problem]


def unify(table: pd.DataFrame, work: Path, *, allow_missing: bool = False) -> Unified:
    """Gather the results of a plan.

    Args:
        table: the plan.
        work: folder with one folder per row.
        allow_missing: leave out settings of which a row is missing.

    Raises:
        InputError: rows are missing, and that is not allowed or no setting is complete.
    """
    found = {hashed: read_result(work, hashed) for hashed in table["hash"]}
    missing = table[[found[hashed] is None for hashed in table["hash"]]]
    complete = table[~table["setting"].isin(missing["setting"])]
    if len(missing) and (not allow_missing or complete.empty):
        raise InputError(_missing(missing, len(table), work, "error"))
    results = [found[hashed] for hashed in complete["hash"]]
    scores = [{name: result[name] for name in SCORES} for result in results if result]
    runs = complete.reset_index(drop=True).join(pd.DataFrame(scores))
    curves = pd.concat(
        [
            pd.DataFrame(result["history"]).assign(row=row)
            for row, result in zip(runs["row"], results, strict=True)
            if result
        ],
        ignore_index=True,
    )
    settings = table[["setting", *NAMES]].drop_duplicates("setting", ignore_index=True)
    statistics = search.statistics(runs, settings)
    heads = runs.groupby("setting")["head_score"].mean().round(search.DIGITS).rename("head_score").reset_index()
    statistics = statistics.merge(heads, on="setting", how="left", validate="one_to_one")
    winner = search.winner(statistics, NAMES)
    winner["head_score"] = float(statistics.loc[statistics["setting"] == winner["setting"], "head_score"].iloc[0])
    problems = [_missing(missing, len(table), work, "warning")] if len(missing) else []
    sources = {result["hash"]: result for result in results if result}
    return Unified(sources, runs, curves[["row", *curves.columns.drop("row")]], statistics, winner, problems)


SCORES = ("score", "head_score", "epochs", "trained", "diverged", "chance")


def _missing(missing: pd.DataFrame, total: int, work: Path, severity: Any) -> Problem:
    numbers = missing["row"].astype(str).tolist()
    listed = ",".join(numbers[:LISTED]) + (", ..." if len(numbers) > LISTED else "")
    found = f"no result of {len(numbers)} of {total} rows ({listed})"
    if severity == "warning":
        cure = "Their settings are left out."
    else:
        cure = "Run them (--rows), or leave their settings out (--allow-missing)."
    return Problem(str(work), "", found, "the results of all rows of the plan", cure, severity)


def _hash(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
