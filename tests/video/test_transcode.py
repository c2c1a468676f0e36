"""The pictures and their times, against sources whose frames carry their own number."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from attune.video import transcode
from attune.video.files import VideoConfig, VideoInfo, num_frames, open_frames, probe
from attune.video.processing import Piece, process
from tests.video.making import counted, ffmpeg, read_counts

STEP = Fraction(8, 25)


def processed(path: Path, config: VideoConfig) -> Piece:
    return process({"s": path}, path.parent / "work", config)["s"]


def shown(path: Path, config: VideoConfig) -> list[int]:
    return read_counts(open_frames(processed(path, config).frames))


def source_times(path: Path) -> list[Fraction]:
    """Start of each source frame in seconds after the container's start, in order, by decoding with PyAV."""
    with av.open(str(path)) as container:
        start = Fraction(container.start_time or 0, 1_000_000)
        return [frame.pts * frame.time_base - start for frame in container.decode(video=0)]


def visible(times: list[Fraction], count: int) -> list[int]:
    """Index of the source frame that is visible at k x 8/25 s, for k below count."""
    return [max(0, sum(time <= k * STEP for time in times) - 1) for k in range(count)]


@pytest.mark.parametrize("rate", ["25", "30000/1001", "24000/1001", "50", "10", "3", "1"])
def test_frame_k_shows_what_the_source_shows_at_its_time(tmp_path: Path, config: VideoConfig, rate: str) -> None:
    exact = Fraction(rate)
    frames = int(20 * exact)
    numbers = shown(counted(tmp_path / "a.mp4", frames, rate), config)
    assert len(numbers) == num_frames(frames * 1000 / exact, config.frame_rate)
    assert numbers == [int(k * STEP * exact) for k in range(len(numbers))]


@pytest.mark.slow
def test_no_drift_in_ten_minutes(tmp_path: Path, config: VideoConfig) -> None:
    exact = Fraction(30000, 1001)
    numbers = shown(counted(tmp_path / "a.mp4", int(600 * exact), "30000/1001"), config)
    assert len(numbers) == 1875
    assert numbers == [int(k * STEP * exact) for k in range(1875)]


@pytest.mark.parametrize("extension", ["mkv", "mp4"])
def test_variable_rates(tmp_path: Path, config: VideoConfig, extension: str) -> None:
    """A camera that slows down in the dark: 25, then 7, then 25 frames a second."""
    slow = "settb=1/1000,setpts='if(lt(N,100),N*40,if(lt(N,200),4000+(N-100)*143,18300+(N-200)*40))/1000/TB'"
    path = tmp_path / f"a.{extension}"
    counted(path, 300, "25", "-vf", slow, "-fps_mode", "passthrough", "-enc_time_base", "1/1000",
            "-c:v", "libx264", "-preset", "ultrafast")  # fmt: skip
    times = source_times(path)
    assert times[150] == Fraction(11150, 1000)
    numbers = shown(path, config)
    assert numbers == visible(times, len(numbers))
    assert abs(len(numbers) - num_frames(probe(path).duration_ms, config.frame_rate)) <= 1


@pytest.mark.parametrize("extension", ["mp4", "mkv", "mts"])
def test_pictures_later_than_the_sound_keep_their_delay(tmp_path: Path, config: VideoConfig, extension: str) -> None:
    pictures = counted(tmp_path / "pictures.mp4", 250, "25")
    path = tmp_path / f"late.{extension}"
    sound = ["-f", "lavfi", "-i", "sine=duration=12"]
    ffmpeg("-itsoffset", 0.8, "-i", pictures, *sound, "-c:v", "copy", "-c:a", "mp2", path)
    numbers = shown(path, config)
    # at 0, 0.32 and 0.64 s the first picture stands in for what is not there yet
    assert numbers == visible(source_times(path), len(numbers))
    assert numbers[:5] == [0, 0, 0, pytest.approx(4, abs=1), pytest.approx(12, abs=1)]
    assert len(numbers) == num_frames(10_800, config.frame_rate)


def test_what_an_edit_list_cuts_away_is_not_shown(tmp_path: Path, config: VideoConfig) -> None:
    """Cutting without coding anew keeps pictures from the last key frame on, and marks them as not to be shown."""
    whole = counted(tmp_path / "a.mp4", 500, "25", "-c:v", "libx264", "-g", 100, "-bf", 0)
    cut = tmp_path / "cut.mp4"
    ffmpeg("-ss", 5.2, "-i", whole, "-c", "copy", cut)
    numbers = shown(cut, config)
    assert numbers == [130 + 8 * k for k in range(len(numbers))]
    assert len(numbers) == num_frames(14_800, config.frame_rate)


def test_a_picture_size_that_changes_on_the_way_does_not_restart_the_clock(tmp_path: Path, config: VideoConfig) -> None:
    first = counted(tmp_path / "1.ts", 100, "25", "-c:v", "mpeg2video", "-q:v", 2)
    second = counted(tmp_path / "2.ts", 100, "25", "-vf", "scale=64:64:flags=neighbor", "-c:v", "mpeg2video", "-q:v", 2)
    ffmpeg("-i", second, "-c", "copy", "-output_ts_offset", 4, tmp_path / "3.ts")
    joined = tmp_path / "joined.mts"
    joined.write_bytes(first.read_bytes() + (tmp_path / "3.ts").read_bytes())
    numbers = shown(joined, config)
    assert len(numbers) == 25
    assert numbers[:12] == [8 * k for k in range(12)]
    assert all(abs(number - (8 * k - 100)) <= 2 for k, number in enumerate(numbers) if k >= 14)


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_rotated_sources_stand_upright(play: Path, tmp_path: Path, config: VideoConfig, angle: int) -> None:
    stored = {90: "transpose=cclock", 180: "hflip,vflip", 270: "transpose=clock"}[angle]
    lying, turned = tmp_path / "lying.mp4", tmp_path / "turned.mp4"
    ffmpeg("-i", play, "-t", 2, "-vf", stored, "-crf", 1, lying)
    ffmpeg("-display_rotation:v", -angle, "-i", lying, "-c", "copy", turned)
    upright = open_frames(processed(play, config).frames)[:7].astype(int)
    frames = open_frames(processed(turned, config).frames)
    assert frames.shape == (7, 160, 208, 3)
    assert np.abs(upright - frames).mean() < 6
    assert np.abs(upright - frames[:, ::-1, ::-1]).mean() > 30


@pytest.mark.parametrize(
    ("width", "height", "aspect", "expected"),
    [
        (384, 288, "1", 208),  # 213.3
        (1920, 1080, "1", 288),  # 284.4
        (720, 576, "64/45", 288),  # PAL widescreen shows 16:9
        (1080, 1920, "1", 96),  # portrait: exactly 90, to the nearer of 80 and 96
        (321, 241, "1", 208),
        (104, 160, "1", 112),  # half way between 96 and 112: upwards
        (2, 1000, "1", 16),
        (1000, 10, "1", 16000),
    ],
)
def test_width_is_the_nearest_multiple(width: int, height: int, aspect: str, expected: int) -> None:
    info = VideoInfo(1000, width, height, Fraction(aspect), 0, Fraction(25), 0, "h264", Fraction(0))
    assert transcode.output_width(info, 160, 16) == expected


def test_form_of_the_small_video(play: Path, config: VideoConfig) -> None:
    with av.open(str(processed(play, config).video)) as container:
        (stream,) = container.streams
        assert (stream.width, stream.height) == (208, 160)
        assert stream.average_rate == Fraction(25, 8)
        assert stream.frames == 32
        times = [frame.pts * frame.time_base for frame in container.decode(video=0)]
        assert times == [k * STEP for k in range(32)]
        assert not {"encoder", "creation_time", "title"} & set(container.metadata)


@pytest.mark.parametrize("tags", ["bt709", "smpte170m"])
@pytest.mark.parametrize("range_", ["tv", "pc"])
def test_colours_survive_whatever_the_convention_of_the_source(
    tmp_path: Path, config: VideoConfig, tags: str, range_: str
) -> None:
    path = tmp_path / "red.mp4"
    matrix = f"scale=out_color_matrix={tags}:out_range={range_}:flags=accurate_rnd,format=yuv420p"
    colour = "color=0xC83C28:size=64x48:duration=1,format=rgb24"
    ffmpeg("-f", "lavfi", "-i", colour, "-vf", matrix, "-colorspace", tags, "-color_range", range_, "-qp", 0, path)
    frames = open_frames(processed(path, config).frames)
    np.testing.assert_allclose(frames.reshape(-1, 3).mean(axis=0), [0xC8, 0x3C, 0x28], atol=6)  # a wrong matrix: 12
