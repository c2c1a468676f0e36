"""What an hour of video costs in every stage, and what 10,000 hours would.

Every stage runs as its own script, in a process of its own, on synthetic recordings of growing number; processor time
(of the process and its children) and peak memory are the kernel's. Where cost grows with the frames and not with the
tables, as in encoding, it is measured on few frames. The last columns are extrapolated, see :func:`goal`.

    python benchmarks/bench_scale.py                                   minutes
    python benchmarks/bench_scale.py --parts tables --sessions 1000 10000 30000
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scale_world as world

GOAL_H = 10_000
GOAL_SESSIONS = round(GOAL_H * world.SESSIONS_PER_HOUR)
STAGES = world.PROJECT / "stages" / "engagement"
NOISE_S = 1.0  # of growth, from which no power can be told


class Cost(NamedTuple):
    """What a process took."""

    cpu_s: float
    wall_s: float
    peak_mb: float
    written_mb: float


# Arguments of the stages' scripts, in a folder of scale_world.recordings.
TABLES = {
    "extract_spans": "engagement videos original.csv tabs",
    "fill_spans": "original.csv tasks.csv filled.csv",
    "make_folds": "filled.csv frames stratified.csv folds.json",
    "score_chance": "stratified.csv chance.json",
    "measure_reliability": "tasks.csv filled.csv reliability",
    "summarise": "folds.json reliability metrics plots",
    "choose_snippets": "stratified.csv snippets.csv snippet_report.csv",
    "learning_tables": "",  # not a stage, but how fine-tuning begins
}
LEARNING = {
    "bake": "stratified.csv tasks.csv folds.json frames baked work/bake",
    "head_search": "baked/training heads",
    "plan_finetune_search": "stratified.csv tasks.csv folds.json frames baked/training heads plan.csv",
}
ATTENTION = {
    "attribute": "snippets.csv frames models maps overlays work/attribute",
    "score_attention": "snippets.csv maps frames models raw quality work/score",
    "compare_attention": "attention maps snippets.csv similarities",
}
OUTPUTS = {
    "extract_spans": ["original.csv", "tabs"],
    "fill_spans": ["tasks.csv", "filled.csv"],
    "make_folds": ["stratified.csv", "folds.json"],
    "bake": ["baked"],
    "head_search": ["heads"],
    "plan_finetune_search": ["plan.csv"],
    "process_videos": ["small", "stores"],
    "attribute": ["maps", "overlays"],
    "score_attention": ["quality"],
    "compare_attention": ["similarities"],
    "measure_reliability": ["reliability"],
}


def run(command: Sequence[str | Path], folder: Path) -> Cost:
    """Run a program to its end in a folder, one thread for each operation, and tell what it took."""
    paths = [str(world.PROJECT / "src"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(list(map(str, command)), cwd=folder, env=environment, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(map(str, command))}\n{said.read().decode()[-2000:]}")
    return Cost(used.ru_utime + used.ru_stime, time.perf_counter() - start, used.ru_maxrss / 1024, 0)


def stage(name: str, arguments: str, folder: Path) -> Cost:
    """Run a stage's script, or what scale_world has under that name."""
    script = STAGES / f"{name}.py"
    command = [script, *arguments.split()] if script.is_file() else [world.__file__, name, folder, "0"]
    cost = run([sys.executable, *command], folder)
    return cost._replace(written_mb=sum(size_mb(folder / output) for output in OUTPUTS.get(name, [])))


def size_mb(path: Path) -> float:
    """Bytes of a file or of all files in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6


def make(work: str, folder: Path, number: int) -> None:
    """Let scale_world make something, in a process of its own."""
    run([sys.executable, world.__file__, work, folder, str(number)], world.PROJECT)


def grow(kind: dict[str, str], sessions: Sequence[int], prepare: Callable[[Path, int], None]) -> None:
    """Print what stages cost at several numbers of sessions, and what they would at the goal."""
    costs: dict[str, list[Cost]] = {name: [] for name in kind}
    for number in sessions:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            prepare(folder, number)
            for key, arguments in kind.items():
                if key == "bake":
                    make("pieces", folder, number)
                cost = stage(key, arguments, folder)
                costs[key].append(cost)
                row = f"{key:22}{number:9}{cost.cpu_s:10.1f}{cost.peak_mb:10.0f}{cost.written_mb:12.1f}"
                print(f"{row}{goal(sessions[: len(costs[key])], costs[key])}", flush=True)


def goal(sessions: Sequence[int], costs: Sequence[Cost]) -> str:
    """The power of the number of sessions that time shows, and the goal's hours, memory and bytes, from three points.

    The smallest number stands for what does not grow; beyond it, time grows with a power, memory along a line.
    """
    if len(costs) < 3:
        return ""
    start, middle, last = (np.array(points, dtype=float) for points in costs[-3:])
    few, more, most = sessions[-3:]
    power, grown_s = 1.0, (middle - start)[0]
    if grown_s > NOISE_S:
        power = max(1.0, np.log((last - start)[0] / grown_s) / np.log((most - few) / (more - few)))
    beyond = (GOAL_SESSIONS - few) / (most - few)
    hours = (start[0] + max((last - start)[0], 0) * beyond**power) / 3600
    _, _, peak_mb, written_mb = start + np.maximum(last - start, 0) * beyond
    return f"{power:8.2f}{hours:10.2f}{peak_mb / 1000:10.1f}{written_mb / 1000:10.1f}"


def tables(sessions: Sequence[int], without: Sequence[str]) -> None:
    """Stages whose cost is in the tables of spans, but for some."""
    heading()

    def prepare(folder: Path, number: int) -> None:
        make("recordings", folder, number)
        (folder / "videos").mkdir()

    grow({name: arguments for name, arguments in TABLES.items() if name not in without}, sessions, prepare)


def learning(sessions: Sequence[int]) -> None:
    """The tables' part of the learning stages: the encoder's features are there, and a search is of one epoch."""
    print("bake with features of frames at hand; head_search of 1 setting, repetition and epoch instead of 2,400")
    heading()
    small = {
        "encoder.weights": "none",
        "head_search.settings": 1,
        "head_search.repetitions": 1,
        "head_search.epochs": 1,
    }

    def prepare(folder: Path, number: int) -> None:
        make("recordings", folder, number)
        (folder / "videos").mkdir()
        for name in ("extract_spans", "fill_spans", "make_folds"):
            stage(name, TABLES[name], folder)
        world.write_params(folder, small)

    grow(LEARNING, sessions, prepare)


def heading() -> None:
    """Columns of :func:`grow`."""
    columns = f"{'CPU s':>10}{'peak MB':>10}{'written MB':>12}{'power':>8}{'CPU h':>10}{'peak GB':>10}{'GB':>10}"
    print(f"{'stage':22}{'sessions':>9}{columns}   (last three: {GOAL_SESSIONS:,} sessions, {GOAL_H:,} h)")


def videos() -> None:
    """process_videos on two kinds of recording; its start is measured with a second of video and taken off."""
    from attune.video import transcode

    print(f"{'process_videos':22}{'CPU s per hour':>16}{'peak MB':>10}{'MB per hour':>14}")
    for size, seconds in (("384x288", 120), ("1920x1080", 60)):
        costs = []
        for length in (2, seconds):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                world.write_params(folder, {})
                (folder / "videos").mkdir()
                source = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25:duration={length}"]
                code = ["-c:v", "libx264", "-preset", "ultrafast", "videos/s00000.mp4"]
                run([transcode.ffmpeg(), "-nostdin", "-loglevel", "error", *source, *code], folder)
                costs.append(stage("process_videos", "videos small stores work", folder))
        per_hour = world.HOUR_S / (seconds - 2)
        cpu_s, written = ((costs[1][part] - costs[0][part]) * per_hour for part in (0, 3))
        print(f"  {size:20}{cpu_s:16.0f}{costs[1].peak_mb:10.0f}{written:14.0f}", flush=True)


def splitting() -> None:
    """The search for folds alone: tries that each look at all sessions, then exchanges that look at all pairs."""
    from attune.annotation import fold_search

    print(f"{'make_folds, search':22}{'sessions':>9}{'draw CPU s':>12}{'improve CPU s':>15}")
    for sessions in (300, 1000, 3000):
        rng = np.random.default_rng(0)
        annotated = np.full((sessions, 6), 800_000)
        engaged = (annotated * rng.beta(2, 3, annotated.shape)).astype(np.int64)
        given = fold_search.Contributions(engaged, annotated, np.zeros((sessions, 0), dtype=np.int64))
        scorer, table = fold_search.Scorer(given, 5), given.table
        tries = 10_000  # a tenth of the demo's
        start = time.process_time()
        chunks = fold_search.random_splits(sessions, 5, tries, seed=0)
        best = min(((scorer.score(chunk, table), chunk) for chunk in chunks), key=lambda one: one[0].min())
        drawn = time.process_time()
        fold_search.improve(best[1][int(np.argmin(best[0]))], table, scorer)
        improved_s, drawn_s = time.process_time() - drawn, (drawn - start) * 10
        print(f"{'':22}{sessions:9}{drawn_s:12.1f}{improved_s:15.1f}", flush=True)


def pixels() -> None:
    """Reading frames: histograms in make_folds, digests in bake and before every fine-tuning."""
    from attune.learning.corpus import digest_of
    from attune.video import statistics

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "s00000.npy"
        world.write_frames(path, 600, world.SIZE)
        gigabytes = size_mb(path) / 1000
        per_hour = gigabytes * world.HOUR_S / 600
        print(f"frames of an hour: {per_hour:.2f} GB; processor seconds per hour of video")
        work: dict[str, Callable[[], object]] = {
            "histograms (make_folds)": lambda: statistics.pixel_histograms({"all": [path]}),
            "a digest (bake once; fine-tuning at every start)": lambda: digest_of(path),
        }
        for label, each in work.items():
            print(f"  {label:52}{cpu_of(each) * world.HOUR_S / 600:8.2f}", flush=True)


def cpu_of(work: Callable[[], object]) -> float:
    """Processor seconds of this process for a piece of work, the lesser of two."""
    times = []
    for _ in range(2):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def encoding() -> None:
    """Encoders: milliseconds of processor time of bake per frame or clip, and of a step of fine-tuning per clip."""
    import bench_bake
    import bench_finetune
    import torch

    torch.set_num_threads(1)
    print("processor milliseconds per clip of 15 frames")
    for name in bench_bake.ENCODERS:
        for augmented in (False, True):
            label = f"bake, {name}, {'augmented' if augmented else 'plain'}"
            print(f"  {label:60}{bake_ms(name, augmented):9.1f}", flush=True)
    for label, (name, first, batch, cached) in bench_finetune.CASES.items():
        step, _ = bench_finetune.step_of(name, first, batch, cached, last=False, precision="float32")
        step()
        print(f"  {f'fine-tuning, {label}':60}{cpu_of(step) * 1000 / batch:9.1f}", flush=True)


def bake_ms(name: str, augmented: bool) -> float:
    """Processor milliseconds that bake takes for a clip, of which those of a task follow each other."""
    import bench_bake

    from attune.learning.encoders import build
    from attune.learning.pieces import Look, PieceStore
    from attune.video.recipes import Augmentation

    encoder, clips = build(bench_bake.ENCODERS[name]), bench_bake.CLIPS[name]
    with tempfile.TemporaryDirectory() as place:
        frames = Path(place) / "frames"
        world.write_frames(frames / "session.npy", clips * 5, world.SIZE)
        look = Look(15, "square", encoder.mean, encoder.std, Augmentation() if augmented else None)
        piece = bench_bake.piece_of(encoder, clips, augmented)

        def bake() -> None:
            with tempfile.TemporaryDirectory(dir=place) as work:
                store = PieceStore(encoder, frames, world.RATE, look, Path(work), bench_bake.BATCH_FRAMES)
                store.make([piece])

        return cpu_of(bake) * 1000 / clips


def attention() -> None:
    """Explanations: their number follows from the snippets that are painted, not from the hours."""
    print(f"{'stage':22}{'CPU s/snippet':>16}{'peak MB':>10}{'MB/snippet':>12}")
    costs: dict[str, list[Cost]] = {name: [] for name in ATTENTION}
    few, many = 1, 3
    for number in (few, many):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make("explained", folder, number)
            (folder / "raw").mkdir()
            for key, arguments in ATTENTION.items():
                costs[key].append(stage(key, arguments, folder))
    for key, (one, more) in costs.items():
        each = [(more[part] - one[part]) / (many - few) for part in (0, 3)]
        print(f"{key:22}{each[0]:16.1f}{more.peak_mb:10.0f}{each[1]:12.2f}", flush=True)


def tracking() -> None:
    """DVC: adding and pushing a large file, and many small ones, to a remote that is a folder."""
    print(f"{'dvc':8}{'files':>8}{'MB':>8}{'CPU s':>8}{'wall s':>8}")
    dvc = [sys.executable, "-m", "dvc"]
    for files, megabytes in ((1, 1), (1, 512), (1000, 1)):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            run([*dvc, "init", "-q", "--no-scm"], folder)
            run([*dvc, "remote", "add", "-q", "-d", "team", str(folder / "remote")], folder)
            (folder / "data").mkdir()
            for number in range(files):
                content = number.to_bytes(8, "little") + bytes(megabytes * 1_000_000 // files)
                (folder / "data" / f"{number:05}.npy").write_bytes(content)
            for command in (["add", "data"], ["push"]):
                cost = run([*dvc, *command, "-q"], folder)
                print(f"{command[0]:8}{files:8}{megabytes:8}{cost.cpu_s:8.1f}{cost.wall_s:8.1f}", flush=True)


PARTS: dict[str, Callable[[], None]] = {
    "videos": videos,
    "attention": attention,
    "tracking": tracking,
    "splitting": splitting,
    "pixels": pixels,
    "encoding": encoding,  # last: a process inherits the memory of the one that starts it, as far as its peak goes
}


def main() -> None:
    """Print the tables of the wanted parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["tables", "learning", *PARTS]
    parser.add_argument("--parts", nargs="+", choices=names, default=names)
    parser.add_argument("--sessions", nargs="+", type=int, default=[50, 150, 500], help="of the tables")
    parser.add_argument("--learned", nargs="+", type=int, default=[12, 24, 72], help="sessions of the learning stages")
    parser.add_argument("--without", nargs="+", choices=TABLES, default=[], help="tables' stages that are left out")
    arguments = parser.parse_args()
    for part in arguments.parts:
        print(f"== {part}", flush=True)
        if part == "tables":
            tables(sorted(arguments.sessions), arguments.without)
        elif part == "learning":
            learning(sorted(arguments.learned))
        else:
            PARTS[part]()


if __name__ == "__main__":
    main()
