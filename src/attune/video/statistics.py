"""Pixel statistics of the frame store, per colour channel, in the units 0 (black) to 1.

They come from histograms, which are whole numbers: the result depends neither on the order of the sessions nor on how
a file is divided into chunks.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from attune.problems import InputError, Problem

CHANNELS = 3
LEVELS = 256
CHUNK_PIXELS = 1 << 22  # below 2**24, up to which OpenCV's float32 histograms count exactly


@dataclass(frozen=True)
class PixelStatistics:
    """Mean and standard deviation (of the population) of each channel over ``count`` pixels."""

    count: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def pixel_histograms(paths: Iterable[Path]) -> dict[Path, npt.NDArray[np.int64]]:
    """Count the pixels of every file at each of the 256 levels of each channel: path to (3, 256).

    Raises:
        InputError: a file is no frame store; all such files are listed.
    """
    found, problems = {}, []
    for path in paths:
        try:
            found[path] = _histogram(_open_frames(path))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return found


def summarise(histogram: npt.NDArray[np.int64]) -> PixelStatistics:
    """Mean and standard deviation of a histogram (3, 256) that holds at least one pixel."""
    levels = range(LEVELS)
    count = int(histogram[0].sum())
    sums = [sum(level * int(channel[level]) for level in levels) for channel in histogram]
    squares = [sum(level**2 * int(channel[level]) for level in levels) for channel in histogram]
    white = LEVELS - 1
    variances = [
        (count * square - total**2) / (count * white) ** 2 for total, square in zip(sums, squares, strict=True)
    ]
    return PixelStatistics(
        count, tuple(total / (count * white) for total in sums), tuple(variance**0.5 for variance in variances)
    )


def _histogram(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    rows = frames.reshape(-1, *frames.shape[2:])  # (T * H, W, 3): an image as far as OpenCV is concerned
    step = max(1, CHUNK_PIXELS // frames.shape[2])
    total = np.zeros((CHANNELS, LEVELS), dtype=np.int64)
    for start in range(0, len(rows), step):
        chunk = np.ascontiguousarray(rows[start : start + step])
        for channel in range(CHANNELS):
            counts = cv2.calcHist([chunk], [channel], None, [LEVELS], [0, LEVELS])
            total[channel] += counts[:, 0].astype(np.int64)
    return total


def _open_frames(path: Path) -> npt.NDArray[np.uint8]:
    try:
        frames = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise InputError(_broken(path, str(error))) from None
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != CHANNELS or not frames.size:
        raise InputError(_broken(path, f"{frames.dtype} {frames.shape}"))
    return frames


def _broken(path: Path, found: str) -> Problem:
    cure = "Delete the file and run `dvc repro` again."
    return Problem(str(path), "", found, f"frames, uint8 (T, H, W, {CHANNELS})", cure)
