"""Event-based agreement: hand-made cases, and the published algorithm step by step as an oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attune.annotation import agreement, events

A, B = 0, 1


@st.composite
def _records(draw: st.DrawFn) -> np.ndarray:
    """Spans of one rater, in order, without overlap."""
    steps = draw(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 9)), max_size=12))
    bounds = np.cumsum([step for pair in steps for step in pair], dtype=np.int64)
    return bounds.reshape(-1, 2)


def _spans(*bounds: tuple[int, int]) -> np.ndarray:
    return np.array(bounds, dtype=np.int64).reshape(-1, 2)


def _fitted_diagonal(table: np.ndarray) -> float:
    """Iterative proportional fitting from ones with an empty last cell, as Holle & Rein describe it."""
    fitted = np.ones_like(table)
    fitted[-1, -1] = 0
    for _ in range(300):
        fitted *= (table.sum(axis=1) / fitted.sum(axis=1))[:, None]
        fitted *= table.sum(axis=0) / fitted.sum(axis=0)
    return float(np.trace(fitted))


def test_table_and_kappa_by_hand() -> None:
    first, second = _spans((0, 10), (20, 30), (40, 50)), _spans((1, 11), (20, 29), (46, 60))
    # 9 of 10 ms shared: linked, both A. 9 of 10: linked, B against A. 4 of 14: not linked.
    table = events.event_table(first, np.array([A, B, A]), second, np.array([A, A, B]), 2)
    np.testing.assert_array_equal(table, [[2, 0, 1], [2, 0, 0], [0, 1, 0]])
    # Rows 3, 2 | 1, columns 4, 1 | 1, 4 comparisons among the values: 4 * (3 * 4 + 2 * 1) / (5 * 5) by chance.
    assert events.expected_events(table) == pytest.approx(2.24)
    assert events.event_kappa(table) == pytest.approx((2 - 2.24) / (6 - 2.24))
    np.testing.assert_array_equal(events.value_tables(table)[A], [[1, 2], [1, 2]])
    assert events.value_kappa(table)[A] == pytest.approx(agreement.kappa(np.array([[1, 2], [1, 2.0]])))


def test_sixty_percent_is_enough() -> None:
    assert len(events.link(_spans((0, 10)), _spans((4, 14)))) == 1
    assert len(events.link(_spans((0, 10)), _spans((0, 6)))) == 1
    assert len(events.link(_spans((0, 1000)), _spans((0, 599)))) == 0
    assert len(events.link(_spans((0, 10)), _spans((10, 20)))) == 0


def test_the_longer_span_decides() -> None:
    """A short span inside a long one is wholly covered, and yet another event."""
    assert len(events.link(_spans((0, 100)), _spans((40, 60)))) == 0


@pytest.mark.parametrize("threshold", [0.5, 0.0, 1.1])
def test_threshold_that_could_link_twice_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="Expected"):
        events.link(_spans((0, 1)), _spans((0, 1)), threshold)


@settings(deadline=None)
@given(_records(), _records(), st.sampled_from([0.51, 0.6, 0.8, 1.0]))
def test_links_are_those_of_a_search_for_the_best_partner(
    first: np.ndarray, second: np.ndarray, threshold: float
) -> None:
    """EasyDIAg takes pairs in the order of their overlap, each span once, and then asks for the threshold."""
    longer = np.maximum(np.diff(first), np.diff(second).T)
    share = events.overlaps(first, second) / longer
    best = []
    while share.size and share.max() > 0:
        one, other = np.unravel_index(share.argmax(), share.shape)
        if share[one, other] >= threshold:
            best.append((int(one), int(other)))
        share[one] = share[:, other] = -1
    assert sorted(map(tuple, events.link(first, second, threshold).tolist())) == sorted(best)


@settings(deadline=None)
@given(_records(), _records())
def test_every_span_counts_once_for_each_rater(first: np.ndarray, second: np.ndarray) -> None:
    table = events.event_table(first, np.arange(len(first)) % 3, second, np.arange(len(second)) % 3, 3)
    links = len(events.link(first, second))
    assert table.sum() == len(first) + len(second)
    assert table[:-1, :-1].sum() == 2 * links
    assert table[-1, -1] == 0


@settings(deadline=None)
@given(arrays(np.int64, (4, 4), elements=st.integers(1, 30)))
def test_chance_is_the_limit_of_iterative_proportional_fitting(counts: np.ndarray) -> None:
    table = counts.astype(float)
    table[-1, -1] = 0
    assert events.expected_events(table) == pytest.approx(_fitted_diagonal(table), rel=1e-9)


def test_perfect_raters_have_kappa_one_and_strangers_none() -> None:
    assert events.event_kappa(np.diag([6.0, 8, 0])) == 1
    assert events.event_kappa(np.array([[0, 0, 3.0], [0, 0, 2], [4, 1, 0]])) == 0


def test_kappa_of_one_value_is_undefined() -> None:
    """The fitted table then equals the observed one, so kappa could not tell perfect raters from others."""
    for table in (np.diag([6.0, 0]), np.array([[6.0, 2], [3, 0]]), np.array([[6.0, 0, 2], [0, 0, 0], [1, 0, 0]])):
        assert np.isnan(events.event_kappa(table))


def test_elan_overlap_by_hand() -> None:
    found = events.elan_overlap(_spans((0, 10), (20, 30)), _spans((0, 8), (50, 60)))
    assert found.average == pytest.approx((0.8 + 0 + 0) / 3)
    assert found.weighted == pytest.approx(0.8)
    assert np.isnan(events.elan_overlap(_spans(), _spans()).average)
    assert events.elan_overlap(_spans((0, 10)), _spans()).average == 0
