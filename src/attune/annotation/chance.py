"""Chance baselines: the best scores of a classifier that ignores its input.

With p the share of positives, the best constant guess has accuracy max(p, 1 - p). Guessing "positive" with probability
q has precision p and recall q, so F1 = 2pq / (p + q), which grows with q: its best value is 2p / (1 + p), at q = 1.
Balanced accuracy, the mean of the recalls of both classes, is (q + 1 - q) / 2 = 0.5 whatever q is.
"""

import pandas as pd

DIGITS = 9


def engaged_shares(stratified: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Engaged share of the annotated time of every (task, variable), over all rows, in alphabetical order.

    Args:
        stratified: columns :data:`attune.annotation.spans.STRATIFIED`, in any order.
    """
    length = stratified["end_ms"] - stratified["start_ms"]
    times = pd.DataFrame({"engaged": length * stratified["engaged"], "annotated": length})
    sums = times.groupby([stratified["task"], stratified["variable"]]).sum().reset_index()
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


def score_chance(stratified: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """Chance scores of every task and variable, over the annotated time of all sessions and annotators.

    Args:
        stratified: columns :data:`attune.annotation.spans.STRATIFIED`, in any order.

    Returns:
        task: variable: score, tasks and variables in alphabetical order.
    """
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for (task, variable), positive in engaged_shares(stratified).items():
        scores.setdefault(task, {})[variable] = chance_scores(positive)
    return scores
