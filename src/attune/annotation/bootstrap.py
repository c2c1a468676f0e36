"""Intervals from a bootstrap over sessions.

Samples within a session are not independent (a span of 5 s is fifty alike samples of 100 ms), sessions are. So whole
sessions are drawn with replacement, and every statistic that is a function of summed counts is found for all draws at
once. One draw serves all groups of a report. Row 0 of every replicated array is the sample itself.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from attune.annotation.agreement import Array


@dataclass(frozen=True)
class Bootstrap:
    """Draws of sessions.

    Attributes:
        weights: how often each session counts, ``(1 + draws, sessions)``; row 0 is all ones.
        confidence: share of the draws that an interval holds, such as 0.95.
    """

    weights: Array
    confidence: float

    @classmethod
    def over(cls, sessions: int, draws: int, confidence: float, seed: int) -> Self:
        """Draw as many sessions as there are, with replacement, ``draws`` times."""
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(sessions, np.full(max(sessions, 1), 1 / max(sessions, 1)), size=draws)
        sample = np.ones((1, sessions))
        return cls(np.concatenate([sample, drawn[:, :sessions]]).astype(float), confidence)

    def sums(self, counts: Array) -> Array:
        """Sum counts per session over every draw, ``(sessions, ...)`` to ``(1 + draws, ...)``."""
        return np.tensordot(self.weights, counts, axes=1)

    def interval(self, values: Array) -> tuple[Array, Array]:
        """Percentile interval, ``(1 + draws, ...)`` to low and high ``(...)``; undefined draws are left out."""
        tail = (1 - self.confidence) / 2
        draws = values[1:]
        missing = np.isnan(draws)
        bounds = np.full((2, *values.shape[1:]), np.nan)
        complete, partial = ~missing.any(axis=0), missing.any(axis=0) & ~missing.all(axis=0)
        bounds[:, complete] = np.quantile(draws[:, complete], [tail, 1 - tail], axis=0)
        bounds[:, partial] = np.nanquantile(draws[:, partial], [tail, 1 - tail], axis=0)
        return bounds[0], bounds[1]
