"""What the augmentation does to each clip: the settings, and the numbers drawn from them.

The numbers of a clip depend on its key alone (:mod:`attune.video.draws`). No torch here: numbers are drawn where the
clips are planned as well as where they are made.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, field_validator

from attune.params import Params
from attune.video import draws

Floats = npt.NDArray[np.float64]

CROP_TRIES = 10
CHANNELS = 3
NOISE = -1


def _ascending(value: tuple[float, float]) -> tuple[float, float]:
    if not value[0] <= value[1]:
        raise ValueError("a low and a high limit, in this order")
    return value


Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
PositiveRange = Annotated[tuple[Positive, Positive], AfterValidator(_ascending)]
Range = Annotated[tuple[NotNegative, NotNegative], AfterValidator(_ascending)]


class Augmentation(Params):
    """The random changes of training clips; the defaults are those of the published study.

    Attributes:
        rotation_degrees: largest angle, either way.
        rotation_share: share of clips that are rotated; likewise for the other shares.
        crop_scale: area of the crop as a share of the frame; crops that do not fit are drawn again.
        crop_ratio: its width over its height.
        flip_share: share of clips that are mirrored left to right.
        brightness_bias: largest value added to all channels, either way.
        brightness_scale: factor of all channels.
        channel_bias: largest value added to a channel, either way, another for each.
        channel_scale: factor of a channel, another for each.
        blur_size: side of the Gaussian's window in pixels of the result, odd.
        blur_sigma: its standard deviation in the same pixels.
        noise_std: standard deviation of normal noise, one draw per pixel that all frames share.
    """

    rotation_degrees: float = Field(default=8.0, ge=0, le=180)
    rotation_share: Share = 0.35
    crop_scale: PositiveRange = (0.6, 1.5)
    crop_ratio: PositiveRange = (0.5, 1.5)
    flip_share: Share = 0.5
    brightness_bias: float = Field(default=0.15, ge=0, le=1)
    brightness_scale: Range = (0.75, 1.25)
    brightness_share: Share = 0.35
    channel_bias: float = Field(default=0.1, ge=0, le=1)
    channel_scale: Range = (0.8, 1.2)
    channel_share: Share = 0.35
    blur_size: int = Field(default=5, ge=1, le=31)
    blur_sigma: PositiveRange = (0.1, 2.0)
    blur_share: Share = 0.35
    noise_std: Range = (0.01, 0.03)
    noise_share: Share = 0.35

    @field_validator("blur_size")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("an odd number of pixels, so that the window has a centre")
        return value


@dataclass(frozen=True)
class Recipe:
    """What happens to B clips; a clip that is spared has angle 0, factor 1, bias 0, sigma 0 or noise 0.

    Attributes:
        angle: degrees counter-clockwise, (B,).
        box: left, top, width and height of the crop in pixels of the rotated frame, (B, 4).
        flip: whether the crop is mirrored, (B,).
        scale: factor of each channel, (B, 3).
        bias: what is added to it then, (B, 3).
        sigma: standard deviation of the blur, (B,).
        noise: standard deviation of the noise, (B,).
        noise_seed: what the noise itself is drawn from, (B,).
    """

    angle: Floats
    box: Floats
    flip: npt.NDArray[np.bool_]
    scale: Floats
    bias: Floats
    sigma: Floats
    noise: Floats
    noise_seed: draws.Keys


def draw(config: Augmentation, keys: draws.Keys, height: int, width: int) -> Recipe:
    """Draw what happens to the clips with these keys, (B,), whose frames have this size."""
    # Each purpose has its own numbers, so that a change of one setting leaves the draws of the others as they were.
    turn, crop, mirror, bright, channel, blur, noise = (
        draws.uniform(draws.combine(keys, purpose), count)
        for purpose, count in enumerate((2, 2 * CROP_TRIES + 2, 1, 3, 1 + 2 * CHANNELS, 2, 2))
    )
    is_bright, is_tinted = bright[:, :1] < config.brightness_share, channel[:, :1] < config.channel_share
    bright_scale = np.where(is_bright, _between(bright[:, 1:2], config.brightness_scale), 1)
    bright_bias = np.where(is_bright, _either_way(bright[:, 2:3], config.brightness_bias), 0)
    tint_scale = np.where(is_tinted, _between(channel[:, 1 : 1 + CHANNELS], config.channel_scale), 1)
    tint_bias = np.where(is_tinted, _either_way(channel[:, 1 + CHANNELS :], config.channel_bias), 0)
    return Recipe(
        angle=np.where(turn[:, 0] < config.rotation_share, _either_way(turn[:, 1], config.rotation_degrees), 0),
        box=_boxes(config, crop, height, width),
        flip=mirror[:, 0] < config.flip_share,
        scale=bright_scale * tint_scale,
        bias=bright_bias * tint_scale + tint_bias,
        sigma=np.where(blur[:, 0] < config.blur_share, _between(blur[:, 1], config.blur_sigma), 0),
        noise=np.where(noise[:, 0] < config.noise_share, _between(noise[:, 1], config.noise_std), 0),
        noise_seed=draws.combine(keys, NOISE),
    )


def _boxes(config: Augmentation, numbers: Floats, height: int, width: int) -> Floats:
    """Crops as torchvision's ``RandomResizedCrop`` draws them: the first of ten tries that fits, else a central one."""
    area = height * width * _between(numbers[:, :CROP_TRIES], config.crop_scale)
    ratio = np.exp(_between(numbers[:, CROP_TRIES : 2 * CROP_TRIES], tuple(np.log(config.crop_ratio))))
    widths, heights = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    first = fits.argmax(axis=1)
    rows = np.arange(len(numbers))
    # No try fits: the whole frame, cut to the nearest allowed ratio; it is centred like any crop of half the margin.
    low, high = config.crop_ratio
    central_width, central_height = min(width, np.rint(height * high)), min(height, np.rint(width / low))
    found = fits.any(axis=1)
    box_width = np.where(found, widths[rows, first], central_width)
    box_height = np.where(found, heights[rows, first], central_height)
    left, top = numbers[:, -2], numbers[:, -1]
    return np.stack(
        [
            np.where(found, np.floor(left * (width - box_width + 1)), (width - box_width) // 2),
            np.where(found, np.floor(top * (height - box_height + 1)), (height - box_height) // 2),
            box_width,
            box_height,
        ],
        axis=1,
    )


def _between(numbers: Floats, limits: tuple[float, float]) -> Floats:
    return limits[0] + numbers * (limits[1] - limits[0])


def _either_way(numbers: Floats, largest: float) -> Floats:
    return (2 * numbers - 1) * largest
