"""Linear heads trained all at once: one step moves the weights of every run.

The runs of a call share their samples, the order of the samples and the first weights, and differ in their settings.
Weights are ``(F + 1, 2 R)``: the last row is the bias (features get a column of ones), columns 0 to R - 1 belong to
class 0 of each run and R to 2 R - 1 to class 1. So the logits of all runs are one matrix product, their gradients are
another, and what differs between runs is one number per column.

Each run is what ``torch.optim.Adam`` (L2 weight decay, its default betas and eps), ``ExponentialLR`` with
gamma = 1 - decay and the weighted mean of ``CrossEntropyLoss`` do with it alone, up to rounding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from attune.learning import heads, metrics
from attune.learning.head_config import HeadSettings
from attune.learning.head_data import HeadData, Validation

BETAS, EPS = (0.9, 0.999), 1e-8
ARRAYS = 5  # of the size of the weights: weights, two moments, gradient, quotient


@dataclass(frozen=True)
class Trained:
    """The result of R runs over E epochs.

    Attributes:
        f1: on the validation clips after every epoch, 0 once a weight is not finite, ``(R, E)``.
        diverged: whether a weight of the run became infinite or NaN, ``(R,)``.
        weight: at the end, ``(R, 2, F)``.
        bias: at the end, ``(R, 2)``.
    """

    f1: npt.NDArray[np.float64]
    diverged: npt.NDArray[np.bool_]
    weight: torch.Tensor
    bias: torch.Tensor


def runs_within(memory_mb: float, num_features: int, itemsize: int = 4) -> int:
    """How many runs may be trained at once so that their arrays fit into the given memory (at least one)."""
    return max(1, int(memory_mb * 1e6 // (ARRAYS * heads.CLASSES * (num_features + 1) * itemsize)))


def train_heads(
    data: HeadData,
    settings: Sequence[HeadSettings],
    *,
    epochs: int,
    batch_size: int,
    initial: tuple[torch.Tensor, torch.Tensor],
    order: Callable[[int, int], npt.NDArray[np.int64]],
) -> Trained:
    """Train one head per setting, all at once.

    Args:
        data: training and validation clips.
        settings: those of each run, R of them.
        epochs: how often the runs go through the samples of a baked epoch.
        batch_size: samples per step; the last step of an epoch takes what is left.
        initial: first weights ``(2, F)`` and bias ``(2,)`` of every run.
        order: from the number of samples and the epoch to the order in which they are taken.
    """
    runs = len(settings)
    start = torch.cat([initial[0], initial[1][:, None]], dim=1).to(data.class_weights).T  # (F + 1, 2)
    adam = _Adam(start.repeat_interleave(runs, dim=1), settings)
    weighted = torch.tensor([one.class_weights for one in settings], device=start.device)
    f1 = np.zeros((runs, epochs))
    finite = np.ones(runs, dtype=bool)
    for epoch in range(epochs):
        samples = data.train[epoch % len(data.train)]
        taken = order(len(samples.rows), epoch)
        rows = torch.from_numpy(samples.rows[taken]).to(data.inputs.index_device)
        labels = torch.from_numpy(samples.labels[taken]).to(start.device, torch.int64)
        for first in range(0, len(rows), batch_size):
            truth = labels[first : first + batch_size]
            inputs = data.inputs.take(rows[first : first + batch_size])
            adam.step(inputs, _error(inputs @ adam.weights, truth, data.class_weights, weighted))
        adam.end_epoch()
        finite &= adam.weights.isfinite().all(dim=0).view(2, runs).all(dim=0).cpu().numpy()
        f1[:, epoch] = np.where(finite, _f1(adam.weights, data.validation[epoch % len(data.validation)]), 0.0)
    final = adam.weights.T.reshape(2, runs, -1).transpose(0, 1)  # (R, 2, F + 1)
    return Trained(f1, ~finite, final[..., :-1].contiguous(), final[..., -1].contiguous())


class _Adam:
    """``torch.optim.Adam`` with one learning rate and weight decay per column, in place and without temporaries."""

    def __init__(self, weights: torch.Tensor, settings: Sequence[HeadSettings]) -> None:
        def per_column(values: list[float]) -> torch.Tensor:
            return torch.tensor(values * heads.CLASSES, dtype=torch.float64, device=weights.device)

        self.weights = weights.contiguous()
        self._mean, self._square = torch.zeros_like(self.weights), torch.zeros_like(self.weights)
        self._gradient, self._quotient = torch.empty_like(self.weights), torch.empty_like(self.weights)
        self._rate = per_column([one.learning_rate for one in settings])
        self._gamma = per_column([1 - one.decay for one in settings])
        self._weight_decay = per_column([one.weight_decay for one in settings]).to(weights)
        self._steps = 0

    def step(self, inputs: torch.Tensor, error: torch.Tensor) -> None:
        """One step from a batch ``(B, F + 1)`` and the loss's derivative by its logits ``(B, C)``."""
        self._steps += 1
        root = (1 - BETAS[1] ** self._steps) ** 0.5
        size = (self._rate * (-root / (1 - BETAS[0] ** self._steps))).to(self.weights)
        torch.mul(self.weights, self._weight_decay, out=self._gradient)
        self._gradient.addmm_(inputs.T, error)
        self._mean.lerp_(self._gradient, 1 - BETAS[0])
        self._square.mul_(BETAS[1]).addcmul_(self._gradient, self._gradient, value=1 - BETAS[1])
        torch.sqrt(self._square, out=self._quotient)
        torch.div(self._mean, self._quotient.add_(EPS * root), out=self._quotient)
        self.weights.addcmul_(self._quotient, size)

    def end_epoch(self) -> None:
        """``ExponentialLR.step``."""
        self._rate *= self._gamma


def _error(
    logits: torch.Tensor, truth: torch.Tensor, class_weights: torch.Tensor, weighted: torch.Tensor
) -> torch.Tensor:
    """Derivative of each run's weighted mean cross-entropy by its logits, ``(B, 2 R)``.

    With two classes, softmax minus one-hot is the same number with opposite signs for both.
    """
    share = class_weights[truth]
    shares = torch.where(weighted, (share / share.sum())[:, None], 1 / len(truth))  # (B, R)
    first, second = logits.chunk(heads.CLASSES, dim=1)
    error = (second - first).sigmoid_().sub_(truth[:, None]).mul_(shares)
    return torch.cat([-error, error], dim=1)


def _f1(weights: torch.Tensor, validation: Validation) -> npt.NDArray[np.float64]:
    """F1 of every run ``(R,)``; equal logits mean class 0, as for ``argmax``."""
    counts = torch.zeros(2, weights.shape[1] // heads.CLASSES, dtype=torch.float64, device=weights.device)
    for chunk in validation.chunks():
        counts += _counts(weights, chunk)
    hits, chosen = counts
    f1: torch.Tensor = metrics.f1_of_counts(hits, chosen, validation.positive.double().sum())
    return f1.cpu().numpy()


def _counts(weights: torch.Tensor, validation: Validation) -> torch.Tensor:
    """Labels 1 of the clips that each run gives class 1, and all labels of those clips, ``(2, R)``."""
    first, second = (validation.inputs.take(validation.rows) @ weights).chunk(heads.CLASSES, dim=1)
    predicted = (second > first).to(weights)
    return torch.stack([validation.positive @ predicted, validation.coded @ predicted])
