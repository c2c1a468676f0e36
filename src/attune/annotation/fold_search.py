"""The search for a split of sessions into folds that resemble each other.

A split is an integer array (S,): the fold of every session. What sessions contribute adds up, so a split is scored from
the sums of its folds alone: a matrix (F, D) whose columns are, for the K cells (task, variable) and the G groups,
engaged time (K), annotated time (K) and number of sessions (G). All of these are whole numbers below 2**53: their sums
are exact in any order, and a search gives the same split on every machine.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Split = npt.NDArray[np.int64]

PENALTY = 100.0
STARTS = 50  # how many of the best random splits are improved
TOLERANCE = 1e-9  # a change must lower the score by more to count, so that rounding never decides
CHUNK_BYTES = 16 << 20
MOST_SPLITS = 1_000_000  # bounds the memory of listing all splits
MOST_COMPARISONS = 300_000  # bounds the time of improving: with many sessions fewer starts are improved


@dataclass(frozen=True)
class Contributions:
    """What every session adds to its fold.

    Attributes:
        engaged_ms: (S, K) engaged time in each cell (task, variable), over all annotators.
        annotated_ms: (S, K) annotated time in each cell.
        member: (S, G) 1 if the session belongs to the group, else 0.
    """

    engaged_ms: npt.NDArray[np.int64]
    annotated_ms: npt.NDArray[np.int64]
    member: npt.NDArray[np.int64]

    @property
    def table(self) -> Floats:
        """All columns side by side, (S, 2K + G)."""
        return np.hstack([self.engaged_ms, self.annotated_ms, self.member]).astype(float)


@dataclass(frozen=True)
class Found:
    """The best split of a search.

    Attributes:
        split: (S,) fold of every session, numbered by first appearance.
        method: whether all splits were compared, or random ones and then improved ones.
        scored: how many splits were listed or drawn.
    """

    split: Split
    method: Literal["all splits", "random splits, improved"]
    scored: int


class Scorer:
    """The published score, extended to what it leaves undefined.

    score of a fold = 2 * sum over cells of ((p_fold - p_all) / p_all)^2 + ((n_fold - n_all / F) / (n_all / F))^2
    + 100 for every group of which it holds no session; the score of a split is the sum over its F folds. p is the
    engaged share of the annotated time of a cell, n the annotated time of all cells together, both pooled over
    sessions and annotators. A cell in which nobody is ever engaged (p_all = 0) adds nothing: all folds are equal there.
    A cell of which a fold has no annotated time (p_fold undefined) costs as much as a missing group.
    """

    def __init__(self, contributions: Contributions, num_folds: int) -> None:
        self.cells = contributions.annotated_ms.shape[1]
        self.num_folds = num_folds
        engaged, annotated = contributions.engaged_ms.sum(axis=0), contributions.annotated_ms.sum(axis=0)
        self._size = annotated.sum() / num_folds
        occurs = engaged > 0
        self._inverse = np.divide(annotated, engaged, out=np.zeros(self.cells), where=occurs)  # 1 / p_all
        self._occurs = occurs.astype(float)

    def fold_scores(self, sums: Floats) -> Floats:
        """Score of every fold from its sums: (..., 2K + G) to (...)."""
        engaged, annotated, members = np.split(sums, [self.cells, 2 * self.cells], axis=-1)
        absent = annotated == 0
        share = np.divide(engaged, annotated, out=np.zeros(engaged.shape), where=~absent)
        deviation = np.where(absent, 0.0, share * self._inverse - self._occurs)
        size = annotated.sum(axis=-1) / self._size - 1
        missing = absent.sum(axis=-1) + (members == 0).sum(axis=-1)
        scores: Floats = 2 * (deviation**2).sum(axis=-1) + size**2 + PENALTY * missing
        return scores

    def score(self, splits: Split, table: Floats) -> Floats:
        """Score of every split, rounded so that equal splits tie: (N, S) and (S, 2K + G) to (N,)."""
        belongs = splits[:, None, :] == np.arange(self.num_folds)[:, None]
        sums = belongs.reshape(-1, splits.shape[1]).astype(float) @ table
        scores = self.fold_scores(sums).reshape(len(splits), self.num_folds)
        return np.round(np.sort(scores, axis=1).sum(axis=1), 12)


def search(contributions: Contributions, num_folds: int, tries: int, seed: int) -> Found:
    """Find the split with the smallest score; every fold gets at least one session.

    If there are no more than ``tries`` splits, all are compared. Otherwise ``tries`` random ones whose folds differ by
    at most one session are drawn, and the best of them improved until no exchange or move of sessions helps.
    """
    table, scorer = contributions.table, Scorer(contributions, num_folds)
    sessions = len(table)
    if count_splits(sessions, num_folds) <= min(tries, MOST_SPLITS):
        splits = all_splits(sessions, num_folds)
        best, _ = _best(scorer, table, iter(np.array_split(splits, 1 + splits.nbytes // CHUNK_BYTES)), keep=1)
        return Found(best[0], "all splits", len(splits))
    keep = max(1, min(STARTS, MOST_COMPARISONS // sessions**2))
    starts, _ = _best(scorer, table, random_splits(sessions, num_folds, tries, seed), keep)
    improved = np.unique([canonical(improve(start, table, scorer)) for start in starts], axis=0)
    return Found(improved[np.argmin(scorer.score(improved, table))], "random splits, improved", tries)


def _best(scorer: Scorer, table: Floats, chunks: Iterator[Split], keep: int) -> tuple[Split, Floats]:
    splits, scores = np.empty((0, len(table)), dtype=np.int64), np.empty(0)
    for chunk in chunks:
        chunk_scores = scorer.score(chunk, table)
        first = np.argsort(chunk_scores, kind="stable")[:keep]
        splits, scores = np.vstack([splits, chunk[first]]), np.append(scores, chunk_scores[first])
        first = np.argsort(scores, kind="stable")[:keep]
        splits, scores = splits[first], scores[first]
    return splits, scores


def count_splits(sessions: int, num_folds: int) -> int:
    """How many ways there are to divide sessions among unnamed folds, none empty (Stirling, second kind)."""
    row = [1] + [0] * num_folds
    for _ in range(sessions):
        row = [0, *(fold * row[fold] + row[fold - 1] for fold in range(1, num_folds + 1))]
    return row[num_folds]


def all_splits(sessions: int, num_folds: int) -> Split:
    """Every split once, numbered by first appearance: (N, S), N as :func:`count_splits` says."""
    splits, used = np.zeros((1, 1), dtype=np.int64), np.ones(1, dtype=np.int64)
    for position in range(1, sessions):
        choices = np.minimum(used + 1, num_folds)
        row = np.repeat(np.arange(len(splits)), choices)
        fold = np.arange(len(row)) - np.repeat(np.cumsum(choices) - choices, choices)
        used = np.maximum(used[row], fold + 1)
        possible = used + (sessions - position - 1) >= num_folds  # enough sessions are left for the folds to come
        splits, used = np.column_stack([splits[row], fold])[possible], used[possible]
    return splits


def random_splits(sessions: int, num_folds: int, tries: int, seed: int) -> Iterator[Split]:
    """Random splits whose folds differ by at most one session, in chunks of bounded memory."""
    rng = np.random.default_rng(seed)
    dealt = np.arange(sessions) % num_folds
    chunk = max(1, CHUNK_BYTES // (8 * sessions * num_folds))
    for start in range(0, tries, chunk):
        yield rng.permuted(np.tile(dealt, (min(chunk, tries - start), 1)), axis=1)


def improve(split: Split, table: Floats, scorer: Scorer) -> Split:
    """Exchange two sessions, or move one, wherever it lowers the score, until nothing does; no fold is emptied."""
    split = split.copy()
    sums = np.stack([table[split == fold].sum(axis=0) for fold in range(scorer.num_folds)])
    since_change, session = 0, 0
    while since_change < len(split):
        if _improve_one(session, split, sums, table, scorer):
            since_change = 0
        else:
            since_change += 1
        session = (session + 1) % len(split)
    return split


def _improve_one(session: int, split: Split, sums: Floats, table: Floats, scorer: Scorer) -> bool:
    """Make the best exchange or move of one session, in place, if one helps."""
    home = split[session]
    partners = np.flatnonzero(split != home)
    folds, back = split[partners], table[partners]
    if np.count_nonzero(split == home) > 1:  # a move is an exchange with nobody
        others = np.delete(np.arange(scorer.num_folds), home)
        folds, back = np.append(folds, others), np.vstack([back, np.zeros((len(others), table.shape[1]))])
    difference = table[session] - back
    scores = scorer.fold_scores(sums)
    after = scorer.fold_scores(sums[home] - difference) + scorer.fold_scores(sums[folds] + difference)
    gain = np.round(scores[home] + scores[folds] - after, 12)
    best = int(np.argmax(gain))
    if gain[best] <= TOLERANCE:
        return False
    sums[home] -= difference[best]
    sums[folds[best]] += difference[best]
    if best < len(partners):
        split[partners[best]] = home
    split[session] = folds[best]
    return True


def canonical(split: Split) -> Split:
    """The same split with its folds numbered by first appearance."""
    _, first, inverse = np.unique(split, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return rank[inverse].astype(np.int64)
