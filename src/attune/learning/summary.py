"""What people compare of the final models: every score with its interval, beside chance and beside human annotators.

A model is better than chance if its test F1's interval lies above the best F1 by chance; where that F1 is over 0.8,
which leaves F1 no room, if its balanced accuracy's interval lies above 0.5.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from attune import artifacts
from attune.problems import InputError, Problem

CHANCE = ("accuracy", "f1", "balanced_accuracy")
CROWDED_F1 = 0.8
DIGITS = 6


def read(folder: Path) -> list[dict[str, Any]]:
    """The scores of every final model, in alphabetical order.

    Raises:
        InputError: there are none.
    """
    found = sorted(folder.glob("*/scores.json"))
    if not found:
        raise InputError(Problem(str(folder), "", "no scores", "folders with scores.json", "Run the stages train."))
    return [artifacts.read_json(path) for path in found]


def tabulate(scores: list[dict[str, Any]]) -> pd.DataFrame:
    """One row per task, variable and metric: value, low and high of the model, chance, and value, low, high of humans.

    Undefined values are NaN. ``human`` is how well one annotator predicts another on the same clips.
    """
    nothing = {"value": None, "low": None, "high": None}
    rows = [
        {
            "task": model["task"],
            "variable": model["variable"],
            "metric": metric,
            **values,
            "chance": model["test"]["chance"][metric] if metric in CHANCE else None,
            **{f"human_{name}": value for name, value in model["test"]["human"].get(metric, nothing).items()},
        }
        for model in scores
        for metric, values in model["test"]["model"].items()
    ]
    table = pd.DataFrame(rows)
    numbers = [name for name in table.columns if name not in ("task", "variable", "metric")]
    return table.astype(dict.fromkeys(numbers, float))


def above_chance(scores: list[dict[str, Any]]) -> dict[str, bool]:
    """Whether each model is better than chance, by the rule above, as ``task-variable``: answer."""
    answers = {}
    for model in scores:
        chance = model["test"]["chance"]
        metric = "f1" if chance["f1"] <= CROWDED_F1 else "balanced_accuracy"
        low = model["test"]["model"][metric]["low"]
        answers[f"{model['task']}-{model['variable']}"] = low is not None and low > chance[metric]
    return answers


def headline(scores: list[dict[str, Any]]) -> dict[str, float | None]:
    """The few numbers to compare between runs; the only ones to choose a variant by are those of the validation.

    ``validation_f1`` is the smoothed one by which epochs were chosen: that of a single epoch is a matter of luck.
    """
    tests = [model["test"] for model in scores]
    means = {
        "validation_f1": _mean([model["validation"]["smoothed_f1"] for model in scores]),
        "validation_head_f1": _mean([model["validation"]["head_f1"] for model in scores]),
        "test_f1": _mean([test["model"]["f1"]["value"] for test in tests]),
        "test_chance_f1": _mean([test["chance"]["f1"] for test in tests]),
        "test_human_f1": _mean([test["human"]["f1"]["value"] for test in tests]),
        "test_balanced_accuracy": _mean([test["model"]["balanced_accuracy"]["value"] for test in tests]),
        "above_chance": sum(above_chance(scores).values()),
    }
    each = {
        f"{model['task']}_{model['variable']}_f1": _mean([model["test"]["model"]["f1"]["value"]]) for model in scores
    }
    return {**means, **each}


def _mean(values: list[float | None]) -> float | None:
    """Mean of the values that are defined."""
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), DIGITS) if known else None
