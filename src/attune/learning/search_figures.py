"""Figures of a random search: the score against every hyper-parameter, and how the scores are distributed.

Each point is a setting, its bar the spread over folds and repetitions; the best are marked. Drawn without pyplot, so
nothing is shared between figures; the same table gives the same bytes.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from attune.learning import search

PLAIN, BEST, WINNER, LINE = "#88a5c4", "#cc6677", "#882233", "#222222"
LOG_FROM = 30.0  # positive values that span more than this ratio get a logarithmic axis
LEAST_FOR_TREND = 30  # settings below which a running median would only follow single points


def draw_all(results: pd.DataFrame, names: Sequence[str], chance: float | None = None) -> Iterator[tuple[str, Figure]]:
    """Every figure of a search with the name of its file, without extension: ``scores``, then each hyper-parameter."""
    yield "scores", draw_scores(results, chance)
    for name in names:
        yield name, draw_parameter(results, name, chance)


def draw_scores(results: pd.DataFrame, chance: float | None = None, metric: str = "validation F1") -> Figure:
    """How many settings reached which score; the winner and chance are marked.

    Args:
        results: a table as :func:`search.statistics` returns it.
        chance: the best score that ignores the input.
        metric: what the score is.
    """
    figure, axes = _figure()
    scores = results["score"].to_numpy(float)
    low, high = _limits(scores, chance)
    axes.hist(scores, bins=np.linspace(low, high, 41).tolist(), color=PLAIN)
    best = float(search.rank(results)["score"].iloc[0])
    axes.axvline(best, color=WINNER, linewidth=1.5, label=f"winner {best:.3f}")
    if chance is not None:
        axes.axvline(chance, color=LINE, linewidth=1.2, linestyle="--", label=f"chance {chance:.3f}")
    axes.set(xlabel=f"{metric}, mean over folds and repetitions", ylabel="settings", xlim=(low, high))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(f"{len(results)} settings", fontsize=10)
    axes.legend(loc="upper left", fontsize=8)
    return figure


def draw_parameter(
    results: pd.DataFrame, name: str, chance: float | None = None, metric: str = "validation F1"
) -> Figure:
    """Score of every setting against one hyper-parameter; the running median shows the trend.

    Numbers over several orders of magnitude are drawn on a logarithmic axis, with 0 at its own place on the left;
    words and yes or no are drawn as columns.

    Args:
        results: a table as :func:`search.statistics` returns it.
        name: the column of the hyper-parameter.
        chance: the best score that ignores the input.
        metric: what the score is.
    """
    figure, axes = _figure()
    ranked = search.rank(results)
    places, values = _place(axes, ranked[name])
    scores, spread = ranked["score"].to_numpy(float), ranked["score_std"].to_numpy(float)
    axes.errorbar(places, scores, spread, fmt="none", ecolor=PLAIN, elinewidth=0.6, alpha=0.35, zorder=1)
    groups = [(slice(search.TOP, None), PLAIN, 16, "settings"), (slice(1, search.TOP), BEST, 26, f"best {search.TOP}")]
    for chosen, colour, size, label in [*groups, (slice(0, 1), WINNER, 60, "winner")]:
        if len(places[chosen]):
            axes.scatter(places[chosen], scores[chosen], size, color=colour, label=label, zorder=3, linewidth=0)
    if values is not None:
        _trend(axes, places[values], scores[values])
    if chance is not None:
        axes.axhline(chance, color=LINE, linewidth=1.0, linestyle="--", label="chance")
    axes.set(xlabel=name.replace("_", " "), ylabel=metric, ylim=_limits(scores, chance, spread))
    figure.legend(loc="upper center", ncols=5, fontsize=8, frameon=False)
    return figure


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, 4.0))
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    figure.subplots_adjust(left=0.11, right=0.98, bottom=0.13, top=0.91)  # a layout engine takes as long as drawing
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _limits(scores: np.ndarray, chance: float | None, spread: np.ndarray | float = 0.0) -> tuple[float, float]:
    """A range that holds all scores, in steps of 0.05, within 0 and 1 unless the scores leave it."""
    seen = np.concatenate([scores - spread, scores + spread, [] if chance is None else [chance]])
    low, high = np.floor(seen.min() * 20 - 0.2) / 20, np.ceil(seen.max() * 20 + 0.2) / 20
    if scores.min() >= 0 and scores.max() <= 1:
        low, high = max(low, 0.0), min(high, 1.02)
    return float(low), float(high)


def _place(axes: Axes, column: pd.Series) -> tuple[np.ndarray, np.ndarray | None]:
    """Where each setting lies along x, and which of them lie on a scale of numbers (none if these are words)."""
    if column.dtype == bool or not pd.api.types.is_numeric_dtype(column):
        column = column.map({True: "yes", False: "no"}) if column.dtype == bool else column.map(str)
        words = sorted(column.unique())
        axes.set_xticks(range(len(words)), words)
        axes.set_xlim(-0.6, len(words) - 0.4)
        first = column.map({word: place for place, word in enumerate(words)}).to_numpy(float)
        return first + _spread_out(column), None
    values = column.to_numpy(float)
    positive = values > 0
    if (values < 0).any() or not positive.any() or values.max() / values[positive].min() <= LOG_FROM:
        return values, np.ones(len(values), dtype=bool)
    axes.set_xscale("log")
    axes.minorticks_off()  # between 0 and the first power of ten they would mean nothing
    if positive.all():
        return values, positive
    lowest = 10 ** np.floor(np.log10(values[positive].min()))
    ticks = 10.0 ** np.arange(np.log10(lowest), np.ceil(np.log10(values.max())) + 1)
    axes.set_xticks([lowest / 10, *ticks], ["0", *(f"$10^{{{round(np.log10(tick))}}}$" for tick in ticks)])
    return np.where(positive, values, lowest / 10), positive


def _spread_out(column: pd.Series) -> np.ndarray:
    """Offsets within a column of points, so that they do not hide each other; by rank, nothing random."""
    place = column.groupby(column).cumcount().to_numpy()
    return (place * 0.618034 % 1 - 0.5) * 0.5


def _trend(axes: Axes, places: np.ndarray, scores: np.ndarray) -> None:
    if len(places) < LEAST_FOR_TREND or len(np.unique(places)) < LEAST_FOR_TREND // 2:
        return
    order = np.argsort(places, kind="stable")
    width = max(9, len(places) // 6) | 1
    windows = np.lib.stride_tricks.sliding_window_view(scores[order], width)
    middle = places[order][width // 2 : len(places) - width // 2]
    axes.plot(middle, np.median(windows, axis=1), color=LINE, linewidth=1.3, label="running median", zorder=2)
