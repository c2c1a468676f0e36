"""Where the results lie that the page shows: tables, numbers and pictures, each of which may be missing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from attune import artifacts
from attune.report.blocks import Figure, Missing
from attune.report.embedding import Budget


@dataclass(frozen=True)
class Material:
    """Where the results are, and room for pictures."""

    metrics: Path
    plots: Path
    budget: Budget

    def json(self, name: str) -> Any:
        """A file of metrics/, None if it is not there."""
        path = self.metrics / f"{name}.json"
        return artifacts.read_json(path) if path.is_file() else None

    def table(self, name: str) -> pd.DataFrame | None:
        """A table of plots/, all columns as words where they are no numbers; None if it is not there."""
        path = self.plots / name
        if not path.is_file():
            return None
        text = pd.read_csv(path, keep_default_na=False, dtype=str, encoding="utf-8")
        return text.apply(_numbers)

    def figure(self, name: str, alt: str, caption: str, stage: str) -> Figure | Missing:
        """A picture of plots/, or the word that it is missing and the stage that makes it."""
        path = self.plots / name
        if not path.is_file():
            return Missing(caption, str(path), f"The stage {stage} makes it.")
        return Figure(self.budget.embed(path), str(path), alt, caption)


def _numbers(column: pd.Series) -> pd.Series:
    converted = pd.to_numeric(column.mask(column == ""), errors="coerce")
    return column if (converted.isna() & (column != "")).any() else converted


def missing(what: str, path: Path, stage: str) -> Missing:
    """The word that a result is missing, and the stage that makes it."""
    return Missing(what, str(path), f"The stage {stage} makes it.")
