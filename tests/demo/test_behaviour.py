from itertools import pairwise

import numpy as np
import pytest

from attune.annotation.protocol import NO
from attune.demo.behaviour import CHAINS, FRAME_MS, Session, simulate
from attune.demo.config import DemoConfig

TASKS = ("people", "eggs", "drums")


@pytest.fixture(scope="module")
def sessions() -> list[Session]:
    return [simulate(DemoConfig(), TASKS, np.random.default_rng([7, number])) for number in range(300)]


def engaged(session: Session, variable: str) -> np.ndarray:
    """Whether the infant is engaged in every frame."""
    spans = session.states[variable]
    return np.repeat([s.value != NO for s in spans], [(s.end_ms - s.start_ms) // FRAME_MS for s in spans])


def test_states_cover_the_session_in_whole_frames(sessions: list[Session]) -> None:
    for session in sessions:
        for spans in session.states.values():
            borders = [spans[0].start_ms, *(span.end_ms for span in spans)]
            assert borders == [0, *(span.start_ms for span in spans[1:]), session.duration_ms]
            assert all(border % FRAME_MS == 0 for border in borders)
            assert all(before.value != after.value for before, after in pairwise(spans))
            assert all(span.end_ms - span.start_ms >= 1000 for span in spans[:-1])


def test_tasks_follow_in_order_with_the_wanted_lengths(sessions: list[Session]) -> None:
    for session in sessions:
        assert tuple(task.value for task in session.tasks) == TASKS
        edges = [0, *(edge for task in session.tasks for edge in (task.start_ms, task.end_ms)), session.duration_ms]
        lengths = np.diff(edges)
        assert all(3000 <= length <= 6000 for length in lengths[0::2])
        assert all(20000 <= length <= 40000 for length in lengths[1::2])


def test_ignored_spans_lie_well_inside_a_task(sessions: list[Session]) -> None:
    ignored = [(session, span) for session in sessions for span in session.ignore]
    assert len(ignored) > 100
    for session, span in ignored:
        assert any(task.start_ms < span.start_ms < span.end_ms < task.end_ms for task in session.tasks)


def test_transitions_are_proper_probabilities() -> None:
    for chain in CHAINS.values():
        for state, follows in chain.items():
            assert state not in follows
            assert sum(follows.values()) == pytest.approx(1)


def test_gaze_and_hands_are_balanced_and_independent(sessions: list[Session]) -> None:
    gaze, hands = (np.concatenate([engaged(s, name) for s in sessions]) for name in ("attending", "participating"))
    assert 0.4 < gaze.mean() < 0.6
    assert 0.4 < hands.mean() < 0.6
    assert abs(np.corrcoef(gaze, hands)[0, 1]) < 0.05


def test_dwell_is_not_memoryless(sessions: list[Session]) -> None:
    """An exponential dwell would have a coefficient of variation of 1."""
    dwell = [s.end_ms - s.start_ms for item in sessions for s in item.states["participating"][1:-1] if s.value == NO]
    assert 3000 < np.mean(dwell) < 8000
    assert np.std(dwell) / np.mean(dwell) < 0.8
