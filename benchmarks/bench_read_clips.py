"""Reading clips from the frame store against decoding them from the small video at random access.

Both give the pixels of the same clips, drawn at random over the sessions as training draws them. The decoders (PyAV,
and torchcodec where it and the system's FFmpeg libraries are installed) keep every video open and seek to the key
frame before the clip; the small video is the one that process_videos makes, with its key frames where it puts them.
The file system's cache is warm for all. Processor seconds tell more than the clock where other programs keep the
machine busy. The aim is a ratio of at least 100.
"""

import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from attune.video import clips, processing, store, transcode
from attune.video.files import VideoConfig

SESSIONS, SECONDS, CLIPS, REPEATS = 3, 300, 40, 7
CONFIG = VideoConfig(height=160, width_multiple=16, frame_rate=Fraction(25, 8))
LENGTH = clips.num_frames(clips.ClipConfig(), CONFIG.frame_rate)
Read = Callable[[str, int], np.ndarray]


def make_videos(folder: Path) -> dict[str, Path]:
    """Synthetic recordings without cuts, of the proportions of the demo's."""
    videos = {}
    for number in range(SESSIONS):
        path = folder / f"s{number}.mp4"
        command = [transcode.ffmpeg(), "-nostdin", "-loglevel", "error", "-f", "lavfi"]
        source = ["-i", f"testsrc2=size=384x288:rate=25/4:duration={SECONDS}", "-vf", f"hue=h={number * 50}"]
        subprocess.run([*command, *source, "-c:v", "libx264", "-preset", "ultrafast", path], check=True)
        videos[path.stem] = path
    return videos


def pyav_reader(videos: Path) -> Read:
    """Seek, decode and convert with PyAV."""
    containers = {path.stem: av.open(str(path)) for path in videos.glob("*.mp4")}
    for container in containers.values():
        container.streams.video[0].thread_type = "AUTO"

    def read(session: str, start_ms: int) -> np.ndarray:
        container = containers[session]
        stream = container.streams.video[0]
        first = store.frame_index(start_ms, CONFIG.frame_rate)
        start = store.frame_time_ms(first, CONFIG.frame_rate) / 1000 / stream.time_base
        container.seek(int(start), stream=stream)
        pictures: list[np.ndarray] = []
        for frame in container.decode(stream):
            if frame.pts >= int(start):
                pictures.append(frame.to_ndarray(format="rgb24"))
            if len(pictures) == LENGTH:
                break
        return np.stack(pictures)

    return read


def torchcodec_reader(videos: Path) -> Read | None:
    """Seek, decode and convert with torchcodec, if it can be used here."""
    try:
        from torchcodec.decoders import VideoDecoder
    except (ImportError, RuntimeError, OSError) as error:
        print(f"torchcodec: left out ({str(error).splitlines()[0]})")
        return None
    decoders = {path.stem: VideoDecoder(str(path), dimension_order="NHWC") for path in videos.glob("*.mp4")}

    def read(session: str, start_ms: int) -> np.ndarray:
        first = store.frame_index(start_ms, CONFIG.frame_rate)
        return decoders[session].get_frames_in_range(first, first + LENGTH).data.numpy()

    return read


def measure(read: Read, wanted: list[tuple[str, int]]) -> tuple[float, float]:
    """Wall and processor milliseconds per clip."""
    start, busy = time.perf_counter(), time.process_time()
    for clip in wanted:
        read(*clip)
    count = len(wanted) / 1000
    return (time.perf_counter() - start) / count, (time.process_time() - busy) / count


def main() -> None:
    """Time all readers in turn and print the medians and their ratios to the store."""
    generator = np.random.default_rng(0)
    latest_ms = SECONDS * 1000 - 5000
    wanted = [(f"s{generator.integers(SESSIONS)}", int(generator.integers(latest_ms))) for _ in range(CLIPS)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pieces = processing.process(make_videos(folder), folder / "work", CONFIG)
        processing.write_outputs(pieces, folder / "video", folder / "frames", folder / "work")
        readers = {
            "frame store": clips.ClipReader(folder / "frames", CONFIG.frame_rate, LENGTH).read,
            "PyAV": pyav_reader(folder / "video"),
            "torchcodec": torchcodec_reader(folder / "video"),
        }
        present = {name: read for name, read in readers.items() if read is not None}
        for name, read in present.items():  # also warms the cache
            differences = [np.abs(read(*clip).astype(int) - readers["frame store"](*clip)).mean() for clip in wanted]
            assert max(differences) < 6, f"{name} reads other pixels"  # decoders interpolate colours differently
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in present}
        for _ in range(REPEATS):
            for name, read in present.items():
                times[name].append(measure(read, wanted))
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in times.items()}
    for name, (wall, busy) in medians.items():
        print(f"{name}: {wall:.3f} ms per clip of {LENGTH} frames, {busy:.3f} processor ms")
    for name in present:
        if name != "frame store":
            wall, busy = (theirs / ours for theirs, ours in zip(medians[name], medians["frame store"], strict=True))
            print(f"{name} / frame store: {wall:.0f} by the clock (aim: at least 100), {busy:.0f} by processor time")


if __name__ == "__main__":
    main()
