"""What a model is worth on the test fold: scores with intervals, beside chance and beside human annotators.

A sample is one annotator's label of one clip, as in training; no vote is taken. So where the annotators disagree no
model can be right about all samples, and the fair comparison is how well one annotator predicts another on the same
clips: every ordered pair of annotators who both coded a clip is one sample of that.
"""

from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from attune import artifacts
from attune.annotation import agreement
from attune.annotation.chance import chance_scores
from attune.learning import metrics
from attune.learning.corpus import Labelled
from attune.params import Params

Labels = npt.NDArray[np.int8]
DIGITS = 9
HUMAN = ("accuracy", "f1", "balanced_accuracy")
RELIABILITY = ("kappa", "kappa_low", "kappa_high", "agreement", "positive_agreement")


class BootstrapConfig(Params):
    """Intervals over test sessions.

    Attributes:
        draws: how many times the sessions are drawn.
        confidence: share of the draws that an interval holds.
        seed: of the draws.
    """

    draws: int = Field(default=2000, ge=1)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True)
class Predicted:
    """A model's answers to labelled clips.

    Attributes:
        clips: N clips and their labels.
        annotators: A names, in the order of the labels' columns.
        probability: of "engaged", (N,).
    """

    clips: Labelled
    annotators: tuple[str, ...]
    probability: npt.NDArray[np.float64]

    def samples(self) -> pd.DataFrame:
        """Columns session, task, index, start_ms, annotator, label and probability, one row per sample."""
        row, column = np.nonzero(self.clips.labels >= 0)
        table = self.clips.clips.iloc[row].reset_index(drop=True)
        return table.assign(
            annotator=np.array(self.annotators, dtype=object)[column],
            label=self.clips.labels[row, column].astype(np.int64),
            probability=self.probability[row].round(6),
        )


def score(predicted: Predicted, config: BootstrapConfig) -> dict[str, Any]:
    """Every metric of a model with its interval, beside chance and humans on the same clips.

    Returns:
        samples, clips, sessions; ``model``: metric: value, low, high; ``kappa`` of model and annotators; ``chance`` of
        these labels; ``human``: metric: value, low, high of one annotator against another. None where undefined.
    """
    samples = predicted.samples()
    label, probability = samples["label"].to_numpy(), samples["probability"].to_numpy()
    first, second, sessions = _pairs(predicted.clips)
    human = _intervals(first, second.astype(np.float64), sessions, config)
    return {
        "samples": len(samples),
        "clips": len(predicted.probability),
        "sessions": int(samples["session"].nunique()),
        "model": _intervals(label, probability, samples["session"].to_numpy(), config),
        "kappa": _kappa(label, (probability > 0.5).astype(np.int64)),
        "chance": chance_scores(float(label.mean())),
        "human": {name: human[name] for name in HUMAN} | {"kappa": _kappa(first, second), "pairs": len(first)},
    }


def reliability(folder: Path, task: str, variable: str) -> dict[str, float | None]:
    """Agreement of all annotators over all sessions, sampled in time, as the stage measure_reliability found it.

    Raises:
        InputError: its table is missing.
    """
    names = dict.fromkeys(("variable", "annotator_1", "annotator_2", "task", "labels", *RELIABILITY), "str")
    table = artifacts.read_table(folder / "agreement.csv", names)
    everyone = (table["annotator_1"] == "all") & (table["annotator_2"] == "all") & (table["labels"] == "binary")
    rows = table[everyone & (table["task"] == task) & (table["variable"] == variable)]
    if rows.empty:
        return dict.fromkeys(RELIABILITY)
    return {name: float(rows[name].iloc[0]) if rows[name].iloc[0] else None for name in RELIABILITY}


def _intervals(
    label: npt.NDArray[Any], probability: npt.NDArray[np.float64], sessions: npt.NDArray[Any], config: BootstrapConfig
) -> dict[str, dict[str, float | None]]:
    table = metrics.session_bootstrap(
        label, probability, sessions, draws=config.draws, confidence=config.confidence, seed=config.seed
    )
    return {
        row["metric"]: {name: _rounded(row[name]) for name in ("value", "low", "high")}
        for row in table.to_dict("records")
    }


def _pairs(clips: Labelled) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Labels of both annotators of every ordered pair on every clip that both coded, and the clips' sessions."""
    sessions = clips.clips["session"].to_numpy()
    found: list[tuple[Labels, Labels, npt.NDArray[Any]]] = []
    for one, other in permutations(range(clips.labels.shape[1]), 2):
        both = (clips.labels[:, [one, other]] >= 0).all(axis=1)
        found.append((clips.labels[both, one], clips.labels[both, other], sessions[both]))
    if not found:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), sessions[:0]
    first, second, where = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return first.astype(np.int64), second.astype(np.int64), where


def _kappa(first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> float | None:
    return _rounded(float(agreement.kappa(agreement.tabulate(first, second, 2)))) if len(first) else None


def _rounded(value: float) -> float | None:
    return round(float(value), DIGITS) if np.isfinite(value) else None
