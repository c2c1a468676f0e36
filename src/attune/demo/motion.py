"""From behaviour to movement: how every part of the picture is posed in every frame.

Frame ``k`` shows the time ``k * 40`` ms. Angles are in degrees, distances in pixels of the full picture. A yaw of 0
looks into the camera, 90 to the right of the picture, where the partner sits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attune.annotation.protocol import NO
from attune.demo.behaviour import FRAME_MS, FRAME_RATE, Session, Span

TURN_FRAMES = 10  # a turn of the head, a start or an end of a movement takes 0.4 s
TO_PARTNER_DEG = (8.0, 38.0)
AWAY_DEG = (-172.0, -128.0)
REACH = (50.0, 58.0)  # stroke of a playing hand
TEMPO_HZ = (0.9, 1.6)
BOUNCE = (5.0, 9.0)  # least height, and what full intensity adds
SHAKE = 4  # the camera never moves further

Curve = NDArray[np.float64]


@dataclass(frozen=True)
class Motion:
    """One value per frame, shape (T,) unless said otherwise.

    Attributes:
        task: index of the task whose toys lie on the table.
        yaw_deg: direction of the infant's head.
        ready: how far the infant's hands have left their rest for their playing position, 0 to 1.
        hands: stroke of the infant's left and right hand in [0, 1], (T, 2).
        partner_hands: the same for the partner's hands, (T, 2).
        reach: full stroke in pixels.
        bounce: upward shift of the infant's body and head.
        excited: whether the infant's mouth is open.
        shake: shift of the camera in whole pixels, (T, 2), x and y.
        light: factor of brightness, and warmth as a shift of chroma in levels, (T, 2).
        adult: horizontal position of the adult in the background, NaN where there is none.
        occluder: horizontal position of the back that hides the infant, NaN where there is none.
    """

    task: NDArray[np.int64]
    yaw_deg: Curve
    ready: Curve
    hands: Curve
    partner_hands: Curve
    reach: Curve
    bounce: Curve
    excited: NDArray[np.bool_]
    shake: NDArray[np.int64]
    light: Curve
    adult: Curve
    occluder: Curve


def animate(session: Session, rng: np.random.Generator) -> Motion:
    """Pose every frame of a session."""
    frames = session.duration_ms // FRAME_MS
    gaze, play = session.states["attending"], session.states["participating"]
    starts = np.array([task.start_ms // FRAME_MS for task in session.tasks[1:]], int)
    ends = np.array([task.end_ms // FRAME_MS for task in session.tasks[:-1]], int)
    task = np.searchsorted((starts + ends) // 2, np.arange(frames), side="right")
    ready, hands, partner, reach = _play(play, task, rng)
    excitement = _curve(gaze, [BOUNCE[0] + BOUNCE[1] * s.intensity if s.value == "excited" else 0.0 for s in gaze])
    rhythm = np.abs(np.sin(_phase(frames, (0.9, 1.2), rng)))
    return Motion(
        task=task,
        yaw_deg=_turns(gaze, rng) + _wander(frames, 4.0, 1.0, rng),
        ready=ready,
        hands=hands,
        partner_hands=partner,
        reach=reach,
        bounce=_smooth(excitement) * rhythm,
        excited=excitement > 0,
        shake=np.clip(np.rint(_wander(2 * frames, 1.2, 0.3, rng).reshape(2, -1).T), -SHAKE, SHAKE).astype(int),
        light=_light(frames, rng),
        adult=_passers(frames, rng),
        occluder=_occluder(session.ignore, frames),
    )


def _curve(spans: Sequence[Span], values: Sequence[float]) -> Curve:
    """One value per span, repeated for each of its frames."""
    return np.repeat(np.asarray(values, float), [(span.end_ms - span.start_ms) // FRAME_MS for span in spans])


def _smooth(curve: Curve) -> Curve:
    """Spread every change over 0.4 s, half of it before the change and half after."""
    window = np.hanning(TURN_FRAMES + 2)[1:-1]
    padded = np.pad(curve, (TURN_FRAMES // 2, TURN_FRAMES - 1 - TURN_FRAMES // 2), mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid")


def _turns(gaze: Sequence[Span], rng: np.random.Generator) -> Curve:
    angles: list[float] = []
    for index, span in enumerate(gaze):
        follows = index > 0 and span.value != NO and gaze[index - 1].value != NO  # still looks at the partner
        angles.append(angles[-1] if follows else rng.uniform(*(AWAY_DEG if span.value == NO else TO_PARTNER_DEG)))
    return _smooth(_curve(gaze, angles))


def _play(play: Sequence[Span], task: NDArray[np.int64], rng: np.random.Generator) -> tuple[Curve, ...]:
    frames = len(task)
    moving = _smooth(_curve(play, [float(span.value != NO) for span in play]))
    joint = _smooth(_curve(play, [float(span.value == "joint") for span in play]))
    # The partner often moves on a little while the infant rests or plays alone: only the infant's own hands tell.
    alone = _smooth(_curve(play, [0.5 * (rng.random() < 0.5) for _ in play])) * (1 - joint)
    reach = _smooth(_curve(play, [rng.uniform(*REACH) for _ in play]))
    apart = np.where(rng.random(int(task.max()) + 1) < 0.5, np.pi, 0.4)[task]  # hands in turn or together, by task
    phase, own = _phase(frames, TEMPO_HZ, rng), _phase(frames, TEMPO_HZ, rng)
    both, theirs = (np.stack([angle, angle + apart], axis=1) for angle in (phase, own))
    hands = moving[:, None] * _swing(both)
    return moving, hands, joint[:, None] * _swing(both) + alone[:, None] * _swing(theirs), reach


def _swing(phase: Curve) -> Curve:
    return 0.5 - 0.5 * np.cos(phase)


def _phase(frames: int, tempo_hz: tuple[float, float], rng: np.random.Generator) -> Curve:
    """Phase of a movement whose tempo wanders, so that no sampling rate can freeze it."""
    middle, spread = sum(tempo_hz) / 2, (tempo_hz[1] - tempo_hz[0]) / 2
    tempo = middle + spread * np.tanh(_wander(frames, 1.0, 2.0, rng))
    return rng.uniform(0, 2 * np.pi) + np.cumsum(2 * np.pi * tempo / FRAME_RATE)


def _wander(frames: int, deviation: float, seconds: float, rng: np.random.Generator) -> Curve:
    """A stationary random curve with the given standard deviation and correlation time."""
    window = np.hanning(2 * max(round(seconds * FRAME_RATE), 1) + 1)[1:-1]
    noise = rng.standard_normal(frames + len(window) - 1)
    return deviation * np.convolve(noise, window / np.sqrt(np.sum(window**2)), mode="valid")


def _light(frames: int, rng: np.random.Generator) -> Curve:
    gain = rng.uniform(0.9, 1.06) + _wander(frames, 0.03, 6.0, rng)
    return np.stack([gain, rng.uniform(-4, 4) + _wander(frames, 1.0, 6.0, rng)], axis=1)


def _passers(frames: int, rng: np.random.Generator) -> Curve:
    """An adult walks through the background from time to time, whatever the infant does."""
    place = np.full(frames, np.nan)
    now = round(rng.uniform(0, 20) * FRAME_RATE)
    while now < frames:
        path = np.linspace(-60, 450, round(rng.uniform(4, 9) * FRAME_RATE))[:: rng.choice([-1, 1])][: frames - now]
        place[now : now + len(path)] = path
        now += len(path) + round(rng.uniform(8, 25) * FRAME_RATE)
    return place


def _occluder(ignore: Sequence[Span], frames: int) -> Curve:
    """Somebody leans into the picture: in within 0.3 s, stays, and leaves to the other side."""
    place = np.full(frames, np.nan)
    for span in ignore:
        first, last = span.start_ms // FRAME_MS, span.end_ms // FRAME_MS
        edge = min(8, (last - first) // 2)
        path = np.zeros(last - first)
        path[:edge], path[len(path) - edge :] = np.linspace(-430, 0, edge), np.linspace(0, 430, edge)
        place[first:last] = path
    return place
