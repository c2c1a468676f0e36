"""HiResCAM: the maps of an earlier, finer layer, each place weighted by its own gradient.

Grad-CAM averages a channel's gradient over all places, which is exact only for the layer in front of a global average;
there a frame of 112 pixels has 4 x 4 places left. Multiplying place by place is right at any layer (Draelos and Carin,
"Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks", 2020), so a layer can be
taken that still tells a head from what is beside it.
"""

from typing import Any

import torch
from torch import nn

from attune.attention import gradients
from attune.attention.attribution_config import AttributionConfig
from attune.attention.cams import enlarged
from attune.learning import encoders
from attune.learning.models import Network


def hires_cam(network: Network, clips: torch.Tensor, targets: torch.Tensor, config: AttributionConfig) -> torch.Tensor:
    """Sum over channels of a layer's maps times their gradient; for the form see :mod:`attune.attention.gradients`."""
    layer = finest(network, clips[:1], config.hires_cam.side)

    def cam(batch: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        kept: list[torch.Tensor] = []

        def keep(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            kept.append(output)

        hook = layer.register_forward_hook(keep)
        try:
            logits = network(batch.requires_grad_())
        finally:
            hook.remove()
        (gradient,) = torch.autograd.grad(logits.gather(1, target[:, None]).sum(), kept[-1])
        product = (gradient * kept[-1].detach()).sum(dim=1)
        folded = product if product.dim() == 4 else product.unflatten(0, (len(batch), -1))
        return enlarged(folded, batch, config)

    return gradients.for_each(cam, clips, targets, config)


def finest(network: Network, clips: torch.Tensor, side: int) -> nn.Module:
    """The last of the encoder's layers whose maps have at least ``side`` rows and columns, else its Grad-CAM layer.

    Layers are what follow each other in the model, containers of blocks opened; maps are (N, C, H', W') or
    (B, C, T', H', W').
    """
    model = network.encoder.model
    children = [
        inner
        for name, child in model.named_children()
        for inner in (child.children() if name in encoders.CONTAINERS else [child])
    ]
    found: list[nn.Module] = []

    def look(module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.dim() >= 4 and min(output.shape[-2:]) >= side:
            found.append(module)

    hooks = [child.register_forward_hook(look) for child in children]
    try:
        with torch.no_grad():
            network(clips)
    finally:
        for hook in hooks:
            hook.remove()
    return found[-1] if found else network.encoder.gradcam_layer
