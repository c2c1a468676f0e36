"""Attributions from gradients: saliency, guided backpropagation, integrated gradients.

Every function takes a network of its own, which it may change, clips (B, 3, T, H, W) and target classes (B, K), and
gives (B, K, T, H, W), signed, summed over the colour channels.
"""

from collections.abc import Callable
from typing import Any

import torch
from captum.attr import IntegratedGradients, Saliency
from torch import nn

from attune.attention.attribution_config import AttributionConfig, Fill
from attune.learning.models import Network

RECTIFIERS = (nn.ReLU, nn.ReLU6)


def saliency(network: Network, clips: torch.Tensor, targets: torch.Tensor, config: AttributionConfig) -> torch.Tensor:
    """Gradient of the target's logit by the pixels (Simonyan et al., "Deep inside convolutional networks", 2014)."""
    captum = Saliency(network)

    def slope(batch: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        gradient: torch.Tensor = captum.attribute(batch.requires_grad_(), target=target, abs=False)
        return gradient.sum(dim=1)

    return for_each(slope, clips, targets, config)


def guided_backpropagation(
    network: Network, clips: torch.Tensor, targets: torch.Tensor, config: AttributionConfig
) -> torch.Tensor:
    """Saliency in which no rectifier passes a negative gradient on (Springenberg et al., 2015).

    Rectifiers are the modules of :data:`RECTIFIERS`; a ReLU6 passes nothing where it is saturated, as in the plain
    gradient. Through every other activation (GELU, SiLU, Hardswish, and rectifiers that a model calls as functions)
    the plain gradient passes, so that the result is saliency for a model without any rectifier. Captum hooks ReLU
    alone, and clamps what shortcuts around a rectifier add to the gradient of its input, too.
    """
    guide(network)
    return saliency(network, clips, targets, config)


def integrated_gradients(
    network: Network, clips: torch.Tensor, targets: torch.Tensor, config: AttributionConfig
) -> torch.Tensor:
    """Gradient along the way from a baseline, times the way (Sundararajan et al., 2017).

    Its sum over the clip is the difference between the clip's logit and the baseline's, up to the rule's error.
    """
    captum, choice = IntegratedGradients(network), config.integrated_gradients

    def integral(clip: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        path: torch.Tensor = captum.attribute(
            clip,
            baselines=filling(clip, choice.baseline).expand_as(clip),
            target=target,
            n_steps=choice.steps,
            method=choice.rule,
            internal_batch_size=config.clips_at_a_time(clip.shape[2]),
        )
        return path.sum(dim=1)

    return for_each(integral, clips, targets, config, together=1).to(clips.dtype)


def for_each(
    work: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    clips: torch.Tensor,
    targets: torch.Tensor,
    config: AttributionConfig,
    together: int | None = None,
) -> torch.Tensor:
    """Apply ``work`` to every pair of a clip and one of its targets, in batches: (B, K, ...) of (n, ...)."""
    count = targets.shape[1]
    classes = targets.flatten()
    size = together or config.clips_at_a_time(clips.shape[2])
    parts = []
    for start in range(0, len(classes), size):
        rows = torch.arange(start, min(start + size, len(classes)), device=clips.device)
        parts.append(work(clips[rows // count].clone(), classes[rows]).detach())
    return torch.cat(parts).unflatten(0, (len(clips), count))


def filling(clips: torch.Tensor, fill: Fill) -> torch.Tensor:
    """The colour of each clip, (B, 3, 1, 1, 1), that stands for no content."""
    mean = clips.mean(dim=(2, 3, 4), keepdim=True)
    return mean if fill == "mean" else torch.zeros_like(mean)


def guide(network: nn.Module) -> None:
    """Put guided rectifiers in place of a network's own."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, RECTIFIERS):
                setattr(module, name, _GuidedRectifier(6.0 if isinstance(child, nn.ReLU6) else float("inf")))


class _GuidedRectifier(nn.Module):
    """A rectifier that passes back only what is positive."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        rectified: torch.Tensor = _Guided.apply(values, self.limit)
        return rectified


class _Guided(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: torch.Tensor, limit: float) -> torch.Tensor:
        context.save_for_backward((values > 0) & (values < limit))
        return values.clamp(0, limit)

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (passed,) = context.saved_tensors
        return gradients[0].clamp(min=0) * passed, None
