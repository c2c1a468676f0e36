"""Tries per second of the fold search against the same score in plain pandas, one split after the other.

Both score random splits of the same 23 synthetic sessions (3 tasks, 2 variables) into 5 folds, in the same run: the
search all of its 100,000 tries, the reference as many as it needs for a stable rate. First they must agree on a score.
The aim for the whole search, exchanges of sessions included, is less than 5 s.
"""

import time

import numpy as np
import pandas as pd

from attune.annotation import fold_search, folds

SESSIONS, FOLDS, TRIES, REFERENCE_TRIES = 23, 5, 100_000, 100
TASKS, VARIABLES = ("people", "eggs", "drums"), ("attending", "participating")


def make_spans(seed: int = 0) -> pd.DataFrame:
    """Filled spans of two annotators: about 20 in each task and variable."""
    rng = np.random.default_rng(seed)
    rows = []
    for session in (f"fp{number:02d}" for number in range(1, SESSIONS + 1)):
        for annotator in ("ew", "kb"):
            for place, task in enumerate(TASKS):
                for variable in VARIABLES:
                    borders = np.unique(rng.integers(0, 120_000, 21)) + place * 130_000
                    values = np.where(rng.random(len(borders) - 1) < 0.4, variable, "no")
                    spans = zip(values, borders[:-1], borders[1:], strict=True)
                    rows += [(session, annotator, task, variable, *span) for span in spans]
    return pd.DataFrame(rows, columns=["session", "annotator", "task", "variable", "value", "start_ms", "end_ms"])


def per_session(spans: pd.DataFrame) -> pd.DataFrame:
    """Engaged and annotated time of every session, task and variable."""
    length = spans["end_ms"] - spans["start_ms"]
    times = spans.assign(annotated=length, engaged=length.where(spans["value"] != "no", 0))
    return times.groupby(["session", "task", "variable"], as_index=False)[["annotated", "engaged"]].sum()


def plain_score(times: pd.DataFrame, assignment: dict[str, int], group: set[str]) -> float:
    """The same score with pandas, as one would first write it."""
    overall = times.groupby(["task", "variable"])[["annotated", "engaged"]].sum()
    p_all, n_all = overall["engaged"] / overall["annotated"], times["annotated"].sum()
    score = 0.0
    for _, rows in times.groupby(times["session"].map(assignment)):
        sums = rows.groupby(["task", "variable"])[["annotated", "engaged"]].sum()
        deviation = (sums["engaged"] / sums["annotated"] - p_all) / p_all
        size = (rows["annotated"].sum() - n_all / FOLDS) / (n_all / FOLDS)
        score += 2 * (deviation**2).sum() + size**2 + 100 * (not rows["session"].isin(group).any())
    return score


def main() -> None:
    """Print both rates, their ratio and the duration of the whole search."""
    spans = make_spans()
    names = sorted(spans["session"].unique())
    config = folds.FoldConfig(num_folds=FOLDS, tries=TRIES, groups={"second": tuple(names[::3])})
    contributions = folds.contributions_of(folds.tally([spans]), names, config)
    scorer, table, times = fold_search.Scorer(contributions, FOLDS), contributions.table, per_session(spans)

    splits = np.vstack(list(fold_search.random_splits(SESSIONS, FOLDS, REFERENCE_TRIES, seed=1)))
    start = time.perf_counter()
    plain = [plain_score(times, dict(zip(names, split, strict=True)), set(names[::3])) for split in splits]
    plain_rate = REFERENCE_TRIES / (time.perf_counter() - start)
    np.testing.assert_allclose(scorer.score(splits, table), plain, rtol=1e-9)

    start = time.perf_counter()
    drawn = min(scorer.score(chunk, table).min() for chunk in fold_search.random_splits(SESSIONS, FOLDS, TRIES, seed=0))
    rate = TRIES / (time.perf_counter() - start)
    start = time.perf_counter()
    found = fold_search.search(contributions, FOLDS, TRIES, seed=0)
    seconds = time.perf_counter() - start
    [best] = scorer.score(found.split[None], table)

    print(f"fold search, {SESSIONS} sessions: {rate:,.0f} tries/s; plain pandas: {plain_rate:,.0f} tries/s")
    print(f"  ratio {rate / plain_rate:,.0f}; {TRIES:,} tries and exchanges of sessions: {seconds:.2f} s")
    print(f"  score of the best random split {drawn:.4f}, after exchanges {best:.4f}")


if __name__ == "__main__":
    main()
