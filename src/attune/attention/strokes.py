"""Operations of painting, and the one definition of how they become a map.

Coordinates: a frame of ``H x W`` pixels covers ``[0, W] x [0, H]``; x runs to the right, y down, and the centre of the
pixel in row ``i``, column ``j`` is ``(j + 0.5, i + 0.5)``. A map is (T, H, W), every value in [0, 1], at first 0.
The operations are applied in their order, and each changes whole frames, numbered from 0, in double precision:

``stroke``, radius ``r``, strength ``s``, points ``p_0 ... p_n``:
    1. Thin the points: keep ``p_0``; of ``p_1 ... p_(n-1)`` keep each whose distance to the point kept last is at least
       ``r / 4``; keep ``p_n`` (if n > 0). Consecutive kept points are joined by segments; a single point is a segment
       of length 0.
    2. Of each pixel centre ``c`` take the squared distance to the nearest segment. To the segment from ``a`` to ``b``,
       with ``v = b - a``, ``t = ((c - a) . v) / (v . v)`` clipped to [0, 1] (0 if ``v . v`` is 0), it is
       ``d2 = |c - a - t v|^2``.
    3. The brush is ``g = s exp(-d2 / (2 r^2))`` where ``d2 <= (4 r)^2``, elsewhere 0: the maximum of a Gaussian that
       moves along the line, so that neither speed nor the spacing of the pointer's events shows.
    4. The frame becomes ``clip(frame + g, 0, 1)`` if the stroke adds, else ``clip(frame - g, 0, 1)``.

``clear``: the frame becomes 0. ``copy``: ``frame`` becomes what ``source`` is now. ``interpolate``: each frame k with
``first < k < last`` becomes ``(1 - w) F[first] + w F[last]``, ``w = (k - first) / (last - first)``, as they are now.

``radius_scale`` multiplies every ``r`` before step 1: the map at another size of brush. The result is rounded to
float32. tests/attention/data/strokes_golden.json holds operations and values for other implementations.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from attune.params import Params
from attune.problems import InputError, Problem

Shape = tuple[int, int, int]
Doubles = npt.NDArray[np.float64]

MAX_FRAMES, MAX_SIDE = 1000, 2048
MAX_OPERATIONS = 5_000
MAX_POINTS = 200_000  # of all strokes of one painting
MAX_WORK = 400_000_000  # pixels in the boxes of all segments: bounds the time that a hostile painting costs
UNDO = "Undo the last ones; clearing a frame would be one more."
MARGIN = 64.0  # pixels by which a point may lie outside of the frame
REACH = 4.0  # radii at which the brush ends
THINNING = 0.25  # radii between points that are kept

FrameNumber = Annotated[int, Field(strict=True, ge=0, lt=MAX_FRAMES)]
Coordinate = Annotated[float, Field(strict=True, ge=-MARGIN, le=MAX_SIDE + MARGIN)]
Milliseconds = Annotated[int, Field(strict=True, ge=0, le=7 * 24 * 3_600_000)]


class Stroke(Params):
    """One movement of the brush.

    Attributes:
        frame: the frame that is painted on.
        add: whether the brush adds or removes.
        radius: standard deviation of the Gaussian in pixels of the frame.
        strength: value at its centre.
        points: (x, y) in pixels of the frame.
        times_ms: time of each point since the painting was opened; the map does not depend on it.
    """

    kind: Literal["stroke"] = "stroke"
    frame: FrameNumber
    add: bool = Field(default=True, strict=True)
    radius: float = Field(strict=True, ge=0.5, le=100)
    strength: float = Field(default=1.0, strict=True, gt=0, le=1)
    points: tuple[tuple[Coordinate, Coordinate], ...] = Field(min_length=1, max_length=10_000)
    times_ms: tuple[Milliseconds, ...] | None = None

    @model_validator(mode="after")
    def _a_time_per_point(self) -> Self:
        if self.times_ms is not None and len(self.times_ms) != len(self.points):
            raise ValueError(f"as many times as points, got {len(self.times_ms)} and {len(self.points)}")
        return self


class Clear(Params):
    """Take all paint from a frame."""

    kind: Literal["clear"] = "clear"
    frame: FrameNumber


class Copy(Params):
    """Give a frame the paint of another one."""

    kind: Literal["copy"] = "copy"
    source: FrameNumber
    frame: FrameNumber


class Interpolate(Params):
    """Give the frames between two others a mixture of their paint."""

    kind: Literal["interpolate"] = "interpolate"
    first: FrameNumber
    last: FrameNumber

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.first >= self.last:
            raise ValueError(f"first < last, got {self.first} and {self.last}")
        return self


Operation = Annotated[Stroke | Clear | Copy | Interpolate, Field(discriminator="kind")]
AnyOperation = Stroke | Clear | Copy | Interpolate


def check(strokes: Sequence[AnyOperation], shape: Shape, name: str = "strokes") -> None:
    """Hold operations against the size of the map.

    Args:
        strokes: the operations.
        shape: (T, H, W) of the map.
        name: what errors call them.

    Raises:
        InputError: a frame or a point lies outside, or there are too many of them; the first ten are listed.
    """
    frames, height, width = shape
    if not (1 <= frames <= MAX_FRAMES and 1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        expected = f"at most {MAX_FRAMES} frames of {MAX_SIDE} x {MAX_SIDE}"
        raise InputError(Problem(name, "shape", str(shape), expected, "Paint on the processed video."))
    cure, found = "Paint again.", []
    for number, operation in enumerate(strokes):
        place = f"operation {number}"
        if (last := max(_frames(operation))) >= frames:
            found.append(Problem(name, place, f"frame {last}", f"a frame below {frames}", cure))
        elif isinstance(operation, Stroke):
            points = np.array(operation.points)
            if (points > (width + MARGIN, height + MARGIN)).any():
                expected = f"points within {MARGIN:g} pixels of {width} x {height}"
                found.append(Problem(name, place, str(tuple(points.max(0).tolist())), expected, cure))
    if found:
        raise InputError(found[:10])
    points_in_all = sum(len(operation.points) for operation in strokes if isinstance(operation, Stroke))
    work = sum(_work(operation, height, width) for operation in strokes if isinstance(operation, Stroke))
    for what, amount, most in (
        ("operations", len(strokes), MAX_OPERATIONS),
        ("points", points_in_all, MAX_POINTS),
        ("pixels under all strokes together", work, MAX_WORK),
    ):
        if amount > most:
            raise InputError(Problem(name, "", f"{amount} {what}", f"at most {most}", UNDO))


def rasterise(strokes: Sequence[AnyOperation], shape: Shape, radius_scale: float = 1.0) -> npt.NDArray[np.float32]:
    """The painted map, as the module defines it.

    Args:
        strokes: the operations in their order.
        shape: (T, H, W).
        radius_scale: factor of every radius, in [0.05, 20].

    Returns:
        float32 (T, H, W), values in [0, 1].

    Raises:
        InputError: see :func:`check`, or the factor is out of its range.
    """
    if not 0.05 <= radius_scale <= 20:
        raise InputError(Problem("radius_scale", "", str(radius_scale), "a factor in [0.05, 20]", "Choose another."))
    check(strokes, shape)
    painted = np.zeros(shape)
    for operation in strokes:
        _apply(painted, operation, float(radius_scale))
    return painted.astype(np.float32)


class Growing:
    """Rasterises operations that grow from call to call, at the cost of those that are new.

    The last operation may still change, as a stroke does while it is drawn; whatever else was changed is found, and
    everything is done again. For one thread at a time.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._known: tuple[AnyOperation, ...] = ()
        self._painted: Doubles = np.zeros(shape)

    def rasterise(self, strokes: Sequence[AnyOperation]) -> npt.NDArray[np.float32]:
        """As :func:`rasterise` at the brush's own size."""
        check(strokes, self.shape)
        fixed = tuple(strokes[:-1])
        if fixed[: len(self._known)] != self._known:
            self._known, self._painted = (), np.zeros(self.shape)
        for operation in fixed[len(self._known) :]:
            _apply(self._painted, operation, 1.0)
        self._known = fixed
        painted = self._painted.copy()
        for operation in strokes[-1:]:
            _apply(painted, operation, 1.0)
        return painted.astype(np.float32)


def _apply(painted: Doubles, operation: AnyOperation, scale: float) -> None:
    """Change a map by one operation."""
    match operation:
        case Stroke():
            rows, columns, brush = _brush(operation, *painted.shape[1:], scale)
            target = painted[operation.frame, rows, columns]
            np.clip(target + brush if operation.add else target - brush, 0, 1, out=target)
        case Clear():
            painted[operation.frame] = 0
        case Copy():
            painted[operation.frame] = painted[operation.source]
        case Interpolate():
            _interpolate(painted, operation.first, operation.last)


def _frames(operation: AnyOperation) -> tuple[int, ...]:
    match operation:
        case Copy():
            return (operation.source, operation.frame)
        case Interpolate():
            return (operation.first, operation.last)
        case _:
            return (operation.frame,)


def _interpolate(painted: Doubles, first: int, last: int) -> None:
    for k in range(first + 1, last):
        w = (k - first) / (last - first)
        painted[k] = (1 - w) * painted[first] + w * painted[last]


def _thin(points: Sequence[tuple[float, float]], gap: float) -> Doubles:
    """Step 1: the ends of the segments, (N, 2), N >= 2."""
    kept = [points[0]]
    for x, y in points[1:-1]:
        if (x - kept[-1][0]) ** 2 + (y - kept[-1][1]) ** 2 >= gap * gap:
            kept.append((x, y))
    return np.array([*kept, points[-1]], dtype=np.float64)


def _box(ends: Doubles, reach: float, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the pixels whose centres may be in reach of some points."""
    low, high = np.floor(ends.min(0) - reach - 0.5), np.ceil(ends.max(0) + reach + 0.5)
    (left, top), (right, bottom) = low.clip(0, (width, height)).astype(int), high.clip(0, (width, height)).astype(int)
    return slice(top, max(top, bottom)), slice(left, max(left, right))


@lru_cache(maxsize=2048)
def _work(stroke: Stroke, height: int, width: int) -> int:
    """Pixels in the boxes of a stroke's segments."""
    ends, reach = _thin(stroke.points, THINNING * stroke.radius), REACH * stroke.radius
    spread = np.abs(np.diff(ends, axis=0)) + 2 * reach + 2
    return math.ceil(float(np.minimum(spread, (width, height)).prod(axis=1).sum()))


@lru_cache(maxsize=512)  # a painting is saved again and again while it grows
def _brush(stroke: Stroke, height: int, width: int, scale: float) -> tuple[slice, slice, Doubles]:
    """Steps 1 to 3: rows and columns of a box of pixels, and the brush on it."""
    radius = stroke.radius * scale
    ends, reach = _thin(stroke.points, THINNING * radius), REACH * radius
    rows, columns = _box(ends, reach, height, width)
    nearest = np.full((rows.stop - rows.start, columns.stop - columns.start), np.inf)
    for a, b in pairwise(ends):
        own_rows, own_columns = _box(np.stack([a, b]), reach, height, width)
        y = np.arange(own_rows.start, own_rows.stop)[:, None] + (0.5 - a[1])
        x = np.arange(own_columns.start, own_columns.stop)[None, :] + (0.5 - a[0])
        vx, vy = b - a
        squared = vx * vx + vy * vy
        t = np.clip((x * vx + y * vy) / squared, 0, 1) if squared else 0.0
        part = nearest[
            own_rows.start - rows.start : own_rows.stop - rows.start,
            own_columns.start - columns.start : own_columns.stop - columns.start,
        ]
        np.minimum(part, (x - t * vx) ** 2 + (y - t * vy) ** 2, out=part)
    brush = np.where(nearest <= reach * reach, stroke.strength * np.exp(-nearest / (2 * radius * radius)), 0.0)
    brush.flags.writeable = False
    return rows, columns, brush
