"""Figure of a training: how head and fine-tuning went, which epoch was chosen, and what chance gives.

Drawn without pyplot, so nothing is shared between figures; the same tables give the same bytes.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

TRAIN, VALIDATION, SMOOTHED, CHOSEN, CHANCE = "#88a5c4", "#cc6677", "#882233", "#222222", "#777777"
HEAD, FINETUNING = "head", "fine-tuning"


def draw(curves: pd.DataFrame, chance: float, title: str) -> Figure:
    """Three panels: the head's F1, the fine-tuning's F1 and its loss.

    Args:
        curves: columns phase (``head`` or ``fine-tuning``), epoch, train_f1, validation_f1, smoothed_f1, train_loss,
            validation_loss and best (1 for the chosen epoch of a phase).
        chance: F1 of always answering "engaged" on the validation clips.
        title: name of the model.
    """
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3)
    for axes, phase in zip(panels, (HEAD, FINETUNING), strict=False):
        _draw_f1(axes, curves[curves["phase"] == phase], chance)
        axes.set_title(f"{phase}: F1", fontsize=10)
    panels[1].sharey(panels[0])
    _draw_loss(panels[2], curves[curves["phase"] == FINETUNING])
    panels[0].legend(loc="lower right", fontsize=8)
    panels[1].legend(loc="lower right", fontsize=8)
    figure.suptitle(title, fontsize=11)
    return figure


def _draw_f1(axes: Axes, rows: pd.DataFrame, chance: float) -> None:
    lines = (("train_f1", TRAIN, "training"), ("validation_f1", VALIDATION, "validation"))
    for name, colour, label in lines:
        if rows[name].notna().any():
            axes.plot(rows["epoch"], rows[name], color=colour, linewidth=1.0, label=label)
    axes.plot(rows["epoch"], rows["smoothed_f1"], color=SMOOTHED, linewidth=1.8, label="trailing mean")
    axes.axhline(chance, color=CHANCE, linewidth=1.2, linestyle="--", label=f"chance {chance:.3f}")
    _mark_chosen(axes, rows)
    axes.set(xlabel="epoch", ylim=(-0.02, 1.02))


def _draw_loss(axes: Axes, rows: pd.DataFrame) -> None:
    for name, colour, label in (("train_loss", TRAIN, "training"), ("validation_loss", VALIDATION, "validation")):
        axes.plot(rows["epoch"], rows[name], color=colour, linewidth=1.2, label=label)
    _mark_chosen(axes, rows)
    axes.set(xlabel="epoch")
    axes.set_ylim(bottom=0)
    axes.set_title(f"{FINETUNING}: loss", fontsize=10)
    axes.legend(loc="upper right", fontsize=8)


def _mark_chosen(axes: Axes, rows: pd.DataFrame) -> None:
    for epoch in rows.loc[rows["best"] == 1, "epoch"]:
        axes.axvline(epoch, color=CHOSEN, linewidth=1.0, linestyle=":", label=f"chosen epoch {epoch}")
