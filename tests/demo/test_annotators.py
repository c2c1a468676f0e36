from itertools import pairwise

import numpy as np
import pytest

from attune.annotation.protocol import NO
from attune.demo import annotators
from attune.demo.behaviour import Session, Span, simulate
from attune.demo.config import STYLES, DemoConfig, Style

PERFECT = Style(lag_ms=0, lag_jitter_ms=0, min_span_ms=100, missed=0, excited_threshold=0)


def spans(*values: str, length_ms: int = 5000, intensity: float = 0.5) -> tuple[Span, ...]:
    return tuple(
        Span(value, index * length_ms, (index + 1) * length_ms, intensity if value == "excited" else 0)
        for index, value in enumerate(values)
    )


def changed(**fields: float) -> Style:
    return PERFECT.model_copy(update=fields)


@pytest.fixture(scope="module")
def sessions() -> list[Session]:
    tasks = ("people", "eggs", "drums")
    return [simulate(DemoConfig(), tasks, np.random.default_rng([8, number])) for number in range(200)]


def test_a_perfect_annotator_sees_the_truth() -> None:
    states = spans(NO, "self", "joint", NO, "self")
    seen = annotators.perceive(states, PERFECT, 25000, np.random.default_rng(0))
    assert seen == [span for span in states if span.value != NO]


def test_lag_has_the_planted_mean_and_spread() -> None:
    states = spans(*[NO, "self"] * 1000)
    style = changed(lag_ms=700, lag_jitter_ms=200)
    seen = annotators.perceive(states, style, 10_000_000, np.random.default_rng(1))
    lags = np.array([span.start_ms % 5000 for span in seen])
    assert lags.mean() == pytest.approx(700, abs=4 * 200 / np.sqrt(1000))
    assert lags.std() == pytest.approx(200, rel=0.1)


def test_the_planted_share_of_spans_is_missed() -> None:
    states = spans(*[NO, "self"] * 1000)
    seen = annotators.perceive(states, changed(missed=0.1), 10_000_000, np.random.default_rng(2))
    assert 1 - len(seen) / 1000 == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / 1000))


def test_what_is_short_goes_unnoticed() -> None:
    states = (Span("self", 0, 4000), Span(NO, 4000, 4400), Span("self", 4400, 8000), Span("joint", 8000, 8300))
    seen = annotators.perceive(states, changed(min_span_ms=500), 8300, np.random.default_rng(3))
    assert seen == [Span("self", 0, 8300)]


@pytest.mark.parametrize(("threshold", "value"), [(0.4, "excited"), (0.5, "excited"), (0.6, "attending")])
def test_the_threshold_tells_excited_from_attending(threshold: float, value: str) -> None:
    states = spans(NO, "excited", intensity=0.5)
    seen = annotators.perceive(states, changed(excited_threshold=threshold), 10000, np.random.default_rng(4))
    assert [span.value for span in seen] == [value]


@pytest.mark.parametrize("style", STYLES)
def test_tiers_are_in_order_without_overlap(sessions: list[Session], style: Style) -> None:
    for number, session in enumerate(sessions):
        coded = annotators.code(session, style, np.random.default_rng(number))
        assert list(coded) == ["task", "ignore", "attending", "participating"]
        for tier in coded.values():
            assert all(0 <= span.start_ms < span.end_ms <= session.duration_ms for span in tier)
            assert all(before.end_ms <= after.start_ms for before, after in pairwise(tier))
            assert NO not in {span.value for span in tier}


def test_few_spans_run_across_the_borders_of_tasks(sessions: list[Session]) -> None:
    across = ends = 0
    for number, session in enumerate(sessions):
        coded = annotators.code(session, STYLES[0], np.random.default_rng(number))
        for task in coded["task"]:
            for tier in ("attending", "participating"):
                at_end = [span for span in coded[tier] if span.start_ms < task.end_ms <= span.end_ms]
                ends += len(at_end)
                across += sum(span.end_ms > task.end_ms for span in at_end)
    assert across / ends == pytest.approx(annotators.CARRY_SHARE, abs=0.05)
