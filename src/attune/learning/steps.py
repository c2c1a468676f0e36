"""Batches of clips through a network: losses, steps of the optimiser, and what happens when memory runs out.

A batch that does not fit into the graphics memory is worked off in pieces whose gradients are summed, so the step is
that of the whole batch up to rounding. Where several processes train together each takes its share of the batch.
"""

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from attune.learning import distributed, metrics
from attune.learning.distributed import Group
from attune.problems import InputError, Problem

Inputs = tuple[torch.Tensor, ...]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Examples:
    """Clips that are read when they are needed.

    Attributes:
        labels: 1, 0 or -1 (absent), int8 (N, A), one column per annotator.
        read: from rows (B,) to what the network takes for them.
    """

    labels: npt.NDArray[np.int8]
    read: Callable[[Integers], Inputs]

    def coded(self) -> Integers:
        """The clips that any annotator labelled."""
        return np.flatnonzero((self.labels >= 0).any(axis=1))

    def counts(self, rows: Integers) -> torch.Tensor:
        """How many annotators gave each clip label 0 and label 1, float32 (B, 2)."""
        labels = self.labels[rows]
        return torch.from_numpy(np.stack([(labels == 0).sum(1), (labels == 1).sum(1)], axis=1).astype(np.float32))


@dataclass(frozen=True)
class Scored:
    """A batch after the network: sum of its weighted losses, counts (B, 2) as above, probabilities of class 1 (B,)."""

    loss: torch.Tensor
    counts: torch.Tensor
    probability: torch.Tensor

    @classmethod
    def join(cls, parts: list["Scored"]) -> "Scored":
        """Several batches as one."""
        return cls(
            torch.stack([part.loss.double() for part in parts]).sum(),
            torch.cat([part.counts for part in parts]),
            torch.cat([part.probability for part in parts]),
        )

    def none(self) -> "Scored":
        """A batch of no clips, where this one is."""
        return Scored(torch.zeros_like(self.loss), self.counts[:0], self.probability[:0])

    def to(self, device: torch.device) -> "Scored":
        """The same on another device."""
        return Scored(self.loss.to(device), self.counts.to(device), self.probability.to(device))

    def averages(self, class_weights: torch.Tensor) -> tuple[float, float]:
        """Weighted mean loss and F1 over all labels."""
        predicted = (self.probability > 0.5).double()
        negative, positive = self.counts.double().T
        f1 = metrics.f1_of_counts(
            (positive * predicted).sum(), ((negative + positive) * predicted).sum(), positive.sum()
        )
        return float(self.loss / (self.counts.double() * class_weights).sum()), float(f1)


@dataclass
class Stepper:
    """Works off batches; ``micro`` is how many clips go through the network at once.

    Attributes:
        network: from inputs to logits (B, 2).
        class_weights: weight of each class in the loss, (2,), where the network is.
        micro: clips that fit into the memory.
        mixed: whether activations are bfloat16.
        problems: warnings.
        group: the processes that share every batch.
        together: the network as it trains in the group; ``network`` unless given.
    """

    network: nn.Module
    class_weights: torch.Tensor
    micro: int
    mixed: bool = False
    problems: list[Problem] = field(default_factory=list)
    group: Group = distributed.ALONE
    together: nn.Module | None = None

    def train(self, examples: Examples, rows: Integers, optimiser: torch.optim.Optimizer) -> Scored:
        """One step of the optimiser over some rows; of several processes, each scores its share."""
        weight = (examples.counts(rows) * self.class_weights.cpu()).sum()
        network, share = self.together or self.network, self.group.share(rows)
        scale = self.group.size if len(share) else 0  # without a share the process still has to take part
        share = share if len(share) else rows[:1]

        def accumulate(piece: Integers, last: bool) -> Scored:
            with nullcontext() if last else distributed.unsynchronised(network):
                scored = self._forward(network, examples, piece)
                (scored.loss * scale / weight).backward()
            return Scored(scored.loss.detach(), scored.counts, scored.probability)

        scored = self._in_pieces(share, accumulate, lambda: optimiser.zero_grad(set_to_none=True))
        optimiser.step()
        return scored if scale else scored.none()

    @torch.no_grad()
    def score(self, examples: Examples, rows: Integers) -> Scored:
        """Losses and probabilities of some rows."""
        return self._in_pieces(rows, lambda piece, _: self._forward(self.network, examples, piece), lambda: None)

    def _forward(self, network: nn.Module, examples: Examples, rows: Integers) -> Scored:
        device = self.class_weights.device
        inputs = [tensor.to(device) for tensor in examples.read(rows)]
        with torch.autocast(device.type, torch.bfloat16, enabled=self.mixed):
            logits = network(*inputs)
        counts = examples.counts(rows).to(device)
        logarithm = logits.float().log_softmax(dim=1)
        loss = -(counts * self.class_weights * logarithm).sum()
        return Scored(loss, counts, logarithm[:, 1].detach().exp())

    def _in_pieces(self, rows: Integers, work: Callable[[Integers, bool], Scored], begin: Callable[[], Any]) -> Scored:
        """Work off rows in pieces of ``micro`` clips, which are halved for good whenever they do not fit.

        ``work`` takes a piece, and whether it is the last one.
        """
        while True:
            begin()
            ends = range(self.micro, len(rows) + self.micro, self.micro)
            try:
                return Scored.join([work(rows[end - self.micro : end], end >= len(rows)) for end in ends])
            except torch.cuda.OutOfMemoryError:
                clips = min(self.micro, len(rows))
            self._halve(clips)  # outside of the handler, which would keep the failed piece's tensors

    def _halve(self, clips: int) -> None:
        if self.group.size > 1:  # the others wait for gradients that this process will not have
            cure = "Lower batch_size, or train in more processes."
            raise InputError(Problem("training", "graphics memory", f"no room for {clips} clips", "more", cure))
        if clips == 1:
            cure = "Use a smaller encoder or shorter clips, or freeze more of its parts."
            raise InputError(Problem("training", "graphics memory", "no room for one clip", "more", cure))
        self.micro = math.ceil(clips / 2)
        torch.cuda.empty_cache()
        found = f"no room for {clips} clips at once"
        cure = f"Batches go through it {self.micro} clips at a time; results stay the same up to rounding."
        self.problems.append(Problem("training", "graphics memory", found, "room for a batch", cure, "warning"))
