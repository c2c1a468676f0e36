from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from attune.annotation import fold_figures, folds

PIXELS = folds.PixelValues(count=10, mean=(0.1, 0.2, 0.3), std=(0.1, 0.1, 0.1))


def fold(shares: dict, annotated_ms: int = 1_000, sessions: tuple[str, ...] = ("a",), group: int = 1) -> folds.Fold:
    return folds.Fold(
        sessions=sessions,
        annotated_ms=annotated_ms,
        empirical_probability={"eggs": shares},
        groups={"second": group},
        score=0.1,
        pixel_values=PIXELS,
    )


@pytest.fixture
def statistics() -> folds.FoldStatistics:
    return folds.FoldStatistics(
        num_folds=3,
        test_fold=2,
        score=0.3,
        method="all splits",
        tries=6,
        all_sessions=folds.Part(
            sessions=("a", "b", "c"),
            annotated_ms=3_000,
            empirical_probability={"eggs": {"attending": 0.5, "smiling": 0.0}},
            groups={"second": 2},
        ),
        folds=(
            fold({"attending": 0.4, "smiling": 0.0}, 900),
            fold({"attending": 0.6, "smiling": 0.0}, 1_100, ("b",), 0),
            fold({"attending": None, "smiling": None}, 1_000, ("c",)),
        ),
    )


def test_the_table_has_a_row_for_every_fold_and_cell(statistics: folds.FoldStatistics) -> None:
    table = fold_figures.balance_table(statistics)
    assert len(table) == 6
    attending = table[table["variable"] == "attending"]
    assert attending["test"].tolist() == [0, 0, 1]
    np.testing.assert_allclose(attending["deviation"], [-0.2, 0.2, np.nan], atol=1e-9)
    assert table[table["variable"] == "smiling"]["deviation"].isna().all()


def test_headline(statistics: folds.FoldStatistics) -> None:
    assert fold_figures.headline(statistics) == {
        "score": 0.3,
        "num_folds": 3,
        "num_sessions": 3,
        "largest_deviation": 0.2,
        "largest_time_deviation": 0.1,
        "folds_without_a_group": 1,
    }


def test_the_headline_without_any_defined_deviation_is_a_number(statistics: folds.FoldStatistics) -> None:
    nothing = {"eggs": {"attending": 0.0, "smiling": 0.0}}
    everywhere = statistics.all_sessions.model_copy(update={"empirical_probability": nothing})
    headline = fold_figures.headline(statistics.model_copy(update={"all_sessions": everywhere}))
    assert headline["largest_deviation"] == 0.0


def png(figure: Figure, path: Path) -> bytes:
    figure.savefig(path, metadata={"Software": None})
    return path.read_bytes()


def test_the_figure_is_drawn_and_the_same_twice(statistics: folds.FoldStatistics, tmp_path: Path) -> None:
    first = png(fold_figures.draw(statistics), tmp_path / "1.png")
    assert first == png(fold_figures.draw(statistics), tmp_path / "2.png")
    image = cv2.imread(str(tmp_path / "1.png"))
    blue_green_red = [int(fold_figures.TEST_COLOUR[place : place + 2], 16) for place in (5, 3, 1)]
    assert (image == blue_green_red).all(axis=2).sum() > 500, "the test fold's bar is not in the figure"
