"""The final models as one more rater: their labels of back-to-back clips of the test sessions, beside the annotators'.

A model labels a clip as engaged if its probability exceeds one half. Each clip of a task and variable is shown once, to
that task's and variable's model, and only sessions that the model has not learned from may be rated.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from attune.annotation import clip_ratings, compact
from attune.annotation.clip_ratings import MODEL, RATINGS
from attune.learning import models, prediction
from attune.learning.models import Configuration, Network
from attune.problems import InputError, Problem
from attune.video import clips

SORTED = ["session", "task", "variable", "start_ms", "rater"]
_LEARNED = ("training", "validation")


@dataclass(frozen=True)
class Material:
    """What is rated.

    Attributes:
        stratified: columns ``spans.STRATIFIED``; names may be categories, see :mod:`attune.annotation.compact`.
        tasks: columns ``spans.TASKS``, likewise.
        sessions: the test sessions.
        frames: folder of the frame stores.
    """

    stratified: pd.DataFrame
    tasks: pd.DataFrame
    sessions: tuple[str, ...]
    frames: Path

    @property
    def annotators(self) -> tuple[str, ...]:
        """Everybody who coded one of the sessions."""
        return tuple(sorted(set(self.stratified.loc[self.stratified["session"].isin(self.sessions), "annotator"])))

    def tiles(self, configuration: Configuration) -> pd.DataFrame:
        """Back-to-back clips of a model's task in all sessions, columns ``clips.CLIPS``."""
        here = self.tasks["session"].isin(self.sessions) & (self.tasks["task"] == configuration.task)
        return clips.consecutive(compact.plain(self.tasks[here].reset_index(drop=True)), configuration.clips)


def find(folder: Path) -> list[Path]:
    """The model files of a folder, sorted.

    Raises:
        InputError: there are none.
    """
    found = sorted(folder.glob(f"*{models.SUFFIX}"))
    if not found:
        raise InputError(Problem(str(folder), "", "no model files", f"*{models.SUFFIX}", "Run the stages train."))
    return found


def rate(
    model: Path,
    network: Network,
    configuration: Configuration,
    material: Material,
    work: Path,
    on_frames: Callable[[int], object] = lambda count: None,
) -> pd.DataFrame:
    """Every rater's labels of the clips of one model's task and variable.

    Args:
        model: the model's file, for messages.
        network: on the device where it is to run.
        configuration: of the model.
        material: what is rated.
        work: folder for what is computed on the way; what a killed run left there is used.
        on_frames: called with the number of frames after each batch.

    Returns:
        Columns :data:`attune.annotation.clip_ratings.RATINGS`; clips without any annotator's label are left out.

    Raises:
        InputError: the model has learned from one of the sessions, or an annotator is called as the model.
    """
    clip_ratings.check_name(material.annotators)
    _check_unseen(model, configuration, material.sessions)
    tiles, labels = _labelled(configuration, material)
    parts = [_table(tiles, labels[:, place], name, configuration) for place, name in enumerate(material.annotators)]
    probability = np.full(len(tiles), np.nan)
    for session, rows in _by_session(tiles):
        start_ms = tiles["start_ms"].to_numpy(np.int64)[rows]
        frames = material.frames / f"{session}.npy"
        probability[rows] = prediction.probabilities(network, configuration, frames, start_ms, work, on_frames)
    answers = (probability > prediction.THRESHOLD).astype(np.int8)
    rated = _table(tiles, answers, MODEL, configuration)
    parts.append(rated.assign(probability=np.round(probability, prediction.DIGITS)))
    return pd.concat(parts, ignore_index=True).sort_values(SORTED, ignore_index=True)


def frames_to_encode(network: Network, configuration: Configuration, material: Material) -> int:
    """How many frames :func:`rate` encodes."""
    tiles, _ = _labelled(configuration, material)
    start_ms = tiles["start_ms"].to_numpy(np.int64)
    return sum(
        prediction.frames_to_encode(network, configuration, material.frames / f"{session}.npy", start_ms[rows])
        for session, rows in _by_session(tiles)
    )


def _labelled(configuration: Configuration, material: Material) -> tuple[pd.DataFrame, npt.NDArray[np.int8]]:
    """The clips that somebody labelled, and all annotators' labels, (N, A)."""
    tiles = material.tiles(configuration)
    names = [configuration.variable], list(material.annotators)
    table = material.stratified
    here = table["session"].isin(material.sessions) & (table["task"] == configuration.task)
    spans = compact.plain(table[here & (table["variable"] == configuration.variable)].reset_index(drop=True))
    labels = clips.label(tiles, spans, *names, configuration.clips)[:, 0]
    coded = (labels != clips.ABSENT).any(axis=1)
    return tiles[coded].reset_index(drop=True), labels[coded]


def _table(tiles: pd.DataFrame, labels: npt.NDArray[np.int8], rater: str, configuration: Configuration) -> pd.DataFrame:
    table = tiles.assign(
        variable=configuration.variable,
        end_ms=tiles["start_ms"] + configuration.clips.duration_ms,
        rater=rater,
        label=labels.astype(np.int64),
        probability=np.nan,
    )
    return table.loc[labels != clips.ABSENT, list(RATINGS)]


def _by_session(tiles: pd.DataFrame) -> Iterator[tuple[str, npt.NDArray[np.intp]]]:
    for session in dict.fromkeys(tiles["session"]):
        yield session, np.flatnonzero(tiles["session"] == session)


def _check_unseen(model: Path, configuration: Configuration, sessions: tuple[str, ...]) -> None:
    used = configuration.training.get("sessions", {})
    seen = sorted({name for part in _LEARNED for name in used.get(part, [])} & set(sessions))
    if seen:
        found, cure = f"a model that has learned from {', '.join(seen)}", "Run the stages make_folds and train again."
        raise InputError(Problem(str(model), "training", found, "one that has not seen the test sessions", cure))
