"""Kappa with a tolerance in time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attune.annotation import agreement, tolerance

RECORDS = arrays(np.int64, st.tuples(st.just(2), st.integers(1, 40)), elements=st.integers(-1, 2))


def _kappa(first: np.ndarray, second: np.ndarray, levels: int, reach: int) -> float:
    return float(agreement.corrected(*tolerance.counts(tolerance.tally(first, second, levels, reach))))


@settings(deadline=None)
@given(RECORDS)
def test_no_tolerance_is_cohens_kappa(codes: np.ndarray) -> None:
    plain = agreement.kappa(agreement.tabulate(codes[0], codes[1], 3))
    assert _kappa(codes[0], codes[1], 3, 0) == pytest.approx(float(plain), abs=1e-12, nan_ok=True)


@settings(deadline=None)
@given(RECORDS, st.integers(0, 5))
def test_agreements_are_those_found_by_looking_around(codes: np.ndarray, reach: int) -> None:
    both = (codes >= 0).all(axis=0)
    tally = tolerance.tally(codes[0], codes[1], 3, reach)
    for direction, (reference, other) in enumerate(((0, 1), (1, 0))):
        agreed = 0
        for time in np.flatnonzero(both):
            around = [t for t in range(time - reach, time + reach + 1) if 0 <= t < codes.shape[1] and both[t]]
            agreed += codes[reference, time] in codes[other, around]
        assert tally[direction, 1] == agreed


def test_a_lag_within_the_tolerance_is_forgiven() -> None:
    record = np.repeat([0, 1, 0, 1, 0], 20)
    assert _kappa(record, np.roll(record, 3), 2, 0) < 0.8
    assert _kappa(record, np.roll(record, 3), 2, 3) == pytest.approx(1)


@pytest.mark.parametrize("reach", [0, 2, 5, 10])
def test_guessing_raters_have_kappa_zero_at_every_tolerance(reach: int) -> None:
    rng = np.random.default_rng(3)
    first, second = (np.repeat(rng.integers(0, 2, 40_000), 20) for _ in range(2))
    assert abs(_kappa(first, second, 2, reach)) < 0.02
