"""What every encoder has in common; see :mod:`attune.learning.encoders` for the choice of encoders."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import nn

from attune.problems import InputError, Problem

Channels = tuple[float, float, float]


@dataclass(frozen=True)
class Form:
    """What an encoder takes and gives.

    Attributes:
        feature_size: F, length of a clip's feature.
        input_size: height and width in pixels that the transforms should make.
        mean: per channel, in the units 0 to 1, as the pre-trained weights expect it.
        std: standard deviation, likewise.
        min_frames: the fewest frames of a clip.
        min_size: the least height and width.
    """

    feature_size: int
    input_size: int
    mean: Channels
    std: Channels
    min_frames: int = 1
    min_size: int = 1


class Encoder(nn.Module, ABC):
    """A clip to its feature: (B, 3, T, H, W), normalised, to (B, F)."""

    per_frame = False

    def __init__(self, model: nn.Module, form: Form) -> None:
        super().__init__()
        self.model = model
        self.form = form

    @property
    def feature_size(self) -> int:
        """F, length of a clip's feature."""
        return self.form.feature_size

    @property
    def input_size(self) -> int:
        """Height and width in pixels of the clips."""
        return self.form.input_size

    @property
    def mean(self) -> Channels:
        """Mean per channel that the weights expect, in the units 0 to 1."""
        return self.form.mean

    @property
    def std(self) -> Channels:
        """Standard deviation per channel that the weights expect."""
        return self.form.std

    @property
    @abstractmethod
    def gradcam_layer(self) -> nn.Module:
        """The layer whose output is the last map of features that still has places.

        The output is (B, C, T', H', W'), or (B * T, C, H', W') of an encoder of single frames, and the feature
        depends on the clip through it alone (in transformers with a class token: through it and that token).
        """

    @abstractmethod
    def encode(self, clips: torch.Tensor) -> torch.Tensor:
        """The feature of clips whose shape was checked."""

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Encode clips (B, 3, T, H, W), normalised, to features (B, F).

        Raises:
            InputError: the clips have fewer frames or pixels than the encoder needs.
        """
        self.check(clips.shape)
        return self.encode(clips)

    def check(self, shape: tuple[int, ...]) -> None:
        """Hold the shape of a batch, (B, 3, T, H, W), against what the encoder needs.

        Raises:
            InputError: the clips have fewer frames or pixels than the encoder needs, or another form.
        """
        size = self.form.min_size
        if len(shape) != 5 or shape[1] != 3 or shape[2] < self.form.min_frames or min(shape[3:]) < size:
            expected = f"(B, 3, T, H, W) with T >= {self.form.min_frames} and H, W >= {size}"
            cure = "Lengthen the clips, enlarge input_size or choose another encoder."
            raise InputError(Problem("encoder", "clips", f"{tuple(shape)}", expected, cure))
