"""Times of frames, and the file of frames."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attune.problems import InputError
from attune.video.store import frame_index, frame_time_ms, num_frames, open_frames, write_header

RATE = Fraction(25, 8)
rates = st.fractions(min_value=Fraction(1, 10), max_value=60, max_denominator=1001)


def test_ten_minutes_have_1875_frames_and_no_drift() -> None:
    assert num_frames(600_000, RATE) == 1875
    assert frame_time_ms(1875, RATE) == 600_000
    # the same frame by the rounded rate is a second late
    assert frame_time_ms(1875, Fraction("3.12")) - 600_000 == pytest.approx(961.5, abs=0.1)


@given(st.integers(0, 10**6), rates)
def test_index_inverts_time(index: int, rate: Fraction) -> None:
    time = frame_time_ms(index, rate)
    assert frame_index(time, rate) == index
    assert frame_index(time - Fraction(1, 10**6), rate) == index - 1


@given(st.integers(1, 10**7), rates)
def test_the_last_frame_starts_before_the_end_and_the_next_would_not(duration_ms: int, rate: Fraction) -> None:
    count = num_frames(duration_ms, rate)
    assert frame_time_ms(count - 1, rate) < duration_ms <= frame_time_ms(count, rate)


@given(st.integers(0, 10**7))
def test_floats_of_the_default_rate_agree(time_ms: int) -> None:
    assert frame_index(time_ms, RATE) == math.floor(time_ms / 320)


def test_frames_are_mapped_not_read(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 4, 6, 3), np.uint8)
    with (tmp_path / "a.npy").open("w+b") as file:
        start = write_header(file, 0, 4, 6)
        file.write(frames.tobytes())
        assert write_header(file, 3, 4, 6) == start
        assert write_header(file, 10**9, 4, 6) == start
        write_header(file, 3, 4, 6)
    opened = open_frames(tmp_path / "a.npy")
    assert isinstance(opened, np.memmap)
    assert not opened.flags.writeable
    np.testing.assert_array_equal(opened, frames)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (np.zeros((2, 4, 6, 3), np.float32), "float32"),
        (np.zeros((2, 4, 6), np.uint8), r"\(2, 4, 6\)"),
        (np.zeros((2, 4, 6, 1), np.uint8), r"\(2, 4, 6, 1\)"),
        (b"", "empty|EOF|No data"),
        (b"hello", "file"),
        (None, "no such file"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: np.ndarray | bytes | None, found: str) -> None:
    path = tmp_path / "fp01.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises(InputError, match=found) as caught:
        open_frames(path)
    assert "process_videos" in caught.value.problems[0].cure


def test_a_cut_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fp01.npy"
    np.save(path, np.zeros((5, 4, 6, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError):
        open_frames(path)
