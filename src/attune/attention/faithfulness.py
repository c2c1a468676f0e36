"""Whether the pixels that a map names first are those that the model's answer depends on.

Deletion: the pixels of a clip are replaced by a fill, those with most attention first; the sooner the target's
probability falls, the smaller the area under its curve. Insertion: the pixels are put back into a clip of nothing but
fill; the sooner the probability rises, the larger the area. Both are due to Petsiuk et al., "RISE: Randomized input
sampling for explanation of black-box models", BMVC 2018, who fill with a constant for deletion and with a blurred
picture for insertion. Here a pixel is one place of one frame, all colours at once, and pixels are ordered over the
whole clip. Equal values are ordered at random, from a seed, or the order of the pixels in memory would decide.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from attune.params import Params

Array = npt.NDArray[np.float64]
Fill = Literal["mean", "zero", "blur"]
Kind = Literal["deletion", "insertion"]


class FaithfulnessConfig(Params):
    """How deletion and insertion are computed.

    Attributes:
        steps: equal steps from the first to the last pixel; a curve has one point more.
        deletion_fill: ``mean``, the clip's mean colour; ``zero``, the colour by which pixels are normalised; or
            ``blur``, the blurred clip.
        insertion_fill: likewise.
        blur: standard deviation of the blur in sides of the frame; RISE has 5 of 224 pixels, about 0.022, in a window
            of 11, which leaves large things to be seen.
        batch: clips that the network is given at a time.
        seed: of the order of equal values, and of the random order that serves for comparison.
    """

    steps: int = Field(default=20, ge=1, le=10_000)
    deletion_fill: Fill = "mean"
    insertion_fill: Fill = "blur"
    blur: float = Field(default=0.1, gt=0, le=1)
    batch: int = Field(default=1, ge=1, le=1024)
    seed: int = Field(default=0, ge=0)


def ranks(attention: npt.ArrayLike, seed: int = 0) -> npt.NDArray[np.int64]:
    """The place of each pixel in the order of decreasing attention, int64 of the map's shape, 0 for the first."""
    values = np.asarray(attention, dtype=np.float64).ravel()
    shuffled = np.random.default_rng(seed).permutation(values.size)
    order = shuffled[np.argsort(-values[shuffled], kind="stable")]
    places = np.empty(values.size, dtype=np.int64)
    places[order] = np.arange(values.size)
    return places.reshape(np.shape(attention))


def curve(
    network: nn.Module,
    clip: torch.Tensor,
    attention: npt.ArrayLike,
    target: int,
    kind: Kind,
    config: FaithfulnessConfig,
    ends: tuple[float, float] | None = None,
) -> Array:
    """Probability of the target while pixels are deleted or inserted.

    Args:
        network: clips to logits, in evaluation mode.
        clip: (3, T, H, W), normalised, on the network's device.
        attention: (T, H, W).
        target: the class.
        kind: ``deletion`` or ``insertion``.
        config: steps and fills.
        ends: first and last value of the curve where they are known (:func:`ends`): they are the same for every map.

    Returns:
        (steps + 1,): point k has ``k / steps`` of the pixels replaced, or put back.
    """
    filled = fill(clip, config.deletion_fill if kind == "deletion" else config.insertion_fill, config.blur)
    before, after = (clip, filled) if kind == "deletion" else (filled, clip)
    places = torch.from_numpy(ranks(attention, config.seed)).to(clip.device)
    limits = [round(step * places.numel() / config.steps) for step in range(config.steps + 1)]
    wanted = limits if ends is None else limits[1:-1]
    found = []
    for start in range(0, len(wanted), config.batch):
        changed = [torch.where(places < limit, after, before) for limit in wanted[start : start + config.batch]]
        found.append(_probability(network, torch.stack(changed), target))
    inner = np.concatenate(found) if found else np.zeros(0)
    return inner if ends is None else np.concatenate([ends[:1], inner, ends[1:]])


def ends(
    network: nn.Module, clip: torch.Tensor, target: int, kind: Kind, config: FaithfulnessConfig
) -> tuple[float, float]:
    """First and last value of every map's curve on one clip; for the arguments see :func:`curve`."""
    name = config.deletion_fill if kind == "deletion" else config.insertion_fill
    whole, empty = _probability(network, torch.stack([clip, fill(clip, name, config.blur)]), target).tolist()
    return (whole, empty) if kind == "deletion" else (empty, whole)


def area(values: npt.ArrayLike) -> float:
    """Area under a curve whose points are equally spaced from 0 to 1, by the trapezoidal rule."""
    points = np.asarray(values, dtype=np.float64)
    return float((points[1:] + points[:-1]).mean() / 2)


def fill(clip: torch.Tensor, name: Fill, blur: float) -> torch.Tensor:
    """What replaces the pixels of a clip (3, T, H, W), of the same shape."""
    if name == "zero":
        return torch.zeros_like(clip)
    if name == "mean":
        return clip.mean(dim=(1, 2, 3), keepdim=True).expand_as(clip)
    blurred = clip
    for axis in (2, 3):
        blurred = _blurred(blurred, axis, blur * max(clip.shape[2:]))
    return blurred


def _blurred(clip: torch.Tensor, axis: int, sigma: float) -> torch.Tensor:
    """Gaussian blur along one axis, cut off at 3 sigma; beyond the border the edge is repeated."""
    reach = max(1, round(3 * sigma))
    offsets = torch.arange(-reach, reach + 1, dtype=clip.dtype, device=clip.device)
    weights = torch.softmax(-(offsets**2) / (2 * sigma**2), dim=0)
    lines = clip.movedim(axis, -1)
    flat = lines.reshape(-1, 1, lines.shape[-1])
    smooth = functional.conv1d(functional.pad(flat, (reach, reach), mode="replicate"), weights[None, None])
    return smooth.reshape(lines.shape).movedim(-1, axis)


def _probability(network: nn.Module, clips: torch.Tensor, target: int) -> Array:
    with torch.inference_mode():
        found: Array = network(clips).softmax(dim=1)[:, target].double().cpu().numpy()
    return found
