"""Features of clips that stay in their files: rows are read when they are needed and not kept.

Rows are read, not mapped: what a process has mapped and touched counts as its memory, and a training touches all of
it. The system keeps what was read for as long as there is room; a row that it has costs about 5 us.
"""

import os
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from attune.problems import InputError, Problem

Integers = npt.NDArray[np.int64]


class Stored:
    """A matrix float32 (N, F) in a file, which stays open for as long as this object is there.

    Attributes:
        shape: N and F.
        dtype: float32.
    """

    dtype = np.dtype("<f4")

    def __init__(self, path: Path, offset: int, shape: tuple[int, int]) -> None:
        """Open a file whose first row begins at the byte ``offset``.

        Raises:
            OSError: the file cannot be opened.
        """
        self.shape = shape
        self._path, self._offset = path, offset
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)

    def read(self, rows: Integers, out: npt.NDArray[Any], into: Integers) -> None:
        """See :func:`read`."""
        size = self.shape[1] * self.dtype.itemsize
        places = (self._offset + rows * size).tolist()
        try:
            # Asked for all at once, rows that the system has to fetch from a disk come three times as fast.
            if hasattr(os, "posix_fadvise"):
                for place in places:
                    os.posix_fadvise(self._file, place, size, os.POSIX_FADV_WILLNEED)
            for place, row in zip(places, into.tolist(), strict=True):
                if (found := os.preadv(self._file, [out[row]], place)) != size:
                    raise OSError(f"{found} of {size} bytes at {place}")
        except OSError as error:
            expected, cure = f"features of {self.shape[0]} clips", "Run the stage bake again."
            raise InputError(Problem(str(self._path), "features", str(error), expected, cure)) from None


@dataclass(frozen=True)
class Joined:
    """The rows of matrices of the same F, one after the other.

    Attributes:
        parts: at least one.
    """

    parts: tuple["Features", ...]

    @property
    def shape(self) -> tuple[int, int]:
        """N and F."""
        return sum(part.shape[0] for part in self.parts), self.parts[0].shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the first part."""
        return self.parts[0].dtype

    def read(self, rows: Integers, out: npt.NDArray[Any], into: Integers) -> None:
        """See :func:`read`."""
        first = 0
        for part in self.parts:
            last = first + part.shape[0]
            here = np.flatnonzero((first <= rows) & (rows < last))
            if len(here):
                read(part, rows[here] - first, out, into[here])
            first = last


Features = npt.NDArray[Any] | Stored | Joined


def read(features: Features, rows: Integers, out: npt.NDArray[Any], into: Integers) -> None:
    """Copy rows of features, from wherever they are; several threads may do so.

    Args:
        features: ``(N, F)``.
        rows: which, ``(n,)``.
        out: of their type, with F columns that follow each other in memory; other rows stay as they are.
        into: the row of ``out`` for each of them, ``(n,)``.

    Raises:
        InputError: a file ends too early or cannot be read.
    """
    if isinstance(features, np.ndarray):
        out[into] = features[rows]
    else:
        features.read(rows, out, into)
