"""Coefficients on agreement tables, held against independent implementations and published values."""

import warnings

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats import inter_rater

from attune.annotation import agreement

CODES = st.integers(2, 4).flatmap(
    lambda levels: st.tuples(
        st.just(levels),
        arrays(np.int64, st.tuples(st.just(3), st.integers(2, 60)), elements=st.integers(-1, levels - 1)),
    )
)


@pytest.mark.parametrize(
    ("table", "kappa", "pabak", "ac1"),
    [
        ([[118, 5], [2, 0]], -0.0234, 0.888, 0.9408),  # Gwet (2008): nearly all labels alike
        ([[40, 9], [6, 45]], 0.6995, 0.70, 0.7007),
    ],
)
def test_published_two_by_two_tables(table: list[list[int]], kappa: float, pabak: float, ac1: float) -> None:
    counts = np.array(table, dtype=float)
    assert agreement.kappa(counts) == pytest.approx(kappa, abs=5e-5)
    assert agreement.pabak(counts) == pytest.approx(pabak, abs=5e-5)
    assert agreement.ac1(counts) == pytest.approx(ac1, abs=5e-5)


def test_example_in_the_source_of_easydiag() -> None:
    assert agreement.kappa(np.array([[53, 5, 2], [11, 14, 5], [1, 6, 3.0]])) == pytest.approx(0.429, abs=5e-4)


@settings(deadline=None)
@given(CODES)
def test_kappa_equals_scikit_learn(case: tuple[int, np.ndarray]) -> None:
    levels, codes = case
    table = agreement.tabulate(codes[0], codes[1], levels)
    both = (codes[0] >= 0) & (codes[1] >= 0)
    for kind in (None, "linear", "quadratic"):
        weights = None if kind is None else agreement.agreement_weights(levels, kind)
        ours = agreement.kappa(table, weights)
        if not both.any():
            assert np.isnan(ours)
            continue
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            theirs = cohen_kappa_score(codes[0][both], codes[1][both], labels=range(levels), weights=kind)
        assert ours == pytest.approx(theirs, abs=1e-12, nan_ok=True)


@settings(deadline=None)
@given(CODES)
def test_alpha_equals_krippendorff(case: tuple[int, np.ndarray]) -> None:
    levels, codes = case
    ours = agreement.alpha(agreement.coincidences(codes, levels))
    pairable = codes[:, (codes >= 0).sum(axis=0) > 1]
    if len(set(pairable[pairable >= 0])) < 2:
        assert np.isnan(ours)  # no labels, or all alike: 0/0
        return
    data = np.where(codes < 0, np.nan, codes)
    theirs = krippendorff.alpha(data, value_domain=np.arange(levels), level_of_measurement="nominal")
    assert ours == pytest.approx(theirs, abs=1e-12)


def test_coefficients_are_vectorised_over_stacks() -> None:
    stack = np.random.default_rng(0).integers(0, 50, (2, 5, 3, 3)).astype(float)
    for coefficient in (agreement.kappa, agreement.ac1, agreement.pabak, agreement.agreement):
        alone = np.array([[coefficient(table) for table in row] for row in stack])
        np.testing.assert_allclose(coefficient(stack), alone, rtol=1e-14)


def test_kappa_equals_statsmodels() -> None:
    table = np.random.default_rng(1).integers(1, 50, (4, 4)).astype(float)
    assert agreement.kappa(table) == pytest.approx(inter_rater.cohens_kappa(table, return_results=False), abs=1e-12)


@pytest.mark.parametrize("table", [[[0, 0], [0, 0]], [[7, 0], [0, 0]]])
def test_undefined_kappa_is_nan(table: list[list[int]]) -> None:
    assert np.isnan(agreement.kappa(np.array(table, dtype=float)))


def test_ac1_is_defined_where_all_labels_are_alike() -> None:
    assert agreement.ac1(np.array([[7.0, 0], [0, 0]])) == 1.0


def test_indices_by_hand() -> None:
    table = np.array([[30.0, 10], [20, 40]])  # first rater says yes 60 times, second 50 times
    assert agreement.prevalence_index(table) == pytest.approx((40 - 30) / 100)
    assert agreement.bias_index(table) == pytest.approx((60 - 50) / 100)
    np.testing.assert_allclose(agreement.specific_agreement(table), [60 / 90, 80 / 110])


def test_binary_collapses_all_engaged_levels() -> None:
    table = np.arange(9.0).reshape(3, 3)
    np.testing.assert_array_equal(agreement.binary(table), [[0, 1 + 2], [3 + 6, 4 + 5 + 7 + 8]])


def test_third_level_counts() -> None:
    """Raters who agree on two levels and mix up the third: leaving it out would flatter them."""
    table = np.array([[50.0, 2, 4], [2, 30, 6], [4, 6, 12]])
    assert agreement.kappa(table) < agreement.kappa(table[:2, :2]) - 0.2


@pytest.mark.parametrize(("levels", "kind"), [(1, "linear"), (3, "cubic")])
def test_weights_refuse_nonsense(levels: int, kind: str) -> None:
    with pytest.raises(ValueError, match="Expected"):
        agreement.agreement_weights(levels, kind)  # type: ignore[arg-type]
