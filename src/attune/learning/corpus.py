"""The labelled clips of one task and variable, for some sessions. No torch here.

Nothing but the sessions that are asked for is looked at: whoever names only the training folds' sessions cannot see
the test fold.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from attune.annotation import compact, spans
from attune.annotation.folds import FoldStatistics
from attune.problems import InputError, Problem
from attune.video import clips as video_clips
from attune.video.clips import ClipConfig

BLOCK_SESSIONS = 500  # labelled at a time


@dataclass(frozen=True)
class Labelled:
    """Clips with their labels.

    Attributes:
        clips: columns ``clips.CLIPS``, N rows.
        labels: 1, 0 or -1 (absent), int8 (N, A).
    """

    clips: pd.DataFrame
    labels: npt.NDArray[np.int8]


@dataclass(frozen=True)
class Corpus:
    """One task and variable.

    Attributes:
        task: name of the task.
        variable: name of the variable.
        annotators: A names, in the order of the labels' columns.
        task_spans: columns ``spans.TASKS``; names may be categories, see :mod:`attune.annotation.compact`.
        stratified: columns ``spans.STRATIFIED``, likewise.
        frames: folder of the frame stores.
        rate: frames per second.
        clips: length and number of clips.
    """

    task: str
    variable: str
    annotators: tuple[str, ...]
    task_spans: pd.DataFrame
    stratified: pd.DataFrame
    frames: Path
    rate: Fraction
    clips: ClipConfig

    @property
    def num_frames(self) -> int:
        """Frames of a clip."""
        return video_clips.num_frames(self.clips, self.rate)

    def draw(self, sessions: Collection[str], *, seed: int, epoch: int, per_session: int) -> Labelled:
        """The clips of one epoch of training."""
        task_spans = self.spans_of(sessions)
        return self._labelled(video_clips.sample(task_spans, self.clips, seed=seed, epoch=epoch, per_task=per_session))

    def fixed(self, sessions: Collection[str]) -> Labelled:
        """The clips of an evaluation."""
        return self._labelled(video_clips.evaluation_clips(self.spans_of(sessions), self.clips))

    def spans_of(self, sessions: Collection[str]) -> pd.DataFrame:
        """The task's spans in some sessions, columns ``spans.TASKS``."""
        return compact.plain(self._spans_of(sessions))

    def labels_of(self, sessions: Collection[str]) -> pd.DataFrame:
        """The variable's spans in some sessions, columns ``spans.STRATIFIED``."""
        return compact.plain(self._labels_of(sessions))

    def _spans_of(self, sessions: Collection[str]) -> pd.DataFrame:
        table = self.task_spans
        return table[table["session"].isin(sessions) & (table["task"] == self.task)].reset_index(drop=True)

    def _labels_of(self, sessions: Collection[str]) -> pd.DataFrame:
        table = self.stratified
        here = table["session"].isin(sessions) & (table["task"] == self.task) & (table["variable"] == self.variable)
        return table[here].reset_index(drop=True)

    def _labelled(self, clips: pd.DataFrame) -> Labelled:
        labels = np.empty((len(clips), len(self.annotators)), dtype=np.int8)
        place, names = pd.factorize(clips["session"])
        for first in range(0, len(names), BLOCK_SESSIONS):
            rows = np.flatnonzero((place >= first) & (place < first + BLOCK_SESSIONS))
            some, coding = clips.iloc[rows], self.labels_of(set(names[first : first + BLOCK_SESSIONS]))
            labels[rows] = video_clips.label(some, coding, [self.variable], list(self.annotators), self.clips)[:, 0]
        coded = (labels >= 0).any(axis=1)
        rows = np.flatnonzero(coded)
        return Labelled(clips.iloc[rows].reset_index(drop=True), labels[rows])

    def key(self, sessions: Collection[str]) -> str:
        """Names everything in the data of some sessions that can change a result: spans, labels and pixels."""
        digest = hashlib.blake2b(digest_size=16)
        for table in (self._spans_of(sessions), self._labels_of(sessions)):
            rows = table.sort_values(list(table.columns), ignore_index=True)
            for first in range(0, max(len(rows), 1), spans.ROWS):
                some = rows.iloc[first : first + spans.ROWS]
                digest.update(some.to_csv(index=False, header=first == 0, lineterminator="\n").encode())
        for session in sorted(sessions):
            digest.update(f"{session} {digest_of(self.frames / f'{session}.npy')}\n".encode())
        return digest.hexdigest()


def digest_of(path: Path) -> str:
    """A short digest of a file's content.

    Raises:
        InputError: there is no such file.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except FileNotFoundError:
        cure = "Run `dvc repro`, or check the path."
        raise InputError(Problem(str(path), "", "no such file", "a file", cure)) from None


def training_folds(statistics: FoldStatistics) -> dict[int, tuple[str, ...]]:
    """The sessions of every fold but the test fold."""
    return {fold: part.sessions for fold, part in enumerate(statistics.folds) if fold != statistics.test_fold}


def check_classes(labels: npt.NDArray[np.int8], task: str, variable: str, which: str) -> None:
    """Refuse labels from which nothing can be learned or told.

    Args:
        labels: 1, 0 or -1, of any shape.
        task: for the message.
        variable: for the message.
        which: the sessions they are from, for the message, such as ``fold 2``.

    Raises:
        InputError: there is no clip, or one of the two classes does not occur.
    """
    counts = [int((labels == value).sum()) for value in (0, 1)]
    if not all(counts):
        found = f"{counts[1]} positive and {counts[0]} negative labels"
        cure = "Annotate more sessions, lower engagement.folds.num_folds, or leave this variable out."
        expected = "clips of both classes"
        raise InputError(Problem(f"task {task}, variable {variable}", which, found, expected, cure))
