"""The picture: a room, a partner on the right, an infant at the table who turns, plays and bounces.

Shapes are placed on a canvas that is wider than the picture by the camera's reach on every side; the picture is cut out
of it at the camera's position. Head and hands of the infant always lie within ``EVIDENCE_REGION`` of the picture.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from attune.demo.canvas import HANDS, MASK_SCALE, NOTHING, Canvas, Colour, Image
from attune.demo.head import Head
from attune.demo.motion import SHAKE, Motion

WIDTH: Final = 384
HEIGHT: Final = 288
EVIDENCE_REGION: Final = (95, 45, 290, 243)  # left, top, right, bottom
_MARGIN = SHAKE
_HEAD_AT = (196, 114)
_TABLE_AT = 208
_RESTING_AT = ((173, 226), (219, 226))
_PLAYING_AT = ((138, 204), (254, 204))
_PARTNER_HANDS_AT = ((312, 218), (344, 234))
_STROKES = ((0.0, -1.0), (0.12, -0.97), (0.05, -1.0))  # a hand's stroke, inwards and down, per task
_OUTLINE: Colour = (60, 55, 60)

SKINS: tuple[Colour, ...] = ((180, 205, 245), (160, 188, 232), (130, 165, 212), (95, 130, 180), (70, 98, 145))
HAIRS: tuple[Colour, ...] = ((30, 30, 34), (28, 42, 66), (40, 60, 96), (34, 52, 120), (52, 84, 118))
CLOTHES: tuple[Colour, ...] = (
    (180, 120, 70),
    (90, 150, 90),
    (85, 90, 185),
    (160, 105, 150),
    (145, 155, 80),
    (125, 125, 135),
)
WALLS: tuple[Colour, ...] = ((207, 213, 220), (215, 210, 203), (203, 214, 208), (209, 207, 218))
TABLES: tuple[Colour, ...] = ((125, 165, 200), (110, 145, 180), (150, 175, 198))
# The experimenters: skin, hair, clothes.
EXPERIMENTERS: tuple[tuple[Colour, Colour, Colour], ...] = (
    ((165, 190, 235), (36, 44, 70), (150, 90, 70)),
    ((140, 172, 218), (60, 120, 180), (95, 160, 105)),
)


@dataclass(frozen=True)
class Look:
    """What a session looks like; none of it tells anything about engagement.

    Attributes:
        skin: colour of the infant's skin; the others likewise.
        tuft: radius of the bun at the back of the infant's head, 0 for none.
        experimenter: 0 or 1.
        grain: strength of the camera's noise.
    """

    skin: Colour
    hair: Colour
    clothes: Colour
    tuft: float
    wall: Colour
    table: Colour
    passer: Colour
    experimenter: int
    grain: float


def draw_look(experimenter: int, rng: np.random.Generator) -> Look:
    """Choose colours at random."""

    def choose(colours: tuple[Colour, ...]) -> Colour:
        return colours[int(rng.integers(len(colours)))]

    return Look(
        skin=choose(SKINS[:4]),
        hair=choose(HAIRS),
        clothes=choose(CLOTHES),
        tuft=float(rng.choice([0, 11, 15])),
        wall=choose(WALLS),
        table=choose(TABLES),
        passer=choose(CLOTHES),
        experimenter=experimenter,
        grain=float(rng.uniform(0.5, 1.6)),
    )


def _lifted(start: tuple[float, float], task: int, lift: float, inward: int) -> tuple[float, float]:
    """Where a hand is whose stroke from ``start`` has come to ``lift`` pixels."""
    across, down = _STROKES[task]
    return start[0] + inward * across * lift, start[1] + down * lift


def _shade(colour: Colour, factor: float) -> Colour:
    blue, green, red = (min(int(channel * factor), 255) for channel in colour)
    return blue, green, red


class Scene:
    """One session's room and people; :meth:`paint` gives its frames."""

    def __init__(self, look: Look, motion: Motion, rng: np.random.Generator) -> None:
        self._look, self._motion = look, motion
        self._room = _room(look, rng)
        self._furnished = [self._room.copy() for _ in _STROKES]
        for task, picture in enumerate(self._furnished):
            self._furnish(Canvas(picture), task)
        self._buffer = self._room.copy()  # painted over by every frame; new memory for each would take longer
        self._head = Head(look.skin, look.hair, look.tuft)
        noise = rng.normal(0, look.grain, (4, HEIGHT, WIDTH))
        self._noise = np.clip(np.rint(noise), -127, 127).astype(np.int8)

    def paint(self, frame: int) -> tuple[Image, Image]:
        """Paint one frame.

        Returns:
            The picture as I420 planes, (HEIGHT * 3 / 2, WIDTH) uint8, and the mask,
            (HEIGHT / MASK_SCALE, WIDTH / MASK_SCALE) uint8.
        """
        motion = self._motion
        task, rise = int(motion.task[frame]) % len(_STROKES), float(motion.bounce[frame])
        canvas = Canvas(self._buffer)
        if np.isnan(motion.adult[frame]):
            np.copyto(self._buffer, self._furnished[task])
        else:  # the adult passes behind all that is furnished
            np.copyto(self._buffer, self._room)
            self._passer(canvas, float(motion.adult[frame]))
            self._furnish(canvas, task)
        self._torso(canvas, rise)
        self._head.paint(
            canvas, _HEAD_AT[0], _HEAD_AT[1] - rise, float(motion.yaw_deg[frame]), bool(motion.excited[frame])
        )
        self._partner_hands(canvas, frame, task)
        self._hands(canvas, frame, task)
        if not np.isnan(motion.occluder[frame]):
            self._occluder(canvas, float(motion.occluder[frame]))
        return self._expose(canvas, frame)

    def _expose(self, canvas: Canvas, frame: int) -> tuple[Image, Image]:
        """Cut out what the camera sees and add light and noise."""
        left, top = (_MARGIN + int(shift) for shift in self._motion.shake[frame])
        picture = canvas.picture[top : top + HEIGHT, left : left + WIDTH]
        planes = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420), np.uint8)
        gain, warmth = self._motion.light[frame]
        bright, blue, red = planes[:HEIGHT], planes[HEIGHT : HEIGHT * 5 // 4], planes[HEIGHT * 5 // 4 :]
        lit = cv2.convertScaleAbs(bright, alpha=gain)
        cv2.add(lit, self._noise[frame % len(self._noise)], dst=bright, dtype=cv2.CV_8U)
        for plane, shift in ((blue, -warmth), (red, warmth)):
            cv2.convertScaleAbs(plane, dst=plane, alpha=gain, beta=128 * (1 - gain) + shift)
        left, top = left // MASK_SCALE, top // MASK_SCALE
        return planes, canvas.mask[top : top + HEIGHT // MASK_SCALE, left : left + WIDTH // MASK_SCALE]

    def _passer(self, canvas: Canvas, x: float) -> None:
        look = self._look
        canvas.ellipse(x, 150, 34, 82, _shade(look.passer, 0.85))
        canvas.ellipse(x, 52, 19, 24, _shade(SKINS[2], 0.9))
        canvas.ellipse(x, 40, 21, 16, _shade(HAIRS[1], 1.2))

    def _torso(self, canvas: Canvas, rise: float) -> None:
        canvas = Canvas(canvas.picture[:_TABLE_AT])  # the table hides the rest
        x, y = _HEAD_AT
        canvas.ellipse(x, y + 92 - rise, 46, 56, _shade(self._look.clothes, 0.75))
        canvas.ellipse(x, y + 94 - rise, 43, 54, self._look.clothes)
        canvas.ellipse(x, y + 50 - rise, 22, 12, (240, 240, 245))  # collar

    def _furnish(self, canvas: Canvas, task: int) -> None:
        """Add the table with the task's toys and the partner's body."""
        right, bottom = canvas.picture.shape[1], canvas.picture.shape[0]
        canvas.polygon([(30, _TABLE_AT), (right, _TABLE_AT), (right, bottom), (0, bottom)], self._look.table)
        canvas.line((30, _TABLE_AT + 1), (right, _TABLE_AT + 1), 3, _shade(self._look.table, 1.15))
        if task == 0:  # a house of blocks for the people
            canvas.polygon([(176, 240), (216, 240), (216, 270), (176, 270)], (80, 170, 220))
            canvas.polygon([(170, 242), (196, 222), (222, 242)], (70, 70, 200))
        elif task == 1:  # a basket for the eggs
            canvas.ellipse(196, 252, 38, 15, (70, 110, 160))
            canvas.ellipse(196, 248, 31, 9, (45, 75, 115))
            for shift, colour in ((-14, (90, 200, 240)), (2, (200, 150, 90)), (16, (120, 120, 235))):
                canvas.ellipse(196 + shift, 246, 9, 8, colour)
        else:  # two drums
            for x, wide in ((196, 44), (300, 30)):
                canvas.polygon(
                    [(x - wide, 250), (x + wide, 250), (x + wide - 4, 280), (x - wide + 4, 280)], (60, 60, 200)
                )
                canvas.ellipse(x, 250, wide, 12, (225, 235, 240))
                canvas.ellipse(x, 250, wide - 5, 9, (200, 215, 225))

        skin, hair, clothes = EXPERIMENTERS[self._look.experimenter]
        canvas.ellipse(384, 232, 62, 108, clothes)
        canvas.ellipse(366, 84, 36, 44, hair)
        canvas.ellipse(352, 92, 28, 38, skin)
        canvas.ellipse(324, 98, 7, 5, skin)  # nose
        canvas.ellipse(338, 84, 4, 5, _OUTLINE)
        canvas.line((330, 112), (342, 114), 3, (80, 70, 180))
        canvas.ellipse(368, 58, 30, 18, hair)

    def _partner_hands(self, canvas: Canvas, frame: int, task: int) -> None:
        skin, _, clothes = EXPERIMENTERS[self._look.experimenter]
        reach = float(self._motion.reach[frame])
        for side in (1, 0):
            lift = reach * float(self._motion.partner_hands[frame, side])
            x, y = _lifted(_PARTNER_HANDS_AT[side], task, lift, -1)
            self._toy(canvas, task, x, y, -1, None)
            canvas.line((366, 190), (x + 14, y + 4), 22, _shade(clothes, 0.85 + 0.15 * side))
            canvas.ellipse(x, y, 13, 11, skin)

    def _hands(self, canvas: Canvas, frame: int, task: int) -> None:
        motion = self._motion
        reach, rise, ready = (float(curve[frame]) for curve in (motion.reach, motion.bounce, motion.ready))
        for side, outward in ((0, -1), (1, 1)):
            (x, y), (there_x, there_y) = _RESTING_AT[side], _PLAYING_AT[side]
            start = (x + ready * (there_x - x), y + ready * (there_y - y))
            hand = _lifted(start, task, reach * float(motion.hands[frame, side]), -outward)
            shoulder = (_HEAD_AT[0] + outward * 32, _HEAD_AT[1] + 64 - rise)
            elbow = (_HEAD_AT[0] + outward * (52 + 8 * ready), max(200.0, hand[1] + 14) - 0.3 * rise)
            sleeve = _shade(self._look.clothes, 0.88)
            canvas.line(shoulder, elbow, 21, sleeve)
            canvas.line(elbow, hand, 18, sleeve)
            self._toy(canvas, task, *hand, -outward, HANDS)
            canvas.ellipse(*hand, 15, 14, _shade(self._look.skin, 0.8), evidence=HANDS)
            canvas.ellipse(hand[0], hand[1] - 1, 13, 12, self._look.skin)

    def _toy(self, canvas: Canvas, task: int, x: float, y: float, inward: int, evidence: int | None) -> None:
        """What a hand holds: a toy person, an egg or a drumstick."""
        if task == 0:
            canvas.ellipse(x, y - 14, 14, 17, (30, 190, 250), evidence=evidence)
            canvas.ellipse(x, y - 34, 12, 12, (170, 200, 240), evidence=evidence)
            canvas.ellipse(x, y - 40, 13, 8, (40, 50, 190), evidence=evidence)
        elif task == 1:
            canvas.ellipse(x + inward * 5, y - 15, 13, 17, (190, 90, 235), angle=20 * inward, evidence=evidence)
            canvas.ellipse(x + inward * 2, y - 21, 4, 5, (235, 200, 245))
        else:
            canvas.line((x, y), (x + inward * 33, y - 6), 6, (90, 150, 200), evidence=evidence)
            canvas.ellipse(x + inward * 33, y - 6, 9, 9, (50, 60, 210), evidence=evidence)

    def _occluder(self, canvas: Canvas, x: float) -> None:
        colour = _shade(EXPERIMENTERS[1 - self._look.experimenter][2], 0.6)
        canvas.ellipse(196 + x, 190, 205, 190, colour, evidence=NOTHING)
        canvas.ellipse(196 + x, 60, 90, 80, _shade(HAIRS[1], 0.9), evidence=NOTHING)


def _room(look: Look, rng: np.random.Generator) -> Image:
    """Paint what never moves: wall, window, picture, shelf and floor, out of focus."""
    height, width = HEIGHT + 2 * _MARGIN, WIDTH + 2 * _MARGIN
    fade = np.linspace(1.05, 0.85, height)[:, None, None]
    canvas = Canvas(np.clip(np.array(look.wall) * fade * np.ones((1, width, 1)), 0, 255).astype(np.uint8))
    canvas.polygon([(0, 196), (width, 196), (width, height), (0, height)], _shade(look.wall, 0.62))
    x = float(rng.integers(10, 50))
    canvas.polygon([(x, 22), (x + 78, 22), (x + 78, 116), (x, 116)], (245, 245, 245))
    canvas.polygon([(x + 5, 27), (x + 73, 27), (x + 73, 111), (x + 5, 111)], (235, 205, 160))
    canvas.line((x + 39, 24), (x + 39, 114), 4, (245, 245, 245))
    x = float(rng.integers(150, 230))
    canvas.polygon([(x, 10), (x + 60, 10), (x + 60, 44), (x, 44)], _shade(look.wall, 0.5))
    canvas.polygon([(x + 4, 14), (x + 56, 14), (x + 56, 40), (x + 4, 40)], CLOTHES[int(rng.integers(len(CLOTHES)))])
    x = float(rng.integers(250, 290))
    canvas.polygon([(x, 128), (x + 110, 128), (x + 110, 136), (x, 136)], (95, 130, 165))
    for shift in range(4, 100, 12):
        top = 128 - int(rng.integers(18, 34))
        colour = CLOTHES[int(rng.integers(len(CLOTHES)))]
        canvas.polygon([(x + shift, top), (x + shift + 10, top), (x + shift + 10, 128), (x + shift, 128)], colour)
    return np.asarray(cv2.GaussianBlur(canvas.picture, (7, 7), 0), np.uint8)
