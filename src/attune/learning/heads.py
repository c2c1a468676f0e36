"""Heads: one linear layer from features to the logits of two classes, its samples and first weights.

Class 1 is "engaged". A sample is one annotator's label of one clip: a clip that three people coded is three samples
with the same features, so that their disagreement reaches the head as it is and no vote is taken. Labels are int8,
-1 where that annotator did not code the clip.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from attune.learning.features import Features, Joined

CLASSES = 2
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Clips:
    """Features of clips with the labels of one variable.

    Attributes:
        features: ``(N, F)``, in memory or in a file.
        labels: ``(N, A)``, one column per annotator, -1 where absent.
        epoch: the baked epoch of each clip, ``(N,)``.
    """

    features: Features
    labels: npt.NDArray[np.int8]
    epoch: npt.NDArray[np.int32]

    @classmethod
    def concatenate(cls, parts: list["Clips"]) -> "Clips":
        """All clips of several sets, in their order; features stay where they are."""
        labels, epoch = (np.concatenate([getattr(part, name) for part in parts]) for name in ("labels", "epoch"))
        return cls(Joined(tuple(part.features for part in parts)), labels, epoch)


@dataclass(frozen=True)
class Samples:
    """The samples of one epoch: row of the features and label, ``(S,)`` each; by clip, then by annotator."""

    rows: Integers
    labels: npt.NDArray[np.int8]


def samples_by_epoch(clips: Clips) -> list[Samples]:
    """The samples of every baked epoch, in the order of the epochs; epoch e of a training takes entry e modulo E."""

    def samples(here: Integers) -> Samples:
        row, annotator = np.nonzero(clips.labels[here] >= 0)
        return Samples(here[row], clips.labels[here[row], annotator])

    return [samples(np.flatnonzero(clips.epoch == number)) for number in baked_epochs(clips)]


def baked_epochs(clips: Clips) -> Integers:
    """The numbers of the baked epochs, ascending; a set without clips has one epoch with no clip in it."""
    return np.unique(clips.epoch).astype(np.int64) if len(clips.epoch) else np.zeros(1, dtype=np.int64)


def class_weights(labels: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Weights inversely proportional to the frequency of a class, ``(2,)``; over all samples their mean is 1.

    ``n / (k n_c)`` with k classes present (scikit-learn's "balanced"); a class without samples has weight 1.
    """
    counts = np.bincount(labels, minlength=CLASSES)
    present = counts > 0
    return np.where(present, counts.sum() / (max(present.sum(), 1) * np.maximum(counts, 1)), 1.0)


def initial(num_features: int, seed: int, repetition: int) -> tuple[torch.Tensor, torch.Tensor]:
    """First weights ``(2, F)`` and bias ``(2,)`` of a repetition, distributed and drawn as in ``torch.nn.Linear``."""
    key = int(np.random.SeedSequence([seed, repetition]).generate_state(1, np.uint64)[0] >> np.uint64(1))
    generator = torch.Generator().manual_seed(key)
    bound = num_features**-0.5
    weight = torch.empty(CLASSES, num_features).uniform_(-bound, bound, generator=generator)
    return weight, torch.empty(CLASSES).uniform_(-bound, bound, generator=generator)


def order(count: int, seed: int, repetition: int, epoch: int) -> Integers:
    """The order of an epoch's samples in one repetition."""
    return np.random.default_rng([seed, repetition, epoch, 1]).permutation(count)


def linear(weight: torch.Tensor, bias: torch.Tensor) -> torch.nn.Linear:
    """A head module with the given weights ``(2, F)`` and bias ``(2,)``."""
    head = torch.nn.Linear(weight.shape[1], CLASSES).to(weight)
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.copy_(bias)
    return head
