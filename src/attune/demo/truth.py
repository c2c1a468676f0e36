"""What is known about the demo recordings: behaviour, sessions, styles and evidence masks.

A mask file holds two bit planes per frame, head and hands, each frame as its difference (exclusive or) from the one
before, so that stillness costs nothing. Masks are (T, H, W) uint8 at half the picture's width and height: 0 nothing,
1 head, 2 hands.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attune.demo.behaviour import Session
from attune.demo.canvas import HANDS, HEAD, MASK_SCALE, Image

BEHAVIOUR = ["session", "variable", "value", "start_ms", "end_ms", "intensity"]


def tabulate_behaviour(sessions: dict[str, Session]) -> pd.DataFrame:
    """Every state of every session; ``intensity`` is empty but for excited spans."""
    rows = [
        (name, variable, span.value, span.start_ms, span.end_ms, span.intensity if span.value == "excited" else None)
        for name, session in sessions.items()
        for variable, spans in [*session.states.items(), ("ignore", session.ignore)]
        for span in spans
    ]
    return pd.DataFrame(rows, columns=BEHAVIOUR)


def tabulate_tasks(sessions: dict[str, Session]) -> pd.DataFrame:
    """The true borders of the tasks."""
    rows = [
        (name, task.value, task.start_ms, task.end_ms) for name, session in sessions.items() for task in session.tasks
    ]
    return pd.DataFrame(rows, columns=["session", "task", "start_ms", "end_ms"])


def pack(mask: Image) -> NDArray[np.uint8]:
    """The bit planes of head and hands of one mask, (H, W) to (2, H * W / 8)."""
    return np.stack([np.packbits(mask == HEAD), np.packbits(mask == HANDS)])


def write_masks(path: Path, packed: Sequence[NDArray[np.uint8]], shape: tuple[int, int]) -> None:
    """Write the packed masks of a session's frames, of the given height and width, into one file."""
    bits = np.stack(packed)
    bits[1:] ^= bits[:-1].copy()
    np.savez_compressed(path, bits=bits, shape=np.array(shape), scale=np.array(MASK_SCALE))


def read_masks(path: Path) -> NDArray[np.uint8]:
    """Read the masks of a session.

    Returns:
        (T, H, W) uint8, one per frame of the video, at half its width and height.
    """
    return np.concatenate(list(iterate_masks(path, 500)))


def iterate_masks(path: Path, frames: int = 500) -> Iterator[NDArray[np.uint8]]:
    """As :func:`read_masks`, in pieces of at most ``frames`` frames."""
    with np.load(path) as file:
        bits, (height, width) = file["bits"], file["shape"].tolist()
    last = np.zeros_like(bits[:1])
    for start in range(0, len(bits), frames):
        piece = np.bitwise_xor.accumulate(np.concatenate([last, bits[start : start + frames]]), axis=0)[1:]
        last = piece[-1:]
        planes = np.unpackbits(piece, axis=2, count=height * width)
        yield (planes[:, 0] * HEAD + planes[:, 1] * HANDS).astype(np.uint8).reshape(-1, height, width)
