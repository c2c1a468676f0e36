"""Coefficients of many raters against statsmodels, krippendorff and the two-rater forms."""

import krippendorff
import numpy as np
import pytest
from statsmodels.stats import inter_rater

from attune.annotation import agreement, multirater


def _ratings(raters: int, missing: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(raters)
    truth = rng.integers(0, 4, 80)
    ratings = np.where(rng.random((80, raters)) < 0.6, truth[:, None], rng.integers(0, 4, (80, raters)))
    return np.where(rng.random((80, raters)) < missing, -1, ratings)


def test_fleiss_equals_statsmodels() -> None:
    counts = multirater.count(_ratings(5), 4)
    assert multirater.fleiss(counts).value == pytest.approx(inter_rater.fleiss_kappa(counts), abs=1e-12)
    randolph = inter_rater.fleiss_kappa(counts, method="randolph")
    assert multirater.brennan_prediger(counts).value == pytest.approx(randolph, abs=1e-12)


@pytest.mark.parametrize(("kind", "level"), [(None, "nominal"), ("quadratic", "interval")])
def test_alpha_with_missing_ratings_equals_krippendorff(kind: str | None, level: str) -> None:
    ratings = _ratings(4, missing=0.4)
    weights = None if kind is None else agreement.agreement_weights(4, kind)  # type: ignore[arg-type]
    data = np.where(ratings < 0, np.nan, ratings).T
    theirs = krippendorff.alpha(data, value_domain=np.arange(4), level_of_measurement=level)
    assert multirater.alpha(multirater.count(ratings, 4), weights).value == pytest.approx(theirs, abs=1e-12)


def test_two_raters_give_the_coefficients_of_the_table() -> None:
    ratings = _ratings(2)
    table = agreement.tabulate(ratings[:, 0], ratings[:, 1], 4)
    counts = multirater.count(ratings, 4)
    assert multirater.conger(ratings, 4).value == pytest.approx(agreement.kappa(table), abs=1e-12)
    assert multirater.ac1(counts).value == pytest.approx(agreement.ac1(table), abs=1e-12)
    assert multirater.brennan_prediger(counts).value == pytest.approx(agreement.pabak(table), abs=1e-12)


def test_conger_is_the_kappa_of_pooled_pairs() -> None:
    """What the reliability tables call pooled kappa: sums over pairs, each with the chance term of its own margins."""
    ratings = _ratings(4)
    pairs = [(a, b) for a in range(4) for b in range(a)]
    tables = np.array([agreement.tabulate(ratings[:, a], ratings[:, b], 4) for a, b in pairs])
    sums = (agreement.observed(tables).sum(), agreement.expected_cohen(tables).sum(), agreement.total(tables).sum())
    assert agreement.corrected(*sums) == pytest.approx(multirater.conger(ratings, 4).value, abs=1e-12)


def test_nothing_to_compare_is_nan() -> None:
    lonely = np.array([[0, -1], [-1, 1]])
    counts = multirater.count(lonely, 2)
    for coefficient in (multirater.alpha(counts), multirater.fleiss(counts), multirater.conger(lonely[:, :1], 2)):
        assert np.isnan(coefficient.value)
