"""The infant's head: a ball with a painted face that turns, so that a face is seen from the front and hair from behind.

The face is painted once per session on a map of longitude and latitude (360 and 180 degrees); a frame looks up the map
at the longitudes that face the camera.
"""

from typing import Final

import cv2
import numpy as np

from attune.demo.canvas import HEAD, Canvas, Colour, Image

RADIUS: Final = (43, 46)  # half width and half height in pixels
_WIDE, _HIGH = 720, 360  # map, two pixels per degree
_WHITE: Colour = (250, 250, 250)
_DARK: Colour = (35, 28, 25)


class Head:
    """A head of one infant."""

    def __init__(self, skin: Colour, hair: Colour, tuft: float) -> None:
        self._skin, self._hair, self._tuft = skin, hair, tuft
        self._maps = [np.tile(_face(skin, hair, happy), (1, 2, 1)) for happy in (False, True)]
        rx, ry = RADIUS
        x, y = np.meshgrid((np.arange(2 * rx + 1) - rx) / rx, (np.arange(2 * ry + 1) - ry) / ry)
        radius = np.sqrt(x**2 + y**2)
        depth = np.sqrt(np.clip(1 - radius**2, 0, 1))
        latitude = np.degrees(np.arcsin(np.clip(y, -1, 1)))
        self._longitude = (np.degrees(np.arctan2(x, depth)) * 2).astype(np.float32)
        self._row = ((latitude + 90) * 2).clip(0, _HIGH - 1).astype(np.float32)
        inside = np.clip((1 - radius) * rx + 0.5, 0, 1)  # anti-aliased edge
        shade = 0.80 + 0.2 * depth
        self._shade = np.repeat((255 * shade * inside)[..., None], 3, axis=2).astype(np.uint8)
        self._around = np.repeat((255 * (1 - inside))[..., None], 3, axis=2).astype(np.uint8)

    def paint(self, canvas: Canvas, x: float, y: float, yaw_deg: float, happy: bool) -> None:
        """Paint the head with its centre near (x, y), turned by ``yaw_deg``."""
        column, line = round(x), round(y)
        self._edge(canvas, column, line, yaw_deg, front=False)
        rx, ry = RADIUS
        # The map stands twice side by side, so that half a turn from any of these columns stays inside it.
        middle = _WIDE / 4 + (_WIDE / 4 - 2 * yaw_deg) % _WIDE
        lookup = self._longitude + np.float32(middle)
        ball = cv2.remap(self._maps[happy], lookup, self._row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        patch = canvas.picture[line - ry : line + ry + 1, column - rx : column + rx + 1]
        below = cv2.multiply(patch, self._around, scale=1 / 255)
        patch[:] = cv2.add(cv2.multiply(ball, self._shade, scale=1 / 255), below)
        canvas.mark(column, line, rx, ry, HEAD)
        self._edge(canvas, column, line, yaw_deg, front=True)

    def _edge(self, canvas: Canvas, x: int, y: int, yaw_deg: float, front: bool) -> None:
        """What stands out from the ball: ears and a tuft of hair, before or behind it."""
        rx, ry = RADIUS
        for side in (-90, 90):
            angle = np.radians(yaw_deg + side)
            if (np.cos(angle) > 0.05) == front:
                width = 4 + 5 * abs(float(np.cos(angle)))
                across = x + (rx + 1) * float(np.sin(angle))
                canvas.ellipse(across, y + 6, width, 10, self._skin, evidence=HEAD)
                shade = (int(self._skin[0] * 0.75), int(self._skin[1] * 0.75), int(self._skin[2] * 0.8))
                canvas.ellipse(across, y + 6, width * 0.5, 6, shade)
        angle = np.radians(yaw_deg + 180)
        if self._tuft and (np.cos(angle) > 0) == front:
            across = x + (rx + 5) * float(np.sin(angle))
            canvas.ellipse(across, y - 0.35 * ry, self._tuft, self._tuft * 1.1, self._hair, evidence=HEAD)
            canvas.ellipse(across, y - 0.35 * ry, self._tuft * 0.35, 3, (90, 90, 230))


def _face(skin: Colour, hair: Colour, happy: bool) -> Image:
    """Paint the map; longitude 0 is its middle column, latitude grows downwards."""
    picture = Canvas(np.empty((_HIGH, _WIDE, 3), np.uint8))
    picture.picture[:] = hair
    rng = np.random.default_rng(0)
    for column in range(0, _WIDE, 7):  # strands
        tone = float(rng.uniform(0.8, 1.25))
        strand: Colour = (min(int(hair[0] * tone), 255), min(int(hair[1] * tone), 255), min(int(hair[2] * tone), 255))
        picture.line((column, 0), (column + 6, _HIGH), 3, strand)
    middle, equator = _WIDE / 2, _HIGH / 2
    picture.ellipse(middle, equator + 42, 136, 118, skin)  # face and chin
    picture.polygon(
        [(middle - 136, equator + 40), (middle + 136, equator + 40), (middle + 150, 360), (middle - 150, 360)], skin
    )
    blush = (int(skin[0] * 0.85), int(skin[1] * 0.8), min(int(skin[2] * 1.06), 255))
    lip: Colour = (70, 60, 190)
    for side in (-1, 1):
        eye = middle + side * 46
        picture.ellipse(eye + side * 14, equator + 62, 22, 16, blush)
        picture.ellipse(eye, equator + 6, 21, 24, _WHITE)
        picture.ellipse(eye, equator + 8, 13, 17, _DARK)
        picture.ellipse(eye - 4, equator + 1, 4, 5, _WHITE)
        picture.line((eye - 18, equator - 30), (eye + 18, equator - 32), 6, hair)
    picture.ellipse(middle, equator + 42, 11, 9, blush)
    if happy:
        picture.ellipse(middle, equator + 82, 34, 26, (50, 40, 120))
        picture.ellipse(middle, equator + 96, 20, 11, (110, 100, 225))
    else:
        picture.ellipse(middle, equator + 78, 28, 15, lip)
        picture.ellipse(middle, equator + 72, 30, 12, skin)
    return picture.picture
