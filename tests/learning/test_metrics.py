import numpy as np
import pytest
import sklearn.metrics as reference
import torch
from hypothesis import given
from hypothesis import strategies as st

from attune.annotation.bootstrap import Bootstrap
from attune.learning import metrics

BOTH = st.integers(0, 2**32 - 1)


def score(labels, probability):
    """Every metric of one set of samples, unweighted."""
    checked = metrics._checked(labels, probability)
    ones = np.ones((1, len(checked[0])))
    return {name: float(metric(*checked, ones)[0]) for name, metric in metrics.METRICS.items()}


def sample(seed, n=60, ties=True):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([[0, 1], rng.integers(0, 2, n - 2)])
    probability = np.clip(rng.normal(0.4 + 0.2 * labels, 0.3), 0, 1)
    return labels, np.round(probability, 1 if ties else 6)


@given(BOTH, st.booleans())
def test_scores_are_those_of_scikit_learn(seed, ties):
    labels, probability = sample(seed, ties=ties)
    predicted = probability > 0.5
    expected = {
        "accuracy": reference.accuracy_score(labels, predicted),
        "f1": reference.f1_score(labels, predicted, zero_division=0),
        "balanced_accuracy": reference.balanced_accuracy_score(labels, predicted),
        "roc_auc": reference.roc_auc_score(labels, probability),
        "average_precision": reference.average_precision_score(labels, probability),
        "brier": reference.brier_score_loss(labels, probability),
    }
    found = score(labels, probability)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)


@given(BOTH)
def test_weights_are_repetitions(seed):
    labels, probability = sample(seed)
    times = np.random.default_rng(seed).integers(0, 4, len(labels))
    times[:2] = 1
    repeated = score(np.repeat(labels, times), np.repeat(probability, times))
    weighted = {
        name: metric(labels.astype(float), probability, times[None].astype(float))[0]
        for name, metric in metrics.METRICS.items()
    }
    assert weighted == pytest.approx(repeated, abs=1e-12)


def test_calibration_by_hand():
    labels = [0, 1, 1, 1, 0]
    probability = [0.05, 0.05, 0.95, 1.0, 0.95]
    # lowest bin: 2 samples, mean probability 0.05, half positive; highest: 3 samples, 2.9/3 against 2/3
    assert score(labels, probability)["ece"] == pytest.approx(2 / 5 * 0.45 + 3 / 5 * 0.3)
    assert score([0, 1], [0.0, 1.0])["ece"] == 0


def test_one_class_leaves_undefined_what_is_undefined():
    none = score([0, 0], [0.2, 0.9])
    assert none["f1"] == 0 and none["accuracy"] == 0.5
    assert np.isnan([none["balanced_accuracy"], none["roc_auc"], none["average_precision"]]).all()
    assert score([0, 0], [0.2, 0.1])["f1"] == 0
    assert all(np.isnan(value) for value in score([], []).values())


@pytest.mark.parametrize(
    ("labels", "probability"), [([0, 1], [0.5]), ([0, 2], [0.5, 0.5]), ([0, 1], [0.5, 1.5]), ([0, 1], [0.5, np.nan])]
)
def test_what_is_no_label_or_probability_is_refused(labels, probability):
    with pytest.raises(ValueError):
        score(labels, probability)


def test_the_bootstrap_draws_whole_sessions():
    """Clips of a session agree entirely, so 400 clips in 8 sessions are 8 observations, not 400."""
    rng = np.random.default_rng(0)
    covered, naive = 0, 0
    for trial in range(60):
        right = np.repeat(rng.random(8) < 0.7, 50)
        labels = np.ones(400)
        probability = np.where(right, 0.9, 0.1)
        wide = metrics.session_bootstrap(labels, probability, np.repeat(np.arange(8), 50), draws=300, seed=trial)
        narrow = metrics.session_bootstrap(labels, probability, np.arange(400), draws=300, seed=trial)
        covered += int(wide["low"][0] <= 0.7 <= wide["high"][0])
        naive += int(narrow["low"][0] <= 0.7 <= narrow["high"][0])
    assert covered / 60 > 0.8
    assert naive / 60 < 0.4


def test_bootstrap_equals_scoring_each_draw(monkeypatch):
    labels, probability = sample(5)
    sessions = np.random.default_rng(0).choice(["b", "a", "d", "c"], len(labels))
    table = metrics.session_bootstrap(labels, probability, sessions, draws=40, seed=3)
    names = sorted(set(sessions))
    scores = []
    for draw in Bootstrap.over(4, 40, 0.95, 3).weights[1:]:
        rows = np.concatenate(
            [np.repeat(np.flatnonzero(sessions == s), int(n)) for s, n in zip(names, draw, strict=True)]
        )
        scores.append(list(score(labels[rows], probability[rows]).values()))
    assert table["low"].to_numpy() == pytest.approx(np.nanquantile(scores, 0.025, axis=0))
    assert table["high"].to_numpy() == pytest.approx(np.nanquantile(scores, 0.975, axis=0))
    assert dict(zip(table["metric"], table["value"], strict=True)) == pytest.approx(score(labels, probability))
    monkeypatch.setattr(metrics, "CHUNK", 200)  # a few draws at a time
    chunked = metrics.session_bootstrap(labels, probability, sessions, draws=40, seed=3)
    assert np.allclose(chunked.iloc[:, 1:], table.iloc[:, 1:], atol=1e-12)


def test_one_session_has_no_interval():
    table = metrics.session_bootstrap(*sample(0), ["only"] * 60)
    assert table["value"].notna().all() and table["low"].isna().all() and table["high"].isna().all()


def test_trailing_mean_and_best_epoch_by_hand():
    f1 = [[0.9, 0.1, 0.5, 0.6, 0.7, 0.0], [0, 0, 0, 0, 0, 0]]
    means = metrics.trailing_mean(f1, 2)
    assert np.isnan(means[0, 0]) and means[0, 1:] == pytest.approx([0.5, 0.3, 0.55, 0.65, 0.35])
    epochs, scores = metrics.best_epoch(f1, 2)
    assert list(epochs) == [5, 2] and scores == pytest.approx([0.65, 0])
    epochs, scores = metrics.best_epoch([0.2, np.nan, 0.4], 9)  # shorter than the window; NaN counts 0
    assert int(epochs) == 3 and float(scores) == pytest.approx(0.2)


def test_f1_of_counts_takes_arrays_and_tensors():
    counts = [[2.0, 0.0, 0.0], [4.0, 0.0, 3.0], [2.0, 0.0, 1.0]]
    assert metrics.f1_of_counts(*map(np.array, counts)) == pytest.approx([2 / 3, 0, 0])
    assert metrics.f1_of_counts(*map(torch.tensor, counts)).tolist() == pytest.approx([2 / 3, 0, 0])
