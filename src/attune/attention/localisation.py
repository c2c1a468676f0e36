"""Whether attention lies where the evidence is, which only recordings with a known truth can tell.

Evidence is (T, H, W) at the map's size, the share of each pixel that belongs to it, 0 to 1. Maps are (T, H, W), not
negative. What a map's score means can only be seen beside maps that know nothing: one of the centre, one at random
(:mod:`attune.attention.maps`). Scores are undefined, NaN, where the map is empty or there is no evidence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from attune.annotation.bootstrap import Bootstrap
from attune.video import transforms

Array = npt.NDArray[np.float64]

INSIDE = 0.5  # share of a pixel from which it counts as evidence


def visible(masks: npt.NDArray[Any], mask_rate: Fraction | int, times_ms: Sequence[Fraction | int]) -> npt.NDArray[Any]:
    """The masks that were visible at some times, (N, h, w) to (T, h, w); the last one holds on beyond the end.

    Args:
        masks: one per frame of the original video.
        mask_rate: frames per second of the original video.
        times_ms: times of the clip's frames in milliseconds after the video's start.
    """
    shown = [min(int(Fraction(time) * mask_rate / 1000), len(masks) - 1) for time in times_ms]
    return masks[shown]


def to_input(
    masks: npt.NDArray[np.bool_], frame_size: tuple[int, int], view: transforms.View, size: int
) -> npt.NDArray[np.float32]:
    """Bring masks of whole frames to what a model sees, the way its pixels are brought there.

    Args:
        masks: (T, h, w) of the whole frame, at any size.
        frame_size: height and width of the processed video.
        view: part of the frame that the model sees.
        size: height and width of the model's input.

    Returns:
        (T, size, size), the share of each pixel that belongs to the mask.
    """
    height, width = frame_size
    whole = [cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) for mask in masks]
    pixels = torch.from_numpy(np.stack(whole))[None, ..., None].expand(-1, -1, -1, -1, 3)
    seen: npt.NDArray[np.float32] = transforms.evaluate(pixels, size, view)[0, 0].numpy()
    return seen


def mass_inside(attention: npt.ArrayLike, evidence: npt.ArrayLike) -> float:
    """Share of a map's mass that lies on the evidence."""
    mass, inside = np.asarray(attention, dtype=np.float64), np.asarray(evidence, dtype=np.float64)
    total = mass.sum()
    return float((mass * inside).sum() / total) if total > 0 and inside.any() else float("nan")


def pointing_game(attention: npt.ArrayLike, evidence: npt.ArrayLike, tolerance: int = 0) -> float:
    """Share of frames whose largest value lies on the evidence (Zhang et al., "Top-down neural attention", 2016).

    Frames without evidence or without attention are left out. Of several largest values, each counts equally: the
    score is what drawing one of them at random would give on average.

    Args:
        attention: (T, H, W).
        evidence: (T, H, W).
        tolerance: pixels by which a hit may miss the evidence (the paper: 15 in pictures of about 500).
    """
    mass, inside = np.asarray(attention, dtype=np.float64), np.asarray(evidence, dtype=np.float64) >= INSIDE
    hits = []
    for frame, mask in zip(mass, inside, strict=True):
        if not mask.any() or frame.max() <= 0:
            continue
        near = mask if tolerance == 0 else ndimage.distance_transform_edt(~mask) <= tolerance
        hits.append(near[frame == frame.max()].mean())
    return float(np.mean(hits)) if hits else float("nan")


@dataclass(frozen=True)
class Interval:
    """A mean and its interval; NaN where undefined. Nothing is significant whose bounds are NaN."""

    mean: float
    low: float
    high: float


def mean_over_sessions(
    values: npt.ArrayLike, sessions: Sequence[str], draws: int = 2000, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Mean of the snippets' values with a percentile interval from a bootstrap over sessions.

    Snippets of one session show the same people and room, so whole sessions are drawn. Of paired differences this is
    the paired bootstrap: an interval whose bounds are both above or both below 0 is a significant difference. One
    session alone cannot tell how much sessions differ, so it has a mean but no interval (NaN).

    Args:
        values: (N,) of the snippets; undefined ones, NaN, are left out.
        sessions: (N,) of the snippets.
        draws: number of draws.
        confidence: share of the draws that the interval holds.
        seed: of the draws.
    """
    numbers = np.asarray(values, dtype=np.float64)
    known = np.isfinite(numbers)
    if not known.any():
        return Interval(*[float("nan")] * 3)
    names, owner = np.unique(np.asarray(sessions, dtype=str)[known], return_inverse=True)
    if len(names) < 2:
        return Interval(float(numbers[known].mean()), float("nan"), float("nan"))
    counts = np.stack([np.bincount(owner, numbers[known]), np.bincount(owner).astype(float)], axis=1)
    bootstrap = Bootstrap.over(len(names), draws, confidence, seed)
    sums = bootstrap.sums(counts)
    means = sums[:, 0] / sums[:, 1]
    low, high = bootstrap.interval(means)
    return Interval(float(means[0]), float(low), float(high))
