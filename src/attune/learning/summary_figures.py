"""The final models in one picture."""

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

PANELS = {"f1": "F1", "balanced_accuracy": "balanced accuracy"}


def draw(table: pd.DataFrame) -> Figure:
    """Test F1 and balanced accuracy of every model with their intervals, beside chance and human annotators.

    Args:
        table: as :func:`attune.learning.summary.tabulate` returns it.
    """
    names = table[["task", "variable"]].drop_duplicates()
    figure = Figure(figsize=(10, 1.6 + 0.5 * len(names)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (metric, title) in zip(panels, PANELS.items(), strict=True):
        rows = table[table["metric"] == metric].reset_index(drop=True)
        places = rows.index.to_numpy()
        below, above = rows["value"] - rows["low"], rows["high"] - rows["value"]
        axes.errorbar(
            rows["value"], places + 0.12, xerr=[below, above], fmt="o", color="#cc3d5d", capsize=3, label="model"
        )
        below, above = rows["human_value"] - rows["human_low"], rows["human_high"] - rows["human_value"]
        axes.errorbar(
            rows["human_value"],
            places - 0.12,
            xerr=[below, above],
            fmt="s",
            color="#4477aa",
            capsize=3,
            label="one annotator against another",
        )
        axes.plot(rows["chance"], places, "k|", markersize=22, label="best by chance")
        axes.set_xlim(0.3, 1)
        axes.set_xlabel(f"{title} on the test fold, 95 % intervals over sessions")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(names)), [f"{task}\n{variable}" for task, variable in names.to_numpy()])
    panels[0].invert_yaxis()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return figure
