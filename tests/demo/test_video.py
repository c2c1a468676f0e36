from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from attune.demo import video
from attune.demo.scene import HEIGHT, WIDTH


def frames(count: int) -> Iterator[np.ndarray]:
    for number in range(count):
        yield np.full((HEIGHT * 3 // 2, WIDTH), number, np.uint8)


def test_a_failure_of_ffmpeg_is_an_error_with_its_message(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="ffmpeg") as error:
        video.encode(tmp_path / "missing" / "fp01.mp4", frames(300), 300, 0)
    assert error.value.filename.endswith("fp01.mp4")


def test_a_failure_of_drawing_ends_ffmpeg(tmp_path: Path) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield from frames(3)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        video.encode(tmp_path / "fp01.mp4", broken(), 10, 0)
