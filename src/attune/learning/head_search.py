"""Search for the settings of a head: k-fold cross-validation with repetitions over the training folds.

Each training fold validates once per repetition while the others are learned from; the test fold has no part in it.
Repetitions differ in the first weights and in the order of the samples, which all settings share. A run's score is its
best validation F1 after averaging over a trailing window of epochs; a setting's score is the mean over its runs.

Runs are trained in blocks of one fold, one repetition and as many settings as the memory bound allows. Blocks do not
depend on each other or on the number of workers, so neither does the result.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from attune.learning import baked, head_training, heads, metrics, search, threads
from attune.learning.baked import Baked
from attune.learning.head_config import NAMES, HeadSearchConfig, HeadSettings, Winner
from attune.learning.head_data import HeadData
from attune.learning.heads import Clips
from attune.problems import InputError, Problem


@dataclass(frozen=True)
class Fold:
    """The clips of one training fold and one variable, as they are learned from and as they are scored on."""

    augmented: Clips
    plain: Clips


class Found(NamedTuple):
    """What a search returns: one row per setting, the best of them, and warnings."""

    results: pd.DataFrame
    winner: Winner
    problems: list[Problem]


class _Block(NamedTuple):
    """Runs that are trained together: a fold, a repetition and some of the settings."""

    fold: int
    repetition: int
    settings: pd.DataFrame


def read_pairs(folder: Path, num_folds: int, augmentation: str) -> Iterator[tuple[str, list[Fold]]]:
    """Name and training folds of every task and variable, the labels of one task in memory at a time.

    Args:
        folder: the baked samples.
        num_folds: number of training folds; files of later folds are not opened.
        augmentation: the clips that are learned from.

    Raises:
        InputError: the folder holds no task, or a file is missing or damaged.
    """
    if not (tasks := sorted(path.name for path in folder.glob("*/") if path.is_dir())):
        raise InputError(Problem(str(folder), "", "no task", "baked samples", "Run the stage bake."))
    for task in tasks:
        kinds = (augmentation, "test")
        parts = [[baked.load(baked.path_of(folder, task, fold, kind)) for kind in kinds] for fold in range(num_folds)]
        for place, variable in enumerate(parts[0][0].variables):
            yield f"{task}-{variable}", [Fold(*(_clips(part, place) for part in fold)) for fold in parts]


def search_heads(
    folds: Sequence[Fold],
    config: HeadSearchConfig,
    *,
    name: str,
    device: torch.device | None = None,
    workers: int | None = None,
    on_done: Callable[[int], object] = lambda runs: None,
) -> Found:
    """Train every setting on every split of the training folds.

    Args:
        folds: the training folds, at least two.
        config: the search.
        name: of the task and variable, for messages.
        device: where to train, the processor if not given.
        workers: threads that train blocks side by side; the number of processor cores if not given, one on a GPU.
        on_done: called with the number of runs of every finished block.

    Raises:
        InputError: fewer than two folds have labelled clips, or a GPU has too little memory.
    """
    problems = _check(folds, name)
    settings = search.draw_all(config.space, config.settings, config.seed)
    runs = []
    for fold in range(len(folds)):
        try:
            for table in _runs(folds, fold, settings, config, device, workers):
                runs.append(table)
                on_done(len(table))
        except torch.OutOfMemoryError as error:
            cure = f"Lower memory_mb of the head search (now {config.memory_mb:g}), or search on the processor."
            raise InputError(Problem(name, f"fold {fold}", str(error), "enough memory", cure)) from None
    results = search.statistics(pd.concat(runs, ignore_index=True), settings)
    chance = round(float(np.mean([_chance(fold.plain) for fold in folds])), search.DIGITS)
    return Found(results, Winner.model_validate(search.winner(results, NAMES) | {"chance": chance}), problems)


def total_runs(config: HeadSearchConfig, folds: int) -> int:
    """How many runs a search has."""
    return config.settings * config.repetitions * folds


def _clips(part: Baked, variable: int) -> Clips:
    return Clips(part.features, part.labels[:, variable], part.epoch)


def _runs(
    folds: Sequence[Fold],
    fold: int,
    settings: pd.DataFrame,
    config: HeadSearchConfig,
    device: torch.device | None,
    workers: int | None,
) -> Iterator[pd.DataFrame]:
    """The runs that are scored on one fold, block by block; what they learn from is let go at the end."""
    others = Clips.concatenate([other.augmented for place, other in enumerate(folds) if place != fold])
    data = HeadData.of(others, folds[fold].plain, device)
    blocks = list(_blocks(fold, settings, data.inputs.size, config))
    yield from _in_threads(partial(_train, data, config=config), blocks, device, workers)


def _blocks(fold: int, settings: pd.DataFrame, num_features: int, config: HeadSearchConfig) -> Iterator[_Block]:
    """Blocks of about equal size."""
    most = head_training.runs_within(config.memory_mb, num_features)
    parts = np.array_split(np.arange(len(settings)), -(-len(settings) // most))
    for repetition in range(config.repetitions):
        for part in parts:
            yield _Block(fold, repetition, settings.iloc[part])


def _train(data: HeadData, block: _Block, config: HeadSearchConfig) -> pd.DataFrame:
    """Train one block; one row per run, as :func:`search.statistics` takes them."""
    drawn = [HeadSettings.model_validate(row) for row in block.settings[list(NAMES)].to_dict("records")]
    trained = head_training.train_heads(
        data,
        drawn,
        epochs=config.epochs,
        batch_size=config.batch_size,
        initial=heads.initial(data.inputs.size, config.seed, block.repetition),
        order=lambda count, epoch: heads.order(count, config.seed, block.repetition, epoch),
    )
    epochs, scores = metrics.best_epoch(trained.f1, config.window)
    return pd.DataFrame(
        {
            "setting": block.settings["setting"].to_numpy(),
            "fold": block.fold,
            "repetition": block.repetition,
            "score": scores,
            "epochs": epochs,
            "diverged": trained.diverged.astype(np.int64),
        }
    )


def _in_threads(
    train: Callable[[_Block], pd.DataFrame],
    blocks: list[_Block],
    device: torch.device | None,
    workers: int | None,
) -> Iterator[pd.DataFrame]:
    """Train blocks side by side, results in the order of the blocks.

    The arrays of a block are small enough for a core's cache and PyTorch releases the interpreter's lock, so one block
    per core is faster than one block spread over the cores, and does not slow down where cores are shared.
    """
    gpu = device is not None and device.type != "cpu"
    with threads.single_threaded(), ThreadPoolExecutor(1 if gpu else workers or threads.cores()) as pool:
        yield from pool.map(train, blocks)


def _check(folds: Sequence[Fold], name: str) -> list[Problem]:
    """Warnings about folds that cannot teach or cannot score.

    Raises:
        InputError: fewer than two folds have labelled clips.
    """
    labels = [(fold.augmented.labels[fold.augmented.labels >= 0], _labels(fold)) for fold in folds]
    if sum(len(train) > 0 and len(plain) > 0 for train, plain in labels) < 2:
        cure = "Record more sessions, or lower engagement.folds.num_folds so that each fold has sessions of every task."
        raise InputError(Problem(name, "head search", "fewer", "two training folds with labelled clips", cure))
    problems = []
    for fold, (_, plain) in enumerate(labels):
        others = np.concatenate([train for place, (train, _) in enumerate(labels) if place != fold])
        if len(np.unique(others)) < heads.CLASSES:
            effect = "Heads learn one answer on this split; look at the balance of the folds."
            problems.append(_one_class(name, f"training clips where fold {fold} validates", others, effect))
        if not (plain == 1).any():
            effect = "F1 counts 0 on this split for every setting; look at the balance of the folds."
            problems.append(_one_class(name, f"validation clips of fold {fold}", plain, effect))
    return problems


def _one_class(name: str, where: str, labels: np.ndarray, effect: str) -> Problem:
    found = f"{(labels == 1).sum()} engaged and {(labels == 0).sum()} other labels"
    return Problem(name, where, found, "clips of both classes", effect, severity="warning")


def _labels(fold: Fold) -> np.ndarray:
    return fold.plain.labels[fold.plain.labels >= 0]


def _chance(clips: Clips) -> float:
    """F1 of always answering class 1: 2 p / (1 + p)."""
    labels = clips.labels[clips.labels >= 0]
    share = float((labels == 1).mean()) if len(labels) else 0.0
    return 2 * share / (1 + share)
