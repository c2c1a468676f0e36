"""Bake: the features of every task, fold and augmentation with their labels, computed once and kept.

What is in the files is told in :mod:`attune.learning.baked`; how features are computed, and computed only once, in
:mod:`attune.learning.pieces`. Memory is bounded by one task of one session, whatever the number and length of the
sessions.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from attune import artifacts
from attune.learning.baked import Baked, path_of, write
from attune.learning.pieces import ClipChunk, Features, FrameSpan, Piece, PieceStore
from attune.params import Params
from attune.problems import InputError, Problem, raise_errors
from attune.video import clips, draws
from attune.video.clips import ClipConfig
from attune.video.store import frame_index

CHUNK_CLIPS = 64  # about so many clips are lost if a run is killed


class BakeConfig(Params):
    """What is baked.

    Attributes:
        test_clips: fixed clips per task of a session.
        plain_epochs: epochs of clips that are drawn, but not augmented.
        train_epochs: epochs of clips that are drawn and augmented.
        batch_frames: frames that are encoded at a time; on a processor few are faster than many, because their
            activations stay in memory that is used again, a graphics processor wants hundreds.
        seed: of the draws.
    """

    test_clips: int = Field(ge=1, le=10_000)
    plain_epochs: int = Field(ge=0, le=10_000)
    train_epochs: int = Field(ge=0, le=10_000)
    batch_frames: int = Field(default=16, ge=1, le=100_000)
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True)
class Samples:
    """The clips of one augmentation.

    Attributes:
        clips: columns session, task, index, start_ms and epoch, sorted by session, task, epoch and index.
        augmented: whether they are augmented.
    """

    clips: pd.DataFrame
    augmented: bool


def draw_clips(
    task_spans: pd.DataFrame, folds: Mapping[str, int], test_fold: int, config: BakeConfig, clip_config: ClipConfig
) -> dict[str, Samples]:
    """The clips of every augmentation that has any epochs.

    Args:
        task_spans: columns ``spans.TASKS``; sessions without a fold are passed over.
        folds: fold of every session.
        test_fold: the fold of which nothing is drawn or augmented.
        config: number of clips and epochs.
        clip_config: length of the clips and their number per task and epoch.
    """
    spans = task_spans[task_spans["session"].isin(list(folds))]
    training = spans[spans["session"].map(folds).ne(test_fold)]

    def drawn(epochs: int) -> pd.DataFrame:
        tables = [
            clips.sample(training, clip_config, seed=config.seed, epoch=epoch).assign(epoch=epoch)
            for epoch in range(epochs)
        ]
        return pd.concat(tables, ignore_index=True)

    fixed = clips.evaluation_clips(spans, clip_config, per_task=config.test_clips).assign(epoch=0)
    samples = {"test": Samples(_in_order(fixed), augmented=False)}
    if config.plain_epochs:
        samples["plain"] = Samples(_in_order(drawn(config.plain_epochs)), augmented=False)
    if config.train_epochs:
        samples["train"] = Samples(_in_order(drawn(config.train_epochs)), augmented=True)
    return samples


@dataclass(frozen=True)
class Labels:
    """The labels of all clips.

    Attributes:
        variables: V names, sorted.
        annotators: A names, sorted.
        tasks: names, sorted.
        folds: fold of every session.
        of: by augmentation, int8 (N, V, A), see :func:`clips.label`.
    """

    variables: tuple[str, ...]
    annotators: tuple[str, ...]
    tasks: tuple[str, ...]
    folds: dict[str, int]
    of: dict[str, npt.NDArray[np.int8]]


def label(
    samples: Mapping[str, Samples], stratified: Callable[[], Iterable[pd.DataFrame]], clip_config: ClipConfig
) -> Labels:
    """Label the clips of every augmentation.

    Args:
        samples: clips of every augmentation.
        stratified: reads tables with the columns ``spans.STRATIFIED``, each with some whole sessions, in the order of
            their names; they are read twice, and none is kept.
        clip_config: length of the clips.
    """
    names: dict[str, set[str]] = {"variable": set(), "annotator": set(), "task": set()}
    folds: dict[str, int] = {}
    for part in stratified():
        for column, known in names.items():
            known |= set(part[column])
        folds |= {str(session): int(fold) for session, fold in part.groupby("session")["fold"].first().items()}
    variables, annotators, tasks = (tuple(sorted(known)) for known in names.values())

    shape = len(variables), len(annotators)
    labels = {name: np.full((len(sample.clips), *shape), clips.ABSENT, np.int8) for name, sample in samples.items()}
    owners = {name: sample.clips["session"].to_numpy() for name, sample in samples.items()}
    for part in stratified():
        first, last = part["session"].min(), part["session"].max()
        for name, sample in samples.items():
            rows = slice(np.searchsorted(owners[name], first), np.searchsorted(owners[name], last, side="right"))
            labels[name][rows] = clips.label(sample.clips[rows], part, list(variables), list(annotators), clip_config)
    return Labels(variables, annotators, tasks, folds, labels)


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(["session", "task", "epoch", "index"], ignore_index=True)


class Bakery:
    """The pieces that the features of some clips are made of.

    Args of the constructor:
        samples: clips of every augmentation.
        task_spans: columns ``spans.TASKS``.
        store: makes and keeps the pieces.
        seed: of the augmentation.

    Raises:
        InputError: there is no clip at all, or the frames of a session end before its last clip.
    """

    def __init__(self, samples: Mapping[str, Samples], task_spans: pd.DataFrame, store: PieceStore, seed: int) -> None:
        self.samples = samples
        self.store = store
        self.seed = seed
        self._spans = {
            owner: (int(rows["start_ms"].min()), int(rows["end_ms"].max()))
            for owner, rows in task_spans.groupby(["session", "task"])
        }
        self._check_frames()
        # Spans of frames are shared by all augmentations that do not augment.
        self._pieces = {
            (name, *owner): self._pieces_of(sample, rows)
            for name, sample in samples.items()
            for owner, rows in sample.clips.groupby(["session", "task"])
        }

    @property
    def pieces(self) -> list[Piece]:
        """Every piece that is needed, once."""
        listed = [piece for pieces in self._pieces.values() for piece in pieces]
        return list({self.store.path(piece): piece for piece in listed}.values())

    def features(self, name: str, clips_of_task: pd.DataFrame) -> Iterator[Features]:
        """The features of all clips of an augmentation in some sessions of one task, in their order, blocks (n, F)."""
        for owner, rows in clips_of_task.groupby(["session", "task"], sort=True):
            for piece in self._pieces[(name, *owner)]:
                if isinstance(piece, FrameSpan):
                    yield from self.store.pooled(piece, rows["start_ms"].to_numpy(np.int64))
                else:
                    yield self.store.read(piece)

    def _pieces_of(self, sample: Samples, rows: pd.DataFrame) -> list[Piece]:
        session, task = str(rows["session"].iloc[0]), str(rows["task"].iloc[0])
        if self.store.encoder.per_frame and not sample.augmented:
            return [self._frame_span(session, task)]
        num_frames = self.store.look.num_frames
        chunk = rows["epoch"] // max(1, CHUNK_CLIPS // (int(rows["index"].max()) + 1))
        return [
            ClipChunk(session, part["start_ms"].to_numpy(np.int64), self._keys(sample, part), num_frames)
            for _, part in rows.groupby(chunk)
        ]

    def _keys(self, sample: Samples, rows: pd.DataFrame) -> draws.Keys | None:
        if not sample.augmented:
            return None
        epochs = [part for _, part in rows.groupby("epoch")]
        return np.concatenate([clips.keys(part, seed=self.seed, epoch=int(part["epoch"].iloc[0])) for part in epochs])

    def _frame_span(self, session: str, task: str) -> FrameSpan:
        """The frames that any clip of a task may show; the video may end a little before the task."""
        start_ms, end_ms = self._spans[(session, task)]
        rate = self.store.reader.rate
        first = frame_index(start_ms, rate)
        end = min(frame_index(end_ms, rate) + 1, self.store.count(session))
        return FrameSpan(session, first, end - first)

    def _check_frames(self) -> None:
        """Read the last clip of every session, before hours of work."""
        latest = pd.concat([sample.clips for sample in self.samples.values()]).groupby("session")["start_ms"].max()
        problems = []
        for session, start in latest.items():
            try:
                self.store.reader.read(str(session), int(start))
            except InputError as error:
                problems += error.problems
        if latest.empty:
            cure = "Lengthen the tasks' spans or shorten the clips."
            problems.append(Problem("task spans", "", "no clip at all", "time for at least one clip", cure))
        raise_errors(problems)


def pack(
    bakery: Bakery,
    labels: Labels,
    config: Mapping[str, Any],
    out: Path,
    test_fold: int,
) -> None:
    """Write the packed files from pieces that are all there, into ``training`` and ``test``.

    The test fold lies apart, so that what learns can depend on the other folder alone.

    Args:
        bakery: the clips and their pieces.
        labels: of the same clips.
        config: how the features came about, for the files' metadata.
        out: folder of both; what it held before is replaced.
        test_fold: number of the test fold.
    """
    with artifacts.replacing_folder(out) as folder:
        for name, sample in bakery.samples.items():
            fold_of = sample.clips["session"].map(labels.folds)
            for fold, task in product(sorted(set(fold_of)), labels.tasks):
                here = (sample.clips["task"] == task) & (fold_of == fold)
                rows = sample.clips[here]
                sessions = sorted(set(rows["session"]))
                baked = Baked(
                    features=np.zeros((0, bakery.store.encoder.feature_size), dtype=np.float32),
                    labels=labels.of[name][here.to_numpy()],
                    session=pd.Categorical(rows["session"], sessions).codes.astype(np.int32),
                    start_ms=rows["start_ms"].to_numpy(np.int64),
                    epoch=rows["epoch"].to_numpy(np.int32),
                    sessions=tuple(sessions),
                    variables=labels.variables,
                    annotators=labels.annotators,
                    config=dict(config),
                )
                side = folder / ("test" if fold == test_fold else "training")
                write(path_of(side, task, int(fold), name), baked, bakery.features(name, rows))
