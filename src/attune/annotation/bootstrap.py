"""Intervals from a bootstrap over sessions.

Samples within a session are not independent (a span of 5 s is fifty alike samples of 100 ms), sessions are. So whole
sessions are drawn with replacement, and every statistic that is a function of summed counts is found for all draws at
once. One draw serves all groups of a report. Row 0 of every replicated array is the sample itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from attune.annotation.agreement import Array

BLOCK = 128  # draws at a time


@dataclass(frozen=True)
class Bootstrap:
    """Draws of sessions.

    Attributes:
        weights: how often each session counts, ``(1 + draws, sessions)``; row 0 is all ones. Two bytes each, since
            thousands of draws of thousands of sessions are the largest array of a report.
        confidence: share of the draws that an interval holds, such as 0.95.
    """

    weights: npt.NDArray[np.uint16]
    confidence: float

    @classmethod
    def over(cls, sessions: int, draws: int, confidence: float, seed: int) -> Self:
        """Draw as many sessions as there are, with replacement, ``draws`` times."""
        rng = np.random.default_rng(seed)
        share = np.full(max(sessions, 1), 1 / max(sessions, 1))
        weights = np.ones((1 + draws, sessions), dtype=np.uint16)
        for block in _blocks(1, 1 + draws):  # the generator goes on where it was: the size of a block changes nothing
            weights[block] = rng.multinomial(sessions, share, size=block.stop - block.start)[:, :sessions]
        return cls(weights, confidence)

    def sums(self, counts: Array) -> Array:
        """Sum counts per session over every draw, ``(sessions, ...)`` to ``(1 + draws, ...)``."""
        sums = np.empty((len(self.weights), *counts.shape[1:]))
        for block in _blocks(0, len(sums)):
            sums[block] = np.tensordot(self.weights[block].astype(float), counts, axes=1)
        return sums

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


def _blocks(start: int, stop: int) -> Iterator[slice]:
    for first in range(start, stop, BLOCK):
        yield slice(first, min(first + BLOCK, stop))
