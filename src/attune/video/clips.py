"""Clips: stretches of equal length that a model sees, where they lie, their labels and their pixels.

A clip is a row of a table, ``session, task, index, start_ms``, and covers ``[start_ms, start_ms + duration)`` in
integer milliseconds. The rules:

- A task's *common time* in a session is the time that every annotator who coded this task there gave to it. Whoever
  did not code the task is absent from it: their labels are -1, and :func:`check` warns.
- A clip lies in one piece of the common time. It crosses neither the task's border nor a part that was ignored.
- The *permitted starts* of a task are those of all such clips, put end to end. Sampling cuts them into as many equal
  chunks as clips are wanted and draws one start from each; evaluation takes the middle of each chunk.
- Back-to-back clips tile each piece from its start; what is left at its end, shorter than a clip, has none.
- A task whose common time has no piece as long as a clip gives none, and :func:`check` warns.
- An annotator's label is 1 if the engaged time inside the clip is more than half its length, else 0, and -1 unless
  their spans of the variable in this task cover the whole clip.

:mod:`attune.video.reading` reads the pixels.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field, field_validator

from attune.params import Params
from attune.problems import InputError, Problem
from attune.video import draws
from attune.video.reading import ClipReader

__all__ = [
    "ABSENT",
    "CLIPS",
    "ClipConfig",
    "ClipReader",
    "check",
    "consecutive",
    "evaluation_clips",
    "keys",
    "label",
    "num_frames",
    "sample",
]

Integers = npt.NDArray[np.int64]

CLIPS = {"session": "str", "task": "str", "index": "int64", "start_ms": "int64"}
ABSENT = -1


class ClipConfig(Params):
    """Length and number of clips.

    Attributes:
        duration_s: length of a clip in seconds, whole milliseconds.
        per_session: clips per task of a session and epoch.
    """

    duration_s: float = Field(default=5.0, gt=0, le=600)
    per_session: int = Field(default=10, ge=1, le=10_000)

    @field_validator("duration_s")
    @classmethod
    def _whole_milliseconds(cls, value: float) -> float:
        if Fraction(str(value)) * 1000 % 1:
            raise ValueError("a whole number of milliseconds, such as 5.0 or 1.250")
        return value

    @property
    def duration_ms(self) -> int:
        """Length of a clip in milliseconds."""
        return int(Fraction(str(self.duration_s)) * 1000)


def num_frames(config: ClipConfig, rate: Fraction) -> int:
    """Frames of a clip: the whole ones that its duration holds, 15 for 5 s at 25/8 per second.

    Raises:
        InputError: there is none.
    """
    count = math.floor(config.duration_ms * Fraction(rate) / 1000)
    if not count:
        found = f"duration_s = {config.duration_s}"
        expected = f"at least one frame's time, {float(1 / rate):.3f} s"
        raise InputError(Problem("params.yaml", "clips", found, expected, "Lengthen the clips."))
    return count


def sample(
    task_spans: pd.DataFrame, config: ClipConfig, *, seed: int, epoch: int, per_task: int | None = None
) -> pd.DataFrame:
    """Draw the clips of one epoch.

    A clip depends on the seed, the epoch, its session and task by name, and its index: not on the order of the rows
    or on which other sessions are there.

    Args:
        task_spans: columns ``spans.TASKS``.
        config: length and number of clips.
        seed: of the whole sampling.
        epoch: number of the epoch.
        per_task: clips per task of a session; ``config.per_session`` unless given.

    Returns:
        Columns :data:`CLIPS`, sorted by session, task and index.
    """
    starts = _permitted_starts(task_spans, config.duration_ms)
    key = draws.combine(starts.keys, seed, epoch)
    return _place(starts, draws.uniform(key, per_task or config.per_session))


def evaluation_clips(task_spans: pd.DataFrame, config: ClipConfig, *, per_task: int | None = None) -> pd.DataFrame:
    """The fixed clips of an evaluation, evenly spread over every task; see :func:`sample` for the table."""
    starts = _permitted_starts(task_spans, config.duration_ms)
    return _place(starts, np.full((len(starts.keys), per_task or config.per_session), 0.5))


def consecutive(task_spans: pd.DataFrame, config: ClipConfig) -> pd.DataFrame:
    """Back-to-back clips, as many as each task holds without overlap; see :func:`sample` for the table."""
    starts = _permitted_starts(task_spans, config.duration_ms)
    per_piece = (starts.piece_count - 1) // config.duration_ms + 1
    piece = np.repeat(np.arange(len(per_piece)), per_piece)
    owner = np.repeat(np.arange(len(starts.keys)), np.diff(starts.first))[piece]
    step = np.arange(len(piece)) - np.repeat(np.cumsum(per_piece) - per_piece, per_piece)
    return pd.DataFrame(
        {
            "session": np.array(starts.sessions, dtype=object)[owner],
            "task": np.array(starts.tasks, dtype=object)[owner],
            "index": np.arange(len(piece)) - np.searchsorted(owner, owner),
            "start_ms": starts.piece_start[piece] + step * config.duration_ms,
        }
    )


def keys(clips: pd.DataFrame, *, seed: int, epoch: int) -> draws.Keys:
    """A key for everything that is drawn for a clip besides its start, ``(N,)``; see :mod:`attune.video.draws`."""
    codes, owners = _groups(clips, ["session", "task"])
    owner = np.array([draws.name_key("augment", *owner) for owner in owners], dtype=np.uint64)
    return draws.combine(owner[codes], seed, epoch, clips["index"].to_numpy(np.int64))


def check(task_spans: pd.DataFrame, config: ClipConfig) -> list[Problem]:
    """Warnings about tasks without a clip and annotators who are absent from a task."""
    starts = _permitted_starts(task_spans, config.duration_ms)
    found = []
    with_clips = set(zip(starts.sessions, starts.tasks, strict=True))
    people = {str(session): set(rows) for session, rows in task_spans.groupby("session")["annotator"]}
    for (session, task), rows in task_spans.groupby(["session", "task"]):
        where = f"session {session}, task {task}"
        if (session, task) not in with_clips:
            what = f"no {config.duration_s:g} s in one piece that all its annotators covered"
            cure = "It gives no clips; lengthen the task's spans or shorten the clips."
            found.append(Problem("task spans", where, what, "time for at least one clip", cure, "warning"))
        if missing := sorted(people[str(session)] - set(rows["annotator"])):
            what = f"nothing by {', '.join(missing)}"
            cure = "They have no labels there; annotate the task if it took place."
            found.append(Problem("task spans", where, what, "the session's annotators", cure, "warning"))
    return found


def label(
    clips: pd.DataFrame,
    stratified_spans: pd.DataFrame,
    variables: list[str],
    annotators: list[str],
    config: ClipConfig,
) -> npt.NDArray[np.int8]:
    """The label of each clip by every annotator.

    Args:
        clips: columns :data:`CLIPS`.
        stratified_spans: columns ``spans.STRATIFIED``.
        variables: V names.
        annotators: A names.
        config: length of the clips.

    Returns:
        1, 0 or -1 (:data:`ABSENT`), int8 (N, V, A).
    """
    labels = np.full((len(clips), len(variables), len(annotators)), ABSENT, dtype=np.int8)
    if clips.empty or stratified_spans.empty:
        return labels
    owner = ["session", "task", "variable", "annotator"]
    groups, owners = _groups(stratified_spans, owner)
    # Each group gets its own stretch of one long time axis, on which spans are sorted and clips are looked up.
    reach = int(max(stratified_spans["end_ms"].max(), clips["start_ms"].max() + config.duration_ms)) + 1
    axis_start = stratified_spans["start_ms"].to_numpy(np.int64) + groups * reach
    length = (stratified_spans["end_ms"] - stratified_spans["start_ms"]).to_numpy(np.int64)
    engaged = stratified_spans["engaged"].to_numpy() == 1
    order = np.argsort(axis_start, kind="stable")
    spans = (axis_start[order], length[order], engaged[order])

    start_ms = clips["start_ms"].to_numpy(np.int64)
    for v, variable in enumerate(variables):
        for a, annotator in enumerate(annotators):
            wanted = clips[["session", "task"]].assign(variable=variable, annotator=annotator)
            group = owners.get_indexer(pd.MultiIndex.from_frame(wanted))
            at = start_ms + group * reach
            covered, positive = _time_within(spans, at, config.duration_ms)
            whole = (group >= 0) & (covered == config.duration_ms)
            labels[whole, v, a] = 2 * positive[whole] > config.duration_ms
    return labels


def _time_within(
    spans: tuple[Integers, Integers, npt.NDArray[np.bool_]], start: Integers, duration: int
) -> tuple[Integers, Integers]:
    """Covered and engaged time in ``[start, start + duration)`` on the axis of sorted spans, both (N,)."""
    span_start, length, engaged = spans
    results = []
    for counted in (length, length * engaged):
        before = np.concatenate([[0], np.cumsum(counted)])
        up_to = []
        for time in (start, start + duration):
            index = np.searchsorted(span_start, time, side="right") - 1
            inside = np.minimum(time - span_start[index], length[index]) * (counted[index] > 0)
            up_to.append(np.where(index < 0, 0, before[index] + inside))
        results.append(up_to[1] - up_to[0])
    return results[0], results[1]


def _groups(table: pd.DataFrame, columns: list[str]) -> tuple[Integers, pd.MultiIndex]:
    """Number the combinations of some columns, in sorted order: number of each row, and the combinations."""
    codes, owners = pd.MultiIndex.from_frame(table[columns]).factorize(sort=True)
    return codes.astype(np.int64), cast(pd.MultiIndex, owners)


@dataclass(frozen=True)
class _Starts:
    """The permitted starts of G (session, task) groups; group g owns the pieces ``first[g]`` to ``first[g + 1]``."""

    sessions: list[str]
    tasks: list[str]
    keys: draws.Keys
    piece_start: Integers
    piece_count: Integers
    first: Integers


def _permitted_starts(task_spans: pd.DataFrame, duration_ms: int) -> _Starts:
    """Common time as maximal pieces, less those shorter than a clip, groups sorted by session and task."""
    codes, owners = _groups(task_spans, ["session", "task"])
    coders = task_spans["annotator"].groupby(codes).nunique().to_numpy(np.int64)
    # Where coverage equals the number of coders, all are there: an annotator's spans do not overlap.
    time = np.concatenate([task_spans["start_ms"].to_numpy(np.int64), task_spans["end_ms"].to_numpy(np.int64)])
    step = np.repeat(np.array([1, -1]), len(task_spans))
    group = np.concatenate([codes, codes])
    order = np.lexsort((time, group))
    time, step, group = time[order], step[order], group[order]
    last = np.append((np.diff(time) != 0) | (np.diff(group) != 0), True)[: len(time)]
    time, group, coverage = time[last], group[last], np.cumsum(step)[last]  # sums to 0 at the end of each group
    common = coverage == coders[group] if len(time) else np.zeros(0, dtype=bool)
    before = np.concatenate([[False], common[:-1]])[: len(common)]
    start, end, owner = time[common & ~before], time[~common & before], group[common & ~before]
    count = end - start - duration_ms + 1
    start, count, owner = start[count > 0], count[count > 0], owner[count > 0]
    kept, first = np.unique(owner, return_index=True)
    names = [owners[g] for g in kept]
    return _Starts(
        [session for session, _ in names],
        [task for _, task in names],
        np.array([draws.name_key(*name) for name in names], dtype=np.uint64),
        start,
        count,
        np.append(first, len(start)),
    )


def _place(starts: _Starts, within: npt.NDArray[np.float64]) -> pd.DataFrame:
    """Turn a place within each chunk, [0, 1), (G, n), into the table of clips."""
    groups, per_task = within.shape
    ends = np.concatenate([[0], np.cumsum(starts.piece_count)])
    offset = ends[starts.first[:-1]]
    total = ends[starts.first[1:]] - offset
    position = np.floor((np.arange(per_task) + within) / per_task * total[:, None]).astype(np.int64)
    position = np.minimum(position, total[:, None] - 1) + offset[:, None]  # rounding could reach the end
    piece = np.searchsorted(ends, position, side="right") - 1
    start_ms = starts.piece_start[piece] + position - ends[piece] if groups else position
    return pd.DataFrame(
        {
            "session": np.repeat(np.array(starts.sessions, dtype=object), per_task),
            "task": np.repeat(np.array(starts.tasks, dtype=object), per_task),
            "index": np.tile(np.arange(per_task), groups),
            "start_ms": start_ms.ravel(),
        }
    )
