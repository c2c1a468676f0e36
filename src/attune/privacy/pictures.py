"""Whether a picture holds a photograph.

A face cannot be told from any other photograph reliably and offline (OpenCV 5 no longer brings its cascades), so every
photograph counts: it may show a child. Charts are told from photographs by blocks of 8 x 8 pixels. Drawn ones have one
background colour, few colours or hard edges everywhere; in a photograph nearly every block has many colours, none that
prevails, and neighbours that differ little. A picture
is taken for a photograph if some square of 4 x 4 blocks is mostly of that kind, at its own size or at every second,
third, ... pixel (a frame enlarged without smoothing). ``tests/privacy/test_pictures.py`` measures it.

Limits: a photograph smaller than 32 x 32 pixels, one reduced to few grey values, or one drawn with vector shapes is
not seen; smooth two-dimensional gradients, crowds of transparent points, maps of many small cells in many colours and
shaded drawings are refused although they are none.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

BLOCK = 8  # pixels
SQUARE = 4  # blocks
STEPS = (1, 2, 3, 4, 6, 8)
MIN_COLOURS = 12  # of 64 pixels
MAX_SAME = 16  # pixels of the commonest colour
MAX_EDGE = 32  # of 255, the median difference of neighbours
SHARE = 0.75  # of the blocks of a square


def photograph(png: bytes) -> bool | None:
    """Whether a PNG file shows a photograph somewhere; None if it cannot be decoded."""
    import cv2  # takes half a second, which a check of texts should not pay

    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    return None if pixels is None else textured(pixels) >= SHARE


def textured(pixels: npt.NDArray[Any]) -> float:
    """The greatest share, over all squares and steps, of blocks as photographs have them.

    Args:
        pixels: ``(H, W, 3)``.
    """
    return max(_at(pixels[::step, ::step].astype(np.int32)) for step in STEPS)


def _at(pixels: npt.NDArray[np.int32]) -> float:
    """The share at one step."""
    rows, columns = (length // BLOCK for length in pixels.shape[:2])
    if min(rows, columns) < SQUARE:
        return 0.0
    blocks = pixels[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK, 3).swapaxes(1, 2)
    codes = blocks @ np.array([1 << 16, 1 << 8, 1], np.int32)  # one number per colour
    ordered = np.sort(codes.reshape(rows, columns, BLOCK * BLOCK), axis=-1)
    colours = 1 + (np.diff(ordered, axis=-1) != 0).sum(axis=-1)
    # A colour has more than MAX_SAME pixels if, in order, some pixel equals the one MAX_SAME places on.
    prevails = (ordered[..., MAX_SAME:] == ordered[..., :-MAX_SAME]).any(axis=-1)
    busy = (colours >= MIN_COLOURS) & ~prevails
    edges = [np.abs(np.diff(blocks[busy], axis=axis)).max(axis=-1).reshape(-1, BLOCK * (BLOCK - 1)) for axis in (1, 2)]
    busy[busy] = np.median(np.concatenate(edges, axis=-1), axis=-1) <= MAX_EDGE
    busy = np.pad(busy.astype(float), ((1, 0), (1, 0)))
    sums = busy.cumsum(axis=0).cumsum(axis=1)
    squares = sums[SQUARE:, SQUARE:] - sums[:-SQUARE, SQUARE:] - sums[SQUARE:, :-SQUARE] + sums[:-SQUARE, :-SQUARE]
    return float(squares.max()) / SQUARE**2
