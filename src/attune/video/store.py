"""The frame store: the decoded frames of a processed video in one file, and the time of each.

A store is a NumPy file, uint8 (T, H, W, 3), red, green, blue. Frame k shows what the source shows at ``k / rate``
seconds; the rate is an exact fraction, and so is every time derived from it. A video of D seconds has one frame for
each k with ``k / rate < D``.
"""

import math
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np

from attune.problems import InputError, Problem


def frame_time_ms(index: int, rate: Fraction) -> Fraction:
    """Exact time of a frame in milliseconds after the video's start."""
    return index * 1000 / Fraction(rate)


def frame_index(time_ms: int | Fraction, rate: Fraction) -> int:
    """Index of the frame that is visible at a time; the inverse of :func:`frame_time_ms`."""
    return math.floor(time_ms * Fraction(rate) / 1000)


def num_frames(duration_ms: int | Fraction, rate: Fraction) -> int:
    """Number of frames of a video: those whose time is less than its duration."""
    return math.ceil(duration_ms * Fraction(rate) / 1000)


def open_frames(path: Path) -> np.ndarray:
    """Map a frame store into memory, read-only.

    Returns:
        Frames, uint8 (T, H, W, 3), which are read from the disk as they are used.

    Raises:
        InputError: the file is missing, damaged or holds something else.
    """
    cure = "Run the stage process_videos again."
    try:
        frames = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(Problem(str(path), "", "no such file", "a frame store", cure)) from None
    except (ValueError, EOFError, OSError) as error:
        raise InputError(Problem(str(path), "", str(error), "a frame store", cure)) from None
    if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        found = f"{frames.dtype} {frames.shape}" if isinstance(frames, np.ndarray) else "an archive"
        raise InputError(Problem(str(path), "", found, "frames, uint8 (T, H, W, 3)", cure))
    return frames


def write_header(file: BinaryIO, count: int, height: int, width: int) -> int:
    """Write the head of a frame store of ``count`` frames at the file's start; its length does not depend on the count.

    Returns:
        Length of the head in bytes; the frames follow it.
    """
    file.seek(0)
    shape = (count, height, width, 3)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    file.flush()
    return file.tell()
