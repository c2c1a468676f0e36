"""How alike two attention maps are.

A measure compares frame by frame, or the whole volume as if it were one large frame. Maps are (T, H, W), non-negative;
``human`` is the reference and ``machine`` what is held against it (for people among themselves, another person's). No
measure depends on a map's scale. Fixations, which two measures need, are the cells in which the human map reaches a
share of its greatest value (in the frame or the volume).

Where a measure has no value, the frame is left out of the mean and counted; a clip has no value (NaN) only if none of
its frames has one:

- a map that is empty (0 everywhere) has no distribution: intersection, divergence and earth mover's distance;
- a map that is constant (all cells equal, empty ones too) has no correlation, and, made zero at its minimum, is empty;
  a human one has no fixations, a machine's no standard score; by AUC-Judd a constant machine map is a guess, 0.5.

Divergence, intersection, NSS and AUC-Judd are those of the MIT saliency benchmark (Bylinskii et al., "What do different
evaluation metrics tell us about saliency models?", 2019, and its code): KLdiv.m with MATLAB's eps = 2.2204e-16;
similarity.m, which moves each map's minimum to zero; NSS.m, with the standard deviation of a sample (n - 1);
AUC_Judd.m, but cells of equal value are one threshold, where that adds random numbers of 1e-7 to tell them apart.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.stats import rankdata

from attune.attention import emd
from attune.params import Params

Array = npt.NDArray[np.float64]
Mode = Literal["frame", "volume"]
MeasureName = Literal["pearson", "spearman", "intersection", "divergence", "nss", "auc_judd", "emd"]

EPSILON = 2.2204e-16
CONSTANT = 1e-12  # spread of a map, as a share of its peak, that is but rounding
MODES: tuple[Mode, ...] = ("frame", "volume")


class SimilarityConfig(Params):
    """The free choices of the measures.

    Attributes:
        shift_minimum: whether intersection moves each map's minimum to zero first, as published.
        fixation_share: share of its greatest value from which on the human map is fixated.
        px_per_s: how many pixels of the processed frame a second counts as in the earth mover's distance of a volume;
            25 makes a frame of 0.32 s as far as 8 pixels.
        emd_tolerance: largest relative error of the earth mover's distance of a volume; that of a frame is exact.
    """

    shift_minimum: bool = True
    fixation_share: float = Field(default=0.5, gt=0, le=1)
    px_per_s: float = Field(default=25.0, gt=0)
    emd_tolerance: float = Field(default=0.01, ge=0, lt=1)


@dataclass(frozen=True)
class Similarity:
    """The value of a measure for one clip.

    Attributes:
        value: mean over the defined frames, or that of the volume; NaN if there is none.
        defined: number of frames that have a value.
        frames: number of frames; 1 for a volume.
        low: lower bound of ``value``, which only the earth mover's distance of a volume has apart from it.
        high: upper bound, likewise.
    """

    value: float
    defined: int
    frames: int
    low: float
    high: float


@dataclass(frozen=True)
class Measure:
    """An entry of :data:`MEASURES`.

    Attributes:
        title: what figures call it.
        compute: from human and machine (F, cells) to values (F,), NaN where undefined; ``None``: needs the geometry.
        more_is_alike: whether a greater value means more alike.
    """

    title: str
    compute: Callable[[Array, Array, SimilarityConfig], Array] | None
    more_is_alike: bool


def compare(
    human: npt.ArrayLike,
    machine: npt.ArrayLike,
    measure: MeasureName,
    mode: Mode = "frame",
    config: SimilarityConfig | None = None,
    geometry: emd.Geometry | None = None,
) -> Similarity:
    """Hold one map against another.

    Args:
        human: (T, H, W), non-negative.
        machine: likewise.
        measure: a key of :data:`MEASURES`.
        mode: ``frame``, mean over frames, or ``volume``.
        config: the measures' free choices.
        geometry: size of the cells, for the earth mover's distance; its exchange rate is taken as it is.

    Raises:
        ValueError: the shapes differ, or a map holds a negative, infinite or undefined value.
        UnconvergedError: an earth mover's distance could not be found.
    """
    config = config or SimilarityConfig()
    one, other = _checked(human), _checked(machine)
    if one.shape != other.shape:
        raise ValueError(f"maps must have the same shape, these are {one.shape} and {other.shape}")
    compute = MEASURES[measure].compute
    if compute is None:
        if mode == "volume":
            found = emd.between_volumes(one, other, geometry, config.emd_tolerance)
            return Similarity(found.value, int(not np.isnan(found.value)), 1, found.low, found.high)
        return _mean(emd.between_frames(one, other, geometry))
    rows = len(one) if mode == "frame" else 1
    return _mean(compute(one.reshape(rows, -1), other.reshape(rows, -1), config))


def pearson(human: Array, machine: Array, config: SimilarityConfig) -> Array:
    """Pearson's correlation of the cells."""
    one, other = (_unit(values - values.mean(axis=1, keepdims=True)) for values in (human, machine))
    correlation = np.clip((one * other).sum(axis=1), -1, 1)
    return np.where(_constant(human) | _constant(machine), np.nan, correlation)


def spearman(human: Array, machine: Array, config: SimilarityConfig) -> Array:
    """Spearman's rank correlation: Pearson's of the ranks; equal cells share the average of their ranks."""
    values = pearson(rankdata(human, axis=1), rankdata(machine, axis=1), config)
    return np.where(_constant(human) | _constant(machine), np.nan, values)


def intersection(human: Array, machine: Array, config: SimilarityConfig) -> Array:
    """Sum of the smaller of both maps' shares in each cell: 1 for equal maps, 0 if they share no cell."""
    if config.shift_minimum:
        flat = _constant(human) | _constant(machine)
        human, machine = (values - values.min(axis=1, keepdims=True) for values in (human, machine))
        return np.where(flat, np.nan, np.minimum(_shares(human), _shares(machine)).sum(axis=1))
    return np.minimum(_shares(human), _shares(machine)).sum(axis=1)


def divergence(human: Array, machine: Array, config: SimilarityConfig) -> Array:
    """Kullback-Leibler divergence of the human map from the machine's, in nats: 0 for equal maps."""
    expected, found = _shares(human), _shares(machine)
    return (expected * np.log(EPSILON + expected / (found + EPSILON))).sum(axis=1)


def nss(human: Array, machine: Array, config: SimilarityConfig) -> Array:
    """Normalised scanpath saliency: mean standard score of the machine map over the fixated cells."""
    fixated = fixations(human, config.fixation_share)
    spread = machine.std(axis=1, ddof=1) if machine.shape[1] > 1 else np.zeros(len(machine))
    away = machine - machine.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        scores = (away * fixated).sum(axis=1) / fixated.sum(axis=1) / spread
    return np.where(_constant(machine) | ~fixated.any(axis=1), np.nan, scores)


def auc_judd(human: Array, machine: Array, config: SimilarityConfig) -> Array:
    """Area under the curve of hits against false alarms, its thresholds the machine map's values at the fixations."""
    fixated = fixations(human, config.fixation_share)
    return np.array([_auc_judd(hit, values) for hit, values in zip(fixated, machine, strict=True)])


def fixations(human: Array, share: float) -> npt.NDArray[np.bool_]:
    """The fixated cells of each frame (F, cells): those that reach ``share`` of its greatest value.

    None in a constant map, and none where they would be all cells.
    """
    reached = human >= share * human.max(axis=1, keepdims=True)
    return reached & ~(_constant(human) | reached.all(axis=1))[:, None]


MEASURES: dict[MeasureName, Measure] = {
    "pearson": Measure("Pearson correlation", pearson, True),
    "spearman": Measure("Spearman correlation", spearman, True),
    "intersection": Measure("histogram intersection", intersection, True),
    "divergence": Measure("Kullback-Leibler divergence", divergence, False),
    "nss": Measure("normalised scanpath saliency", nss, True),
    "auc_judd": Measure("AUC (Judd)", auc_judd, True),
    "emd": Measure("earth mover's distance in pixels", None, False),
}


def _checked(maps: npt.ArrayLike) -> Array:
    values = np.asarray(maps, dtype=np.float64)
    if values.ndim != 3 or not values.size:
        raise ValueError(f"a map must be (T, H, W), this is {values.shape}")
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError("a map must not hold negative, infinite or undefined values")
    return values


def _mean(values: Array) -> Similarity:
    known = values[~np.isnan(values)]
    mean = float(known.mean()) if len(known) else np.nan
    return Similarity(mean, len(known), len(values), mean, mean)


def _constant(values: Array) -> npt.NDArray[np.bool_]:
    return np.ptp(values, axis=1) <= CONSTANT * np.abs(values).max(axis=1)


def _unit(values: Array) -> Array:
    """Rows of length 1; divided by their peak first, so that the square of tiny values does not vanish."""
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = values / np.abs(values).max(axis=1, keepdims=True)
        return scaled / np.sqrt((scaled**2).sum(axis=1, keepdims=True))


def _shares(values: Array) -> Array:
    """Rows of sum 1; NaN in an empty row."""
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = values / values.max(axis=1, keepdims=True)
        return scaled / scaled.sum(axis=1, keepdims=True)


def _auc_judd(fixated: npt.NDArray[np.bool_], values: Array) -> float:
    if not fixated.any():
        return np.nan
    thresholds = np.unique(values[fixated])[::-1]
    hits, misses = np.sort(values[fixated]), np.sort(values[~fixated])
    reached = [(1 - np.searchsorted(group, thresholds) / len(group)) for group in (misses, hits)]
    alarms, found = (np.concatenate([[0.0], shares, [1.0]]) for shares in reached)
    return float(np.trapezoid(found, alarms))
