"""Pixel statistics of the frame store, per colour channel, in the units 0 (black) to 1.

They come from histograms, which are whole numbers: the result depends neither on the order of the sessions nor on how
a file is divided into chunks.
"""

import unicodedata
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from attune.problems import InputError, Problem
from attune.video.store import open_frames

Group = TypeVar("Group", bound=Hashable)
CHANNELS = 3
LEVELS = 256
WHITE = LEVELS - 1
DIGITS = 9
CHUNK_PIXELS = 1 << 22  # below 2**24, up to which OpenCV's float32 histograms count exactly


@dataclass(frozen=True)
class PixelStatistics:
    """Mean and standard deviation (of the population) of each channel over ``count`` pixels."""

    count: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def find_stores(folder: Path) -> dict[str, Path]:
    """The frame stores of a folder by session (in Unicode form NFC, as annotations name them), sorted.

    Raises:
        InputError: there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(
            Problem(str(folder), "", "no such folder", "a folder of frame stores", "Run the stage process_videos.")
        )
    return {unicodedata.normalize("NFC", path.stem): path for path in sorted(folder.glob("*.npy"))}


def pixel_histograms(groups: Mapping[Group, Iterable[Path]]) -> dict[Group, npt.NDArray[np.int64]]:
    """Count the pixels of the files of every group at each of the 256 levels of each channel: group to (3, 256).

    Raises:
        InputError: a file is no frame store; all such files are listed.
    """
    found, problems = {}, []
    for group, paths in groups.items():
        found[group] = np.zeros((CHANNELS, LEVELS), dtype=np.int64)
        for path in paths:
            try:
                found[group] += _histogram(_frames(path))
            except InputError as error:
                problems += error.problems
    if problems:
        raise InputError(problems)
    return found


def pool(histograms: Iterable[npt.NDArray[np.int64]]) -> PixelStatistics:
    """Mean and standard deviation over all pixels of histograms (3, 256); there is at least one pixel."""
    # Whole numbers of Python have no limit: the squares over a corpus outgrow 64 bits.
    total: list[list[int]] = np.sum(list(histograms), axis=0).tolist()
    count = sum(total[0])
    sums = [sum(level * number for level, number in enumerate(channel)) for channel in total]
    squares = [sum(level**2 * number for level, number in enumerate(channel)) for channel in total]
    variances = [count * square - mean**2 for mean, square in zip(sums, squares, strict=True)]
    red, green, blue = (round(mean / (count * WHITE), DIGITS) for mean in sums)
    red_std, green_std, blue_std = (round(variance**0.5 / (count * WHITE), DIGITS) for variance in variances)
    return PixelStatistics(count, (red, green, blue), (red_std, green_std, blue_std))


def _histogram(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    rows = frames.reshape(-1, *frames.shape[2:])  # (T * H, W, 3): an image as far as OpenCV is concerned
    step = max(1, CHUNK_PIXELS // frames.shape[2])
    total = np.zeros((CHANNELS, LEVELS), dtype=np.int64)
    for start in range(0, len(rows), step):
        chunk = np.ascontiguousarray(rows[start : start + step])
        for channel in range(CHANNELS):
            counts = cv2.calcHist([chunk], [channel], None, [LEVELS], [0, LEVELS])
            total[channel] += counts.ravel().astype(np.int64)
    return total


def _frames(path: Path) -> npt.NDArray[np.uint8]:
    frames = open_frames(path)
    if not frames.size:
        raise InputError(
            Problem(str(path), "", f"shape {frames.shape}", "at least one frame", "Run the stage process_videos again.")
        )
    return frames
