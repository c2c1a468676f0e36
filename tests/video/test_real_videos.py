"""Videos that others published: each is processed or refused with one clear message."""

import json
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from attune.problems import InputError
from attune.video.files import VideoConfig, find_videos, num_frames, open_frames, probe
from attune.video.processing import Piece, process

STEP = Fraction(8, 25)
FOLDER = Path(os.environ.get("ATTUNE_REAL_DATA", "")) / "video"
NAMES = sorted(path.name for path in FOLDER.glob("*") if os.environ.get("ATTUNE_REAL_DATA")) or ["?"]
# Sources with something to say: which one refuses, and which is damaged.
REFUSED = {"torchcodec_sine_mono_mp3.swf": "something else"}
DAMAGED = {"decord_corrupted.mp4": "2 damaged pictures"}  # 50 pictures stated, 49 decoded


@pytest.fixture(scope="module")
def done(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Piece]:
    """Every real video, processed once, by its name."""
    videos, warnings = find_videos(real_data / "video")
    assert [Path(warning.file).name for warning in warnings] == sorted(REFUSED)
    config = VideoConfig(height=160, width_multiple=16, frame_rate=Fraction(25, 8))
    pieces = process(videos, tmp_path_factory.mktemp("work"), config)
    return {videos[session].name: piece for session, piece in pieces.items()}


def source_frames(path: Path, stream: int = 0) -> tuple[list[Fraction], list[np.ndarray]]:
    """Start in seconds and picture (H, W, 3) of every source frame, by an independent decoder, not rotated."""
    with av.open(str(path)) as container:
        start = Fraction(container.start_time or 0, 1_000_000)
        frames = list(container.decode(container.streams[stream]))
        times = [frame.pts * frame.time_base - start for frame in frames]
        return times, [frame.to_ndarray(format="rgb24") for frame in frames]


def resized(picture: np.ndarray, like: np.ndarray) -> np.ndarray:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    return frame.reformat(width=like.shape[1], height=like.shape[0]).to_ndarray(format="rgb24").astype(float)


def difference(source: np.ndarray, frame: np.ndarray) -> float:
    return float(np.abs(resized(source, frame) - frame).mean())


@pytest.mark.parametrize("name", NAMES)
def test_every_real_video_is_processed_or_refused(real_data: Path, done: dict[str, Piece], name: str) -> None:
    path = real_data / "video" / name
    if name in REFUSED:
        with pytest.raises(InputError, match=REFUSED[name]) as caught:
            probe(path)
        assert len(caught.value.problems) == 1
        return
    info = probe(path)
    frames = open_frames(done[name].frames)
    assert frames.shape[0] == done[name].count == num_frames(info.duration_ms, Fraction(25, 8))
    assert frames.shape[1] == 160
    assert frames.shape[2] % 16 == 0
    exact = 160 * info.width * info.pixel_aspect / info.height
    assert abs(frames.shape[2] - exact) <= 8
    assert [warning.found for warning in done[name].warnings] == ([DAMAGED[name]] if name in DAMAGED else [])


# All but the damaged, the rotated, the ten-bit ones and near copies of these.
COMPARED = [
    "R6llTwEh07w.mp4", "RATRACE_wave_f_nm_np1_fr_goo_37.avi", "SOX5yA1l24A.mp4", "bikes.mp4", "decord_unordered.mov",
    "decord_video_0.mov", "imageio_cockatoo.mp4", "imageio_newtonscradle.gif", "imageio_realshort.mp4", "mma_demo.mp4",
    "mma_demo_spatiotemporal_det.mp4", "mma_test.avi", "openpose_video.avi", "torchcodec_av1_video.mkv",
    "torchcodec_discard_first_keyframe.mp4", "torchcodec_testsrc2_odd_height_and_width_vp9.mp4",
    "torchcodec_testsrc2_vp8.webm", "v_SoccerJuggling_g24_c01.avi",
]  # fmt: skip


@pytest.mark.parametrize("name", COMPARED)
def test_pictures_are_those_of_an_independent_decoder(real_data: Path, done: dict[str, Piece], name: str) -> None:
    times, pictures = source_frames(real_data / "video" / name)
    frames = open_frames(done[name].frames)
    for k in range(0, len(frames), max(1, len(frames) // 5)):
        visible = max(0, sum(time <= k * STEP for time in times) - 1)
        right = difference(pictures[visible], frames[k])
        assert right < 8, f"frame {k}"
        # no other source frame within a second is a clearly better match
        near = range(max(0, visible - 15), min(len(times), visible + 16), 5)
        assert right <= min(difference(pictures[other], frames[k]) for other in near) + 1, f"frame {k}"


def test_rotated_videos_stand_upright(real_data: Path, done: dict[str, Piece]) -> None:
    for name, turns in [("decord_video_180.mov", 2), ("decord_video_270.mov", 1)]:
        _, pictures = source_frames(real_data / "video" / name)
        frame = open_frames(done[name].frames)[0]
        # np.rot90 turns anticlockwise: 270 degrees clockwise is one turn
        upright = difference(np.rot90(pictures[0], turns), frame)
        assert upright < 8
        assert difference(np.rot90(pictures[0], turns + 2), frame) > 2 * upright


def test_frames_follow_published_time_stamps(real_data: Path, done: dict[str, Piece]) -> None:
    """torchcodec publishes the time stamp of every frame of this file's two video streams."""
    path = real_data / "video" / "torchcodec_nasa_13013.mp4"
    assert probe(path).stream == 3  # both are marked as default; this one is larger
    published = json.loads((real_data / "tables" / "torchcodec_nasa_stream3_frames.json").read_text())
    times = [float(stamp["pts_time"]) for stamp in published]
    _, pictures = source_frames(path, 3)
    assert len(times) == len(pictures) == 390
    frames = open_frames(done[path.name].frames)
    assert len(frames) == 41
    for k, frame in enumerate(frames):
        visible = sum(time <= float(k * STEP) + 1e-9 for time in times) - 1
        right = difference(pictures[visible], frame)
        assert right < 5
        moved = [visible + shift for shift in (-30, 30) if 0 <= visible + shift < 390]
        far = min(difference(pictures[other], frame) for other in moved)
        still = min(difference(pictures[other], resized(pictures[visible], frame)) for other in moved)
        assert far > right or still < 2, f"frame {k}"
