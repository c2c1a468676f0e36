"""Which files are sessions, and the settings."""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from attune import params
from attune.problems import InputError
from attune.video.files import EXTENSIONS, VideoConfig, find_videos


def test_sessions_are_stems_sorted_whatever_the_case_of_the_extension(tmp_path: Path) -> None:
    for number, extension in enumerate(reversed(EXTENSIONS)):
        (tmp_path / f"fp{number:02}{extension.upper() if number % 2 else extension}").touch()
    videos, warnings = find_videos(tmp_path)
    assert list(videos) == [f"fp{number:02}" for number in range(len(EXTENSIONS))]
    assert not warnings


def test_hidden_and_dvc_files_are_passed_over_and_others_named(tmp_path: Path) -> None:
    for name in ["fp01.mp4", ".fp02.mp4.partial", ".gitignore", "fp01.mp4.dvc", "notes.txt"]:
        (tmp_path / name).touch()
    (tmp_path / "old").mkdir()
    videos, warnings = find_videos(tmp_path)
    assert list(videos) == ["fp01"]
    assert [Path(warning.file).name for warning in warnings] == ["notes.txt", "old"]


def _two_of_one_session(folder: Path) -> None:
    (folder / "fp01.mp4").touch()
    (folder / "fp01.MOV").touch()


def _no_utf8(folder: Path) -> None:
    os.close(os.open(os.fsencode(folder) + b"/fp\xff.mp4", os.O_CREAT))


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda folder: None, "no video"),
        (lambda folder: (folder / "notes.txt").touch(), "no video but 'notes.txt'."),
        (
            lambda folder: [(folder / f"{n}.wmv").touch() for n in range(7)],
            "no video but '0.wmv', '1.wmv', '2.wmv', '3.wmv', '4.wmv' and 2 more.",
        ),
        (lambda folder: (folder / ".hidden.mp4").touch(), "no video"),
        (lambda folder: folder.rmdir(), "No such file or directory"),
        (lambda folder: (folder.rmdir(), folder.touch()), "Not a directory"),
        (_two_of_one_session, "of the same session"),
        (_no_utf8, "the name 'fp"),
        (lambda folder: (folder / "fp\n01.mp4").touch(), "the name 'fp"),
    ],
)
def test_bad_folders_are_refused(tmp_path: Path, make: object, found: str) -> None:
    folder = tmp_path / "video"
    folder.mkdir()
    make(folder)  # type: ignore[operator]
    with pytest.raises(InputError) as caught:
        find_videos(folder)
    assert found in str(caught.value)
    assert str(folder) in str(caught.value)


def load(tmp_path: Path, rate: str = "25/8", height: str = "160", extra: str = "") -> VideoConfig:
    file = tmp_path / "params.yaml"
    file.write_text(f"video: {{height: {height}, width_multiple: 16, frame_rate: {rate}{extra}}}")
    return params.load("video", VideoConfig, file)


@pytest.mark.parametrize(("written", "exact"), [("25/8", "25/8"), ("3.12", "78/25"), ("3", "3"), ("30000/1001",) * 2])
def test_a_rate_is_exactly_what_is_written(tmp_path: Path, written: str, exact: str) -> None:
    assert load(tmp_path, written).frame_rate == Fraction(exact)


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ({"rate": "25/0"}, "frame_rate"),
        ({"rate": "fast"}, "frame_rate"),
        ({"rate": "-1"}, "frame_rate"),
        ({"rate": "[25, 8]"}, "frame_rate"),
        ({"rate": ".nan"}, "frame_rate"),
        ({"rate": ".inf"}, "frame_rate"),
        ({"height": "161"}, "height"),
        ({"height": "0"}, "height"),
        ({"extra": ", rotate: yes"}, "rotate"),
    ],
)
def test_bad_settings_are_refused(tmp_path: Path, setting: dict[str, str], key: str) -> None:
    with pytest.raises(InputError, match=rf"video\.{key}"):
        load(tmp_path, **setting)


def test_importing_costs_little_and_brings_no_heavy_library() -> None:
    script = "import sys, attune.video.files; print([m for m in ('av', 'torch', 'pandas', 'cv2') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_names_written_on_a_mac_equal_those_of_the_annotations(tmp_path: Path) -> None:
    decomposed = "jose\u0301"
    (tmp_path / f"{decomposed}.mp4").touch()
    videos, _ = find_videos(tmp_path)
    assert list(videos) == ["jos\u00e9"]
