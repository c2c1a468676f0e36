"""Videos made by the real ffmpeg, small enough to be made anew for every run."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from attune.video import transcode


def ffmpeg(*arguments: object) -> None:
    command = [transcode.ffmpeg(), "-nostdin", "-y", "-loglevel", "error", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


def counted(path: Path, frames: int, rate: str, *options: object) -> Path:
    """A video, 32 x 32, whose frame n shows n as 16 bits: 4 x 4 blocks of 8 pixels, black or white, low bits first."""
    bits = (np.arange(frames)[:, None] >> np.arange(16)) & 1
    pixels = (bits.reshape(frames, 4, 4) * 255).astype(np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", "32x32", "-r", rate, "-i", "pipe:0"]
    code = ["-pix_fmt", "yuv420p", *map(str, options or ("-c:v", "libx264", "-preset", "ultrafast"))]
    command = [transcode.ffmpeg(), "-y", "-loglevel", "error", *raw, *code, str(path)]
    subprocess.run(command, input=pixels.tobytes(), check=True, capture_output=True)
    return path


def read_counts(frames: np.ndarray) -> list[int]:
    """The numbers that the frames of a processed :func:`counted` video show, from frames (T, H, W, 3)."""
    T, H, W, _ = frames.shape
    blocks = np.asarray(frames).mean(axis=3).reshape(T, 4, H // 4, 4, W // 4).mean(axis=(2, 4))
    assert ((blocks < 60) | (blocks > 195)).all(), "the blocks are neither black nor white"
    return [int(number) for number in ((blocks > 127).reshape(T, 16) << np.arange(16)).sum(axis=1)]


def _without_index(play: Path, path: Path) -> None:
    path.write_bytes(play.read_bytes()[:32] + bytes(4000))


def _cut(play: Path, path: Path) -> None:
    content = play.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _cut_matroska(play: Path, path: Path) -> None:
    whole = path.with_name("whole.nut")
    ffmpeg("-i", play, "-c", "copy", "-f", "matroska", whole)
    _cut(whole, path)
    whole.unlink()


def _cut_avi(play: Path, path: Path) -> None:
    whole = path.with_name("whole.nut")
    ffmpeg("-i", play, "-c:v", "mpeg4", "-an", "-f", "avi", whole)
    _cut(whole, path)
    whole.unlink()


def _noisy(play: Path, path: Path) -> None:
    content = np.frombuffer(play.read_bytes(), np.uint8).copy()
    places = np.random.default_rng(0).integers(len(content) // 4, len(content), 400)
    content[places] ^= 0xFF
    path.write_bytes(content.tobytes())


def _unknown_coding(play: Path, path: Path) -> None:
    path.write_bytes(play.read_bytes().replace(b"avc1", b"zzzz"))


def _playlist(play: Path, path: Path) -> None:
    path.write_text(f"ffconcat version 1.0\nfile '{play}'\n")


def _hls_playlist(play: Path, path: Path) -> None:
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:{play}\n#EXT-X-ENDLIST\n")


def _endless_clock(play: Path, path: Path) -> None:
    """Pictures whose time stamps jump ahead by more than an hour, far beyond the stated duration."""
    ffmpeg(
        "-i", play, "-an", "-c", "copy", "-bsf:v", "setts=ts=if(gt(N\\,200)\\,TS+5000/TB\\,TS)", "-f", "matroska", path
    )
    content = path.read_bytes()
    at = content.index(b"DURATION") + len(b"DURATION") + 3
    path.write_bytes(content[:at] + b"00:00:10.000000000" + content[at + 18 :])


BAD: dict[str, tuple[Callable[[Path, Path], object], str, str]] = {
    "empty.mp4": (lambda play, path: path.touch(), "an empty file", "Copy it again"),
    "text.mp4": (lambda play, path: path.write_text("hello"), "something else or a damaged file", "Export it again"),
    "noise.mkv": (lambda play, path: path.write_bytes(bytes(range(256)) * 99), "something else", "Export it again"),
    "pointer.mp4": (
        lambda play, path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"),
        "a Git LFS pointer",
        "git lfs pull",
    ),
    "folder.mp4": (lambda play, path: path.mkdir(), "a folder", "Move the folder away"),
    "dangling.mp4": (lambda play, path: path.symlink_to("nowhere.mp4"), "no such file", "check what it points to"),
    "no index.mov": (_without_index, "without its index (moov)", "Copy it again"),
    "sound only.mp4": (lambda play, path: ffmpeg("-i", play, "-vn", "-c", "copy", path), "no video stream", "Export"),
    "image.mp4": (
        lambda play, path: ffmpeg("-i", play, "-frames:v", 1, "-f", "image2", "-c:v", "png", path),
        "something else",
        "Export it again",
    ),
    "cut.mp4": (_cut, "s only", "Copy it again"),
    "cut.mkv": (_cut_matroska, "s only", "Copy it again"),
    "cut.avi": (_cut_avi, "s only", "Copy it again"),
    "noisy.mp4": (_noisy, "damaged pictures", "repair it"),
    "coding.mp4": (_unknown_coding, "unknown coding", "Export it again as MP4 (H.264)"),
    "playlist.mp4": (_playlist, "something else", "Export it again"),
    "hls.mp4": (_hls_playlist, "something else", "Export it again"),
    "clock.mkv": (_endless_clock, "pictures beyond the end", "time stamps are broken"),
}
