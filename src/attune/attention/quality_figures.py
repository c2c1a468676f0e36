"""Figures of the explanations' quality: every measure of every method with its interval, and the curves behind them."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from attune.annotation.reliability_figures import write
from attune.attention.quality_tables import ALL, CENTRE, RANDOM

__all__ = ["draw", "draw_curves", "write"]

PANELS = {  # measure: title, which way is better, the measure of the randomised model that is shown beside it
    "deletion": ("deletion (area)", "less", None),
    "insertion": ("insertion (area)", "more", None),
    "mprt": ("likeness after randomising, mean", "less", None),
    "smprt": ("the same, smooth, random model", "less", None),
    "emprt": ("rise in complexity", "more", None),
    "pointing_game": ("pointing game", "more", "pointing_game_randomised"),
    "mass_inside": ("mass inside the evidence", "more", "mass_inside_randomised"),
    "mass_above_centre": ("mass above the centre prior's", "more", "mass_above_centre_randomised"),
}
CURVE_TITLES = {
    "deletion": ("pixels deleted", "probability of the class"),
    "insertion": ("pixels inserted", "probability of the class"),
    "spearman": ("layers randomised, from the left", "rank correlation"),
    "ssim": ("layers randomised, from the left", "structural similarity"),
}
FLOORS = (CENTRE, RANDOM)
COLUMNS = 4


def draw(summary: pd.DataFrame) -> Figure:
    """A panel per measure, a line per method: mean and interval over sessions; hollow: the model at random.

    Args:
        summary: columns ``SUMMARY``; all variables together are shown.
    """
    whole = summary[summary["variable"] == ALL]
    methods = _ordered(whole["method"])
    shown = [name for name in PANELS if (whole["measure"] == name).any()] or list(PANELS)[:1]
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    size = (3.0 * columns + 1.6, (0.27 * len(methods) + 1.1) * rows + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes, name in zip(panels, shown, strict=False):
        title, better, randomised = PANELS[name]
        axes.set_title(f"{title}\n{better} is better", fontsize=9)
        _points(axes, whole[whole["measure"] == name], methods, 0.0, "C0", True)
        if randomised:
            _points(axes, whole[whole["measure"] == randomised], methods, 0.25, "C3", False)
        if name in ("mass_above_centre", "emprt"):
            axes.axvline(0, color="0.5", linewidth=0.8)
        axes.grid(axis="x", alpha=0.3)
        axes.tick_params(labelsize=8)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    if whole["measure"].isin([PANELS[name][2] for name in shown if PANELS[name][2]]).any():
        kinds = {"the model": ("C0", "C0"), "the same with random weights": ("C3", "white")}
        lines = [
            Line2D([], [], color=colour, marker="o", markerfacecolor=fill, label=label)
            for label, (colour, fill) in kinds.items()
        ]
        figure.legend(handles=lines, loc="outside lower right", ncols=2, fontsize=8, frameon=False)
    panels[0].set_yticks(range(len(methods)), [name.replace("_", " ") for name in methods])
    panels[0].set_ylim(max(len(methods), 1) - 0.5, -0.5)
    return figure


def draw_curves(curves: pd.DataFrame) -> Figure:
    """Mean over snippets of each curve: probability against pixels, likeness against randomised layers.

    Args:
        curves: columns ``CURVES``.
    """
    methods = _ordered(curves["method"])
    shown = [name for name in CURVE_TITLES if (curves["curve"] == name).any()] or list(CURVE_TITLES)[:1]
    figure = Figure(figsize=(3.6 * len(shown) + 1.9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    colours = {name: "0.45" if name in FLOORS else f"C{place % 10}" for place, name in enumerate(methods)}
    for axes, name in zip(panels, shown, strict=True):
        here = curves[curves["curve"] == name]
        means = here.groupby(["method", "step"])["value"].mean()
        for method in _ordered(here["method"]):
            line = means[method]
            style = {CENTRE: "--", RANDOM: ":"}.get(method, "-")
            label = method.replace("_", " ")
            axes.plot(line.index, line.to_numpy(), style, color=colours[method], label=label, linewidth=1.4)
        across, up = CURVE_TITLES[name]
        axes.set(xlabel=across, ylabel=up, title=name)
        _ticks(axes, here)
        axes.grid(alpha=0.3)
    handles = {label: line for axes in panels for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside right center", fontsize=8)
    return figure


def _ordered(names: pd.Series) -> list[str]:
    """Methods in alphabetical order, those that know nothing last."""
    there = sorted(set(names))
    return [name for name in there if name not in FLOORS] + [name for name in FLOORS if name in there]


def _points(axes: Axes, rows: pd.DataFrame, methods: list[str], shift: float, colour: str, filled: bool) -> None:
    rows = rows[np.isfinite(rows["mean"].to_numpy(float))]
    place = np.array([methods.index(str(name)) for name in rows["method"]], dtype=float) + shift
    mean, low, high = (rows[name].to_numpy(float) for name in ("mean", "low", "high"))
    axes.hlines(place, low, high, color=colour, linewidth=1.6, alpha=0.7)
    axes.scatter(mean, place, s=22, color=colour if filled else "white", edgecolors=colour, zorder=3)


def _ticks(axes: Axes, rows: pd.DataFrame) -> None:
    names = rows.drop_duplicates("step").sort_values("step")
    if names.empty:
        return
    if (names["name"] != "").all():
        axes.set_xticks(names["step"], [str(name).replace("_", " ") for name in names["name"]], fontsize=8)
    else:
        last = int(names["step"].max())
        axes.set_xticks([0, last / 2, last], ["0", "50 %", "100 %"])
