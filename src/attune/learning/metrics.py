"""Scores of a binary classifier, and their intervals from a bootstrap over test sessions.

Labels are 0 or 1, a probability is that of class 1, predicted is class 1 where it exceeds 0.5. Every score is written
for weighted samples, ``weights (D, n)``, because a draw of the bootstrap is a weight per sample (how often its session
was drawn): all draws are scored at once. Weight 1 everywhere gives the plain score, that of scikit-learn. NaN stands
for a score that is not defined (a class is absent); F1 is 0 where nothing is positive, neither label nor prediction.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from attune.annotation.bootstrap import Bootstrap

Array = npt.NDArray[np.float64]
Counts = TypeVar("Counts", bound=Any)  # numpy arrays or torch tensors
ECE_BINS = 10
CHUNK = 2_000_000  # weights held at once


def trailing_mean(values: npt.ArrayLike, window: int) -> Array:
    """Mean of the last ``window`` values up to each, along the last axis ``(..., E)``; NaN before a window is full.

    A window longer than the series is shortened to it. NaN counts as 0: a run without a score has earned none.
    """
    series = np.nan_to_num(np.asarray(values, dtype=np.float64), nan=0.0)
    window = min(window, series.shape[-1])
    means = np.full(series.shape, np.nan)
    if window:
        means[..., window - 1 :] = np.lib.stride_tricks.sliding_window_view(series, window, axis=-1).mean(axis=-1)
    return means


def best_epoch(scores: npt.ArrayLike, window: int) -> tuple[npt.NDArray[np.int64], Array]:
    """Where the trailing mean of a score per epoch is best.

    Args:
        scores: ``(..., E)``, E at least 1.
        window: epochs over which it is averaged.

    Returns:
        The number of epochs to train (1 to E; the first of equals) and the mean there, ``(...)`` each.
    """
    means = trailing_mean(scores, window)
    best = np.nanargmax(means, axis=-1)
    return np.asarray(best + 1, dtype=np.int64), np.take_along_axis(means, best[..., None], axis=-1)[..., 0]


def f1_of_counts(true_positives: Counts, predicted: Counts, positives: Counts) -> Counts:
    """F1 = 2 tp / (predicted + positives), 0 where both are 0; arrays or tensors of one shape."""
    either = predicted + positives
    return 2 * true_positives / (either + (either == 0))


def accuracy(labels: Array, probability: Array, weights: Array) -> Array:
    """Share of samples that are predicted rightly, ``(D,)``."""
    return _ratio(weights @ ((probability > 0.5) == labels), weights.sum(axis=1))


def f1(labels: Array, probability: Array, weights: Array) -> Array:
    """Harmonic mean of precision and recall of class 1, ``(D,)``."""
    predicted = (probability > 0.5).astype(float)
    result = f1_of_counts(weights @ (predicted * labels), weights @ predicted, weights @ labels)
    return np.where(weights.sum(axis=1) > 0, result, np.nan)


def balanced_accuracy(labels: Array, probability: Array, weights: Array) -> Array:
    """Mean of the two classes' recall, ``(D,)``."""
    predicted = probability > 0.5
    recall = _ratio(weights @ (predicted * labels), weights @ labels)
    specificity = _ratio(weights @ (~predicted * (1 - labels)), weights @ (1 - labels))
    return (recall + specificity) / 2


def roc_auc(labels: Array, probability: Array, weights: Array) -> Array:
    """Probability that a positive is ranked above a negative, ties half, ``(D,)`` (Mann and Whitney 1947)."""
    positive, negative = _by_threshold(labels, probability, weights)
    above = np.cumsum(positive, axis=1) - positive / 2
    return _ratio((above * negative).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1))


def average_precision(labels: Array, probability: Array, weights: Array) -> Array:
    """Mean precision over thresholds, weighted by the gain in recall, ``(D,)``, as scikit-learn defines it."""
    positive, negative = _by_threshold(labels, probability, weights)
    hits = np.cumsum(positive, axis=1)
    reached = hits + np.cumsum(negative, axis=1)
    precision = hits / np.where(reached > 0, reached, 1)
    return _ratio((precision * positive).sum(axis=1), positive.sum(axis=1))


def brier(labels: Array, probability: Array, weights: Array) -> Array:
    """Mean squared difference of probability and label, ``(D,)`` (Brier 1950); lower is better."""
    return _ratio(weights @ (probability - labels) ** 2, weights.sum(axis=1))


def ece(labels: Array, probability: Array, weights: Array) -> Array:
    """Expected calibration error, ``(D,)``; lower is better.

    The probability of class 1 falls into ten bins of equal width; ECE is the mean over samples of the difference
    between the bin's mean probability and its share of positives (Naeini, Cooper and Hauskrecht 2015).
    """
    bins = np.minimum((probability * ECE_BINS).astype(int), ECE_BINS - 1)
    inside = (bins[:, None] == np.arange(ECE_BINS)) * (probability - labels)[:, None]
    return _ratio(np.abs(weights @ inside).sum(axis=1), weights.sum(axis=1))


METRICS: dict[str, Callable[[Array, Array, Array], Array]] = {
    "accuracy": accuracy,
    "f1": f1,
    "balanced_accuracy": balanced_accuracy,
    "roc_auc": roc_auc,
    "average_precision": average_precision,
    "brier": brier,
    "ece": ece,
}


def session_bootstrap(
    labels: npt.ArrayLike,
    probability: npt.ArrayLike,
    sessions: npt.ArrayLike,
    *,
    draws: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Every metric with its interval over sessions: clips of one session are alike, so whole sessions are drawn.

    Args:
        labels: ``(n,)``.
        probability: ``(n,)``.
        sessions: the session of each sample, ``(n,)``.
        draws: how many times sessions are drawn with replacement.
        confidence: share of the draws that the interval holds; draws where the metric is undefined are left out.
        seed: of the draws.

    Returns:
        columns metric, value, low, high; one row per metric. With fewer than two sessions there is no spread to
        estimate, and low and high are NaN.

    Raises:
        ValueError: shapes differ, a label is not 0 or 1, or a probability is outside 0 to 1.
    """
    truth, chances = _checked(labels, probability)
    names, place = np.unique(np.asarray(sessions), return_inverse=True)
    bootstrap = Bootstrap.over(len(names), draws if len(names) > 1 else 0, confidence, seed)
    values = np.full((len(bootstrap.weights), len(METRICS)), np.nan)
    step = max(1, CHUNK // max(1, len(truth)))
    for start in range(0, len(values), step):
        weights = bootstrap.weights[start : start + step].astype(float)[:, place]
        for column, metric in enumerate(METRICS.values()):
            values[start : start + step, column] = metric(truth, chances, weights)
    low, high = bootstrap.interval(values) if len(values) > 1 else (np.nan, np.nan)
    return pd.DataFrame({"metric": list(METRICS), "value": values[0], "low": low, "high": high})


def _checked(labels: npt.ArrayLike, probability: npt.ArrayLike) -> tuple[Array, Array]:
    truth, chances = np.asarray(labels, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != chances.shape:
        raise ValueError(f"labels {truth.shape} and probabilities {chances.shape} are not two equally long lists")
    if not np.isin(truth, (0, 1)).all() or not ((chances >= 0) & (chances <= 1)).all():
        raise ValueError("a label is not 0 or 1, or a probability is not between 0 and 1")
    return truth, chances


def _by_threshold(labels: Array, probability: Array, weights: Array) -> tuple[Array, Array]:
    """Weight of positives and of negatives at every distinct probability, highest first, ``(D, thresholds)``."""
    if not len(labels):
        return np.zeros((len(weights), 0)), np.zeros((len(weights), 0))
    order = np.argsort(-probability, kind="stable")
    falling = probability[order]
    first = np.flatnonzero(np.concatenate([[True], falling[1:] < falling[:-1]]))
    positive = np.add.reduceat(weights[:, order] * labels[order], first, axis=1)
    return positive, np.add.reduceat(weights[:, order], first, axis=1) - positive


def _ratio(numerator: Array, denominator: Array) -> Array:
    return np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1), np.nan)
