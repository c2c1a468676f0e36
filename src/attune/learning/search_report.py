"""The folder that a random search leaves: tables, figures and the winner.

``results.csv`` has a row per setting in the order of their indices, ``top10.csv`` the best with their rank,
``winner.json`` the best alone, ``scores.png`` the distribution of scores, ``<hyper-parameter>.png`` the score against
each hyper-parameter. ``validation.json`` has the winners' mean score, which DVC lists among the metrics.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from attune import artifacts
from attune.learning import search, search_figures

WINNER = "winner.json"
VALIDATION = "validation.json"


def write(
    folder: Path, results: pd.DataFrame, winner: dict[str, Any], names: Sequence[str], chance: float | None = None
) -> None:
    """Write tables, figures and winner into a folder.

    Args:
        folder: where to; files of other names stay.
        results: a table as :func:`search.statistics` returns it.
        winner: plain values.
        names: the hyper-parameters.
        chance: the best score that ignores the input, for the figures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    artifacts.write_table(folder / "results.csv", results)
    artifacts.write_table(folder / f"top{search.TOP}.csv", search.top(results))
    artifacts.write_json(folder / WINNER, winner)
    for name, figure in search_figures.draw_all(results, names, chance):
        with artifacts.replacing(folder / f"{name}.png") as temporary:
            figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})


def write_validation(
    folder: Path, search_name: str, scores: Sequence[float], more: dict[str, search.Scalar] | None = None
) -> None:
    """Write what experiments with a search are compared by: the winners' mean validation F1, and a few numbers more."""
    mean = round(sum(scores) / len(scores), search.DIGITS)
    artifacts.write_json(folder / VALIDATION, {f"{search_name}_f1": mean, **(more or {})})
