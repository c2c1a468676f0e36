"""Agreement of any number of raters on a set of subjects, with missing ratings and optional weights.

Ratings are codes ``(subjects, raters)`` in ``range(levels)``, or -1 where a rater did not rate a subject; counts are
``(subjects, levels)``, how many raters gave each label. The formulas are the general ones of Gwet (2014, "Handbook of
Inter-Rater Reliability", 4th edition, chapters 2 to 4): observed agreement is the mean over subjects with at least two
ratings, the chance terms use every rating. Undefined values are NaN.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from attune.annotation.agreement import MISSING, Array, Codes, corrected


@dataclass(frozen=True)
class Coefficient:
    """A chance-corrected coefficient with the shares it is made of."""

    observed: float
    expected: float

    @property
    def value(self) -> float:
        """``(observed - expected) / (1 - expected)``, NaN if chance alone agrees everywhere."""
        return float(corrected(np.array(self.observed), np.array(self.expected), np.array(1.0)))


def count(ratings: Codes, levels: int) -> Array:
    """How many raters gave each label, ``(subjects, raters)`` to ``(subjects, levels)``."""
    return (ratings[:, :, None] == np.arange(levels)).sum(axis=1).astype(float)


def fleiss(counts: Array, weights: Array | None = None) -> Coefficient:
    """Fleiss's kappa (1971), which is Scott's pi for many raters: chance from the mean share of each label."""
    weights = _weights(counts, weights)
    shares = _shares(counts)
    return Coefficient(_observed(counts, weights), float(shares @ weights @ shares))


def ac1(counts: Array, weights: Array | None = None) -> Coefficient:
    """Gwet's AC1 (2008), with weights AC2: chance is the sum of p_k (1 - p_k), times sum(weights) / (K (K - 1))."""
    weights = _weights(counts, weights)
    shares, levels = _shares(counts), counts.shape[1]
    chance = weights.sum() / (levels * (levels - 1)) * (shares * (1 - shares)).sum()
    return Coefficient(_observed(counts, weights), float(chance))


def brennan_prediger(counts: Array, weights: Array | None = None) -> Coefficient:
    """S of Bennett et al. (1954) and Brennan & Prediger (1981): every label equally likely."""
    weights = _weights(counts, weights)
    return Coefficient(_observed(counts, weights), float(weights.mean()))


def alpha(counts: Array, weights: Array | None = None) -> Coefficient:
    """Krippendorff's alpha: only subjects with two ratings or more count, each by its number of ratings."""
    weights = _weights(counts, weights)
    paired = counts[counts.sum(axis=1) > 1]
    raters = paired.sum(axis=1)
    ratings = raters.sum()
    if ratings == 0:
        return Coefficient(np.nan, np.nan)
    agreed = ((paired * (paired @ weights - 1)).sum(axis=1) / (raters - 1)).sum() / ratings
    shares = paired.sum(axis=0) / ratings
    small_sample = 1 / ratings  # makes alpha equal to the form with n_k (n_k - 1) / (n - 1)
    return Coefficient(float((1 - small_sample) * agreed + small_sample), float(shares @ weights @ shares))


def difference_weights(
    counts: Array, kind: Literal["ordinal", "interval", "ratio"], values: Sequence[float] | None = None
) -> Array:
    """Partial credit by Krippendorff's metric differences (2011, "Computing Krippendorff's Alpha-Reliability").

    Args:
        counts: ``(subjects, levels)``, levels in their order; ordinal differences count the ratings in between.
        kind: of the levels.
        values: number of each level, for interval and ratio; 1, 2, ... unless given.

    Returns:
        1 less the squared difference over the largest one, ``(levels, levels)``, for :func:`alpha`.
    """
    levels = counts.shape[1]
    number = np.arange(1, levels + 1, dtype=float) if values is None else np.asarray(values, dtype=float)
    if kind == "ordinal":
        ratings = counts[counts.sum(axis=1) > 1].sum(axis=0)
        number = np.cumsum(ratings) - ratings / 2  # differ by the ratings between two levels and half of their own
    squared = np.subtract.outer(number, number) ** 2
    if kind == "ratio":
        both = np.add.outer(number, number)
        squared = squared / np.where(both == 0, 1, both) ** 2
    return 1 - squared / squared.max()


def conger(ratings: Codes, levels: int, weights: Array | None = None) -> Coefficient:
    """Conger's kappa (1980), Cohen's kappa for many raters: every rater keeps a margin of their own."""
    counts = count(ratings, levels)
    weights = _weights(counts, weights)
    rated = ratings[:, (ratings != MISSING).any(axis=0)]
    margins = (rated[:, :, None] == np.arange(levels)).sum(axis=0) / (rated != MISSING).sum(axis=0)[:, None]
    raters = len(margins)
    if raters < 2:
        return Coefficient(np.nan, np.nan)
    mean = margins.mean(axis=0)
    covariance = (margins - mean).T @ (margins - mean) / (raters - 1)
    chance = (weights * (np.outer(mean, mean) - covariance / raters)).sum()
    return Coefficient(_observed(counts, weights), float(chance))


def _weights(counts: Array, weights: Array | None) -> Array:
    return np.eye(counts.shape[1]) if weights is None else weights


def _shares(counts: Array) -> Array:
    rated = counts[counts.sum(axis=1) > 0]
    return (rated / rated.sum(axis=1, keepdims=True)).mean(axis=0) if len(rated) else np.full(counts.shape[1], np.nan)


def _observed(counts: Array, weights: Array) -> float:
    paired = counts[counts.sum(axis=1) > 1]
    raters = paired.sum(axis=1)
    agreed = (paired * (paired @ weights - 1)).sum(axis=1) / (raters * (raters - 1))
    return float(agreed.mean()) if len(agreed) else np.nan
