"""What a video says of itself."""

from fractions import Fraction
from pathlib import Path

import pytest

from attune.problems import InputError
from attune.video.files import EXTENSIONS, VideoInfo, probe
from tests.video.making import BAD, ffmpeg


def test_describes_a_plain_video(play: Path) -> None:
    assert probe(play) == VideoInfo(10_000, 192, 144, Fraction(1), 0, Fraction(25), 0, "h264", Fraction(0))


def test_reads_the_name_alone_never_a_protocol_or_pattern(play: Path, tmp_path: Path) -> None:
    for name in ["-leading dash.mp4", "with 'single' and \"double\".mp4", "100%d.mp4", "a:b|c.mp4", "żółw 游戏.mp4"]:
        (tmp_path / name).write_bytes(play.read_bytes())
        assert probe(tmp_path / name).duration_ms == 10_000


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_size_is_that_of_the_displayed_picture(play: Path, tmp_path: Path, angle: int) -> None:
    turned = tmp_path / "turned.mp4"
    # ffmpeg's option counts anticlockwise
    ffmpeg("-display_rotation:v", -angle, "-i", play, "-c", "copy", turned)
    info = probe(turned)
    assert info.rotation == angle
    assert (info.width, info.height) == ((192, 144) if angle % 180 == 0 else (144, 192))


def test_pixels_that_are_not_square_turn_with_the_picture(play: Path, tmp_path: Path) -> None:
    wide, tall = tmp_path / "wide.mp4", tmp_path / "tall.mp4"
    ffmpeg("-i", play, "-t", 1, "-vf", "setsar=64/45", wide)
    ffmpeg("-display_rotation:v", 90, "-i", wide, "-c", "copy", tall)
    assert probe(wide).pixel_aspect == Fraction(64, 45)
    assert probe(tall).pixel_aspect == Fraction(45, 64)


@pytest.mark.parametrize("extension", [extension[1:] for extension in EXTENSIONS])
def test_duration_in_every_container(play: Path, tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"play.{extension}"
    code = {"avi": "mpeg4", "webm": "libvpx", "mpg": "mpeg2video", "mpeg": "mpeg2video", "gif": "gif"}.get(
        extension, "libx264"
    )
    form = ["-f", {"m4v": "mp4", "m2ts": "mpegts"}[extension]] if extension in ("m4v", "m2ts") else []
    ffmpeg("-i", play, "-an", "-t", 4, "-vf", "scale=48:36", "-c:v", code, *form, path)
    # an MPEG program stream does not say how long its last picture is shown
    assert probe(path).duration_ms == pytest.approx(4000, abs=45)


@pytest.mark.parametrize("container", ["matroska", "webm"])
def test_a_stream_recorded_live_states_no_duration(play: Path, tmp_path: Path, container: str) -> None:
    path = tmp_path / "live.webm"
    code = "libx264" if container == "matroska" else "libvpx"
    ffmpeg(
        "-i",
        play,
        "-vf",
        "fps=5:round=up,scale=48:36",
        "-c:v",
        code,
        "-c:a",
        "libopus",
        "-live",
        1,
        "-f",
        container,
        path,
    )
    assert probe(path).duration_ms == pytest.approx(10_000, abs=45)


def test_pictures_that_start_late_keep_their_place(play: Path, tmp_path: Path) -> None:
    for extension in ["mp4", "mkv", "mts"]:
        path = tmp_path / f"late.{extension}"
        ffmpeg("-i", play, "-itsoffset", 0.5, "-i", play, "-map", "1:v", "-map", "0:a", "-c", "copy", path)
        assert probe(path).duration_ms == pytest.approx(10_500, abs=30)  # sound may start 20 ms early


def test_cover_pictures_do_not_count_and_the_default_stream_wins(play: Path, tmp_path: Path) -> None:
    cover, path = tmp_path / "cover.png", tmp_path / "several.mkv"
    ffmpeg("-f", "lavfi", "-i", "color=size=640x640", "-frames:v", 1, cover)
    streams = ["-map", "0:v", "-map", "1:v", "-c:v:0", "copy", "-c:v:1", "png", "-disposition:v:1", "attached_pic"]
    ffmpeg("-i", play, "-i", cover, *streams, tmp_path / "cover.mp4")
    assert probe(tmp_path / "cover.mp4").width == 192
    ffmpeg("-i", play, "-filter_complex", "[0:v]split[a][b];[b]scale=384:288[c]", "-map", "[c]", "-map", "[a]", "-t", 1,
           "-disposition:v:0", 0, "-disposition:v:1", "default", path)  # fmt: skip
    assert (probe(path).stream, probe(path).width) == (1, 192)
    ffmpeg("-i", path, "-map", 0, "-c", "copy", "-disposition:v", 0, tmp_path / "no default.mkv")
    assert (probe(tmp_path / "no default.mkv").stream, probe(tmp_path / "no default.mkv").width) == (0, 384)


def test_a_duration_of_zero_is_refused(play: Path, tmp_path: Path) -> None:
    content = bytearray(play.read_bytes())
    for box, at, size in [(b"mvhd", 20, 4), (b"mdhd", 20, 4)]:
        place = content.find(box)
        while place >= 0:
            content[place + at : place + at + size] = bytes(size)
            place = content.find(box, place + 4)
    place = content.find(b"stts")
    content[place + 16 : place + 20] = bytes(4)
    path = tmp_path / "zero.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match="a duration of zero"):
        probe(path)


REFUSED_LATER = ["cut.mp4", "cut.mkv", "cut.avi", "noisy.mp4", "clock.mkv"]  # their damage shows when they are decoded


@pytest.mark.parametrize("name", [name for name in BAD if name not in REFUSED_LATER])
def test_every_kind_of_bad_file_is_named_with_its_cure(play: Path, tmp_path: Path, name: str) -> None:
    make, found, cure = BAD[name]
    make(play, tmp_path / name)
    with pytest.raises(InputError) as caught:
        probe(tmp_path / name)
    (problem,) = caught.value.problems
    assert problem.file == str(tmp_path / name)
    assert found in problem.found
    assert cure in problem.cure


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        probe(tmp_path / "fp01.mp4")


def test_a_file_that_may_not_be_read_is_refused(play: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    with pytest.raises(InputError, match="Permission denied"):
        probe(play)
