"""Figures of annotator agreement: a heat map of every pair, and kappa against the tolerance in time.

Figures are drawn without pyplot, so nothing is shared between them; :func:`write` leaves out the software's version,
so that the same numbers give the same file.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from attune import artifacts
from attune.annotation.reliability_tables import ALL, LABELS

COLOURS = colormaps["viridis"].with_extremes(bad="0.85")  # grey where nothing is defined
SCALE = Normalize(0, 1)  # fixed, so that two figures can be compared
KIND_NAMES = {"humans": "annotators with each other", "model": "annotators with the model"}
MARKERS = ("s", "o", "D", "^")
MOST_WITH_INTERVALS = 5  # with more annotators a cell has no room for its interval


def draw(table: pd.DataFrame, annotators: pd.DataFrame, labels: str = "binary") -> Figure:
    """Heat maps of kappa, a row of panels per variable and a column per task, one cell per pair of annotators.

    Args:
        table: the table ``agreement``; with a column ``raters``, its kinds are pooled apart in the titles.
        annotators: the table ``annotators``; its order is the order in the panels, its column annotator the names.
        labels: ``binary`` or ``multi``.
    """
    chosen = table[(table["labels"] == labels) & (table["annotator_1"] != ALL)]
    pooled = table[(table["labels"] == labels) & (table["annotator_1"] == ALL)]
    variables = [name for name in dict.fromkeys(table["variable"]) if name != ALL] or [ALL]
    tasks = list(dict.fromkeys(table["task"])) or [ALL]
    names = list(annotators["annotator"])

    side = max(2.3, (0.75 if len(names) < 4 else 0.95) * len(names))  # four and more shrink to the cells' text
    figure = Figure(figsize=(side * len(tasks) + 1.4, (side + 0.4) * len(variables) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(variables), len(tasks), squeeze=False)
    for row, variable in enumerate(variables):
        for column, task in enumerate(tasks):
            here = chosen[(chosen["variable"] == variable) & (chosen["task"] == task)]
            whole = pooled[(pooled["variable"] == variable) & (pooled["task"] == task)]
            title = f"{variable}, {'all tasks' if task == ALL else task}"
            if len(whole):
                title += f"\n{_pooled(whole)}"
            panels[row, column].set_title(title, fontsize=10)
            _matrix(panels[row, column], here, names)
    kind = "engaged or not" if labels == "binary" else "all values"
    figure.colorbar(ScalarMappable(SCALE, COLOURS), ax=panels, label=f"Cohen's kappa ({kind})", shrink=0.8)
    return figure


def write_all(folder: Path, tables: dict[str, pd.DataFrame]) -> None:
    """Draw a heat map for each kind of labels, ``kappa_binary.png`` and ``kappa_multi.png``."""
    for labels in LABELS:
        write(folder / f"kappa_{labels}.png", draw(tables["agreement"], tables["annotators"], labels))


def draw_tolerance(table: pd.DataFrame, labels: str = "binary") -> Figure:
    """Kappa of all pairs pooled against the tolerance in time, with its interval; a legend gives the mean span.

    Args:
        table: the table ``tolerance``.
        labels: ``binary`` or ``multi``.
    """
    pooled = table[(table["labels"] == labels) & (table["annotator_1"] == ALL) & (table["variable"] != ALL)]
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place, variable in enumerate(dict.fromkeys(pooled["variable"])):
        rows = pooled[pooled["variable"] == variable].sort_values("tolerance_ms")
        seconds = rows["tolerance_ms"].to_numpy(float) / 1000
        label = f"{variable} (mean span {rows['mean_span_s'].iloc[0]:.1f} s)"
        axes.plot(seconds, rows["kappa"], marker="o", color=f"C{place}", label=label)
        bounds = rows["kappa_low"].to_numpy(float), rows["kappa_high"].to_numpy(float)
        axes.fill_between(seconds, *bounds, color=f"C{place}", alpha=0.2, linewidth=0)
    axes.set(xlabel="tolerance in seconds", ylabel="kappa, corrected for the same tolerance", ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    if len(pooled):
        axes.legend(loc="lower right")
    return figure


def draw_kinds(table: pd.DataFrame) -> Figure:
    """Kappa of each kind of raters, pairs pooled, with its interval: a panel per variable, a line per task.

    Args:
        table: a table ``agreement`` with the column ``raters``.
    """
    pooled = table[table["annotator_1"] == ALL]
    variables = [name for name in dict.fromkeys(pooled["variable"]) if name != ALL] or [ALL]
    tasks = list(dict.fromkeys(pooled["task"]))
    kinds = list(dict.fromkeys(pooled["raters"]))
    size = 1.4 + 3.6 * len(variables), 1.3 + 0.5 * len(tasks)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(variables), squeeze=False, sharex=True, sharey=True)[0]
    for axes, variable in zip(panels, variables, strict=True):
        for place, kind in enumerate(kinds):
            rows = pooled[(pooled["variable"] == variable) & (pooled["raters"] == kind)].set_index("task")
            rows = rows.reindex(tasks)
            shift = np.arange(len(tasks)) + 0.24 * (place - (len(kinds) - 1) / 2)
            bounds = [rows["kappa"] - rows["kappa_low"], rows["kappa_high"] - rows["kappa"]]
            look = {"fmt": MARKERS[place % len(MARKERS)], "color": f"C{place}", "capsize": 3}
            axes.errorbar(rows["kappa"], shift, xerr=np.nan_to_num(bounds), label=KIND_NAMES.get(kind, kind), **look)
        axes.set_title(variable, fontsize=10)
        axes.set_xlabel("Cohen's kappa of clips, pairs pooled")
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(tasks)), ["all tasks" if task == ALL else task for task in tasks])
    panels[0].invert_yaxis()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    return figure


def write(path: Path, figure: Figure) -> None:
    """Save a figure as PNG, the same bytes for the same figure."""
    with artifacts.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120, metadata={"Software": None})


def _matrix(axes: Axes, rows: pd.DataFrame, names: list[str]) -> None:
    """One panel: a symmetric matrix with kappa and its interval in every cell."""
    size = len(names)
    place = {name: position for position, name in enumerate(names)}
    values = np.full((size, size), np.nan)
    for row in rows.itertuples():
        cells = place[str(row.annotator_1)], place[str(row.annotator_2)]
        kappa, low, high = (float(getattr(row, name)) for name in ("kappa", "kappa_low", "kappa_high"))
        text = _number(kappa)
        if size <= MOST_WITH_INTERVALS and not np.isnan(low):
            text += f"\n{_number(low)} to {_number(high)}"
        colour = "white" if kappa < 0.6 else "black"
        for y, x in (cells, cells[::-1]):
            values[y, x] = kappa
            axes.text(x, y, text, ha="center", va="center", fontsize=8, color=colour)
    axes.imshow(values, cmap=COLOURS, norm=SCALE)
    axes.set_xticks(range(size), names)
    axes.set_yticks(range(size), names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _pooled(rows: pd.DataFrame) -> str:
    """Second line of a panel's title."""
    if "raters" not in rows:
        return f"pooled {_number(rows['kappa'].iloc[0])}"
    return ", ".join(
        f"{kind} {_number(kappa)}" for kind, kappa in zip(rows["raters"], rows["kappa"].astype(float), strict=True)
    )


def _number(value: float) -> str:
    """Two decimals without the leading zero, as agreement is written in the field; ``n/a`` if undefined."""
    if np.isnan(value):
        return "n/a"
    return f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 0.995 else f"{value:.2f}"
