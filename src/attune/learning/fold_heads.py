"""Heads for fine-tuning to begin with: trained on baked features, one training fold left out for validation."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from attune.learning import baked, head_training, heads
from attune.learning.baked import Baked
from attune.learning.corpus import check_classes
from attune.learning.head_config import HeadSettings
from attune.learning.head_data import HeadData
from attune.learning.heads import Clips
from attune.problems import InputError, Problem


@dataclass(frozen=True)
class FoldHead:
    """A trained head.

    Attributes:
        weight: (2, F).
        bias: (2,).
        f1: on the test-augmentation clips of the validation fold after every epoch, (E,).
        class_weights: weight of each class in the loss, (2,), where its settings ask for them.
        chance: F1 of always answering "engaged" on the validation clips.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    f1: npt.NDArray[np.float64]
    class_weights: tuple[float, float]
    chance: float

    def told(self) -> list[Any]:
        """The numbers that a fine-tuning begins with, as JSON."""
        return [self.weight.tolist(), self.bias.tolist(), list(self.class_weights)]

    def linear(self) -> torch.nn.Linear:
        """The head as a module of its own."""
        return heads.linear(self.weight, self.bias)


@dataclass(frozen=True)
class HeadCourse:
    """How heads are trained.

    Attributes:
        settings: of the optimiser.
        epochs: how many.
        batch_size: samples per step.
        augmentation: the baked clips that are learned from.
        seed: of first weights and order.
        repetition: of the same.
    """

    settings: HeadSettings
    epochs: int
    batch_size: int
    augmentation: str
    seed: int
    repetition: int


def train(
    folder: Path, task: str, variable: str, folds: Collection[int], validation: int, course: HeadCourse
) -> FoldHead:
    """Train a head on all folds but one.

    Args:
        folder: the baked samples.
        task: name of the task.
        variable: name of the variable.
        folds: the training folds; no file of any other fold is opened.
        validation: the one that is left out.
        course: how.

    Raises:
        InputError: a file is missing, the variable is not in it, or a class does not occur on one of the two sides.
    """
    others = [baked.path_of(folder, task, fold, course.augmentation) for fold in sorted(folds) if fold != validation]
    learned = Clips.concatenate([_clips(baked.load(path), variable, task) for path in others])
    judged = _clips(baked.load(baked.path_of(folder, task, validation, "test")), variable, task)
    check_classes(learned.labels, task, variable, f"training folds without fold {validation}")
    check_classes(judged.labels, task, variable, f"validation fold {validation}")
    data = HeadData.of(learned, judged)
    trained = head_training.train_heads(
        data,
        [course.settings],
        epochs=course.epochs,
        batch_size=course.batch_size,
        initial=heads.initial(data.inputs.size, course.seed, course.repetition),
        order=lambda count, epoch: heads.order(count, course.seed, course.repetition, epoch),
    )
    if trained.diverged[0]:
        found = f"infinite weights with the learning rate {course.settings.learning_rate:g}"
        cure = "Lower the learning rates in engagement.head_search.space and search again."
        raise InputError(Problem(f"head of {task}-{variable}", "", found, "finite weights", cure))
    negative, positive = data.class_weights.tolist() if course.settings.class_weights else (1.0, 1.0)
    share = float((judged.labels == 1).sum() / (judged.labels >= 0).sum())
    return FoldHead(
        trained.weight[0], trained.bias[0], trained.f1[0], (negative, positive), round(2 * share / (1 + share), 9)
    )


def _clips(part: Baked, variable: str, task: str) -> Clips:
    if variable not in part.variables:
        found, expected = ", ".join(part.variables) or "nothing", f"the variable {variable}"
        raise InputError(Problem(f"baked samples of task {task}", "", found, expected, "Check engagement.protocol."))
    return Clips(part.features, part.labels[:, part.variables.index(variable)], part.epoch)
