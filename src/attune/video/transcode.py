"""The two ffmpeg runs behind a processed video: source to small video, small video to frames.

The filter ``fps`` with ``round=up`` and ``start_time=0`` gives frame k the last source picture that started at or
before ``k / rate``, whatever the source's rate; before the first picture, the first one is repeated. (The default,
``round=near``, would show every picture up to half a frame, 160 ms, early.) Colours are brought to one convention,
BT.601 with limited range, so that the way back to RGB needs no guess. One encoder thread and the bit-exact flags make
equal input give equal bytes.
"""

import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import IO, Any, cast

from attune.video.probe import FORMATS, PROTOCOLS, VideoInfo

# Near-lossless to the eye; slower presets take longer and save nothing at this size and rate.
PRESET = "veryfast"
QUALITY = 18
_SCALER = "bicubic+accurate_rnd+bitexact"
_DAMAGE = ("corrupt decoded frame", "Error submitting packet to decoder", "Decoding error")


# Runs a command that Linux kills when its parent dies, even by kill -9. A program of its own does this, because Python
# code between fork and exec can block where threads run; and it must ask for its parent, who may be dead by then.
_BOUND = """\
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL; lasts beyond exec
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


class StoppedError(Exception):
    """The run was ended by :meth:`Runner.stop`."""


@dataclass(frozen=True)
class Outcome:
    """How an ffmpeg run ended.

    Attributes:
        code: exit code; 0 does not mean that the input was sound.
        damaged: number of pictures that could not be decoded, or not without faults.
        error: first message of an error, empty if there was none.
        disk_full: whether writing failed for want of space.
    """

    code: int
    damaged: int
    error: str
    disk_full: bool


class Runner:
    """Runs ffmpeg processes from several threads and ends all of them at once when asked to.

    On Linux they also end when this process, or the thread that waits for them, dies.
    """

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(self, command: list[str], stdout: IO[bytes] | int = subprocess.DEVNULL) -> Outcome:
        """Run a command to its end, reading its messages line by line.

        Raises:
            StoppedError: :meth:`stop` was called before or meanwhile.
        """
        environment = {**os.environ, "AV_LOG_FORCE_NOCOLOR": "1"}
        with self._lock:
            if self._stopped:
                raise StoppedError
            process = subprocess.Popen(
                _bound(command), stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, env=environment
            )
            self._running.add(process)
        try:
            outcome = _follow(process)
        finally:
            with self._lock:
                self._running.discard(process)
        if self._stopped:
            raise StoppedError
        return outcome

    def stop(self) -> None:
        """Kill every running process and refuse to start more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.kill()


def _bound(command: list[str]) -> list[str]:
    """The same command, bound to this process's life where the system can."""
    if sys.platform != "linux":
        return command
    return [sys.executable, "-I", "-S", "-c", _BOUND, str(os.getpid()), *command]


def _follow(process: subprocess.Popen[bytes]) -> Outcome:
    """Read the messages as they come: a broken file can cause any number of them."""
    damaged, error, disk_full = 0, "", False
    with process:
        messages = cast(IO[bytes], process.stderr)
        while line := messages.readline(4096):
            text = line.decode("utf-8", "replace").strip()
            damaged += any(sign in text for sign in _DAMAGE)
            disk_full |= "No space left on device" in text
            if not error and re.search(r"\[(error|fatal)\]", text):
                error = re.sub(r"^(\[[^]]*\] ?)+", "", text)
    return Outcome(process.returncode, damaged, error, disk_full)


@cache
def ffmpeg() -> str:
    """Path of the ffmpeg program that comes with imageio-ffmpeg."""
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


@cache
def ffmpeg_version() -> str:
    """First line of ``ffmpeg -version``."""
    shown = subprocess.run([ffmpeg(), "-version"], capture_output=True, text=True, check=True)
    return shown.stdout.splitlines()[0]


def output_width(info: VideoInfo, height: int, multiple: int) -> int:
    """Width in proportion to the height, to the nearest multiple (upwards if half way), at least one multiple."""
    exact = height * info.width * info.pixel_aspect / info.height
    return max(1, int(exact / multiple + Fraction(1, 2))) * multiple


def transcode_command(
    source: Path, target: Path, info: VideoInfo, size: tuple[int, int], rate: Fraction, max_frames: int, threads: int
) -> list[str]:
    """Command that makes the small video: no sound, no metadata, ``size`` (height, width), exactly ``rate``."""
    import ffmpeg as builder

    height, width = size
    filters = (
        f"fps=fps={rate.numerator}/{rate.denominator}:round=up:start_time=0,"
        f"scale={width}:{height}:flags={_SCALER}:out_color_matrix=bt601:out_range=tv,setsar=1,format=yuv420p"
    )
    late = {"itsoffset": f"{round(info.late_start * 1_000_000)}us"} if info.late_start else {}
    stream = builder.input(
        f"file:{source}",
        threads=threads,
        format_whitelist=FORMATS,
        protocol_whitelist=PROTOCOLS,
        # a picture size that changes on the way must not restart the filters, and with them the clock
        reinit_filter=0,
        **late,
    ).output(
        f"file:{target}",
        map=f"0:{info.stream}",
        vf=filters,
        fps_mode="passthrough",  # the filter has made the rate exact already
        format="mp4",
        threads=1,
        map_metadata=-1,
        map_chapters=-1,
        fflags="+bitexact",
        preset=PRESET,
        crf=QUALITY,
        **{"c:v": "libx264", "flags:v": "+bitexact", "frames:v": max_frames},
    )
    return _finish(stream)


def decode_command(video: Path) -> list[str]:
    """Command that writes the frames of a small video to standard output, uint8 (T, H, W, 3) in RGB."""
    import ffmpeg as builder

    stream = builder.input(f"file:{video}", threads=1).output(
        "pipe:1",
        vf=f"scale=in_color_matrix=bt601:in_range=tv:out_range=pc:flags={_SCALER},format=rgb24",
        fps_mode="passthrough",
        format="rawvideo",
    )
    return _finish(stream)


def _finish(stream: Any) -> list[str]:
    quiet = stream.global_args("-nostdin", "-hide_banner", "-nostats", "-loglevel", "repeat+level+warning")
    return [str(part) for part in quiet.compile(cmd=ffmpeg(), overwrite_output=True)]
