"""From the features of frames to the feature of a clip: (B, T, D) to (B, F)."""

import torch
from torch import nn

TINY_VARIANCE = 1e-6  # keeps the slope of the root finite where nothing moves


class Moments(nn.Module):
    """Mean, standard deviation and mean absolute difference of successive frames, F = 3 D.

    The last two are what is left of the motion. They are 0 (the standard deviation 0.001) for a still clip.
    """

    def __init__(self, frame_size: int) -> None:
        super().__init__()
        self.feature_size = 3 * frame_size

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Pool (B, T, D) to (B, 3 D)."""
        mean = features.mean(dim=1)
        std = (features.var(dim=1, correction=0) + TINY_VARIANCE).sqrt()
        steps = features.diff(dim=1).abs().sum(dim=1) / max(features.shape[1] - 1, 1)
        return torch.cat([mean, std, steps], dim=1)


class TemporalTransformer(nn.Module):
    """Two layers of self-attention over time and the mean of their output, F = ``width``.

    It starts from random weights, so its features mean something only after training. Places in time are given by
    sines (Vaswani et al., "Attention is all you need", 2017), so that clips of any length can be pooled.
    """

    def __init__(self, frame_size: int, width: int = 128, layers: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.feature_size = width
        self.project = nn.Linear(frame_size, width)
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        for weight in self.layers.parameters():  # the layers are copies of one; start them apart
            if weight.dim() > 1:
                nn.init.xavier_uniform_(weight)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Pool (B, T, D) to (B, width)."""
        projected: torch.Tensor = self.project(features)
        return self.layers(projected + _places(projected)).mean(dim=1)


def _places(features: torch.Tensor) -> torch.Tensor:
    """Sines and cosines of the frames' indices, (T, width) for features (B, T, width)."""
    _, length, width = features.shape
    time = torch.arange(length, dtype=features.dtype, device=features.device)[:, None]
    exponent = torch.arange(0, width, 2, dtype=features.dtype, device=features.device) / width
    angle = time / 10_000**exponent
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)


POOLINGS = {"moments": Moments, "transformer": TemporalTransformer}
