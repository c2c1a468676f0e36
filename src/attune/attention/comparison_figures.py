"""The figure that shows which method is the most human, beside what people reach and what knows nothing."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from attune.attention.comparison_inputs import CENTRE, HUMAN, PERMUTED, REPEAT
from attune.attention.comparison_summary import MATCHING, can_rank, ranked
from attune.attention.similarity import MEASURES, Mode

COLUMNS = 3
CONDITIONS = {MATCHING: ("o", "#cc3d5d", "the label's class"), "opposite": ("D", "#b9a3a9", "the other class")}
BANDS = {
    HUMAN: ("#4477aa", "another person"),
    REPEAT: ("#66ccee", "the same person again"),
    CENTRE: ("#999933", "floor: the centre"),
    PERMUTED: ("#777777", "floor: another clip's painting"),
}
TITLES = {"frame": "frame by frame", "volume": "over the whole clip"}


def draw(summary: pd.DataFrame, mode: Mode, confidence: float, emd_size: int | None = None) -> Figure:
    """A panel per measure: methods from the most human down, their intervals, and bands for ceiling and floors.

    Args:
        summary: as :func:`attune.attention.comparison_summary.summarise` returns it.
        mode: frame or volume.
        confidence: of the intervals.
        emd_size: cells in each direction on which the earth mover's distance was found, to be told with it.
    """
    part = summary[summary["mode"] == mode]
    measures = [name for name in MEASURES if name in set(part["measure"])]
    lines = -(-(len(measures) + 1) // COLUMNS)  # the legend has a panel of its own
    methods = part[part["kind"] == "machine"]["method"].nunique()
    figure = Figure(figsize=(13, 0.6 + lines * (1.0 + 0.3 * max(methods, 4))), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(lines, COLUMNS, squeeze=False).ravel()
    for axes, measure in zip(panels, measures, strict=False):
        _panel(axes, part[part["measure"] == measure], ranked(summary, mode, measure), measure)
        if measure == "emd" and emd_size:
            axes.set_title(f"{axes.get_title()}; on {emd_size} x {emd_size} cells", fontsize=9)
        if not can_rank(summary, mode, measure):
            axes.set_xlabel("ranks no method:\npeople not surely above the floors", fontsize=8, style="italic")
    for axes in panels[len(measures) :]:
        axes.set_axis_off()
    if measures:
        entries = {
            label: line for axes in panels for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        panels[len(measures)].legend(list(entries.values()), list(entries), loc="center left", frameon=False)
        title = f"Machine attention against human attention, {TITLES[mode]}; {confidence:.0%} intervals over sessions"
        left_out = "In brackets: frames on which a measure is undefined, which it leaves out (the label's class)"
        figure.suptitle(f"{title}\n{left_out}" if mode == "frame" else title, fontsize=11)
    else:
        figure.suptitle("No painted maps to compare with", fontsize=11)
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, order: list[str], measure: str) -> None:
    for method, (colour, label) in BANDS.items():
        for row in rows[(rows["method"] == method) & rows["mean"].notna()].itertuples():
            mean, low, high = (float(str(value)) for value in (row.mean, row.low, row.high))
            axes.axvline(mean, color=colour, linewidth=1.5, label=label)
            if not np.isnan(low):
                axes.axvspan(low, high, color=colour, alpha=0.15, linewidth=0)
    for shift, (condition, (marker, colour, label)) in zip((-0.13, 0.13), CONDITIONS.items(), strict=True):
        chosen = rows[(rows["kind"] == "machine") & (rows["condition"] == condition)].set_index("method")
        chosen = chosen.reindex(order)
        spread = [(chosen["mean"] - chosen["low"]).fillna(0), (chosen["high"] - chosen["mean"]).fillna(0)]
        places = np.arange(len(order)) + shift
        axes.errorbar(
            chosen["mean"], places, xerr=spread, fmt=marker, color=colour, markersize=5, capsize=2, label=label
        )
    more_is_alike = next(entry.more_is_alike for name, entry in MEASURES.items() if name == measure)
    title = next(entry.title for name, entry in MEASURES.items() if name == measure)
    axes.set_title(f"{title}\n{'more' if more_is_alike else 'less'} is more alike", fontsize=9)
    matching = rows[(rows["kind"] == "machine") & (rows["condition"] == MATCHING)].set_index("method")
    undefined = (matching["undefined_frames"] / matching["frames"]).reindex(order)
    names = [name.replace("_", " ") for name in order]
    if "frame" in set(rows["mode"]):
        names = [f"{name} ({undefined[method]:.0%})" for name, method in zip(names, order, strict=True)]
    axes.set_yticks(range(len(order)), names)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
