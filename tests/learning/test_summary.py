import json
from pathlib import Path
from typing import Any

import pytest

from attune.learning import summary, summary_figures
from attune.problems import InputError


def model(task: str, low: float, chance: float = 0.6, balanced_low: float = 0.4) -> dict[str, Any]:
    def interval(value: float, low: float) -> dict[str, float]:
        return {"value": value, "low": low, "high": value + 0.05}

    return {
        "task": task,
        "variable": "gaze",
        "validation": {"f1": 0.8, "smoothed_f1": 0.75, "head_f1": 0.7},
        "test": {
            "model": {
                "f1": interval(low + 0.1, low),
                "balanced_accuracy": interval(0.7, balanced_low),
                "roc_auc": {"value": None, "low": None, "high": None},
            },
            "chance": {"accuracy": 0.5, "f1": chance, "balanced_accuracy": 0.5},
            "human": {"f1": interval(0.9, 0.85)},
        },
    }


@pytest.mark.parametrize(
    ("low", "chance", "balanced_low", "better"),
    [
        (0.61, 0.6, 0.4, True),
        (0.6, 0.6, 0.9, False),  # balanced accuracy is asked only where chance leaves F1 no room
        (0.81, 0.81, 0.51, True),
        (0.99, 0.81, 0.5, False),
    ],
)
def test_better_than_chance_means_the_whole_interval(
    low: float, chance: float, balanced_low: float, better: bool
) -> None:
    assert summary.above_chance([model("play", low, chance, balanced_low)]) == {"play-gaze": better}


def test_headline_counts_and_averages() -> None:
    found = summary.headline([model("a", 0.7), model("b", 0.5)])
    assert found["above_chance"] == 1
    assert found["test_f1"] == pytest.approx(0.7)
    assert found["validation_f1"] == pytest.approx(0.75)
    assert found["a_gaze_f1"] == pytest.approx(0.8)
    assert len(found) <= 13


def test_an_undefined_score_is_not_above_chance_and_stays_out_of_the_mean() -> None:
    undefined = model("a", 0.9)
    undefined["test"]["model"]["f1"] = {"value": None, "low": None, "high": None}
    found = summary.headline([undefined, model("b", 0.7)])
    assert found["above_chance"] == 1
    assert found["test_f1"] == pytest.approx(0.8)


def test_the_table_has_a_row_per_metric_and_can_be_drawn() -> None:
    table = summary.tabulate([model("a", 0.7), model("b", 0.5)])
    assert len(table) == 6
    assert table.loc[0, "human_value"] == pytest.approx(0.9)
    assert len(summary_figures.draw(table).axes) == 2


def test_scores_are_read_in_order_and_must_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no scores"):
        summary.read(tmp_path)
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "scores.json").write_text(json.dumps({"task": name}))
    assert [scores["task"] for scores in summary.read(tmp_path)] == ["a", "b"]
