import krippendorff
import numpy as np
import pytest
from statsmodels.stats.inter_rater import cohens_kappa

from attune.annotation import agreement, multirater, standard_errors


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", [None, "linear", "quadratic"])
def test_errors_of_kappa_equal_those_of_statsmodels(seed: int, kind: str | None) -> None:
    table = np.random.default_rng(seed).integers(1, 40, (4, 4)).astype(float)
    weights = None if kind is None else agreement.agreement_weights(4, "linear" if kind == "linear" else "quadratic")
    other = cohens_kappa(table, wt=kind)
    assert standard_errors.kappa_errors(table, weights) == pytest.approx((other.std_kappa, other.std_kappa0))


def test_errors_shrink_with_the_root_of_the_number_of_subjects() -> None:
    table = np.array([[40.0, 9.0], [6.0, 45.0]])
    one, four = standard_errors.kappa_errors(table), standard_errors.kappa_errors(4 * table)
    assert four == pytest.approx(tuple(error / 2 for error in one))


def test_uneven_numbers_of_ratings_are_refused() -> None:
    with pytest.raises(ValueError, match="got 2 to 3"):
        standard_errors.fleiss_error(np.array([[2.0, 1.0], [1.0, 1.0]]))


@pytest.mark.parametrize("kind", ["ordinal", "interval", "ratio"])
@pytest.mark.parametrize("seed", range(4))
def test_alpha_of_ordered_levels_equals_the_library(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 5, (30, 4))
    codes[rng.random(codes.shape) < 0.2] = -1
    values = [1.0, 2.0, 4.0, 5.0, 9.0]
    counts = multirater.count(codes, 5)
    found = multirater.alpha(counts, multirater.difference_weights(counts, kind, values)).value  # type: ignore[arg-type]  # parametrised
    expected = krippendorff.alpha(value_counts=counts, value_domain=values, level_of_measurement=kind)
    assert found == pytest.approx(expected, abs=1e-12)
