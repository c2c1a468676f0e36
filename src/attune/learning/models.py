"""Models: an encoder with a head, and the file that keeps both.

A model file is a safetensors file: tensors ``encoder...`` and ``head...``, and in its metadata, as one JSON text, the
whole :class:`Configuration`: which encoder, what a clip is, how pixels are prepared, and how it was trained. Nothing
in it is executed on loading. The weights of the file replace those that the encoder's configuration names.
"""

import json
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from torch import nn

from attune.learning import encoders, heads, weights
from attune.learning.encoders import Encoder, EncoderConfig
from attune.params import Params
from attune.problems import InputError, Problem
from attune.video import transforms
from attune.video.clips import ClipConfig
from attune.video.files import VideoConfig
from attune.video.transforms import View

FORMAT = "attune model 1"
SUFFIX = ".safetensors"


class Configuration(Params):
    """Everything that is needed to use a model, and where it comes from.

    Attributes:
        task: the play activity on which it was trained.
        variable: the behaviour that it recognises.
        encoder: which encoder.
        clips: length of a clip; how many were drawn.
        video: form of the processed video.
        view: how a frame is cut.
        mean: subtracted from each channel, in the units 0 to 1.
        std: divides each channel.
        training: how it was trained, for the reader.
    """

    task: str
    variable: str
    encoder: EncoderConfig
    clips: ClipConfig
    video: VideoConfig
    view: View
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    training: dict[str, Any]


class Network(nn.Module):
    """Encoder and head: clips (B, 3, T, H, W), normalised, to logits (B, 2)."""

    def __init__(self, encoder: Encoder, head: nn.Linear) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Logits (B, 2) of not engaged and engaged."""
        logits: torch.Tensor = self.head(self.encoder(clips))
        return logits


def prepare(pixels: Any, size: int, configuration: Configuration) -> torch.Tensor:
    """What a model takes of clips (B, T, H, W, 3): cut, resized to ``size`` and normalised; nothing is random."""
    clips = transforms.evaluate(pixels, size, configuration.view)
    return transforms.normalise(clips, configuration.mean, configuration.std)


def save(path: Path, network: Network, configuration: Configuration) -> None:
    """Write a model file; equal models give equal bytes."""
    content = {"format": FORMAT, "configuration": configuration.model_dump(mode="json")}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    weights.save(path, tensors, {"attune": json.dumps(content, sort_keys=True)})


def load(path: Path) -> tuple[Network, Configuration]:
    """Read a model file; the network is in evaluation mode and on the processor.

    Raises:
        InputError: the file is missing, damaged or no model of this version, or its tensors do not fit its encoder.
    """
    cure = "Run the stage train again, or check the path."
    try:
        with safe_open(path, framework="pt") as file:
            content = json.loads((file.metadata() or {}).get("attune", "{}"))
            if content.get("format") != FORMAT:
                found = f"the format {content.get('format')!r}"
                raise InputError(Problem(str(path), "", found, repr(FORMAT), cure))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is not a mapping
        configuration = Configuration.model_validate(content["configuration"])
    except FileNotFoundError:
        raise InputError(Problem(str(path), "", "no such file", "a model", cure)) from None
    except (SafetensorError, OSError, json.JSONDecodeError, ValidationError, KeyError) as error:
        raise InputError(Problem(str(path), "", str(error).splitlines()[0], "a model", cure)) from None
    encoder = encoders.build(configuration.encoder.model_copy(update={"weights": "none"}))
    network = Network(encoder, nn.Linear(encoder.feature_size, heads.CLASSES))
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(
            Problem(str(path), "tensors", str(error).splitlines()[0], "those of its encoder", cure)
        ) from None
    return network.eval(), configuration
