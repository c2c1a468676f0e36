"""The final model of a task and variable: head, then fine-tuning, then one look at the test fold.

The head is trained on baked features, on all training folds but one; that fold chooses its number of epochs and later
the epoch of the fine-tuning. The test fold is scored once, by the weights that were chosen.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from attune.annotation.folds import FoldStatistics
from attune.learning import fold_heads, metrics, training
from attune.learning.checkpoints import Checkpoint
from attune.learning.corpus import Corpus, training_folds
from attune.learning.finetuning import Course, Workshop
from attune.learning.fold_heads import FoldHead, HeadCourse
from attune.learning.scoring import BootstrapConfig, Predicted
from attune.learning.training import Fitted
from attune.learning.training_config import FinetuneSettings, TrainingConfig
from attune.learning.training_figures import FINETUNING, HEAD
from attune.params import Params
from attune.problems import InputError, Problem

DIGITS = 9
CURVES = (
    "phase",
    "epoch",
    "learning_rate",
    "train_loss",
    "train_f1",
    "validation_loss",
    "validation_f1",
    "smoothed_f1",
    "best",
)


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

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.head_window > self.head_epochs:
            raise ValueError(f"a head_window of at most {self.head_epochs}, the number of head_epochs")
        return self


@dataclass(frozen=True)
class Split:
    """Sessions to learn from, to choose the epochs by, and to test on.

    Attributes:
        folds: numbers of the training folds.
        validation: the one of them that chooses the epochs.
        learned: sessions of the others.
        judged: sessions of the validation fold.
        tested: sessions of the test fold.
    """

    folds: tuple[int, ...]
    validation: int
    learned: tuple[str, ...]
    judged: tuple[str, ...]
    tested: tuple[str, ...]

    @classmethod
    def of(cls, statistics: FoldStatistics, validation_fold: int) -> "Split":
        """Split the folds.

        Raises:
            InputError: there is no such validation fold, or no other training fold.
        """
        sessions = training_folds(statistics)
        folds = tuple(sorted(sessions))
        if len(folds) < 2 or not -len(folds) <= validation_fold < len(folds):
            expected = f"a training fold, 0 to {len(folds) - 1}, or -1 for the last one, of at least two"
            where, cure = "engagement.train.validation_fold", "Change the value, or raise engagement.folds.num_folds."
            raise InputError(Problem("params.yaml", where, str(validation_fold), expected, cure))
        chosen = folds[validation_fold]
        learned = tuple(name for fold in folds if fold != chosen for name in sessions[fold])
        return cls(folds, chosen, learned, sessions[chosen], statistics.folds[statistics.test_fold].sessions)

    def told(self) -> dict[str, list[str]]:
        """The sessions by what they were used for."""
        return {"training": list(self.learned), "validation": list(self.judged), "test": list(self.tested)}


def train_head(
    baked: Path, corpus: Corpus, split: Split, config: TrainConfig, course: HeadCourse
) -> tuple[FoldHead, pd.DataFrame]:
    """Train a head for the best number of epochs.

    Returns:
        The head, and its curve: epoch, validation_f1, smoothed_f1, best (1 for the chosen epoch).
    """

    def trained(epochs: int) -> FoldHead:
        exact = replace(course, epochs=epochs)
        return fold_heads.train(baked, corpus.task, corpus.variable, split.folds, split.validation, exact)

    f1 = trained(course.epochs).f1
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


def test(workshop: Workshop, sessions: tuple[str, ...], config: TrainingConfig, work: Path) -> Predicted:
    """Let the workshop's network answer the fixed clips of the test sessions, which nothing has read before.

    Args:
        workshop: with the trained network.
        sessions: the test fold's.
        config: size of the batches and precision.
        work: folder of the activations.

    Raises:
        InputError: there is no labelled clip.
    """
    clips = workshop.corpus.fixed(sessions)
    if not len(clips.labels):
        found, cure = "no labelled clip", "Look at the balance of the folds."
        name = f"task {workshop.corpus.task}, variable {workshop.corpus.variable}"
        raise InputError(Problem(name, "test fold", found, "at least one", cure))
    workshop.prepare(sessions, work, lambda _: None)
    scored = training.answer(workshop.source.network, workshop.source.evaluation(clips), config)
    return Predicted(clips, workshop.corpus.annotators, scored)


def curves(head_curve: pd.DataFrame, fitted: Fitted) -> pd.DataFrame:
    """Both phases as one table, columns :data:`CURVES`."""
    tuned = fitted.history.assign(best=(fitted.history["epoch"] == fitted.best_epoch).astype(np.int64))
    table = pd.concat(
        [head_curve.assign(phase=HEAD), tuned.assign(phase=FINETUNING)], ignore_index=True, join="outer"
    ).reindex(columns=list(CURVES))
    return table.astype(dict.fromkeys(CURVES[2:-1], "float64")).round(DIGITS)


def headline(head_curve: pd.DataFrame, fitted: Fitted, chance: float) -> dict[str, Any]:
    """Validation F1 by chance (``chance_f1``), before fine-tuning (``head_f1``) and at the chosen epoch.

    ``f1`` is that of the chosen epoch alone, ``smoothed_f1`` the mean over the window that ends there, by which it was
    chosen.
    """
    best = head_curve[head_curve["best"] == 1].iloc[0]
    raw = fitted.history["validation_f1"]
    return {
        "chance_f1": chance,
        "head_epochs": int(best["epoch"]),
        "head_f1": round(float(raw.iloc[0]), DIGITS),
        "epoch": fitted.best_epoch,
        "f1": round(float(raw.iloc[fitted.best_epoch]), DIGITS),
        "smoothed_f1": round(fitted.score, DIGITS),
    }


def told(course: HeadCourse, settings: FinetuneSettings, config: TrainConfig, split: Split) -> dict[str, Any]:
    """How a model was trained, as JSON, for its file."""
    return {
        "head": course.settings.model_dump(),
        "finetuning": settings.model_dump(),
        "train": config.model_dump(mode="json"),
        "sessions": split.told(),
    }
