"""Encoders of whole clips: torchvision's video networks without their classifier.

Networks with a fixed window of averaging are given a global one, which is the same at their native size and lets them
take smaller clips. MViT takes its grid from the clip instead of the fixed 16 x 224 x 224.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import nn

from attune.learning import weights
from attune.learning.encoder_base import Encoder, Form


class ClipEncoder(Encoder):
    """A network that gives the feature once its classifier is gone."""

    def __init__(self, model: nn.Module, form: Form, tap: str) -> None:
        super().__init__(model, form)
        self._tap = tap

    @property
    def gradcam_layer(self) -> nn.Module:
        """The layer before global averaging, or before the last block of MViT: (B, C, T', H', W')."""
        return self.model.get_submodule(self._tap)

    def encode(self, clips: torch.Tensor) -> torch.Tensor:
        """Features (B, F)."""
        features: torch.Tensor = self.model(clips)
        return features


class _Mvit(nn.Module):
    """MViT up to its class token, for a grid of any size.

    The class token takes nothing from the places of the last block's output; the last map that matters is its input.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.conv_proj = model.conv_proj
        self.pos_encoding = model.pos_encoding
        self.blocks = model.blocks
        self.norm = model.norm
        self.tap = nn.Identity()

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        patches = self.conv_proj(clips)  # (B, C, T', H', W')
        grid = tuple(patches.shape[2:])
        tokens = self.pos_encoding(patches.flatten(2).transpose(1, 2))  # (B, 1 + T'H'W', C)
        for block in self.blocks[:-1]:
            tokens, grid = block(tokens, grid)
        places = self.tap(tokens[:, 1:].transpose(1, 2).unflatten(2, grid))
        tokens = torch.cat([tokens[:, :1], places.flatten(2).transpose(1, 2)], dim=1)
        tokens, _ = self.blocks[-1](tokens, grid)
        feature: torch.Tensor = self.norm(tokens)[:, 0]
        return feature


def _resnet(model: Any) -> tuple[nn.Module, str]:
    model.fc = nn.Identity()
    return model, "layer4"


def _averaged(pooling: nn.Module) -> nn.Module:
    return nn.Sequential(OrderedDict(tap=nn.Identity(), pool=pooling))


def _s3d(model: Any) -> tuple[nn.Module, str]:
    model.avgpool = _averaged(nn.AdaptiveAvgPool3d(1))
    model.classifier = nn.Identity()
    return model, "avgpool.tap"


def _swin(model: Any) -> tuple[nn.Module, str]:
    model.avgpool = _averaged(model.avgpool)
    model.head = nn.Identity()
    return model, "avgpool.tap"


def _mvit(model: Any) -> tuple[nn.Module, str]:
    return _Mvit(model), "tap"


@dataclass(frozen=True)
class Architecture:
    """One of torchvision's video networks.

    Attributes:
        weights: name of its weights in ``torchvision.models.video``.
        feature_size: length of the feature.
        input_size: height and width it was trained with.
        behead: replaces the classifier; returns the network and the path of the layer for Grad-CAM.
        classifier: start of the names of the classifier's tensors.
        min_frames: the fewest frames it can take.
        min_size: the least height and width it can take.
    """

    weights: str
    feature_size: int
    input_size: int
    behead: Callable[[Any], tuple[nn.Module, str]]
    classifier: str
    min_frames: int = 1
    min_size: int = 16


ARCHITECTURES = {
    "mc3_18": Architecture("MC3_18_Weights", 512, 112, _resnet, "fc."),
    "r3d_18": Architecture("R3D_18_Weights", 512, 112, _resnet, "fc."),
    "r2plus1d_18": Architecture("R2Plus1D_18_Weights", 512, 112, _resnet, "fc."),
    "s3d": Architecture("S3D_Weights", 1024, 224, _s3d, "classifier.", min_frames=5, min_size=32),
    "mvit_v2_s": Architecture("MViT_V2_S_Weights", 768, 224, _mvit, "head.", min_size=32),
    "swin3d_t": Architecture("Swin3D_T_Weights", 768, 224, _swin, "head.", min_size=32),
}


def build(name: str, source: str, load: Callable[[str], weights.State], input_size: int | None) -> ClipEncoder:
    """Make an encoder of clips.

    Args:
        name: a key of :data:`ARCHITECTURES`.
        source: ``none``, ``DEFAULT`` or where else ``load`` finds tensors.
        load: finds the tensors of any source but those two.
        input_size: height and width of the clips, the network's own unless given.

    Raises:
        InputError: the weights cannot be had or do not fit.
    """
    video = import_module("torchvision.models.video")  # takes seconds

    architecture = ARCHITECTURES[name]
    default = getattr(video, architecture.weights).DEFAULT
    preset = default.transforms()
    model = getattr(video, name)()
    if source != "none":
        state = weights.download(default.url) if source == "DEFAULT" else load(source)
        weights.fit_by_name(model, state, source if source != "DEFAULT" else default.url, architecture.classifier)
    model, tap = architecture.behead(model)
    form = Form(
        architecture.feature_size,
        input_size or architecture.input_size,
        tuple(preset.mean),
        tuple(preset.std),
        architecture.min_frames,
        architecture.min_size,
    )
    return ClipEncoder(model, form, tap)
