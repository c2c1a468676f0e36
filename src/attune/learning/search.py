"""Random search: distributions of hyper-parameters, settings drawn from them, and what the scores say.

A setting is one draw of every hyper-parameter; it is trained several times (folds x repetitions), each of which is a
run. Setting ``index`` of a space is the same whatever the number of settings and the other hyper-parameters are: each
value has its own random stream, keyed by (seed, index, name). Higher scores are better; equal scores are ordered by
index. Spreads are population standard deviations.
"""

import zlib
from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError, model_validator

from attune.params import Params

Scalar = bool | int | float | str
DIGITS = 9  # of scores in tables
SIGNIFICANT = 4  # digits of a drawn number: short enough to be read and typed
TOP = 10
KINDS = ("value", "uniform", "log_uniform", "choice", "mixture")


class Distribution(Params):
    """How one hyper-parameter is drawn; exactly one of the keys says it.

    Attributes:
        value: always the same.
        uniform: between two bounds, every number alike.
        log_uniform: between two positive bounds, every order of magnitude alike.
        choice: one of the listed, each alike.
        mixture: one of several distributions, each with its ``weight``.
    """

    value: Scalar | None = None
    uniform: tuple[float, float] | None = None
    log_uniform: tuple[float, float] | None = None
    choice: tuple[Scalar, ...] | None = Field(default=None, min_length=1)
    mixture: tuple["Component", ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(getattr(self, kind) is not None for kind in KINDS) != 1:
            raise ValueError(f"exactly one of the keys {', '.join(KINDS)}")
        bounds = self.uniform or self.log_uniform
        if bounds and not bounds[0] < bounds[1]:
            raise ValueError("two bounds, the lower one first")
        if self.log_uniform and self.log_uniform[0] <= 0:
            raise ValueError("positive bounds; write `mixture` to add the value 0")
        return self

    def draw(self, rng: np.random.Generator) -> Scalar:
        """One value; numbers between bounds have four significant digits."""
        if self.mixture:
            shares = np.array([component.weight for component in self.mixture])
            return self.mixture[rng.choice(len(shares), p=shares / shares.sum())].draw(rng)
        if self.choice:
            return self.choice[rng.integers(len(self.choice))]
        if self.uniform:
            return _short(rng.uniform(*self.uniform), self.uniform)
        if self.log_uniform:
            return _short(float(np.exp(rng.uniform(*np.log(self.log_uniform)))), self.log_uniform)
        return self.extremes()[0]  # of `value`

    def extremes(self) -> list[Scalar]:
        """The values between which every draw lies; all values where they are listed."""
        if self.mixture:
            return [value for component in self.mixture for value in component.extremes()]
        if self.value is not None:
            return [self.value]
        return list(self.choice or self.uniform or self.log_uniform or ())


class Component(Distribution):
    """One part of a mixture.

    Attributes:
        weight: how often it is drawn, relative to the other parts.
    """

    weight: float = Field(default=1.0, gt=0)


Space = dict[str, Distribution]


def check(space: Space, model: type[Params]) -> Space:
    """Hold a space against the model of the settings that it draws.

    Raises:
        ValueError: the names are not those of the model, or a value that can be drawn is refused by it.
    """
    names = set(model.model_fields)
    if set(space) != names:
        raise ValueError(f"a distribution for each of {', '.join(sorted(names))}, and for nothing else")
    some = {name: distribution.extremes()[0] for name, distribution in space.items()}
    for name, distribution in space.items():
        for value in distribution.extremes():
            try:
                model.model_validate(some | {name: value})
            except ValidationError as error:
                wrong = next((detail for detail in error.errors() if detail["loc"][:1] == (name,)), None)
                if wrong:
                    raise ValueError(f"{name} that can only be drawn as allowed ({value}: {wrong['msg']})") from None
    return space


def draw(space: Space, index: int, seed: int) -> dict[str, Scalar]:
    """Setting ``index`` of a space: hyper-parameter to value, in the order of the space."""
    return {name: distribution.draw(_rng(seed, index, name)) for name, distribution in space.items()}


def draw_all(space: Space, count: int, seed: int, first: int = 0) -> pd.DataFrame:
    """Settings of a space from index ``first`` on, one row each: ``setting`` (the index), then the hyper-parameters."""
    drawn = [{"setting": index} | draw(space, index, seed) for index in range(first, first + count)]
    return pd.DataFrame(drawn, columns=["setting", *space])


def statistics(runs: pd.DataFrame, settings: pd.DataFrame) -> pd.DataFrame:
    """One row per setting that has runs, in the order of ``settings``.

    Args:
        runs: columns setting, fold, repetition, score, epochs (at which the run scored best) and diverged (0 or 1).
        settings: column setting and the hyper-parameters.

    Returns:
        the columns of ``settings`` and: runs; score (mean over folds and repetitions); score_std (spread over all);
        fold_std (of the folds' means) and repetition_std (root of the mean variance within a fold); lowest, highest;
        epochs (median, rounded up); diverged (number of runs).

    Raises:
        ValueError: a score is NaN, or a fold has another number of repetitions than the others.
    """
    cells = runs.groupby(["setting", "fold"], sort=True)
    if runs["score"].isna().any() or cells.size().nunique() > 1:
        raise ValueError("a score is NaN or the folds have different numbers of repetitions")
    fold_means = cells["score"].mean().groupby("setting")
    within = cells["score"].var(ddof=0).groupby("setting").mean()
    group = runs.groupby("setting", sort=True)
    table = pd.DataFrame(
        {
            "runs": group.size(),
            "score": group["score"].mean().round(DIGITS),
            "score_std": group["score"].std(ddof=0).round(DIGITS),
            "fold_std": fold_means.std(ddof=0).round(DIGITS),
            "repetition_std": np.sqrt(within).round(DIGITS),
            "lowest": group["score"].min().round(DIGITS),
            "highest": group["score"].max().round(DIGITS),
            "epochs": np.ceil(group["epochs"].median()).astype("int64"),
            "diverged": group["diverged"].sum().astype("int64"),
        }
    )
    return settings.merge(table, left_on="setting", right_index=True, how="inner", validate="one_to_one")


def rank(results: pd.DataFrame) -> pd.DataFrame:
    """All settings, best first, with their ``rank`` from 1 in front."""
    ordered = results.sort_values(["score", "setting"], ascending=[False, True], kind="stable", ignore_index=True)
    return ordered.assign(rank=np.arange(1, len(ordered) + 1))[["rank", *results.columns]]


def top(results: pd.DataFrame, count: int = TOP) -> pd.DataFrame:
    """The best settings, with their rank."""
    return rank(results).head(count)


def winner(results: pd.DataFrame, names: Sequence[str]) -> dict[str, Scalar]:
    """The best setting as plain values: its hyper-parameters, epochs, score, score_std, its index and runs."""
    best = rank(results).to_dict("records")[0]
    return {
        name: _plain(best[name]) for name in [*names, "epochs", "score", "score_std", "setting", "runs", "diverged"]
    }


def _rng(seed: int, index: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, index, zlib.crc32(name.encode())])


def _short(value: float, bounds: tuple[float, float]) -> float:
    return min(max(float(f"{value:.{SIGNIFICANT}g}"), bounds[0]), bounds[1])


def _plain(value: object) -> Scalar:
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, Scalar):
        raise TypeError(f"{value!r} is no plain value")
    return value
