"""The balance of the folds as a table, as a handful of numbers and as a figure.

The figure is drawn without pyplot, so nothing is shared with other figures.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from attune.annotation.folds import DIGITS, FoldStatistics

FOLD_COLOUR, TEST_COLOUR, WHOLE_COLOUR = "#4477aa", "#cc6677", "#222222"
MINUTE_MS = 60_000


def balance_table(statistics: FoldStatistics) -> pd.DataFrame:
    """One row for every fold, task and variable; a probability is NaN where the fold has no annotated time.

    Returns:
        columns fold, test (1 for the test fold), task, variable, probability, overall (that of all folds), deviation
        (relative to ``overall``; NaN where either is undefined or zero).
    """
    rows = [
        {
            "fold": index,
            "test": int(index == statistics.test_fold),
            "task": task,
            "variable": variable,
            "probability": probability,
            "overall": statistics.all_sessions.empirical_probability[task][variable],
        }
        for index, fold in enumerate(statistics.folds)
        for task, variables in fold.empirical_probability.items()
        for variable, probability in variables.items()
    ]
    table = pd.DataFrame(rows).astype({"probability": float, "overall": float})
    possible = table["overall"].where(table["overall"] > 0)
    return table.assign(deviation=(table["probability"] / possible - 1).round(DIGITS))


def headline(statistics: FoldStatistics) -> dict[str, float | int]:
    """What people compare between splits.

    Returns:
        score; numbers of folds and sessions; the largest relative deviation of a fold's probability and of its
        annotated time from what equal folds would have; how many folds lack a session of some group.
    """
    deviation = balance_table(statistics)["deviation"].abs().max()
    equal = statistics.all_sessions.annotated_ms / statistics.num_folds
    return {
        "score": statistics.score,
        "num_folds": statistics.num_folds,
        "num_sessions": len(statistics.all_sessions.sessions),
        "largest_deviation": 0.0 if pd.isna(deviation) else float(deviation),
        "largest_time_deviation": round(max(abs(fold.annotated_ms / equal - 1) for fold in statistics.folds), DIGITS),
        "folds_without_a_group": sum(0 in fold.groups.values() for fold in statistics.folds),
    }


def draw(statistics: FoldStatistics) -> Figure:
    """How often each behaviour occurs in every fold, and how much annotated time each fold holds."""
    cells = len(balance_table(statistics)[["task", "variable"]].drop_duplicates())
    figure = Figure(figsize=(4.6 + 1.1 * cells, 4.4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    shares, time = figure.subplots(1, 2, width_ratios=[max(2.0, cells), 2.2])
    _draw_shares(shares, statistics)
    _draw_time(time, statistics)
    test = len(statistics.folds[statistics.test_fold].sessions)
    figure.suptitle(
        f"{len(statistics.all_sessions.sessions)} sessions in {statistics.num_folds} folds, "
        f"{test} of them in the test fold; score {statistics.score:.3f}"
    )
    return figure


def _draw_shares(axes: Axes, statistics: FoldStatistics) -> None:
    table = balance_table(statistics)
    labels = []
    for place, ((task, variable), rows) in enumerate(table.groupby(["task", "variable"])):
        labels.append(f"{task}\n{variable}")
        width = 0.7 / statistics.num_folds
        for fold, probability in zip(rows["fold"], rows["probability"], strict=True):
            colour = TEST_COLOUR if fold == statistics.test_fold else FOLD_COLOUR
            left = place - 0.35 + fold * width
            axes.bar(left, probability, width * 0.85, align="edge", color=colour)
            if pd.isna(probability):
                axes.text(left + width / 2, 0.01, "none", ha="center", va="bottom", rotation=90, fontsize=7)
        axes.hlines(rows["overall"].iloc[0], place - 0.38, place + 0.38, color=WHOLE_COLOUR, linewidth=1.2)
    axes.set_xticks(range(len(labels)), labels, fontsize=8)
    axes.set_ylim(0, 1)
    axes.set_ylabel("engaged share of the annotated time")
    axes.set_title("Each bar a fold; line: all sessions", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_time(axes: Axes, statistics: FoldStatistics) -> None:
    for index, fold in enumerate(statistics.folds):
        colour = TEST_COLOUR if index == statistics.test_fold else FOLD_COLOUR
        minutes = fold.annotated_ms / MINUTE_MS
        axes.bar(index, minutes, 0.7, color=colour)
        note = "\n".join(
            [f"sessions: {len(fold.sessions)}", *(f"{name}: {count}" for name, count in fold.groups.items())]
        )
        axes.text(index, minutes * 0.03, note, ha="center", va="bottom", rotation=90, fontsize=7, color="white")
    equal = statistics.all_sessions.annotated_ms / statistics.num_folds / MINUTE_MS
    axes.axhline(equal, color=WHOLE_COLOUR, linewidth=1.2)
    last = statistics.test_fold
    axes.set_xticks(
        range(len(statistics.folds)), [f"{fold}, test" if fold == last else str(fold) for fold in range(last + 1)]
    )
    axes.set_xlabel("fold")
    axes.set_ylabel("annotated minutes, all annotators and variables")
    axes.set_title("Time; line: equal folds", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
