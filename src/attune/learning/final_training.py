"""The final model of a task and variable: head, then fine-tuning, then one look at the test fold.

The head is trained on baked features, on all training folds but one; that fold chooses its number of epochs and later
the epoch of the fine-tuning. The test fold is scored once, by the weights that were chosen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from attune.learning import fold_heads, metrics, training
from attune.learning.checkpoints import Checkpoint
from attune.learning.corpus import Corpus
from attune.learning.finetuning import Course, Workshop
from attune.learning.fold_heads import FoldHead, HeadCourse
from attune.learning.scoring import BootstrapConfig, Predicted
from attune.learning.training import Fitted
from attune.learning.training_config import FinetuneSettings, TrainingConfig
from attune.params import Params
from attune.problems import InputError, Problem


class TrainConfig(Params):
    """How the final models are trained.

    Attributes:
        validation_fold: the training fold that chooses the epochs; negative numbers count from the last one.
        head_epochs: at most this many.
        head_window: epochs over which the head's validation F1 is averaged, backwards.
        seed: of first weights, clips and order.
        finetuning: the course of the fine-tuning.
        bootstrap: intervals of the test scores.
    """

    validation_fold: int = -1
    head_epochs: int = Field(ge=1)
    head_window: int = Field(ge=1)
    seed: int = Field(default=0, ge=0)
    finetuning: TrainingConfig
    bootstrap: BootstrapConfig

    def validation_of(self, folds: list[int]) -> int:
        """The number of the validation fold.

        Raises:
            InputError: there is no such fold.
        """
        if not -len(folds) <= self.validation_fold < len(folds):
            expected = f"a training fold, 0 to {len(folds) - 1}, or -1 for the last one"
            where, cure = "engagement.train.validation_fold", "Change the value."
            raise InputError(Problem("params.yaml", where, str(self.validation_fold), expected, cure))
        return folds[self.validation_fold]


def train_head(
    baked: Path, corpus: Corpus, folds: list[int], config: TrainConfig, course: HeadCourse
) -> tuple[FoldHead, pd.DataFrame]:
    """Train a head for the best number of epochs; returns it and its curve (epoch, validation_f1, smoothed_f1)."""
    validation = config.validation_of(folds)

    def trained(epochs: int) -> FoldHead:
        exact = HeadCourse(
            course.settings, epochs, course.batch_size, course.augmentation, course.seed, course.repetition
        )
        return fold_heads.train(baked, corpus.task, corpus.variable, folds, validation, exact)

    f1 = trained(config.head_epochs).f1
    epochs, _ = metrics.best_epoch(f1, config.head_window)
    curve = pd.DataFrame(
        {
            "epoch": np.arange(1, len(f1) + 1),
            "validation_f1": f1,
            "smoothed_f1": metrics.trailing_mean(f1, config.head_window),
            "best": (np.arange(1, len(f1) + 1) == int(epochs)).astype(np.int64),
        }
    )
    return trained(int(epochs)), curve


@dataclass(frozen=True)
class Split:
    """Sessions to learn from, to choose the epoch by, and to test on."""

    learned: tuple[str, ...]
    judged: tuple[str, ...]
    tested: tuple[str, ...]


def finetune(
    workshop: Workshop,
    head: FoldHead,
    settings: FinetuneSettings,
    config: TrainConfig,
    split: Split,
    checkpoint: Checkpoint,
    on_epoch: Callable[[dict[str, Any]], None],
) -> Fitted:
    """Fine-tune the workshop's network.

    Raises:
        InputError: the loss diverged.
    """
    course = Course(settings, config.finetuning, split.learned, split.judged, config.seed)
    fitted = workshop.finetune(head, course, checkpoint, on_epoch)
    if fitted.diverged:
        epoch = int(fitted.history["epoch"].iloc[-1])
        found = f"a loss that is not finite with the learning rate {settings.learning_rate:g}"
        cure = "Lower the learning rates in engagement.finetune_search.space and search again."
        name = f"training of {workshop.corpus.task}-{workshop.corpus.variable}"
        raise InputError(Problem(name, f"epoch {epoch}", found, "a finite loss", cure))
    return fitted


def test(workshop: Workshop, sessions: tuple[str, ...], config: TrainingConfig) -> Predicted:
    """Let the workshop's network answer the fixed clips of the test sessions.

    Raises:
        InputError: there is no labelled clip.
    """
    clips = workshop.corpus.fixed(sessions)
    if not len(clips.labels):
        found, cure = "no labelled clip", "Look at the balance of the folds."
        name = f"task {workshop.corpus.task}, variable {workshop.corpus.variable}"
        raise InputError(Problem(name, "test fold", found, "at least one", cure))
    scored = training.answer(workshop.source.network, workshop.source.evaluation(clips), config)
    return Predicted(clips, workshop.corpus.annotators, scored)
