"""Counts of many sessions that are kept small: the bootstrap needs each session's for itself.

Most cells of the tables that are counted are 0 and the others are small whole numbers, so blocks of sessions are kept
in the smallest type that holds them and compressed: some hundred bytes a session instead of ten thousand.
"""

import zlib
from collections.abc import Iterator
from typing import Self

import numpy as np
import numpy.typing as npt

from attune.annotation.agreement import Array

BLOCK = 128  # sessions
_FAST = 1  # level of compression


class Counts:
    """Counts per session, ``(S, *shape)``, in the order in which they are added; they may be fractions."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self._last: list[Array] = []
        self._blocks: list[tuple[npt.DTypeLike, bytes]] = []

    @classmethod
    def of(cls, counts: Array) -> Self:
        """Counts of an array ``(S, *shape)``."""
        kept = cls(counts.shape[1:])
        for each in counts:
            kept.add(each)
        return kept

    def add(self, counts: Array) -> None:
        """Add a session's, of this shape."""
        self._last.append(counts)
        if len(self._last) == BLOCK:
            self._blocks.append(_packed(np.stack(self._last)))
            self._last = []

    def parts(self) -> Iterator[Array]:
        """The counts of some sessions at a time, equally many of all counts with as many sessions, ``(n, *shape)``."""
        for kind, packed in self._blocks:
            yield np.frombuffer(zlib.decompress(packed), dtype=kind).reshape(-1, *self.shape).astype(float)
        if self._last:
            yield np.stack(self._last).astype(float)


def _packed(counts: Array) -> tuple[npt.DTypeLike, bytes]:
    whole = bool(((counts >= 0) & (counts == np.floor(counts))).all())
    kind = np.min_scalar_type(int(counts.max(initial=0))) if whole else np.dtype(np.float64)
    return kind, zlib.compress(counts.astype(kind).tobytes(), _FAST)
