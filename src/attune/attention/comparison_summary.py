"""Which method is the most human: means with intervals over sessions, beside ceiling and floors.

A mean is over reference paintings; undefined values are left out and counted. Paintings of one session are not
independent, so intervals come from drawing whole sessions (:mod:`attune.annotation.bootstrap`); the same draws serve
all groups, so that differences are paired. With fewer than two sessions there is no interval (NaN).
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from attune.annotation.bootstrap import Bootstrap
from attune.attention.comparison import BootstrapConfig
from attune.attention.comparison_inputs import CENTRE, HUMAN, PERMUTED, REPEAT
from attune.attention.similarity import MEASURES, Mode

COLUMNS = {
    "mode": "str",
    "measure": "str",
    "kind": "str",
    "method": "str",
    "condition": "str",
    "mean": "float64",
    "low": "float64",
    "high": "float64",
    "gain": "float64",
    "gain_low": "float64",
    "gain_high": "float64",
    "values": "int64",
    "undefined": "int64",
    "undefined_frames": "int64",
    "frames": "int64",
}
MATCHING = "matching"
DIGITS = 6


def summarise(table: pd.DataFrame, config: BootstrapConfig) -> pd.DataFrame:
    """Mean similarity of every group of rows.

    Args:
        table: as :func:`attune.attention.comparison.compare_all` returns it.
        config: the intervals.

    Returns:
        columns :data:`COLUMNS`, one row per mode, measure, method and condition. ``gain`` is how much more alike than
        the better floor a method is (positive is better, whichever way the measure runs); ``values`` and ``undefined``
        count paintings, ``undefined_frames`` frames of all of them.
    """
    sessions = sorted(table["session"].unique())
    draws = Bootstrap.over(len(sessions), config.draws if len(sessions) > 1 else 0, config.confidence, config.seed)
    rows = []
    for (mode, measure), part in table.groupby(["mode", "measure"], sort=False):
        means = {
            (str(kind), str(method), str(condition)): _means(group, sessions, draws)
            for (kind, method, condition), group in part.groupby(["kind", "method", "condition"], sort=False)
        }
        more_is_alike = next(entry.more_is_alike for name, entry in MEASURES.items() if name == measure)
        sign = 1 if more_is_alike else -1
        floors = [sign * values for (kind, _, _), values in means.items() if kind == "floor"]
        floor = np.fmax.reduce(floors) if floors else np.full(len(draws.weights), np.nan)
        groups = dict(list(part.groupby(["kind", "method", "condition"], sort=False)))
        for key, values in means.items():
            group, gain = groups[key], sign * values - floor
            known = int(group["value"].notna().sum())
            numbers = [number for each in (values, gain) for number in (each[0], *_interval(draws, each))]
            counts = [len(group) - known, int((group["frames"] - group["defined"]).sum()), int(group["frames"].sum())]
            rows.append((mode, measure, *key, *numbers, known, *counts))
    return pd.DataFrame(rows, columns=list(COLUMNS)).round(DIGITS)


def ranked(summary: pd.DataFrame, mode: str, measure: str) -> list[str]:
    """Methods of the machine from the most to the least human, by their mean for the matching class."""
    rows = _rows(summary, mode, measure)
    rows = rows[(rows["kind"] == "machine") & (rows["condition"] == MATCHING)].dropna(subset="mean")
    more_is_alike = next(entry.more_is_alike for name, entry in MEASURES.items() if name == measure)
    return list(rows.sort_values("mean", ascending=not more_is_alike, kind="stable")["method"])


def can_rank(summary: pd.DataFrame, mode: str, measure: str) -> bool:
    """Whether people are surely more alike by this measure than both floors are; else it cannot rank methods."""
    rows = _rows(summary, mode, measure)
    return bool((rows[rows["method"] == HUMAN]["gain_low"] > 0).any())


def headline(summary: pd.DataFrame, counts: dict[str, int], mode: Mode | None = None) -> dict[str, Any]:
    """The few numbers to compare between runs, from one mode: frame by frame as published, unless that is missing.

    Per measure: whether people are surely more alike than both floors, without which it ranks nothing and names no best
    method; the best method and whether it is surely above both floors; means of ceiling, repeat and floors; the mean of
    every method and condition.
    """
    there = list(dict.fromkeys(summary["mode"]))
    mode = mode or ("frame" if "frame" in there or not there else there[0])
    result: dict[str, Any] = {"mode": mode, **counts}
    for measure in dict.fromkeys(summary[summary["mode"] == mode]["measure"]):
        rows = _rows(summary, mode, measure)
        order = ranked(summary, mode, measure)
        ranks = can_rank(summary, mode, measure)
        best = order[0] if order and ranks else None
        first = rows[(rows["method"] == best) & (rows["condition"] == MATCHING)]
        numbers = {name: _mean(rows[rows["method"] == name]) for name in (HUMAN, REPEAT, CENTRE, PERMUTED)}
        machine = rows[rows["kind"] == "machine"]
        each = {
            f"{row.method}_{row.condition}": _defined(row.mean) for row in machine.itertuples(index=False, name="Row")
        }
        result[measure] = {
            "ranks": ranks,
            "best": best,
            "above_floors": bool((first["gain_low"] > 0).any()),
            **numbers,
            **each,
        }
    return result


def _rows(summary: pd.DataFrame, mode: str, measure: str) -> pd.DataFrame:
    return summary[(summary["mode"] == mode) & (summary["measure"] == measure)]


def _mean(rows: pd.DataFrame) -> float | None:
    return _defined(rows["mean"].iloc[0]) if len(rows) else None


def _defined(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


def _means(group: pd.DataFrame, sessions: list[str], draws: Bootstrap) -> npt.NDArray[np.float64]:
    """The mean of the defined values in the sample and in every draw, (1 + draws,)."""
    known = group.dropna(subset="value")
    place = np.searchsorted(sessions, known["session"].to_numpy(str)) if len(known) else np.empty(0, dtype=np.int64)
    sums = np.bincount(place, known["value"].to_numpy(float), minlength=len(sessions)).astype(np.float64)
    counts = np.bincount(place, minlength=len(sessions)).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        means: npt.NDArray[np.float64] = draws.sums(sums) / draws.sums(counts)
    return means


def _interval(draws: Bootstrap, values: npt.NDArray[np.float64]) -> tuple[float, float]:
    if len(values) < 2:
        return np.nan, np.nan
    low, high = draws.interval(values[:, None])
    return float(low[0]), float(high[0])
