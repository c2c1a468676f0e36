"""Frames per second of process_videos, and its cost relative to plain ffmpeg doing only the same transcode.

Both run over the same videos with the same number of workers, in the same run and in alternating order; the medians
are compared. Processor seconds tell more than the clock where other programs keep the machine busy. Plain ffmpeg makes
the small videos alone; the stage also hashes and checks the sources and decodes the frame store. The aim is a ratio of
at most 1.3.
"""

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

from attune.video import processing, transcode
from attune.video.files import VideoConfig, probe

SECONDS, LOOPS, RATE, REPEATS = 100, 10, 25, 3
PATTERNS = ["testsrc2", "testsrc2", "testsrc2", "testsrc2", "mandelbrot", "mandelbrot"]
CONFIG = VideoConfig(height=160, width_multiple=16, frame_rate=Fraction(25, 8))


def make_videos(folder: Path) -> dict[str, Path]:
    """Synthetic recordings of the demo's size, with different content."""
    videos = {}
    for number, pattern in enumerate(PATTERNS):
        path, part = folder / f"s{number}.mp4", folder / "part.mkv"
        command = [transcode.ffmpeg(), "-nostdin", "-y", "-loglevel", "error"]
        source = ["-f", "lavfi", "-i", f"{pattern}=size=384x288:rate={RATE}", "-t", str(SECONDS // LOOPS)]
        code = ["-vf", f"hue=h={number * 50}", "-c:v", "libx264", "-preset", "veryfast", str(part)]
        subprocess.run([*command, *source, *code], check=True)
        subprocess.run([*command, "-stream_loop", str(LOOPS - 1), "-i", part, "-c", "copy", path], check=True)
        videos[f"s{number}"] = path
    return videos


def plain(videos: dict[str, Path], out: Path, workers: int) -> None:
    """The transcode alone."""
    out.mkdir()
    commands = []
    for session, path in videos.items():
        info = probe(path)
        size = (CONFIG.height, transcode.output_width(info, CONFIG.height, CONFIG.width_multiple))
        target = out / f"{session}.mp4"
        commands.append(transcode.transcode_command(path, target, info, size, CONFIG.frame_rate, 10**6, 1))
    with ThreadPoolExecutor(workers) as pool:
        for done in pool.map(lambda command: subprocess.run(command, capture_output=True, check=True), commands):
            assert done.returncode == 0


def stage(videos: dict[str, Path], out: Path, workers: int) -> None:
    """The work of the stage: small videos, frame stores, outputs."""
    pieces = processing.process(videos, out / "work", CONFIG, workers=workers)
    processing.write_outputs(pieces, out / "video", out / "frames", out / "work")


def processor_seconds() -> float:
    """Processor time of this process and its finished children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def seconds(
    run: Callable[[dict[str, Path], Path, int], None], videos: dict[str, Path], workers: int
) -> tuple[float, float]:
    """Wall and processor time of one run into an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        start, busy = time.perf_counter(), processor_seconds()
        run(videos, Path(folder) / "out", workers)
        return time.perf_counter() - start, processor_seconds() - busy


def main() -> None:
    """Time both in turn and print the medians and their ratio."""
    workers = processing.cpus()
    with tempfile.TemporaryDirectory() as folder:
        videos = make_videos(Path(folder))
        times: dict[str, list[tuple[float, float]]] = {"plain ffmpeg": [], "process_videos": []}
        for repeat in range(REPEATS):
            order = [("plain ffmpeg", plain), ("process_videos", stage)]
            for name, run in order if repeat % 2 == 0 else reversed(order):
                times[name].append(seconds(run, videos, workers))
    frames = len(PATTERNS) * SECONDS * RATE
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in times.items()}
    for name, (wall, busy) in medians.items():
        speed = f"{frames / wall:.0f} source frames per second, {workers} workers"
        print(f"{name}: {wall:.2f} s, {busy:.2f} processor seconds, {speed}")
    wall, busy = (
        mine / theirs for mine, theirs in zip(medians["process_videos"], medians["plain ffmpeg"], strict=True)
    )
    print(
        f"process_videos / plain ffmpeg: {wall:.2f} by the clock (aim: at most 1.30), {busy:.2f} by processor seconds"
    )


if __name__ == "__main__":
    main()
