from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from attune.attention import overlay

RATE = Fraction(25, 8)


def frames_of(height=48, width=66, count=15):
    rng = np.random.default_rng(0)
    return np.repeat(np.repeat(rng.integers(0, 256, (count, height // 6, width // 6, 3), np.uint8), 6, 1), 6, 2)


def boxes(content):
    """Names of the outermost boxes of an MP4 file, in order."""
    names, at = [], 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        names.append(content[at + 4 : at + 8].decode())
        at += size if size != 1 else int.from_bytes(content[at + 8 : at + 16], "big")
    return names


def test_browsers_can_play_it(tmp_path):
    frames = frames_of()
    overlay.write(tmp_path / "new" / "overlay.mp4", frames, RATE)
    content = (tmp_path / "new" / "overlay.mp4").read_bytes()
    names = boxes(content)
    assert names[0] == "ftyp" and names.index("moov") < names.index("mdat")
    with av.open(str(tmp_path / "new" / "overlay.mp4")) as container:
        assert len(container.streams) == 1  # no sound
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.average_rate) == (66, 48, RATE)
        shown = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    assert [time for time, _ in shown] == pytest.approx([index / RATE for index in range(15)])
    assert np.abs(np.stack([pixels for _, pixels in shown]).astype(int) - frames).mean() < 12


def test_equal_frames_give_equal_bytes(tmp_path):
    random = np.random.default_rng(0)  # soft pictures that move under speckles, as large as a real overlay
    squares = random.integers(0, 150, (45, 60, 3)).repeat(8, axis=0).repeat(8, axis=1)
    soft = cv2.GaussianBlur(squares.astype(np.float32), (0, 0), 6)
    moving = np.stack([np.roll(soft, 2 * step, axis=1) for step in range(15)])
    speckles = random.gamma(0.3, 60, (15, 90, 120, 1)).repeat(4, axis=1).repeat(4, axis=2)
    frames = np.clip(moving + speckles, 0, 255).astype(np.uint8)
    overlay.write(tmp_path / "first.mp4", frames, RATE)
    for _ in range(9):
        overlay.write(tmp_path / "again.mp4", frames, RATE)
        assert (tmp_path / "again.mp4").read_bytes() == (tmp_path / "first.mp4").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.mp4", "first.mp4"]


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(av.FFmpegError):
        overlay.write(tmp_path / "odd.mp4", frames_of()[:, :47], RATE)  # 4:2:0 needs even sizes
    assert list(tmp_path.iterdir()) == []


def test_the_grid_shows_heat_where_attention_is():
    clip = np.full((3, 20, 20, 3), 0.5)
    attention = {(method, target): np.zeros((3, 20, 20)) for method in ("saliency", "occlusion") for target in "ab"}
    attention["occlusion", "b"][1, 0:10, 10:20] = 2.0
    shown = overlay.grid(clip, attention, ("a", "b"), 41)
    height = 2 * (overlay.HEADER + 41)
    assert shown.shape == (3, height, 124, 3) and shown.dtype == np.uint8  # 123 made even
    strip = overlay.HEADER
    picture = shown[:, 2 * strip + 41 :, 82:123].astype(int)
    plain = shown[:, strip : strip + 41, :123]
    assert np.abs(plain.astype(int) - 128).max() <= 1
    warm = picture[..., 0] - picture[..., 2]
    assert warm[1, 5:15, 25:36].min() > 50
    assert np.abs(warm[1, 25:, :15]).max() <= 1 and np.abs(warm[[0, 2]]).max() <= 1
    assert (shown[:, :strip] > 200).any()  # the methods' names


def test_the_brightest_half_percent_does_not_darken_the_rest():
    clip = np.zeros((1, 40, 40, 3))
    values = np.zeros((1, 40, 40))
    values[0, :20] = 1.0
    with_outlier = values.copy()
    with_outlier[0, 39, 39] = 1000.0
    shown = [overlay.grid(clip, {("m", "a"): part}, ("a",), 40) for part in (values, with_outlier)]
    assert np.array_equal(shown[0][:, :50], shown[1][:, :50])
    assert shown[0][0, 30, 60].max() > 150
