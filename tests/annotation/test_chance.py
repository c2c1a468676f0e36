import random

import numpy as np
import pandas as pd
import pytest

from attune.annotation import chance, spans


@pytest.mark.parametrize("positive", [0.0, 0.05, 0.3, 0.5, 0.81, 1.0])
def test_no_guess_by_chance_beats_the_scores(positive: float) -> None:
    """Against guesses "positive" with every probability q, scored from the expected confusion table."""
    scores = chance.chance_scores(positive)
    guess = np.linspace(0, 1, 1001)
    hit, false_alarm, miss = positive * guess, (1 - positive) * guess, positive * (1 - guess)
    correct = hit + (1 - positive) * (1 - guess)
    f1 = np.divide(2 * hit, 2 * hit + false_alarm + miss, out=np.zeros_like(guess), where=hit > 0)
    assert scores["accuracy"] == pytest.approx(correct.max(), abs=1e-9)
    assert scores["f1"] == pytest.approx(f1.max(), abs=1e-9)
    assert scores["balanced_accuracy"] == 0.5


def test_nobody_ever_engaged() -> None:
    assert chance.chance_scores(0.0) == {
        "positive_probability": 0.0,
        "accuracy": 1.0,
        "f1": 0.0,
        "balanced_accuracy": 0.5,
    }


def test_time_counts_and_not_the_number_of_spans() -> None:
    rows = [
        ("s1", "ew", "eggs", "attending", 0, 1, 0, 300),
        ("s1", "ew", "eggs", "attending", 0, 0, 300, 400),
        ("s2", "kb", "eggs", "attending", 1, 0, 0, 600),
        ("s2", "kb", "drums", "attending", 1, 1, 600, 700),
    ]
    table = pd.DataFrame(rows, columns=list(spans.STRATIFIED))
    scores = chance.score_chance([table])
    assert list(scores) == ["drums", "eggs"]
    assert scores["eggs"]["attending"]["positive_probability"] == 0.3
    assert scores["eggs"]["attending"]["accuracy"] == 0.7
    assert scores["eggs"]["attending"]["f1"] == pytest.approx(0.6 / 1.3, abs=1e-9)
    assert scores["drums"]["attending"]["f1"] == 1.0
    random.Random(0).shuffle(rows)
    assert chance.score_chance([pd.DataFrame(rows, columns=list(spans.STRATIFIED))]) == scores
