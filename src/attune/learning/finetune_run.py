"""Run rows of a fine-tuning search's plan.

Each row has its own folder, named by its hash: a checkpoint after every epoch, and at the end ``result.json``, which
appears by renaming. A row that has its result is done; one that was killed goes on after its last epoch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from attune import artifacts
from attune.learning import finetune_search, fold_heads
from attune.learning.checkpoints import Checkpoint
from attune.learning.corpus import Corpus
from attune.learning.finetune_search import NAMES, RESULT, FinetuneSearchConfig
from attune.learning.finetuning import Course, Forms, Workshop
from attune.learning.fold_heads import HeadCourse
from attune.learning.head_config import HeadSearchConfig, Winner
from attune.learning.training_config import FinetuneSettings
from attune.problems import Problem


@dataclass(frozen=True)
class Ingredients:
    """What the rows of a plan are run with.

    Attributes:
        config: the search.
        forms: how clips and encoder are made.
        corpora: each target's clips, by its name.
        heads: each target's winner of the head search, by its name.
        head_search: its configuration.
        baked: folder of the baked samples.
        folds: the sessions of each training fold.
        work: folder of the rows and of the activations.
    """

    config: FinetuneSearchConfig
    forms: Forms
    corpora: Mapping[str, Corpus]
    heads: Mapping[str, Winner]
    head_search: HeadSearchConfig
    baked: Path
    folds: Mapping[int, tuple[str, ...]]
    work: Path


class Runner:
    """Runs rows, one after the other; encoders and activations are shared between the rows of a target."""

    def __init__(self, ingredients: Ingredients, on_frames: Callable[[int], object] = lambda _: None) -> None:
        self.given = ingredients
        self.on_frames = on_frames
        self._workshops: dict[str, Workshop] = {}

    def run(self, row: Mapping[Any, Any], on_epoch: Callable[[dict[str, Any]], None] = lambda _: None) -> list[Problem]:
        """Run one row of a plan, or nothing if it has its result; returns warnings.

        Raises:
            InputError: its data cannot be learned from, or memory or precision does not suffice.
        """
        folder = self.given.work / row["hash"]
        if finetune_search.read_result(self.given.work, row["hash"]):
            return []
        target, fold, repetition = f"{row['task']}-{row['variable']}", int(row["fold"]), int(row["repetition"])
        winner, searched = self.given.heads[target], self.given.head_search
        course = HeadCourse(
            winner.settings(), winner.epochs, searched.batch_size, searched.augmentation, searched.seed, repetition
        )
        head = fold_heads.train(self.given.baked, row["task"], row["variable"], self.given.folds, fold, course)
        learned = [name for other, names in sorted(self.given.folds.items()) if other != fold for name in names]
        settings = FinetuneSettings(**{name: float(row[name]) for name in NAMES})
        seed = int(np.random.SeedSequence([self.given.config.seed, fold, repetition]).generate_state(1)[0])
        checkpoint = Checkpoint(folder / "checkpoint.safetensors", row["hash"])
        fitted = self._workshop(target).finetune(
            head,
            Course(settings, self.given.config.training, learned, self.given.folds[fold], seed),
            checkpoint,
            on_epoch,
        )
        history = fitted.history.round(finetune_search.search.DIGITS)
        result = {
            "hash": row["hash"],
            "score": round(fitted.score, finetune_search.search.DIGITS),
            "head_score": float(history["validation_f1"].iloc[0]),
            "epochs": fitted.best_epoch,
            "trained": len(history) - 1,
            "diverged": int(fitted.diverged),
            "chance": head.chance,
            "history": history.astype(object).where(history.notna(), None).to_dict("records"),
        }
        artifacts.write_json(folder / RESULT, result)
        checkpoint.remove()
        return fitted.problems

    def _workshop(self, target: str) -> Workshop:
        if target not in self._workshops:
            workshop = Workshop(self.given.forms, self.given.corpora[target], self.given.config.training)
            sessions = [name for names in self.given.folds.values() for name in names]
            workshop.prepare(sessions, self.given.work.parent / "activations", self.on_frames)
            self._workshops[target] = workshop
        return self._workshops[target]
