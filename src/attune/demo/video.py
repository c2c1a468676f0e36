"""Encode frames as H.264 with a quiet synthetic sound track; the same bytes on every run."""

import errno
from collections.abc import Iterable
from pathlib import Path

import ffmpeg
import imageio_ffmpeg

from attune.demo.behaviour import FRAME_RATE
from attune.demo.canvas import Image
from attune.demo.scene import HEIGHT, WIDTH

_SAMPLE_RATE = 16000


def encode(path: Path, frames: Iterable[Image], count: int, seed: int) -> None:
    """Write an MP4 file.

    Args:
        path: the new file.
        frames: I420 planes, (HEIGHT * 3 / 2, WIDTH) uint8 each.
        count: number of frames; the sound lasts as long.
        seed: varies the sound.

    Raises:
        OSError: ffmpeg failed, with its last words.
    """
    process = ffmpeg.run_async(
        _graph(path, count / FRAME_RATE, seed),
        cmd=imageio_ffmpeg.get_ffmpeg_exe(),
        pipe_stdin=True,
        pipe_stderr=True,
        overwrite_output=True,
    )
    try:
        for frame in frames:
            process.stdin.write(frame.data)
    except BrokenPipeError:
        pass  # ffmpeg has given up; its message follows
    except BaseException:
        process.kill()
        process.communicate()
        raise
    _, message = process.communicate()
    if process.returncode:
        raise OSError(errno.EIO, f"ffmpeg: {message.decode(errors='replace').strip()}", str(path))


def _graph(path: Path, duration_s: float, seed: int) -> ffmpeg.nodes.OutputStream:
    picture = ffmpeg.input(
        "pipe:", format="rawvideo", pix_fmt="yuv420p", s=f"{WIDTH}x{HEIGHT}", framerate=FRAME_RATE, threads=1
    )
    rate = f"sample_rate={_SAMPLE_RATE}:duration={duration_s}"
    hum = ffmpeg.input(f"anoisesrc=color=pink:amplitude=0.02:seed={seed % 2**31}:{rate}", f="lavfi")
    tone = ffmpeg.input(f"sine=frequency={196 + seed % 7 * 22}:beep_factor=4:{rate}", f="lavfi")
    sound = ffmpeg.filter([hum, tone.filter("volume", 0.03)], "amix", inputs=2, normalize=0)
    return ffmpeg.output(
        picture,
        sound,
        str(path),
        vcodec="libx264",
        preset="ultrafast",
        crf=28,
        pix_fmt="yuv420p",
        acodec="aac",
        audio_bitrate="32k",
        ac=1,
        threads=1,
        filter_complex_threads=1,
        map_metadata=-1,
        fflags="+bitexact",
        loglevel="error",
        **{"flags:v": "+bitexact", "flags:a": "+bitexact"},
    )
