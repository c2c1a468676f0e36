"""How frames are shown to an encoder: what is cut out of them and how their values are scaled.

Means and standard deviations are per channel, in the units 0 (black) to 1.
"""

from typing import Literal

from attune.annotation.folds import FoldStatistics
from attune.learning.encoder_base import Channels, Encoder
from attune.params import Params
from attune.video.transforms import View


class PixelConfig(Params):
    """How frames are shown.

    Attributes:
        view: what an evaluation cuts out of a frame: ``crop``, as many central pixels as the encoder takes, or
            ``square``, the largest central square, resized.
        normalise: by the ``encoder``'s own mean and standard deviation, or by those of the training ``folds``.
    """

    view: View
    normalise: Literal["encoder", "folds"] = "encoder"


def normalisation(config: PixelConfig, encoder: Encoder, statistics: FoldStatistics) -> tuple[Channels, Channels]:
    """Mean and standard deviation by which pixels are normalised; the test fold's pixels have no part in them."""
    if config.normalise == "encoder":
        return encoder.mean, encoder.std
    parts = [fold.pixel_values for index, fold in enumerate(statistics.folds) if index != statistics.test_fold]
    count = sum(part.count for part in parts)
    means, stds = [], []
    for channel in range(3):
        mean = sum(part.count * part.mean[channel] for part in parts) / count
        square = sum(part.count * (part.std[channel] ** 2 + part.mean[channel] ** 2) for part in parts) / count
        means.append(mean)
        stds.append((square - mean**2) ** 0.5)
    return (means[0], means[1], means[2]), (stds[0], stds[1], stds[2])
