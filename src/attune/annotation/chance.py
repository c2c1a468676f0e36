"""Chance baselines: the best scores of a classifier that ignores its input.

With p the share of positives, the best constant guess has accuracy max(p, 1 - p). Guessing "positive" with probability
q has precision p and recall q, so F1 = 2pq / (p + q), which grows with q: its best value is 2p / (1 + p), at q = 1.
Balanced accuracy, the mean of the recalls of both classes, is (q + 1 - q) / 2 = 0.5 whatever q is.
"""

from collections.abc import Iterable

import pandas as pd

DIGITS = 9


def tally(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Sum up annotated and engaged milliseconds of every task and variable.

    Args:
        parts: tables with the columns :data:`attune.annotation.spans.STRATIFIED`.

    Returns:
        task, variable, annotated and engaged, one row for each task and variable.
    """
    sums = pd.DataFrame({"task": [], "variable": [], "annotated": [], "engaged": []}).astype(
        {"task": object, "variable": object, "annotated": "int64", "engaged": "int64"}
    )
    for part in parts:
        length = part["end_ms"] - part["start_ms"]
        lengths = part[["task", "variable"]].assign(annotated=length, engaged=length * part["engaged"])
        # What was summed up goes on as one row more, so that nothing is kept of a part.
        sums = pd.concat([sums, lengths]).groupby(["task", "variable"], as_index=False).sum()
    return sums


def engaged_shares(times: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Engaged share of the annotated time of every (task, variable), over all rows, in alphabetical order.

    Args:
        times: columns task, variable, annotated and engaged, in any order.
    """
    sums = times.groupby(["task", "variable"], as_index=False)[["engaged", "annotated"]].sum()
    return {
        (task, variable): int(engaged) / int(annotated)
        for task, variable, engaged, annotated in sums.itertuples(index=False, name=None)
    }


def chance_scores(positive: float) -> dict[str, float]:
    """The best scores by chance where a share ``positive`` (0 to 1) of the samples is positive."""
    return {
        "positive_probability": round(positive, DIGITS),
        "accuracy": round(max(positive, 1 - positive), DIGITS),
        "f1": round(2 * positive / (1 + positive), DIGITS),
        "balanced_accuracy": 0.5,
    }


def score_chance(parts: Iterable[pd.DataFrame]) -> dict[str, dict[str, dict[str, float]]]:
    """Chance scores of every task and variable, over the annotated time of all sessions and annotators.

    Args:
        parts: tables with the columns :data:`attune.annotation.spans.STRATIFIED`, in any order.

    Returns:
        task: variable: score, tasks and variables in alphabetical order.
    """
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for (task, variable), positive in engaged_shares(tally(parts)).items():
        scores.setdefault(task, {})[variable] = chance_scores(positive)
    return scores
