import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from attune.learning import search, search_figures
from attune.learning.search import Distribution
from attune.params import Params

PUBLISHED = {
    "learning_rate": {"log_uniform": [1e-5, 1]},
    "decay": {"mixture": [{"weight": 1, "value": 0}, {"weight": 4, "log_uniform": [1e-3, 0.1]}]},
    "weight_decay": {"mixture": [{"weight": 1, "value": 0}, {"weight": 4, "log_uniform": [1e-4, 10]}]},
    "class_weights": {"choice": [True, False]},
}


def space(**written):
    return {name: Distribution.model_validate(value) for name, value in written.items()}


def runs_of(scores, epochs=3, diverged=0):
    """Runs from scores (settings, folds, repetitions)."""
    rows = [
        {"setting": s, "fold": f, "repetition": r, "score": score, "epochs": epochs, "diverged": diverged}
        for (s, f, r), score in np.ndenumerate(np.asarray(scores, dtype=float))
    ]
    return pd.DataFrame(rows)


class Model(Params):
    rate: float = Field(gt=0, le=1)
    kind: str = "a"


def test_a_setting_does_not_depend_on_how_many_there_are_nor_on_its_neighbours():
    whole = search.draw_all(space(**PUBLISHED), 40, seed=3)
    few = search.draw_all(space(**PUBLISHED), 7, seed=3)
    pd.testing.assert_frame_equal(whole.head(7), few)
    alone = search.draw(space(decay=PUBLISHED["decay"]), 5, seed=3)
    assert alone["decay"] == whole["decay"][5]
    assert search.draw(space(**PUBLISHED), 5, seed=4) != search.draw(space(**PUBLISHED), 5, seed=3)


def test_draws_follow_the_published_distributions():
    drawn = search.draw_all(space(**PUBLISHED), 4000, seed=0)
    exponent = np.log10(drawn["learning_rate"])
    assert exponent.min() >= -5 and exponent.max() <= 0
    assert np.histogram(exponent, bins=5, range=(-5, 0))[0] == pytest.approx(np.full(5, 800), rel=0.12)
    assert (drawn["decay"] == 0).mean() == pytest.approx(0.2, abs=0.02)
    assert drawn["decay"][drawn["decay"] > 0].between(1e-3, 0.1).all()
    assert np.log10(drawn["weight_decay"][drawn["weight_decay"] > 0]).mean() == pytest.approx(-1.5, abs=0.1)
    assert drawn["class_weights"].dtype == bool
    assert drawn["class_weights"].mean() == pytest.approx(0.5, abs=0.03)
    assert abs(np.corrcoef(exponent, drawn["class_weights"])[0, 1]) < 0.05


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(0, 50))
def test_uniform_draws_lie_within_their_bounds_and_are_short(low, width, index):
    value = search.draw(space(x={"uniform": [low, low + width]}), index, 0)["x"]
    assert low <= value <= low + width
    assert value in (low, low + width) or re.fullmatch(r"-?\d(\.\d{0,3})?e[+-]\d+", f"{value:.3e}")


@given(st.floats(-20, 10), st.floats(0.01, 10), st.integers(0, 50))
def test_log_uniform_draws_lie_within_their_bounds(exponent, decades, index):
    low, high = 10.0**exponent, 10.0 ** (exponent + decades)
    assert low <= search.draw(space(x={"log_uniform": [low, high]}), index, 0)["x"] <= high


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({}, "exactly one of the keys"),
        ({"value": 1, "choice": [1]}, "exactly one of the keys"),
        ({"uniform": [2, 1]}, "the lower one first"),
        ({"uniform": [1, 1]}, "the lower one first"),
        ({"log_uniform": [0, 1]}, "positive bounds"),
        ({"choice": []}, "at least 1"),
        ({"mixture": [{"weight": 0, "value": 1}]}, "greater than 0"),
        ({"mixture": [{"weight": 1}]}, "exactly one of the keys"),
        ({"log_unifrom": [1, 2]}, "Extra inputs"),
        ({"uniform": [1]}, "Field required"),
        ({"uniform": [0, float("inf")]}, "finite"),
    ],
)
def test_a_distribution_that_means_nothing_is_refused(written, said):
    with pytest.raises(ValidationError, match=said):
        Distribution.model_validate(written)


def test_words_and_whole_numbers_stay_what_they_are():
    drawn = search.draw_all(space(a={"choice": ["x"]}, b={"choice": [3]}, c={"value": False}), 2, 0)
    assert drawn.to_dict("records")[0] == {"setting": 0, "a": "x", "b": 3, "c": False}
    assert drawn["b"].dtype == np.int64


def test_a_space_is_held_against_the_model_of_its_settings():
    good = space(rate={"log_uniform": [1e-3, 1]}, kind={"choice": ["a", "b"]})
    assert search.check(good, Model) == good
    with pytest.raises(ValueError, match="each of kind, rate"):
        search.check(space(rate={"value": 1}), Model)
    with pytest.raises(ValueError, match=r"rate that can only be drawn as allowed \(2.0"):
        search.check(space(rate={"mixture": [{"value": 1}, {"uniform": [0.5, 2]}]}, kind={"value": "a"}), Model)
    with pytest.raises(ValueError, match="kind that can only"):
        search.check(space(rate={"value": 1}, kind={"choice": ["a", 5]}), Model)


def test_statistics_by_hand():
    settings = pd.DataFrame({"setting": [0, 1], "rate": [0.5, 0.1]})
    runs = runs_of([[[0.2, 0.4], [0.6, 0.8]], [[0.5, 0.5], [0.5, 0.5]]])
    runs.loc[0, ["epochs", "diverged"]] = [6, 1]
    table = search.statistics(runs.sample(frac=1, random_state=0), settings)
    first = table.iloc[0]
    assert first["score"] == pytest.approx(0.5)
    assert first["fold_std"] == pytest.approx(0.2) and first["repetition_std"] == pytest.approx(0.1)
    assert first["score_std"] ** 2 == pytest.approx(0.2**2 + 0.1**2)
    assert (first["lowest"], first["highest"], first["runs"], first["diverged"]) == (0.2, 0.8, 4, 1)
    assert table["score_std"][1] == 0
    assert list(table.columns[:2]) == ["setting", "rate"]


def test_statistics_refuse_what_has_no_mean():
    settings = pd.DataFrame({"setting": [0]})
    with pytest.raises(ValueError, match="NaN"):
        search.statistics(runs_of([[[np.nan]]]), settings)
    with pytest.raises(ValueError, match="numbers of repetitions"):
        search.statistics(runs_of([[[1, 0.5], [1, 0.5]]]).iloc[:3], settings)


def test_equal_scores_are_ordered_by_index_whatever_the_order_of_rows():
    settings = pd.DataFrame({"setting": range(30), "rate": np.arange(30) / 10})
    results = search.statistics(runs_of([[[0.25 * (s % 3)]] for s in range(30)]), settings)
    ranked = search.rank(results.sample(frac=1, random_state=1))
    assert list(ranked["setting"][:3]) == [2, 5, 8] and list(ranked["rank"]) == list(range(1, 31))
    assert len(search.top(results)) == search.TOP
    best = search.winner(results, ["rate"])
    assert best["setting"] == 2 and best["rate"] == 0.2 and best["epochs"] == 3
    assert all(type(value) in (int, float, bool, str) for value in best.values())


@pytest.fixture
def results():
    drawn = search.draw_all(space(**PUBLISHED, freeze={"choice": ["all", "last"]}), 60, 1)
    rng = np.random.default_rng(0)
    scores = np.clip(0.8 - 0.1 * (np.log10(drawn["learning_rate"]) + 3) ** 2, 0.3, 1)
    return search.statistics(runs_of(scores.to_numpy()[:, None, None] + rng.normal(0, 0.03, (60, 4, 2))), drawn)


def test_figures_are_the_same_bytes_for_the_same_table(results, tmp_path):
    names = [*PUBLISHED, "freeze"]
    drawn = []
    for number in range(2):
        for name, figure in search_figures.draw_all(results, names, chance=0.6):
            figure.savefig(tmp_path / f"{name}{number}.png", metadata={"Software": None})
        drawn.append([(tmp_path / f"{name}{number}.png").read_bytes() for name in ["scores", *names]])
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 6


def test_the_axis_of_a_hyper_parameter_fits_its_values(results):
    scales = {
        name: figure.axes[0].get_xscale() for name, figure in search_figures.draw_all(results, [*PUBLISHED, "freeze"])
    }
    assert scales["learning_rate"] == scales["decay"] == scales["weight_decay"] == "log"
    assert scales["class_weights"] == scales["freeze"] == scales["scores"] == "linear"
    decay = search_figures.draw_parameter(results, "decay").axes[0]
    assert decay.get_xticklabels()[0].get_text() == "0"


def test_figures_of_a_single_setting_are_drawn(results):
    single = results.head(1).assign(decay=0.0, score=0.0, score_std=0.0)
    assert len(list(search_figures.draw_all(single, [*PUBLISHED, "freeze"]))) == 6
