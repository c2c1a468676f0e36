"""Attention maps on one common grid, so that people's and machines' can be compared.

A map is (T, H, W), non-negative; pixel (row i, column j) covers ``[j, j + 1) x [i, i + 1)`` and counts at its centre.
People paint on the whole processed frame, a model sees a part of it: :func:`to_view` cuts that part out of a painted
map, :func:`to_grid` brings either map to the same few cells, :func:`normalise` makes it sum to 1.

The published study brings 160 pixels to 32 cells by a Gaussian of sigma 5 pixels at every fifth pixel, and enlarges
smaller maps by bicubic interpolation. Both are linear in each direction, so here each is one matrix per direction. For
a map of another size L the Gaussian keeps its width in cells: sigma = stride = L / size pixels, at the centres of the
cells; cut off at 4 sigma, and at the border divided by the weight that lies inside, so that even stays even.
"""

from functools import cache
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from attune.problems import InputError, Problem

Array = npt.NDArray[np.float64]
Rule = Literal["absolute", "positive"]

SIZE = 32
SIGMA = 1.0  # of the downsampling Gaussian, in cells: 5 pixels at a stride of 5
TRUNCATE = 4.0  # reach of the Gaussian, in sigmas
DIGITS = 7  # of a map's peak; finer differences are rounding, which would break ties between equal cells
CENTRE_SIGMA = 0.25  # of the centre prior, in sides of the map


def to_grid(maps: npt.ArrayLike, size: int = SIZE) -> Array:
    """Bring maps to ``size`` x ``size`` cells.

    Args:
        maps: (T, H, W), non-negative.
        size: cells in each direction. A direction with more pixels is smoothed and thinned out, one with fewer is
            enlarged (bicubic, below zero cut off), one with as many stays.

    Returns:
        (T, size, size). An even map stays even; the sum is not kept, see :func:`normalise`.

    Raises:
        ValueError: the array is not such a map.
    """
    pixels = checked(maps)
    rows, columns = _weights(pixels.shape[1], size), _weights(pixels.shape[2], size)
    cells = np.clip(rows @ pixels @ columns.T, 0, None)
    peak = cells.max(initial=0.0)
    return np.round(cells / peak, DIGITS) * peak if peak > 0 else cells


def normalise(maps: npt.ArrayLike) -> Array:
    """Divide a map by its sum over all frames; an empty map stays empty."""
    values = np.asarray(maps, dtype=np.float64)
    peak = values.max(initial=0.0)
    if peak <= 0:
        return np.zeros_like(values)
    scaled = values / peak  # neither very small nor very large values overflow in the sum
    return scaled / scaled.sum()


def rectify(attribution: npt.ArrayLike, rule: Rule) -> Array:
    """Make a signed attribution a map: its ``absolute`` value, or its ``positive`` part."""
    values = np.asarray(attribution, dtype=np.float64)
    return np.abs(values) if rule == "absolute" else np.clip(values, 0, None)


def to_view(maps: npt.ArrayLike, view: Literal["square", "crop"], size: int) -> Array:
    """Cut out of maps on the whole frame what an evaluation shows the model of it.

    Args:
        maps: (T, H, W) on the processed frame.
        view: as in :func:`attune.video.transforms.evaluate`: ``square``, the largest central square, or ``crop``, the
            central ``size`` x ``size`` pixels.
        size: the model's input size.

    Returns:
        (T, side, side), a view on the input, in pixels of the frame: nothing is resized.

    Raises:
        InputError: the frame is smaller than the crop.
    """
    pixels = np.asarray(maps, dtype=np.float64)
    height, width = pixels.shape[1:]
    top, left, side = view_box(height, width, view, size)
    return pixels[:, top : top + side, left : left + side]


def view_box(height: int, width: int, view: Literal["square", "crop"], size: int) -> tuple[int, int, int]:
    """Top, left and side of the square that an evaluation takes of a frame, in pixels.

    Raises:
        InputError: the frame is smaller than the crop.
    """
    side = size if view == "crop" else min(height, width)
    if side > min(height, width):
        expected = f"at least {size} x {size} pixels for the view 'crop'"
        cure = "Paint on the frames of the video as it is processed, or take the view 'square'."
        raise InputError(Problem("attention map", "", f"{height} x {width} pixels", expected, cure))
    return (height - side) // 2, (width - side) // 2, side


def centre_prior(shape: tuple[int, int, int], sigma: float = CENTRE_SIGMA) -> Array:
    """The map of someone who always looks at the centre: a Gaussian, the same in every frame, with sum 1.

    Args:
        shape: (T, H, W).
        sigma: width of the Gaussian in sides of the map.
    """
    bells = []
    for length in shape[1:]:
        places = (np.arange(length) + 0.5) / length - 0.5
        bells.append(np.exp(-(places**2) / (2 * sigma**2)))
    return normalise(np.broadcast_to(bells[0][:, None] * bells[1], shape))


def random_map(shape: tuple[int, int, int], seed: int = 0) -> Array:
    """Evenly distributed noise, (T, H, W), with sum 1; the same for the same seed."""
    return normalise(np.random.default_rng(seed).random(shape))


def checked(maps: npt.ArrayLike) -> Array:
    """A map as floats.

    Raises:
        ValueError: it is not (T, H, W) with at least one pixel, or holds a negative, infinite or undefined value.
    """
    values = np.asarray(maps, dtype=np.float64)
    if values.ndim != 3 or not values.size:
        raise ValueError(f"a map must be (T, H, W), this is {values.shape}")
    if not np.isfinite(values).all() or values.min() < 0:
        raise ValueError("a map must not hold negative, infinite or undefined values")
    return values


@cache
def _weights(length: int, size: int) -> Array:
    """What each pixel contributes to each cell of one direction, (size, length)."""
    if length > size:
        stride = length / size
        centres = (np.arange(size)[:, None] + 0.5) * stride
        away = (np.arange(length) + 0.5 - centres) / (SIGMA * stride)
        weights = np.exp(-(away**2) / 2) * (np.abs(away) <= TRUNCATE)
    else:  # OpenCV resizes the unit vectors: bicubic with a = -0.75, beyond the border the edge goes on
        weights = cv2.resize(np.eye(length), (length, size), interpolation=cv2.INTER_CUBIC)
    weights = weights.reshape(size, length)
    return weights / weights.sum(axis=1, keepdims=True)
