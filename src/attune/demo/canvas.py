"""A picture and its evidence mask, painted together.

Coordinates are (x, y) in pixels of the full picture, y downwards, fractions allowed. The mask has half the picture's
width and height and holds 0 for nothing, 1 for head and 2 for hands; shapes without a class leave it as it is,
shapes of class 0 hide what is below them.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

HEAD, HANDS, NOTHING = 1, 2, 0
MASK_SCALE = 2
_SHIFT = 4
_FIXED = 1 << _SHIFT  # OpenCV takes fractions of a pixel as fixed-point numbers

Colour = tuple[int, int, int]
Image = NDArray[np.uint8]


def _fixed(x: float, y: float) -> tuple[int, int]:
    return round(x * _FIXED), round(y * _FIXED)


def _half(x: float, y: float) -> tuple[int, int]:
    """Where a pixel's centre lies in the mask."""
    return _fixed((x + 0.5) / MASK_SCALE - 0.5, (y + 0.5) / MASK_SCALE - 0.5)


class Canvas:
    """What one frame is painted on.

    Attributes:
        picture: (height, width, 3) uint8, blue, green and red.
        mask: (height / 2, width / 2) uint8.
    """

    def __init__(self, picture: Image) -> None:
        self.picture = picture
        self.mask: Image = np.zeros((picture.shape[0] // MASK_SCALE, picture.shape[1] // MASK_SCALE), np.uint8)

    def ellipse(
        self, x: float, y: float, rx: float, ry: float, colour: Colour, angle: float = 0, evidence: int | None = None
    ) -> None:
        """Fill an ellipse with half axes ``rx`` and ``ry``, turned clockwise by ``angle`` degrees."""
        where, axes = _fixed(x, y), _fixed(rx, ry)
        cv2.ellipse(self.picture, where, axes, angle, 0, 360, colour, -1, cv2.LINE_AA, _SHIFT)
        if evidence is not None:
            self.mark(x, y, rx, ry, evidence, angle)

    def mark(self, x: float, y: float, rx: float, ry: float, evidence: int, angle: float = 0) -> None:
        """Fill an ellipse of the mask alone."""
        axes = _fixed(rx / MASK_SCALE, ry / MASK_SCALE)
        cv2.ellipse(self.mask, _half(x, y), axes, angle, 0, 360, evidence, -1, cv2.LINE_8, _SHIFT)

    def polygon(self, points: Sequence[tuple[float, float]], colour: Colour, evidence: int | None = None) -> None:
        """Fill a polygon."""
        corners = np.rint(np.asarray(points) * _FIXED).astype(np.int32)
        cv2.fillPoly(self.picture, [corners], colour, cv2.LINE_AA, _SHIFT)
        if evidence is not None:
            corners = np.rint(((np.asarray(points) + 0.5) / MASK_SCALE - 0.5) * _FIXED).astype(np.int32)
            cv2.fillPoly(self.mask, [corners], evidence, cv2.LINE_8, _SHIFT)

    def line(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        width: int,
        colour: Colour,
        evidence: int | None = None,
    ) -> None:
        """Draw a line with round ends."""
        cv2.line(self.picture, _fixed(*start), _fixed(*end), colour, width, cv2.LINE_AA, _SHIFT)
        if evidence is not None:
            thickness = max(width // MASK_SCALE, 1)
            cv2.line(self.mask, _half(*start), _half(*end), evidence, thickness, cv2.LINE_8, _SHIFT)
