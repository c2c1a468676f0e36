"""Run rows of a fine-tuning search's plan.

Each row has its own folder, named by its hash: a checkpoint after every epoch, and at the end ``result.json``, which
appears by renaming. A row that has its result is done; one that was killed goes on after its last epoch.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from attune import artifacts
from attune.learning import finetune_search, fold_heads, threads, training
from attune.learning.checkpoints import Checkpoint
from attune.learning.corpus import Corpus
from attune.learning.device import device
from attune.learning.finetune_search import NAMES, RESULT, FinetuneSearchConfig
from attune.learning.finetuning import Course, Forms, Workshop
from attune.learning.fold_heads import FoldHead, HeadCourse
from attune.learning.head_config import HeadSearchConfig, Winner
from attune.learning.search import DIGITS
from attune.learning.training import Fitted
from attune.learning.training_config import FinetuneSettings
from attune.problems import Problem

Row = Mapping[Any, Any]


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
    """Runs rows; the encoders and activations of a target are shared between its rows."""

    def __init__(self, ingredients: Ingredients, on_frames: Callable[[int], object] = lambda _: None) -> None:
        self.given = ingredients
        self.on_frames = on_frames
        self._templates: dict[str, Workshop] = {}
        self._idle: dict[str, SimpleQueue[Workshop]] = {}

    def run_all(
        self, rows: Sequence[Row], workers: int | None = None, on_row: Callable[[], object] = lambda: None
    ) -> list[Problem]:
        """Run rows side by side, one core for each, so that a result does not depend on the number of cores.

        Args:
            rows: of a plan, in any order.
            workers: how many at once; as many as there are cores unless given, one on a graphics processor.
            on_row: called after every row.

        Returns:
            Warnings.

        Raises:
            InputError: as :func:`run`; rows that have not begun are then left.
        """
        count = 1 if device().type != "cpu" else workers or threads.cores()
        problems: list[Problem] = []
        for target in dict.fromkeys(_target(row) for row in rows if not self._finished(row)):
            self._prepare(target)
        with threads.single_threaded(), training.reproducible(), ThreadPoolExecutor(count) as pool:
            running = [pool.submit(self.run, row) for row in rows]
            try:
                for done in running:
                    problems += done.result()
                    on_row()
            finally:
                for waiting in running:
                    waiting.cancel()
        return problems

    def run(self, row: Row, on_epoch: Callable[[dict[str, Any]], None] = lambda _: None) -> list[Problem]:
        """Run one row of a plan, or nothing if it has its result; returns warnings.

        Raises:
            InputError: its data cannot be learned from, or memory or precision does not suffice.
        """
        if self._finished(row):
            return []
        target, fold = _target(row), int(row["fold"])
        head = self._head(row)
        learned = [name for other, names in sorted(self.given.folds.items()) if other != fold for name in names]
        settings = FinetuneSettings(**{name: float(row[name]) for name in NAMES})
        seed = int(np.random.SeedSequence([self.given.config.seed, fold, int(row["repetition"])]).generate_state(1)[0])
        course = Course(settings, self.given.config.training, learned, self.given.folds[fold], seed)
        checkpoint = Checkpoint(self.given.work / row["hash"] / "checkpoint.safetensors", row["hash"])
        with self._workshop(target) as workshop, threads.single_threaded():
            fitted = workshop.finetune(head, course, checkpoint, on_epoch)
        artifacts.write_json(self.given.work / row["hash"] / RESULT, _result(row["hash"], head, fitted))
        checkpoint.remove()
        return fitted.problems

    def _finished(self, row: Row) -> bool:
        return finetune_search.read_result(self.given.work, row["hash"]) is not None

    def _head(self, row: Row) -> FoldHead:
        winner, searched = self.given.heads[_target(row)], self.given.head_search
        course = HeadCourse(
            winner.settings(),
            winner.epochs,
            searched.batch_size,
            searched.augmentation,
            searched.seed,
            int(row["repetition"]),
        )
        folds = self.given.folds
        return fold_heads.train(self.given.baked, row["task"], row["variable"], folds, int(row["fold"]), course)

    def _prepare(self, target: str) -> Workshop:
        """Build a target's encoder and compute the activations of its frames, before rows run side by side."""
        if target not in self._templates:
            workshop = Workshop(self.given.forms, self.given.corpora[target], self.given.config.training)
            sessions = [name for names in self.given.folds.values() for name in names]
            workshop.prepare(sessions, self.given.work.parent / "activations", self.on_frames)
            self._templates[target], self._idle[target] = workshop, SimpleQueue()
        return self._templates[target]

    @contextmanager
    def _workshop(self, target: str) -> Iterator[Workshop]:
        """A workshop that no other row uses: a copy of one that never trains, because building one draws numbers."""
        template = self._prepare(target)
        try:
            workshop = self._idle[target].get_nowait()
        except Empty:
            workshop = copy.deepcopy(template)
        try:
            yield workshop
        finally:
            self._idle[target].put(workshop)


def _target(row: Row) -> str:
    return f"{row['task']}-{row['variable']}"


def _result(hashed: str, head: FoldHead, fitted: Fitted) -> dict[str, Any]:
    history = fitted.history.round(DIGITS)
    return {
        "hash": hashed,
        "score": round(fitted.score, DIGITS),
        "head_score": float(history["validation_f1"].iloc[0]),
        "epochs": fitted.best_epoch,
        "trained": len(history) - 1,
        "diverged": int(fitted.diverged),
        "chance": head.chance,
        "history": history.astype(object).where(history.notna(), None).to_dict("records"),
    }
