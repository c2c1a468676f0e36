"""Figures of reliability: what they say, and that the same numbers give the same file."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from attune.annotation import reliability_figures, reliability_tables


def _agreement(kappa: float = 0.71) -> pd.DataFrame:
    groups = [
        (v, a, b, t) for v in ("all", "attending") for a, b in (("all", "all"), ("ew", "kb")) for t in ("all", "eggs")
    ]
    table = pd.DataFrame(groups, columns=["variable", "annotator_1", "annotator_2", "task"])
    return table.assign(labels="binary", kappa=kappa, kappa_low=0.6, kappa_high=0.8)


ANNOTATORS = pd.DataFrame({"annotator": ["ew", "kb", "mt"], "letter": ["A", "B", "C"], "shown": ["A", "B", "C"]})


def _texts(figure: Figure) -> set[str]:
    panels = figure.axes
    return {text.get_text() for axes in panels for text in [*axes.texts, *axes.get_xticklabels(), axes.title]}


def test_cells_hold_kappa_and_interval() -> None:
    texts = _texts(reliability_figures.draw(_agreement(), ANNOTATORS))
    assert ".71\n.60 to .80" in texts
    assert {"ew", "kb", "mt", "attending, all tasks\npooled .71", "attending, eggs\npooled .71"} <= texts


def test_anonymous_figure_holds_no_initials() -> None:
    shown = [reliability_tables.shown(table, ANNOTATORS) for table in (_agreement(), ANNOTATORS)]
    texts = _texts(reliability_figures.draw(*shown))
    assert {"A", "B", "C"} <= texts
    assert not {"ew", "kb", "mt"} & texts


def test_undefined_kappa_is_shown_as_such() -> None:
    table = _agreement().assign(kappa=np.nan, kappa_low=np.nan, kappa_high=np.nan)
    assert "n/a" in _texts(reliability_figures.draw(table, ANNOTATORS))


def test_colours_run_from_zero_to_one() -> None:
    figure = reliability_figures.draw(_agreement(), ANNOTATORS)
    assert figure.axes[0].images[0].get_clim() == (0, 1)


def test_tolerance_names_the_mean_span() -> None:
    table = pd.DataFrame({"variable": "attending", "annotator_1": "all", "annotator_2": "all", "labels": "binary",
                          "tolerance_ms": [0, 500], "kappa": [0.7, 0.9], "kappa_low": [0.6, 0.8],
                          "kappa_high": [0.8, 0.95], "mean_span_s": 4.9})  # fmt: skip
    axes = reliability_figures.draw_tolerance(table).axes[0]
    assert axes.get_legend() is not None
    assert "mean span 4.9 s" in str(axes.get_legend().get_texts()[0].get_text())
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[0, 0.7], [0.5, 0.9]])


@pytest.mark.parametrize("empty", [True, False])
def test_files_are_the_same_every_time(tmp_path: Path, empty: bool) -> None:
    table = _agreement().iloc[:0] if empty else _agreement()
    for name in ("one.png", "two.png"):
        reliability_figures.write(tmp_path / name, reliability_figures.draw(table, ANNOTATORS))
    first = (tmp_path / "one.png").read_bytes()
    assert first == (tmp_path / "two.png").read_bytes()
    assert b"Software" not in first
