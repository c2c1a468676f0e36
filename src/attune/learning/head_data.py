"""What heads are trained on and scored by: samples, and features that are held only where they are few.

The clips of any number of sessions may be learned from: their features stay in their files unless all of one training
fit into :data:`HELD_MB`; labels, epochs and the rows of samples stay in memory, some tens of bytes per clip against
kilobytes of features. What a training computes does not depend on where features are, because they come in the same
batches and chunks.
"""

from dataclasses import dataclass

import numpy as np
import torch

from attune.learning import features, heads
from attune.learning.features import Features
from attune.learning.heads import Samples

HELD_MB = 256.0  # features of one training, to learn from and to score by together, that are read once and kept
CHUNK = 512  # clips that are scored at a time


class Inputs:
    """Features with a last column of ones, which carries the bias, ``(N, F + 1)``; rows are taken from them.

    Attributes:
        size: F.
        device: where rows are wanted.
        index_device: where :meth:`take` expects their numbers.
    """

    def __init__(self, source: Features, device: torch.device, *, hold: bool) -> None:
        """Hold all rows on the device, or read them anew each time.

        Raises:
            InputError: a file is damaged.
        """
        self.size = source.shape[1]
        self.device = device
        self.index_device = device if hold else torch.device("cpu")
        self._source = source
        self._like = torch.from_numpy(np.empty(0, source.dtype))
        self._held = self._read(torch.arange(source.shape[0])) if hold else None

    def take(self, rows: torch.Tensor) -> torch.Tensor:
        """Some rows, ``(n, F + 1)``; several threads may ask.

        Raises:
            InputError: a file is damaged.
        """
        return self._read(rows) if self._held is None else self._held.index_select(0, rows)

    def _read(self, rows: torch.Tensor) -> torch.Tensor:
        out = self._like.new_empty(len(rows), self.size + 1)
        out[:, -1] = 1
        features.read(self._source, rows.numpy(), out.numpy()[:, :-1], np.arange(len(rows)))
        return out.to(self.device)


@dataclass(frozen=True)
class Validation:
    """The validation clips of one baked epoch, each once, however many annotators coded it.

    Attributes:
        inputs: of all clips.
        rows: those of this epoch, ``(n,)``.
        positive: number of their labels that are 1, ``(n,)``.
        coded: number of their labels, ``(n,)``.
    """

    inputs: Inputs
    rows: torch.Tensor
    positive: torch.Tensor
    coded: torch.Tensor

    def chunks(self) -> list["Validation"]:
        """The same, at most :data:`CHUNK` clips in each."""
        parts = (part.split(CHUNK) for part in (self.rows, self.positive, self.coded))
        return [Validation(self.inputs, *part) for part in zip(*parts, strict=True)]


@dataclass(frozen=True)
class HeadData:
    """What the runs of one fold learn from and are scored on.

    Attributes:
        inputs: of the training clips.
        train: samples of every baked epoch, rows of ``inputs``.
        validation: validation clips of every baked epoch.
        class_weights: weight of each class where a run asks for it, ``(2,)``, of the type and on the device of the
            weights.
    """

    inputs: Inputs
    train: list[Samples]
    validation: list[Validation]
    class_weights: torch.Tensor

    @classmethod
    def of(cls, train: heads.Clips, validation: heads.Clips, device: torch.device | None = None) -> "HeadData":
        """Put the clips of one fold where they are trained on; the type of the features is the type of the weights.

        Raises:
            InputError: a file is damaged.
        """
        hold = _size_mb(train) + _size_mb(validation) <= HELD_MB
        seen, unseen = (
            Inputs(clips.features, device or torch.device("cpu"), hold=hold) for clips in (train, validation)
        )
        class_weights = heads.class_weights(train.labels[train.labels >= 0])
        like = torch.empty(0, dtype=torch.from_numpy(np.empty(0, train.features.dtype)).dtype, device=device)
        return cls(
            seen,
            heads.samples_by_epoch(train),
            [_validation(validation, number, unseen, like) for number in heads.baked_epochs(validation)],
            torch.from_numpy(class_weights).to(like),
        )


def _size_mb(clips: heads.Clips) -> float:
    count, size = clips.features.shape
    return count * (size + 1) * clips.features.dtype.itemsize / 1e6


def _validation(clips: heads.Clips, epoch: int, inputs: Inputs, like: torch.Tensor) -> Validation:
    rows = np.flatnonzero((clips.epoch == epoch) & (clips.labels >= 0).any(axis=1))
    labels = clips.labels[rows]
    return Validation(
        inputs,
        torch.from_numpy(rows).to(inputs.index_device),
        torch.from_numpy((labels == 1).sum(axis=1)).to(like),
        torch.from_numpy((labels >= 0).sum(axis=1)).to(like),
    )
