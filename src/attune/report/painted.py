"""Painted maps as videos for the page: the grey clip with heat, a column for each painter.

What the encoder sees is the central square of the frame where the model's view is the square; people paint on the
whole frame. The page shows the central square of both, so that the pictures of people and of machines coincide.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import pandas as pd

from attune import artifacts
from attune.attention import overlay, painting
from attune.attention.painting import AGAIN
from attune.video.reading import ClipReader

SNIPPETS = {"snippet": "str", "session": "str", "task": "str", "variable": "str", "start_ms": "int64", "label": "int64"}
PAINTED = "painted"
CELL = 200  # pixels


@dataclass(frozen=True)
class Paintings:
    """Who has painted what: folders by snippet and painter."""

    folders: Mapping[str, Mapping[str, Path]]
    reader: ClipReader
    rate: Fraction

    @classmethod
    def find(cls, root: Path, frames: Path, rate: Fraction, num_frames: int) -> "Paintings":
        """List the paintings below a folder; repetitions are left out."""
        found: dict[str, dict[str, Path]] = {}
        for annotator, name, folder in painting.list_paintings(root):
            if not name.endswith(AGAIN):
                found.setdefault(name, {})[annotator] = folder
        return cls(found, ClipReader(frames, rate, num_frames), rate)

    def video(self, session: str, start_ms: int, painters: Mapping[str, Path]) -> tuple[bytes, list[str]]:
        """An MP4 of a snippet with the map of each painter.

        Args:
            session: of the snippet.
            start_ms: of the snippet.
            painters: folders of the paintings by the names that are written above them.

        Returns:
            The file, empty if no map fits, and the painters whose maps are of frames of another number or size;
            it leaves these out.
        """
        pixels = self.reader.read(session, start_ms).astype(np.float32) / np.float32(255)
        painted = {name: painting.read_map(folder) for name, folder in painters.items()}
        fitting = {(name, PAINTED): square(each) for name, each in painted.items() if each.shape == pixels.shape[:3]}
        others = [name for name in painted if (name, PAINTED) not in fitting]
        if not fitting:
            return b"", others
        with TemporaryDirectory() as folder:
            path = Path(folder) / "painted.mp4"
            overlay.write(path, overlay.grid(square(pixels), fitting, (PAINTED,), CELL), self.rate)
            return path.read_bytes(), others


def read_snippets(path: Path) -> pd.DataFrame:
    """The distinct snippets, columns :data:`SNIPPETS`; none if the table is not there."""
    if not path.is_file():
        return pd.DataFrame(columns=list(SNIPPETS))
    table = artifacts.read_table(path, SNIPPETS)
    return table.drop_duplicates("snippet").sort_values("snippet", ignore_index=True)


def square(pictures: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """The central square of pictures (T, H, W, ...)."""
    height, width = pictures.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pictures[:, top : top + side, left : left + side]
