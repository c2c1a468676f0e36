"""Simulated painting: where the demo's annotators saw engagement, as the painting page would have saved it.

What they paint is the truth, the head for attending and the hands for participating, seen with each one's faults: a
soft brush along each region, a hand that follows late, frames that are left out and filled by copying or interpolating,
regions that go unnoticed and paint where there is nothing. A painting depends on the seed, its painter and its name
alone, so a repetition is painted anew.
"""

import datetime
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from attune.attention import painting
from attune.attention.painting import AGAIN, Painting
from attune.attention.strokes import AnyOperation, Copy, Interpolate, Shape, Stroke
from attune.demo.behaviour import FRAME_RATE
from attune.demo.canvas import HANDS, HEAD
from attune.demo.config import DemoConfig
from attune.demo.truth import read_masks
from attune.video import draws
from attune.video.store import frame_index, frame_time_ms

EVIDENCE = {"attending": HEAD, "participating": HANDS}
FIRST_DAY = datetime.datetime(2023, 1, 9, 9, tzinfo=datetime.UTC)  # when the painting began; repetitions a month later
_REGION_PIXELS = 6  # of the mask; smaller regions are not seen

Masks = npt.NDArray[np.uint8]
Point = tuple[float, float]


@dataclass(frozen=True)
class Habit:
    """How one annotator paints.

    Attributes:
        radius: of the brush, as a share of a region's smaller half axis.
        strength: of the brush.
        every: how many frames the next painted frame is away.
        interpolates: whether frames between are interpolated, or copied from the one before.
        unsteady: standard deviation of the brush's place, as a share of the region's smaller half axis.
        missed: share of regions that go unnoticed.
        extraneous: share of painted frames with paint where there is nothing.
        doubts: share of the snippets whose label the painter sees otherwise.
    """

    radius: float
    strength: float
    every: int
    interpolates: bool
    unsteady: float
    missed: float
    extraneous: float
    doubts: float


HABITS = (
    Habit(0.7, 0.9, 2, interpolates=True, unsteady=0.15, missed=0.05, extraneous=0.05, doubts=0.05),
    Habit(0.9, 0.6, 3, interpolates=True, unsteady=0.25, missed=0.10, extraneous=0.10, doubts=0.05),
    Habit(1.0, 0.8, 4, interpolates=False, unsteady=0.40, missed=0.20, extraneous=0.25, doubts=0.15),
)


class Look(NamedTuple):
    """What a painter sees: the shape (T, H, W) of a processed clip and its frames per second."""

    shape: Shape
    rate: Fraction


class Painter(NamedTuple):
    """An annotator: how they paint and how late they are."""

    name: str
    habit: Habit
    lag_ms: float


def painters(annotators: Sequence[str], config: DemoConfig) -> dict[str, Painter]:
    """The painters by name: habits and coding styles are shared in turn if there are more annotators."""
    return {
        name: Painter(name, HABITS[index % len(HABITS)], config.styles[index % len(config.styles)].lag_ms)
        for index, name in enumerate(annotators)
    }


def frame_width(height: int, multiple: int, masks: Masks) -> int:
    """Width of the processed video: in proportion, to the nearest multiple, upwards if half way."""
    exact = Fraction(height * masks.shape[2], masks.shape[1])
    return max(1, math.floor(exact / multiple + Fraction(1, 2))) * multiple


def paint(
    masks: Masks, start_ms: int, evidence: int, look: Look, painter: Painter, rng: np.random.Generator
) -> tuple[tuple[AnyOperation, ...], tuple[float, ...]]:
    """Paint one snippet.

    Args:
        masks: of the whole session, (T, H, W) as :func:`attune.demo.truth.read_masks` returns them.
        start_ms: where the snippet starts.
        evidence: the class of the mask that is painted.
        look: shape and rate of the clip.
        painter: who paints.
        rng: what is random about it.

    Returns:
        The operations, and the seconds spent on each frame.
    """
    frames, habit = look.shape[0], painter.habit
    seconds = np.round(rng.uniform(0.3, 1.0, frames), 1)
    keys = [*range(0, frames - 1, habit.every), frames - 1]
    done: list[AnyOperation] = []
    for number, frame in enumerate(keys):
        time_ms = frame_time_ms(frame_index(start_ms, look.rate) + frame, look.rate)
        seen = frame_index(max(0, math.floor(time_ms - painter.lag_ms)), Fraction(FRAME_RATE))
        mask = masks[min(seen, len(masks) - 1)] == evidence
        done += _strokes(mask, frame, look, habit, rng)
        seconds[frame] = round(float(rng.lognormal(1.5, 0.4)), 1)
        if number:
            done += _fill(keys[number - 1], frame, habit)
    return tuple(done), tuple(seconds.tolist())


def paint_all(
    snippets: pd.DataFrame, masks_folder: Path, out: Path, look: Look, painters: dict[str, Painter], seed: int
) -> Iterator[Painting]:
    """Paint every snippet of every annotator, repetitions included, and save them.

    Args:
        snippets: columns ``snippets.SNIPPETS``.
        masks_folder: the truth's folder ``masks``.
        out: the folder of all paintings.
        look: shape and rate of the clips.
        painters: name to painter.
        seed: everything random follows from it.

    Yields:
        Each painting as saved.
    """
    for session, rows in snippets.groupby("session"):
        masks = read_masks(masks_folder / f"{session}.npz")
        for row in rows.sort_values(["annotator", "snippet"]).itertuples():
            for suffix in ("", AGAIN)[: 1 + int(str(row.again))]:
                name, painter = f"{row.snippet}{suffix}", painters[str(row.annotator)]
                key = int(draws.combine(draws.name_key("paint", painter.name, name), seed))
                rng = np.random.default_rng(key)
                evidence = EVIDENCE[str(row.variable)]
                strokes, seconds = paint(masks, int(str(row.start_ms)), evidence, look, painter, rng)
                label = int(str(row.label)) ^ int(rng.random() < painter.habit.doubts)
                labels = {variable: label if variable == row.variable else None for variable in EVIDENCE}
                made = Painting(
                    annotator=painter.name,
                    painting=name,
                    snippet=str(row.snippet),
                    labels=labels,
                    seconds=seconds,
                    strokes=strokes,
                )
                yield painting.save(out, made, look.shape, now=_when(bool(suffix), key))


def _when(repeated: bool, key: int) -> datetime.datetime:
    """A time in working hours within three weeks, a month later for repetitions."""
    days = datetime.timedelta(days=30 * repeated + key % 20)
    return FIRST_DAY + days + datetime.timedelta(seconds=key // 20 % (8 * 3600))


def _strokes(
    mask: npt.NDArray[np.bool_], frame: int, look: Look, habit: Habit, rng: np.random.Generator
) -> list[Stroke]:
    """The strokes on one frame."""
    _, height, width = look.shape
    scale = np.array([width / mask.shape[1], height / mask.shape[0]])
    count, regions = cv2.connectedComponents(mask.astype(np.uint8))
    strokes = []
    for number in range(1, count):
        rows, columns = np.nonzero(regions == number)
        if len(rows) >= _REGION_PIXELS and rng.random() >= habit.missed:
            pixels = (np.stack([columns, rows], axis=1) + 0.5) * scale
            strokes.append(_along(pixels, frame, habit, rng))
    if rng.random() < habit.extraneous:
        x, y = (rng.uniform(0.1, 0.9, 2) * (width, height)).round(2).tolist()
        strokes.append(Stroke(frame=frame, radius=4.0, strength=habit.strength, points=((x, y), (x + 5.0, y + 3.0))))
    return strokes


def _along(pixels: npt.NDArray[np.float64], frame: int, habit: Habit, rng: np.random.Generator) -> Stroke:
    """One stroke along the longer axis of the ellipse with a region's moments."""
    centre = pixels.mean(axis=0)
    (xx, yy), xy = pixels.var(axis=0).tolist(), float(np.prod(pixels - centre, axis=1).mean())
    angle, root = math.atan2(2 * xy, xx - yy) / 2, math.hypot((xx - yy) / 2, xy)
    longer, shorter = (2 * math.sqrt(max((xx + yy) / 2 + sign * root, 0.25)) for sign in (1, -1))
    reach = np.linspace(-1, 1, 9)[:, None] * (longer - 0.8 * shorter)
    place = centre + rng.normal(0, habit.unsteady * shorter, 2)
    path = place + reach * (math.cos(angle), math.sin(angle)) + rng.normal(0, 0.1 * shorter, (9, 2))
    points: tuple[Point, ...] = tuple((x, y) for x, y in path.round(2).tolist())
    radius = min(100.0, max(1.0, round(habit.radius * shorter * float(rng.uniform(0.9, 1.1)), 2)))
    return Stroke(frame=frame, radius=radius, strength=habit.strength, points=points)


def _fill(before: int, frame: int, habit: Habit) -> list[AnyOperation]:
    """What is done about the frames between two painted ones."""
    if frame - before < 2:
        return []
    if habit.interpolates:
        return [Interpolate(first=before, last=frame)]
    return [Copy(source=before, frame=between) for between in range(before + 1, frame)]
