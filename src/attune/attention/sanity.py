"""Whether a map depends on what the model has learned: model parameter randomisation tests.

Layers lose their weights one after the other, from the top (the head) down to the pixels, and each state of the model
is explained anew (Adebayo et al., "Sanity checks for saliency maps", 2018). A map that stays as it was tells of edges
in the picture, not of the model: guided backpropagation is known to fail. The efficient variant compares how complex
maps are before and after all layers are randomised, the smooth one averages maps over noisy copies of the clip first
(Hedström et al., "Sanity checks revisited", 2024).

What randomising does, on a copy and from a seed of its own: kernels and matrices named ``weight`` are drawn as before
training, normal with variance 2 / fan-in (He et al., 2015); other tensors of two or more axes (positions, tokens) are
drawn with the deviation that they had; biases become 0, vectors named ``weight`` (normalisations) 1, other vectors
(scales of layers) are shuffled; running means become 0 and running variances 1, because they describe activations that
are gone.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from scipy import ndimage, stats
from torch import nn

from attune.learning import encoders
from attune.learning.models import Network
from attune.params import Params

Array = npt.NDArray[np.float64]
Explain = Callable[[Network, torch.Tensor, torch.Tensor], torch.Tensor]
ToMap = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float64]]

SSIM_SIGMA, SSIM_RADIUS = 1.5, 5
SSIM_CONSTANTS = (0.01**2, 0.03**2)  # for a range of values of 1
BINS = 100


class SanityConfig(Params):
    """How models are randomised.

    Attributes:
        blocks: parts of equal length into which the encoder is divided; with the head they are the layers.
        order: ``top_down``, from the head to the pixels, as published first; or ``bottom_up``.
        noisy: noisy copies of a clip that the smooth variant averages over (Hedström et al.: 50); 0 leaves it out.
        noise: their deviation, as a share of the clip's range of values (Hedström et al.: 0.1).
        bins: of the histogram from which complexity is computed.
        seed: of weights and noise.
    """

    blocks: int = Field(default=4, ge=1, le=1000)
    order: Literal["top_down", "bottom_up"] = "top_down"
    noisy: int = Field(default=50, ge=0, le=10_000)
    noise: float = Field(default=0.1, ge=0, le=10)
    bins: int = Field(default=BINS, ge=2, le=100_000)
    seed: int = Field(default=0, ge=0, lt=2**31)


@dataclass(frozen=True)
class State:
    """A model of which some layers are randomised.

    Attributes:
        layer: the layer that was randomised last; together with those before it.
        network: the model, which belongs to whoever takes it.
    """

    layer: str
    network: Network


def layers(network: Network, blocks: int) -> list[tuple[str, list[nn.Module]]]:
    """The parts of a network from the pixels to the head, by name; neighbours in the encoder are put together."""
    parts = encoders.stages_of(network.encoder)
    count = min(blocks, len(parts))
    groups = [list(group) for group in np.array_split(np.arange(len(parts)), count)]
    named = [(f"block_{place + 1}", [parts[index] for index in group]) for place, group in enumerate(groups)]
    return [*named, ("head", [network.head])]


def cascade(network: Network, config: SanityConfig) -> Iterator[State]:
    """One state per layer, each with one layer more randomised; the last one is random altogether."""
    own = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(config.seed)
    parts = layers(own, config.blocks)
    for name, modules in reversed(parts) if config.order == "top_down" else parts:
        for module in modules:
            randomise(module, generator)
        yield State(name, copy.deepcopy(own))


def randomised(network: Network, seed: int = 0) -> Network:
    """A copy with all its weights random."""
    *_, last = cascade(network, SanityConfig(blocks=1, seed=seed))
    return last.network


@torch.no_grad()
def randomise(module: nn.Module, generator: torch.Generator) -> None:
    """Draw a module's parameters anew, in place, by the rule that the module's text tells; resets its statistics."""
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            parameter.copy_(_drawn(name, parameter, generator))
        for name, buffer in part.named_buffers(recurse=False):
            if name in ("running_mean", "running_var"):
                buffer.fill_(float(name == "running_var"))


def _drawn(name: str, parameter: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    value = parameter.detach().cpu()
    if value.dim() >= 2:
        fan_in = value[0].numel()
        deviation = (2 / fan_in) ** 0.5 if name.endswith("weight") else float(value.std(correction=0))
        return torch.randn(value.shape, generator=generator) * deviation
    if "bias" in name:
        return torch.zeros_like(value)
    if name == "weight":
        return torch.ones_like(value)
    return value[torch.randperm(len(value), generator=generator)] if value.dim() else value


def spearman(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Rank correlation of two maps; equal values share their mean rank. NaN if either is constant."""
    one, other = (stats.rankdata(np.asarray(values, dtype=np.float64).ravel()) for values in (first, second))
    one, other = one - one.mean(), other - other.mean()
    scale = np.sqrt((one**2).sum() * (other**2).sum())
    return float((one * other).sum() / scale) if scale > 0 else float("nan")


def ssim(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Structural similarity of two maps (T, H, W), each divided by its maximum; mean over frames and pixels.

    Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004: means, variances and
    covariance under a Gaussian of 1.5 pixels in a window of 11, constants (0.01 L)^2 and (0.03 L)^2 with L = 1. NaN if
    either map is empty.
    """
    one, other = (np.asarray(values, dtype=np.float64) for values in (first, second))
    if one.max() <= 0 or other.max() <= 0:
        return float("nan")
    one, other = one / one.max(), other / other.max()

    def smooth(values: Array) -> Array:
        return np.asarray(
            ndimage.gaussian_filter(values, (0, SSIM_SIGMA, SSIM_SIGMA), radius=(0, SSIM_RADIUS, SSIM_RADIUS))
        )

    mean, mean_other = smooth(one), smooth(other)
    variance, variance_other = smooth(one**2) - mean**2, smooth(other**2) - mean_other**2
    covariance = smooth(one * other) - mean * mean_other
    first_constant, second_constant = SSIM_CONSTANTS
    likeness = (2 * mean * mean_other + first_constant) * (2 * covariance + second_constant)
    likeness /= (mean**2 + mean_other**2 + first_constant) * (variance + variance_other + second_constant)
    return float(likeness.mean())


def complexity(values: npt.ArrayLike, bins: int = BINS) -> float:
    """Entropy in nats of the histogram of a map's values, between their least and their largest."""
    counts, _ = np.histogram(np.asarray(values, dtype=np.float64), bins=bins)
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def relative_rise(before: float, after: float) -> float:
    """By which share complexity has risen, the score of the efficient variant; NaN if it was 0."""
    return (after - before) / before if before > 0 else float("nan")


def smoothed(explain: Explain, config: SanityConfig) -> Explain:
    """The same explanation averaged over noisy copies of the clips, of which all models see the same."""

    def averaged(network: Network, clips: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator().manual_seed(config.seed)
        axes = tuple(range(1, clips.dim()))
        span = clips.amax(dim=axes, keepdim=True) - clips.amin(dim=axes, keepdim=True)
        total = torch.zeros(())
        for _ in range(config.noisy):
            grain = torch.randn(clips.shape, generator=generator).to(clips.device)
            total = total + explain(network, clips + config.noise * span * grain, targets) / config.noisy
        return total

    return averaged


@dataclass(frozen=True)
class Similarities:
    """What becomes of the maps of one clip under the cascade.

    Attributes:
        layer: which layer each state has lost last, in the order of the cascade.
        spearman: similarity to the map of the trained model, per state.
        ssim: likewise.
        last: the map of the model that is random altogether, (T, H, W).
    """

    layer: tuple[str, ...]
    spearman: Array
    ssim: Array
    last: Array

    def mean(self) -> float:
        """Mean rank correlation over the states; a map that orders nothing any more is left out. NaN if all are."""
        known = self.spearman[np.isfinite(self.spearman)]
        return float(known.mean()) if len(known) else float("nan")


def compare(
    explain: Explain, to_map: ToMap, states: Sequence[State], clip: torch.Tensor, target: int, original: Array
) -> Similarities:
    """Explain every state and hold its map against the original.

    Args:
        explain: network, clips (B, 3, T, H, W) and targets (B,) to attributions (B, T, H, W).
        to_map: attribution (T, H, W) to attention map (T, H, W).
        states: of the cascade, in order.
        clip: (3, T, H, W).
        target: the class that is explained.
        original: the map of the trained model, (T, H, W).
    """
    maps = [explained(explain, to_map, state.network, clip, target) for state in states]
    return Similarities(
        tuple(state.layer for state in states),
        np.array([spearman(original, found) for found in maps]),
        np.array([ssim(original, found) for found in maps]),
        maps[-1],
    )


def explained(explain: Explain, to_map: ToMap, network: Network, clip: torch.Tensor, target: int) -> Array:
    """The attention map (T, H, W) of one clip (3, T, H, W)."""
    attribution = explain(network, clip[None], torch.tensor([target], device=clip.device))[0]
    return np.asarray(to_map(attribution.detach().cpu().numpy()), dtype=np.float64)
