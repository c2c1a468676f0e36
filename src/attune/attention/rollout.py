"""Attention rollout: through which places a transformer's tokens reach its output (Abnar and Zuidema, 2020).

The attention of each block, averaged over heads, is mixed half and half with the identity, for the path around the
block, and the matrices are multiplied. The map is the row of the class token, or the mean of all rows where there is
none. It knows no class: the maps of all targets are equal. It is defined where every block attends over the same
tokens, as in timm's vision transformers; MViT pools its keys and Swin attends within windows that move and merge.
"""

import math

import torch
from torch import nn

from attune.attention.attribution_config import AttributionConfig
from attune.attention.cams import enlarged
from attune.learning.encoders import Encoder, FrameEncoder
from attune.learning.models import Network


def attends_everywhere(encoder: Encoder) -> bool:
    """Whether every block of the encoder attends over the same tokens, and shows how."""
    blocks = getattr(encoder.model, "blocks", None)
    if not isinstance(encoder, FrameEncoder) or not isinstance(blocks, nn.Sequential | nn.ModuleList):
        return False
    return bool(len(blocks)) and len(_attentions(encoder)) == len(blocks)


def _attentions(encoder: Encoder) -> list[nn.Module]:
    """Modules that hold a vision transformer's attention, whose form all of timm's share."""
    names = ("fused_attn", "attn_drop", "num_heads")
    return [module for module in encoder.modules() if all(hasattr(module, name) for name in names) and _plain(module)]


def _plain(module: nn.Module) -> bool:
    return isinstance(module.attn_drop, nn.Module) and not hasattr(module, "window_size")


def attention_rollout(
    network: Network, clips: torch.Tensor, targets: torch.Tensor, config: AttributionConfig
) -> torch.Tensor:
    """Product of the blocks' attention, seen from the output; see the module."""
    found = []
    with torch.no_grad():
        for clip in clips.split(1):
            rolled = _rolled(network.encoder, clip)  # (T, H', W')
            found.append(enlarged(rolled[None], clip, config))
    return torch.cat(found)[:, None].expand(-1, targets.shape[1], -1, -1, -1).clone()


def _rolled(encoder: Encoder, clip: torch.Tensor) -> torch.Tensor:
    attention = _watch(encoder, clip)
    product = torch.eye(attention[0].shape[-1], device=clip.device)
    for matrix in attention:
        product = (matrix + torch.eye(matrix.shape[-1], device=clip.device)) / 2 @ product
    prefix = getattr(encoder.model, "num_prefix_tokens", 0)
    class_token = getattr(encoder.model, "cls_token", None) is not None
    row = product[:, 0] if class_token else product[:, prefix:].mean(dim=1)
    side = math.isqrt(row.shape[1] - prefix)
    return row[:, prefix:].unflatten(1, (side, side))


def _watch(encoder: Encoder, clip: torch.Tensor) -> list[torch.Tensor]:
    """Each block's attention, averaged over heads, (T, N, N)."""
    kept: list[torch.Tensor] = []
    hooks = []
    for module in _attentions(encoder):
        setattr(module, "fused_attn", False)  # noqa: B010 - the fused operation never shows its weights; this copy is ours
        drop = module.attn_drop
        assert isinstance(drop, nn.Module)  # noqa: S101 - checked when the module was chosen
        hooks.append(drop.register_forward_hook(lambda _module, inputs, _output: kept.append(inputs[0].mean(dim=1))))
    try:
        encoder(clip)
    finally:
        for hook in hooks:
            hook.remove()
    return kept
