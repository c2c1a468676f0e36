"""What the infant does: one semi-Markov process for the gaze and one for the hands, independent of each other.

States follow one another by transition probabilities, and each lasts for a random dwell time of its own distribution
(one second and a gamma variate of shape 2), in contrast to the exponential dwell of a Markov process. Times are integer
milliseconds, multiples of one video frame; spans are half-open and cover the session without gap.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from attune.annotation.protocol import NO
from attune.demo.config import DemoConfig

FRAME_RATE = 25
FRAME_MS = 1000 // FRAME_RATE
SHORTEST_DWELL_S = 1.0
IGNORE_SHARE = 0.3  # share of tasks in which the infant is out of sight for a moment
IGNORE_SECONDS = (1.5, 3.5)

Chain = Mapping[str, Mapping[str, float]]

ATTENDING: Chain = {
    NO: {"attending": 0.8, "excited": 0.2},
    "attending": {NO: 0.6, "excited": 0.4},
    "excited": {NO: 0.45, "attending": 0.55},
}
PARTICIPATING: Chain = {
    NO: {"self": 0.45, "joint": 0.55},
    "self": {NO: 0.7, "joint": 0.3},
    "joint": {NO: 0.75, "self": 0.25},
}
# Mean dwell in seconds, by play activity: each invites looking and moving to a different degree.
DWELL: tuple[Mapping[str, Mapping[str, float]], ...] = (
    {
        "attending": {NO: 6.7, "attending": 5.5, "excited": 4.3},
        "participating": {NO: 7.7, "self": 5.3, "joint": 5.5},
    },
    {
        "attending": {NO: 7.7, "attending": 5.0, "excited": 4.3},
        "participating": {NO: 7.0, "self": 5.0, "joint": 6.5},
    },
    {
        "attending": {NO: 7.2, "attending": 5.0, "excited": 4.8},
        "participating": {NO: 6.7, "self": 5.8, "joint": 6.0},
    },
)
CHAINS: Mapping[str, Chain] = {"attending": ATTENDING, "participating": PARTICIPATING}


@dataclass(frozen=True)
class Span:
    """A state of one variable in ``[start_ms, end_ms)``; ``intensity`` in [0, 1] belongs to excited spans."""

    value: str
    start_ms: int
    end_ms: int
    intensity: float = 0.0


@dataclass(frozen=True)
class Session:
    """The truth about one session.

    Attributes:
        duration_ms: length of the recording.
        tasks: one span per play activity, in order; ``value`` is its name.
        states: per variable, spans that cover ``[0, duration_ms)``.
        ignore: spans in which the infant is out of sight.
    """

    duration_ms: int
    tasks: tuple[Span, ...]
    states: Mapping[str, tuple[Span, ...]]
    ignore: tuple[Span, ...]


def simulate(config: DemoConfig, tasks: tuple[str, ...], rng: np.random.Generator) -> Session:
    """Draw one session with the named tasks."""
    spans: list[Span] = []
    now = _milliseconds(rng.uniform(*config.pause_seconds))
    for task in tasks:
        end = now + _milliseconds(rng.uniform(*config.task_seconds))
        spans.append(Span(task, now, end))
        now = end + _milliseconds(rng.uniform(*config.pause_seconds))
    states = {variable: tuple(_chain(variable, tuple(spans), now, rng)) for variable in CHAINS}
    return Session(now, tuple(spans), states, tuple(_ignored(spans, rng)))


def _milliseconds(seconds: float) -> int:
    return round(seconds * FRAME_RATE) * FRAME_MS


def _chain(variable: str, tasks: tuple[Span, ...], duration_ms: int, rng: np.random.Generator) -> Iterator[Span]:
    chain = CHAINS[variable]
    state = NO if rng.random() < 0.5 else _step(chain[NO], rng)
    now = 0
    while now < duration_ms:
        position = sum(task.end_ms <= now for task in tasks[:-1])
        mean = DWELL[position % len(DWELL)][variable][state]
        end = min(now + _milliseconds(SHORTEST_DWELL_S + rng.gamma(2, (mean - SHORTEST_DWELL_S) / 2)), duration_ms)
        yield Span(state, now, end, round(rng.random(), 3) if state == "excited" else 0.0)
        now, state = end, _step(chain[state], rng)


def _step(probabilities: Mapping[str, float], rng: np.random.Generator) -> str:
    return list(probabilities)[int(np.searchsorted(np.cumsum(list(probabilities.values())), rng.random()))]


def _ignored(tasks: list[Span], rng: np.random.Generator) -> Iterator[Span]:
    """At most one span per task, no longer than a quarter of it and clear of its borders."""
    for task in tasks:
        length = task.end_ms - task.start_ms
        wanted, position, chance = rng.uniform(*IGNORE_SECONDS), rng.uniform(0.2, 0.5), rng.random()
        if chance < IGNORE_SHARE:
            start = task.start_ms + round(position * length / FRAME_MS) * FRAME_MS
            yield Span("ignore", start, start + min(_milliseconds(wanted), length // 4 // FRAME_MS * FRAME_MS))
