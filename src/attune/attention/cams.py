"""Attributions from the maps of a layer: Grad-CAM, guided Grad-CAM, score-CAM.

The layer is the one that the encoder names. Its output is (B, C, T', H', W'), or (B * T, C, H', W') of an encoder of
single frames, which is folded to the first form. The functions have the form told in
:mod:`attune.attention.gradients`. What Grad-CAM and score-CAM give has lost nothing yet: the papers keep the positive
part, which is done where an attribution becomes an attention map.
"""

import torch
from torch.nn import functional

from attune.attention import gradients
from attune.attention.attribution_config import AttributionConfig
from attune.learning.models import Network

TINY = 1e-12  # span of a constant map


def grad_cam(network: Network, clips: torch.Tensor, targets: torch.Tensor, config: AttributionConfig) -> torch.Tensor:
    """Sum of a layer's channels, weighted by the mean gradient of the target's logit (Selvaraju et al., 2017).

    Captum's LayerGradCam averages over what the layer calls one example: the volume for an encoder of clips, a frame
    for an encoder of frames. Here either can be had from both.
    """

    def cam(batch: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        maps, gradient = _maps_and_gradient(network, batch, target)
        over = (2, 3, 4) if config.gradcam.weights == "volume" else (3, 4)
        weighted = (gradient.mean(dim=over, keepdim=True) * maps).sum(dim=1)
        return enlarged(weighted, batch, config)

    return gradients.for_each(cam, clips, targets, config)


def guided_grad_cam(
    network: Network, clips: torch.Tensor, targets: torch.Tensor, config: AttributionConfig
) -> torch.Tensor:
    """Guided backpropagation times the positive part of Grad-CAM (Selvaraju et al., 2017)."""
    cam = grad_cam(network, clips, targets, config).clamp(min=0)
    return cam * gradients.guided_backpropagation(network, clips, targets, config)


def score_cam(network: Network, clips: torch.Tensor, targets: torch.Tensor, config: AttributionConfig) -> torch.Tensor:
    """Sum of a layer's channels, weighted by what each does to the logit as a mask (Wang et al., "Score-CAM", 2020).

    A channel's enlarged map, brought to the range 0 to 1, multiplies the clip. The weight is the softmax over channels
    of the increase of the target's logit over that of an empty clip (0 after normalisation, a mean grey).
    """
    found = []
    with torch.no_grad():
        empty = network(torch.zeros_like(clips[:1]))[0]
        for clip, classes in zip(clips.split(1), targets, strict=True):
            maps = _maps(network, clip)[0]
            best = maps.flatten(1).std(dim=1, correction=0).argsort(descending=True, stable=True)
            maps = maps[best[: config.score_cam.channels or None]]
            increase = (
                torch.cat(
                    [
                        network(clip * enlarged(_unit(part), clip, config)[:, None])
                        for part in maps.split(config.clips_at_a_time(clip.shape[2]))
                    ]
                )
                - empty
            )
            weights = increase[:, classes].softmax(dim=0)  # (C, K)
            found.append(enlarged(torch.einsum("ck,cthw->kthw", weights, maps), clip, config))
    return torch.stack(found)


def enlarged(maps: torch.Tensor, clips: torch.Tensor, config: AttributionConfig) -> torch.Tensor:
    """Maps (B, T', H', W') at the size of clips (B, 3, T, H, W)."""
    return functional.interpolate(maps[:, None], size=clips.shape[2:], mode=config.gradcam.interpolation)[:, 0]


def _unit(maps: torch.Tensor) -> torch.Tensor:
    """Each map brought to the range 0 to 1; a constant one is 0."""
    low, high = maps.amin(dim=(1, 2, 3), keepdim=True), maps.amax(dim=(1, 2, 3), keepdim=True)
    return (maps - low) / (high - low).clamp(min=TINY)


def _maps(network: Network, clips: torch.Tensor) -> torch.Tensor:
    return _run(network, clips)[0]


def _maps_and_gradient(
    network: Network, clips: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    maps, seen, logits = _run(network, clips.requires_grad_())
    (gradient,) = torch.autograd.grad(logits.gather(1, target[:, None]).sum(), seen)
    return maps.detach(), _folded(gradient, len(clips))


def _run(network: Network, clips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The layer's maps (B, C, T', H', W'), its output as it was, and the logits."""
    kept: list[torch.Tensor] = []
    hook = network.encoder.gradcam_layer.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    try:
        logits = network(clips)
    finally:
        hook.remove()
    return _folded(kept[-1], len(clips)), kept[-1], logits


def _folded(output: torch.Tensor, count: int) -> torch.Tensor:
    if output.dim() == 5:
        return output
    return output.unflatten(0, (count, -1)).transpose(1, 2)
