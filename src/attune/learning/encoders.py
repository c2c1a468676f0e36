"""Encoders: a clip to its feature.

Clips are (B, 3, T, H, W), red, green, blue, normalised by ``Encoder.mean`` and ``std`` or by the training folds' own
statistics (:func:`attune.video.transforms.normalise`). Features are (B, F). Every encoder has the attributes of
:class:`Encoder`; one that looks at single frames (:class:`FrameEncoder`, ``per_frame``) can also encode those alone.

Encoders come from :func:`build` in evaluation mode and on the processor. Activations work in place, as the libraries
wrote them.
"""

from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import Field, field_validator, model_validator
from torch import nn

from attune.learning import clip_encoders, frame_encoders, weights
from attune.learning.clip_encoders import ARCHITECTURES
from attune.learning.encoder_base import Encoder
from attune.learning.frame_encoders import PREFIX, FrameEncoder
from attune.params import Params

__all__ = ["ENCODERS", "Encoder", "EncoderConfig", "FrameEncoder", "build", "stages_of"]

ENCODERS = {
    **dict.fromkeys(ARCHITECTURES, "clips, torchvision"),
    f"{PREFIX}<model>": "single frames, any image model of timm",
}
CONTAINERS = {"features", "blocks", "stages", "layers"}


class EncoderConfig(Params):
    """Which encoder.

    Attributes:
        name: a key of :data:`ENCODERS`, with the name of timm's model in place of ``<model>``.
        weights: ``DEFAULT``, the library's own, fetched once; ``none``, random ones; ``bundled``, the ImageNet
            weights that come with a package (EfficientNet-Lite0 only); or a .safetensors file with the tensors' names
            in the library.
        weights_sha256: SHA-256 of that file, as ``sha256sum`` prints it. DVC compares parameters and not this file,
            so its content has to stand here: another file needs another number, and what was computed with the
            former one is computed again.
        pooling: how an encoder of single frames makes one feature of a clip.
        input_size: height and width in pixels, the encoder's own unless given.
        seed: of random weights, also those of the pooling.
    """

    name: str
    weights: str = "DEFAULT"
    weights_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    pooling: Literal["moments", "transformer"] = "moments"
    input_size: int | None = Field(default=None, ge=16, le=1024)
    seed: int = Field(default=0, ge=0, lt=2**63)

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in ARCHITECTURES and not value.startswith(PREFIX):
            raise ValueError(f"one of {', '.join(ENCODERS)}")
        return value

    @field_validator("weights")
    @classmethod
    def _source(cls, value: str) -> str:
        if value not in ("DEFAULT", "none", "bundled") and not value.endswith(".safetensors"):
            raise ValueError("DEFAULT, none, bundled or the path of a .safetensors file")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.weights == "bundled" and self.name != weights.BUNDLED_ENCODER:
            raise ValueError(f"weights: bundled with name: {weights.BUNDLED_ENCODER} alone, not {self.name}")
        if self.weights.endswith(".safetensors") != (self.weights_sha256 is not None):
            raise ValueError("weights_sha256 with a .safetensors file, and only with one (sha256sum prints it)")
        least = ARCHITECTURES[self.name].min_size if self.name in ARCHITECTURES else 0
        if self.input_size is not None and self.input_size < least:
            raise ValueError(f"input_size of at least {least} for {self.name}")
        return self


def build(config: EncoderConfig) -> Encoder:
    """Make an encoder; random weights depend on ``config.seed`` alone.

    Raises:
        InputError: there is no such model, or its weights cannot be had or do not fit.
    """

    def load(source: str) -> weights.State:
        return weights.local(Path(source), config.weights_sha256)

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        encoder: Encoder
        if config.name.startswith(PREFIX):
            encoder = frame_encoders.build(config.name, config.weights, load, config.input_size, config.pooling)
        else:
            encoder = clip_encoders.build(config.name, config.weights, load, config.input_size)
    return encoder.eval()


def stages_of(encoder: Encoder) -> list[nn.Module]:
    """The parts of an encoder from input to output, for freeze schedules.

    Each parameter belongs to exactly one part. Normalisations go with what precedes them, parameters that the model
    holds itself (a class token, say) with the first part, a pooling with parameters is the last part.
    """
    parts: list[list[nn.Module]] = []
    for child in _children(encoder):
        parameters = list(child.parameters())
        if parts and all(parameter.dim() < 2 for parameter in parameters):
            parts[-1].append(child)
        elif parameters:
            parts.append([child])
    if direct := list(encoder.model.parameters(recurse=False)):
        parts[0].insert(0, nn.ParameterList(direct))
    return [part[0] if len(part) == 1 else nn.ModuleList(part) for part in parts]


def _children(encoder: Encoder) -> list[nn.Module]:
    """The modules that follow each other, containers of blocks opened, those without parameters left out."""
    found: list[nn.Module] = []
    for name, child in encoder.model.named_children():
        found += child.children() if name in CONTAINERS else [child]
    if isinstance(encoder, FrameEncoder):
        found.append(encoder.pooling)
    return [child for child in found if any(True for _ in child.parameters())]
