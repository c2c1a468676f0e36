"""From the pixels of clips to what an encoder takes.

Clips come as uint8 0 to 255 or as floating point 0 to 1, (B, T, H, W, 3); in a list of B they may differ in H and W.
They leave as float32 (B, 3, T, size, size) in the units 0 to 1, on the device where they are, and :func:`normalise`
brings them to the units of the encoder.

Training draws once for each clip, never for a frame: a still clip stays still. What is drawn depends on the clip's
key alone, not on its batch (:mod:`attune.video.recipes`). Evaluation draws nothing.

Pixel (row i, column j) covers ``[j, j + 1) x [i, i + 1)``. Rotation, crop and flip are one bilinear resampling without
smoothing, in training as in evaluation; beyond its border a frame repeats its edge.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch.nn import functional

from attune.problems import InputError, Problem
from attune.video.draws import Keys
from attune.video.recipes import Augmentation, Recipe, draw

__all__ = ["Augmentation", "View", "augment", "evaluate", "normalise"]

Clips = torch.Tensor | np.ndarray | Sequence[np.ndarray]
View = Literal["square", "crop"]
WHITE = 255


def augment(clips: Clips, config: Augmentation, size: int, keys: Keys) -> torch.Tensor:
    """Change clips at random for training.

    Args:
        clips: (B, T, H, W, 3), see the module.
        config: what may happen to them.
        size: height and width of the result.
        keys: of each clip, (B,); see :func:`attune.video.clips.keys`.

    Returns:
        float32 (B, 3, T, size, size) within 0 and 1.
    """
    pixels = [_tensor(clip) for clip in clips]
    result = _empty(pixels, size)
    for index, clip in enumerate(pixels):
        recipe = draw(config, keys[index : index + 1], *clip.shape[1:3])
        # From here in place and in the result's own order in memory, and nothing for what the recipe spares.
        changed = result[index]
        changed.copy_(_resampled(clip, recipe, size).transpose(0, 1))
        if (recipe.scale != 1).any() or (recipe.bias != 0).any():
            changed.mul_(_channels(recipe.scale, changed)).add_(_channels(recipe.bias, changed))
        if sigma := recipe.sigma.item():
            changed.copy_(_blurred(changed, config.blur_size, sigma))
        if noise := recipe.noise.item():
            changed.add_(noise * _grain(recipe, changed))
        changed.clamp_(0, 1)
    return result


def evaluate(clips: Clips, size: int, view: View) -> torch.Tensor:
    """Cut the centre out of clips; nothing is random.

    Args:
        clips: (B, T, H, W, 3), see the module.
        size: height and width of the result.
        view: ``crop`` takes the central ``size`` x ``size`` pixels; ``square`` takes the largest central square and
            resizes it.

    Returns:
        float32 (B, 3, T, size, size).

    Raises:
        InputError: a frame is smaller than the crop.
    """
    pixels = [_tensor(clip) for clip in clips]
    result = _empty(pixels, size)
    for index, clip in enumerate(pixels):
        height, width = clip.shape[1:3]
        side = size if view == "crop" else min(height, width)
        if side > min(height, width):
            cure = "Enlarge engagement.video.height, lessen input_size or take the view 'square'."
            expected = f"at least {size} x {size} pixels for the view 'crop'"
            raise InputError(Problem("frames", "", f"{height} x {width} pixels", expected, cure))
        top, left = (height - side) // 2, (width - side) // 2
        result[index] = _resized(clip[:, top : top + side, left : left + side], size).transpose(0, 1)
    return result


def normalise(frames: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Subtract the mean and divide by the standard deviation of each channel.

    Args:
        frames: (B, 3, T, H, W) or (N, 3, H, W) in the units 0 to 1.
        mean: per channel in the same units: the encoder's own, or that of the training folds.
        std: standard deviation, likewise.
    """
    shape = (1, -1, *[1] * (frames.dim() - 2))
    mean_of, std_of = (torch.tensor(value, dtype=frames.dtype, device=frames.device) for value in (mean, std))
    return (frames - mean_of.reshape(shape)) / std_of.reshape(shape)


def _tensor(clip: Any) -> torch.Tensor:
    return torch.as_tensor(clip)


def _empty(pixels: Sequence[torch.Tensor], size: int) -> torch.Tensor:
    length = pixels[0].shape[0]
    return torch.empty((len(pixels), 3, length, size, size), device=pixels[0].device)


def _units(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels of any shape as floats 0 to 1."""
    floats = pixels.float()
    return floats.div_(WHITE) if pixels.dtype == torch.uint8 else floats


def _resized(pixels: torch.Tensor, size: int) -> torch.Tensor:
    """Bilinear, (T, h, w, 3) to (T, 3, size, size)."""
    frames = _units(pixels).permute(0, 3, 1, 2)
    if frames.shape[2:] == (size, size):
        return frames
    return functional.interpolate(frames, size=(size, size), mode="bilinear", align_corners=False)


def _resampled(clip: torch.Tensor, recipe: Recipe, size: int) -> torch.Tensor:
    """Rotate, crop, resize and mirror one clip, (T, H, W, 3) to (T, 3, size, size)."""
    (left, top, width, height), flip = recipe.box[0].tolist(), bool(recipe.flip[0])
    if angle := recipe.angle.item():
        grid = _grid(clip.shape[1:3], angle, (left, top, width, height), flip, size).to(clip.device)
        # All frames and channels share one grid, and lie plane by plane: bytes are put in that order, being smaller.
        frames = _units(clip.permute(0, 3, 1, 2).contiguous()).flatten(0, 1)[None]
        sampled = functional.grid_sample(frames, grid[None], padding_mode="border", align_corners=False)
        return sampled[0].unflatten(0, (-1, 3))
    # Two thirds of the clips are not rotated: the same sampling, row by row and column by column, is far faster.
    rows, columns = slice(int(top), int(top + height)), slice(int(left), int(left + width))
    resized = _resized(clip[:, rows, columns], size)
    return resized.flip(3) if flip else resized


def _grid(
    shape: Iterable[int], angle: float, box: tuple[float, float, float, float], flip: bool, size: int
) -> torch.Tensor:
    """Where each pixel of the result is found in the frame, (size, size, 2), in units of ``grid_sample``: -1 to 1."""
    frame_height, frame_width = shape
    left, top, width, height = box
    along = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    x = left + (1 - along if flip else along) * width - frame_width / 2
    y = (top + along * height - frame_height / 2)[:, None]
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    source_x, source_y = x * cosine - y * sine, x * sine + y * cosine
    return torch.stack([source_x * 2 / frame_width, source_y * 2 / frame_height], dim=2).float()


def _channels(values: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    """A number per channel, as it is multiplied with clips (3, T, H, W)."""
    return torch.as_tensor(values, dtype=like.dtype, device=like.device).reshape(3, 1, 1, 1)


def _blurred(frames: torch.Tensor, window: int, sigma: float) -> torch.Tensor:
    """Gaussian blur within a square window; beyond the border the picture is mirrored. (3, T, H, W)."""
    half = window // 2
    offsets = torch.arange(-half, half + 1, dtype=torch.float64)
    weights = torch.softmax(-(offsets**2) / (2 * sigma**2), dim=0).tolist()
    for dimension, pad in ((2, (0, 0, half, half)), (3, (half, half, 0, 0))):
        padded, length = functional.pad(frames, pad, mode="reflect"), frames.shape[dimension]
        frames = padded.narrow(dimension, 0, length) * weights[0]
        for offset, weight in enumerate(weights[1:], 1):
            frames.add_(padded.narrow(dimension, offset, length), alpha=weight)
    return frames


def _grain(recipe: Recipe, like: torch.Tensor) -> torch.Tensor:
    """Standard normal numbers that all frames share, (3, 1, H, W); drawn on the processor, equal on any device."""
    generator = torch.Generator().manual_seed(int(recipe.noise_seed[0]))
    return torch.randn((like.shape[0], 1, *like.shape[2:]), generator=generator).to(like.device)
