"""Intervals over sessions: their arithmetic, and that they cover the truth where intervals over samples do not."""

import tracemalloc

import numpy as np
import pytest

from attune.annotation import agreement, bootstrap
from attune.annotation.bootstrap import Bootstrap
from attune.annotation.counts import Counts


def test_draws_are_sessions_with_replacement() -> None:
    draws = Bootstrap.over(7, 200, 0.95, seed=1)
    assert draws.weights.shape == (201, 7)
    np.testing.assert_array_equal(draws.weights[0], np.ones(7))
    np.testing.assert_array_equal(draws.weights.sum(axis=1), np.full(201, 7))
    assert draws.weights[1:].max() > 1


def test_same_seed_same_draws() -> None:
    one, other = (Bootstrap.over(5, 100, 0.9, seed=3).weights for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert (Bootstrap.over(5, 100, 0.9, seed=4).weights != one).any()


def test_blocks_of_draws_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.random.default_rng(0).integers(0, 900, (30, 2, 2)).astype(float)
    monkeypatch.setattr(bootstrap, "BLOCK", 1000)
    whole = Bootstrap.over(30, 300, 0.95, seed=5)
    once = whole.sums(counts)
    np.testing.assert_array_equal(once, np.einsum("ds,s...->d...", whole.weights, counts))
    monkeypatch.setattr(bootstrap, "BLOCK", 7)
    parted = Bootstrap.over(30, 300, 0.95, seed=5)
    np.testing.assert_array_equal(parted.weights, whole.weights)
    np.testing.assert_array_equal(parted.sums(counts), once)


def test_sums_of_several_counts_are_those_of_each_with_every_draw_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    whole, halves = rng.integers(0, 70_000, (300, 2, 3)).astype(float), rng.integers(-5, 5, (300, 4)) / 2
    draws = Bootstrap.over(300, 150, 0.95, seed=2)
    monkeypatch.setattr(bootstrap, "BLOCK_BYTES", 8 * 300 * 11)  # eleven draws at a time
    for sums, counts in zip(draws.sums_of([Counts.of(whole), Counts.of(halves)]), (whole, halves), strict=True):
        np.testing.assert_array_equal(sums, np.tensordot(draws.weights.astype(float), counts, axes=1))


def test_summing_keeps_no_draw() -> None:
    counts = Counts((1,))
    for _ in range(2000):
        counts.add(np.ones(1))
    tracemalloc.start()
    Bootstrap.over(2000, 2000, 0.95, seed=0).sums_of([counts])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6e6  # the weights of all draws are 8 MB


def test_counts_come_back_as_they_were() -> None:
    rng = np.random.default_rng(0)
    for values in (rng.integers(0, 3, (5, 2)), rng.integers(0, 10**9, (400, 2, 2)), rng.normal(size=(130, 3))):
        parts = list(Counts.of(values.astype(float)).parts())
        np.testing.assert_array_equal(np.concatenate(parts), values)
        assert max(map(len, parts)) <= 128 and all(part.dtype == float for part in parts)


def test_ten_thousand_sessions_need_little_memory() -> None:
    tracemalloc.start()
    draws = Bootstrap.over(10_000, 500, 0.95, seed=0)
    draws.sums(np.ones((10_000, 2, 2)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6  # as many numbers of eight bytes are 40 MB, and were drawn in whole before they were copied


def test_interval_is_the_percentile_interval_of_the_defined_draws() -> None:
    draws = Bootstrap.over(3, 100, 0.9, seed=0)
    values = np.stack([np.arange(101.0), np.r_[50, np.full(50, np.nan), np.arange(50.0)], np.full(101, np.nan)], axis=1)
    low, high = draws.interval(values)
    np.testing.assert_allclose(
        low, [*np.quantile(np.arange(1, 101.0), [0.05]), np.quantile(np.arange(50), 0.05), np.nan]
    )
    np.testing.assert_allclose(high, [np.quantile(np.arange(1, 101.0), 0.95), np.quantile(np.arange(50), 0.95), np.nan])


def test_no_sessions_give_no_interval() -> None:
    draws = Bootstrap.over(0, 100, 0.95, seed=0)
    kappa = agreement.kappa(draws.sums(np.zeros((0, 4, 2, 2))))
    assert np.isnan(kappa).all()
    assert np.isnan(draws.interval(kappa)[0]).all()


def _records(rng: np.random.Generator, studies: int, sessions: int, samples: int) -> np.ndarray:
    """Agreement tables ``(studies, sessions, 2, 2)`` of two raters sampled every 100 ms, whose true kappa is 0.7.

    Behaviour comes in spans of 5 s on average, engaged half of the time; so do the lapses of the second rater, who then
    says the opposite. The share of lapses is 0.15 on average and differs much between sessions, as people's days do.
    """
    share = rng.beta(0.75, 4.25, (studies, sessions))
    engaged = rng.random((studies, sessions)) < 0.5
    lapsing = rng.random((studies, sessions)) < share
    tables = np.zeros((studies, sessions, 2, 2))
    study, session = np.ogrid[:studies, :sessions]
    for _ in range(samples):
        tables[study, session, engaged.astype(int), (engaged ^ lapsing).astype(int)] += 1
        moment = rng.random((2, studies, sessions))
        engaged = np.where(moment[0] < 0.02, rng.random((studies, sessions)) < 0.5, engaged)
        lapsing = np.where(moment[1] < 0.02, rng.random((studies, sessions)) < share, lapsing)
    return tables


def test_intervals_cover_the_truth_over_sessions_and_not_over_samples() -> None:
    rng = np.random.default_rng(2022)
    truth, studies, sessions, draws = 1 - 2 * 0.15, 500, 24, 500
    covered = {"samples": 0, "sessions": 0}
    for study, tables in enumerate(_records(rng, studies, sessions, samples=900)):
        drawn = Bootstrap.over(sessions, draws, 0.95, seed=study)
        low, high = drawn.interval(agreement.kappa(drawn.sums(tables)))
        covered["sessions"] += bool(low <= truth <= high)
        whole = tables.sum(axis=0)
        redrawn = rng.multinomial(int(whole.sum()), whole.ravel() / whole.sum(), size=draws).reshape(-1, 2, 2)
        low, high = np.quantile(agreement.kappa(redrawn.astype(float)), [0.025, 0.975])
        covered["samples"] += bool(low <= truth <= high)
    assert 0.02 <= covered["samples"] / studies <= 0.15  # 0.086
    assert 0.90 <= covered["sessions"] / studies <= 0.98  # 0.942
