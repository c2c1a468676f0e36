"""Intervals from a bootstrap over sessions.

Samples within a session are not independent (a span of 5 s is fifty alike samples of 100 ms), sessions are. So whole
sessions are drawn with replacement, and every statistic that is a function of summed counts is found for all draws at
once. One draw serves all groups of a report. Row 0 of every replicated array is the sample itself.

Draws are made some at a time, and summing the counts of all groups at once (:meth:`Bootstrap.sums_of`) forgets them:
thousands of draws of thousands of sessions would be the largest array of a report.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from attune.annotation.agreement import Array
from attune.annotation.counts import Counts

BLOCK = 128  # draws at a time, at most
BLOCK_BYTES = 8 << 20  # of draws at a time: with many sessions fewer
Weights = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Bootstrap:
    """Draws of sessions; those of one seed are always the same.

    Attributes:
        sessions: number of sessions, which are drawn with replacement, as many as there are.
        draws: how many times.
        confidence: share of the draws that an interval holds, such as 0.95.
        seed: of the draws.
    """

    sessions: int
    draws: int
    confidence: float
    seed: int

    @classmethod
    def over(cls, sessions: int, draws: int, confidence: float, seed: int) -> Self:
        """Draw as many sessions as there are, with replacement, ``draws`` times."""
        return cls(sessions, draws, confidence, seed)

    @cached_property
    def weights(self) -> Weights:
        """How often each session counts, ``(1 + draws, sessions)``; row 0 is all ones. For few sessions: it is kept."""
        weights = np.empty((1 + self.draws, self.sessions), dtype=np.uint16)
        for rows, block in self._drawn():
            weights[rows] = block
        return weights

    def sums_of(self, counted: Sequence[Counts]) -> list[Array]:
        """As :meth:`sums` for several counts of the same sessions, of which no draw is kept."""
        sums = [np.zeros((1 + self.draws, *counts.shape)) for counts in counted]
        for rows, weights in self._drawn():
            for counts, total in zip(counted, sums, strict=True):
                first = 0
                for part in counts.parts():
                    block = weights[:, first : first + len(part)].astype(float)
                    total[rows] += np.tensordot(block, part, axes=1)
                    first += len(part)
        return sums

    def _drawn(self) -> Iterator[tuple[slice, Weights]]:
        """Blocks of the rows of ``weights``; the generator goes on where it was: their size changes nothing."""
        yield slice(0, 1), np.ones((1, self.sessions), dtype=np.uint16)
        rng = np.random.default_rng(self.seed)
        share = np.full(max(self.sessions, 1), 1 / max(self.sessions, 1))
        for rows in _blocks(1, 1 + self.draws, max(1, min(BLOCK, BLOCK_BYTES // share.nbytes))):
            drawn = rng.multinomial(self.sessions, share, size=rows.stop - rows.start)
            yield rows, drawn[:, : self.sessions].astype(np.uint16)

    def sums(self, counts: Array) -> Array:
        """Sum counts per session over every draw, ``(sessions, ...)`` to ``(1 + draws, ...)``."""
        sums = np.empty((len(self.weights), *counts.shape[1:]))
        for block in _blocks(0, len(sums), BLOCK):
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


def _blocks(start: int, stop: int, size: int) -> Iterator[slice]:
    for first in range(start, stop, size):
        yield slice(first, min(first + size, stop))
