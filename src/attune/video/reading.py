"""Reading the pixels of clips from frame stores.

The first frame of a clip is the one that is visible at its start; the others follow it in the store.
"""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from attune.problems import InputError, Problem
from attune.video.store import frame_index, open_frames

LATEST_MISSING_MS = 1000  # a processed video may end this much before its stated end


class ClipReader:
    """Reads the pixels of clips from a folder of frame stores.

    Each clip is copied once, straight from the file's pages into its array. Nothing stays mapped or open, so that
    memory and file handles do not grow with the number or the length of the sessions, and workers share nothing.
    """

    def __init__(self, frames_folder: Path, rate: Fraction, num_frames: int) -> None:
        self.folder = frames_folder
        self.rate = rate
        self.num_frames = num_frames
        self._heads: dict[str, tuple[int, tuple[int, ...]]] = {}

    def read(self, session: str, start_ms: int) -> npt.NDArray[np.uint8]:
        """Pixels of one clip; a video that ends up to a second early shows its last frame on.

        Returns:
            uint8 (T, H, W, 3).

        Raises:
            InputError: there is no such store, it is damaged, or the clip is not in it.
        """
        path = self.folder / f"{session}.npy"
        offset, (count, *size) = self._head(session, path)
        first = frame_index(start_ms, self.rate)
        there = min(self.num_frames, count - first)
        if first < 0 or there < 1 or self.num_frames - there > LATEST_MISSING_MS * self.rate / 1000:
            found = f"{count} frames, {float(count / self.rate):.1f} s"
            last_ms = start_ms + float(self.num_frames * 1000 / self.rate)
            expected = f"the clip from {start_ms / 1000:.1f} to {last_ms / 1000:.1f} s"
            cure = "Check that annotations and video belong together; run the stage process_videos again."
            raise InputError(Problem(str(path), "", found, expected, cure))
        pixels = np.empty((self.num_frames, *size), dtype=np.uint8)
        view = pixels[:there].reshape(-1).data
        with path.open("rb", buffering=0) as file:
            file.seek(offset + first * math.prod(size))
            while view and (got := file.readinto(view)):
                view = view[got:]
        if view:
            raise InputError(
                Problem(
                    str(path), "", "its end too early", "a whole frame store", "Run the stage process_videos again."
                )
            )
        pixels[there:] = pixels[there - 1]
        return pixels

    def _head(self, session: str, path: Path) -> tuple[int, tuple[int, ...]]:
        """Offset of the first pixel and shape (T, H, W, 3) of a store, looked up once."""
        if session not in self._heads:
            frames = open_frames(path)
            self._heads[session] = (frames.offset if isinstance(frames, np.memmap) else 0, frames.shape)
        return self._heads[session]
