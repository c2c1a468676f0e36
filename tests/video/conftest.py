"""Sources and settings that the tests of videos share."""

from fractions import Fraction
from pathlib import Path

import pytest

from attune.video.files import VideoConfig
from tests.video.making import BAD, ffmpeg


@pytest.fixture(scope="session")
def config() -> VideoConfig:
    return VideoConfig(height=160, width_multiple=16, frame_rate=Fraction(25, 8))


@pytest.fixture(scope="session")
def play(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds, 192 x 144, with sound; the index stands at the front, so that a cut file still opens."""
    path = tmp_path_factory.mktemp("source") / "play.mp4"
    video = ["-f", "lavfi", "-i", "testsrc2=size=192x144:rate=25:duration=10"]
    sound = ["-f", "lavfi", "-i", "sine=duration=10"]
    code = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-c:a", "aac", "-movflags", "+faststart"]
    ffmpeg(*video, *sound, *code, path)
    return path


@pytest.fixture(scope="session")
def long_play(play: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes, by repeating the ten seconds without coding them anew."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    ffmpeg("-stream_loop", 59, "-i", play, "-c", "copy", path)
    return path


@pytest.fixture(scope="session")
def bad_videos(play: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one file of every kind of bad video, numbered, so that no two are of one session."""
    folder = tmp_path_factory.mktemp("bad")
    for number, (name, (make, _, _)) in enumerate(BAD.items()):
        make(play, folder / f"{number}-{name}")
    return folder
