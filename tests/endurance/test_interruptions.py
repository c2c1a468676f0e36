"""What ends a run from outside, on light stages: signals, a full or read-only disk, a lost folder, a second run."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from attune import artifacts, processes
from attune.annotation import spans
from attune.attention import overlay
from attune.learning import weights
from tests.conftest import ROOT
from tests.endurance import running
from tests.endurance.running import Disk, Run, needs_linux, needs_root
from tests.video.conftest import long_play, play

__all__ = ["long_play", "play"]  # fixtures
STAGE = """\
import sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from attune import artifacts, console, processes

if "short" in sys.argv:
    console.GRACE_S = 0.5

def work(ready):
    Path(ready).touch()
    while True:
        time.sleep(0.01)

def wait(go):
    while not go.exists():
        time.sleep(0.01)

def main(kind: str, folder: Path, out: Path) -> None:
    ready, go = folder / "ready", folder / "go"
    with artifacts.replacing_folder(out) as place:
        (place / "first").write_text("1")
        if kind == "pool":
            with processes.pool(2) as pool:
                [job.result() for job in [pool.submit(work, str(ready)) for _ in range(2)]]
        if kind == "short":
            with ThreadPoolExecutor(1) as pool:
                pool.submit(work, ready).result()
        ready.touch()
        wait(go)
        artifacts.write_text(place / "second", "2")

if __name__ == "__main__":
    console.run(main)
"""


class Started:
    """A stage that has begun to write, and waits for ``go`` before it writes the rest."""

    def __init__(self, folder: Path, kind: str, *program: str, environment: dict[str, str] | None = None) -> None:
        self.folder, self.out = folder, folder / "there" / "out"
        (folder / "stage.py").write_text(STAGE)
        self.run = Run([], folder)
        command = [*(program or (sys.executable,)), str(folder / "stage.py"), kind, str(folder), str(self.out)]
        self.process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src"), running.MARK: self.run.mark, **(environment or {})},
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for((folder / "ready").exists)

    def end(self) -> tuple[int, str]:
        """Exit code and messages, once no process is left."""
        _, said = self.process.communicate(timeout=60)
        assert self.run.left() == []
        return self.process.returncode, said


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@needs_linux
@pytest.mark.parametrize("kind", ["plain", "pool", "short"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_stage_and_its_processes(tmp_path: Path, kind: str, number: signal.Signals) -> None:
    stage = Started(tmp_path, kind)
    stage.process.send_signal(number)
    assert stage.end() == (128 + number, "")
    assert not stage.out.exists()
    if kind != "short":  # whose thread never ends: what it was writing is left under its hidden name
        assert running.half_written(tmp_path) == []


@needs_linux
def test_a_second_signal_changes_nothing(tmp_path: Path) -> None:
    stage = Started(tmp_path, "pool")
    for _ in range(5):
        stage.process.terminate()
    assert stage.end() == (143, "")
    assert running.half_written(tmp_path) == []


@needs_linux
def test_a_killed_stage_takes_its_processes_with_it(tmp_path: Path) -> None:
    stage = Started(tmp_path, "pool")
    stage.process.kill()
    assert stage.end()[0] == -9
    assert not stage.out.exists()


@needs_linux
def test_a_killed_worker_is_told(tmp_path: Path) -> None:
    stage = Started(tmp_path, "pool")
    children = Path(f"/proc/{stage.process.pid}/task/{stage.process.pid}/children").read_text().split()
    workers = [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(int(workers[0]), signal.SIGKILL)
    code, said = stage.end()
    assert code == 1
    assert "a working process died" in said
    assert "Traceback" not in said
    assert running.half_written(tmp_path) == []


@needs_linux
def test_no_ffmpeg_outlives_a_killed_stage(long_play: Path, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "raw" / name).symlink_to(long_play)
    out = [str(tmp_path / name) for name in ("video", "frames", "work")]
    command = [sys.executable, str(ROOT / "stages/engagement/process_videos.py"), str(tmp_path / "raw"), *out]
    run = Run([], ROOT)
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, running.MARK: run.mark})
    wait_for(lambda: any("libx264" in line for line in running.marked(run.mark)))
    process.kill()
    process.wait()
    assert run.left(5) == []  # ten minutes of video would take longer


WRITERS = ("text", "json", "table", "array", "folder", "copies", "weights", "overlay")


def writers(source: Path) -> dict[str, Callable[[Path], object]]:
    random = np.random.default_rng(0)
    numbers = random.random((200, 1000))

    def array(path: Path) -> None:
        with artifacts.replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, numbers)

    def folder(path: Path) -> None:
        with artifacts.replacing_folder(path) as place:
            np.savez_compressed(place / "a.npz", numbers=numbers)

    def copied(path: Path) -> None:
        with artifacts.replacing_folder(path) as place:
            shutil.copytree(source, place, dirs_exist_ok=True)

    return {
        "copies": copied,
        "text": lambda path: artifacts.write_text(path, "x" * 1_000_000),
        "json": lambda path: artifacts.write_json(path, numbers.tolist()),
        "table": lambda path: artifacts.write_table(path, pd.DataFrame(numbers)),
        "array": array,
        "folder": folder,
        "weights": lambda path: weights.save(path, {"a": torch.zeros(200_000)}, {}),
        "overlay": lambda path: overlay.write(
            path, random.integers(0, 256, (16, 256, 256, 3), dtype=np.uint8), Fraction(25, 8)
        ),
    }


@needs_root
@pytest.mark.parametrize("kind", WRITERS)
def test_every_writer_names_the_file_that_the_disk_could_not_take(tmp_path: Path, kind: str) -> None:
    small = Disk(tmp_path / "disk", 100_000)
    (tmp_path / "source").mkdir()
    (tmp_path / "source/large").write_bytes(bytes(1_000_000))
    write = writers(tmp_path / "source")[kind]
    with small as disk:
        with pytest.raises(OSError, match="No space left on device") as error:
            write(disk / "new")
        assert error.value.errno == errno.ENOSPC
        assert str(error.value.filename).startswith(str(disk))
        assert list(disk.iterdir()) == []
        small.change("size=100000000")
        write(disk / "new")
        assert [path.name for path in disk.iterdir()] == ["new"]


def table(path: Path, rows: int = 3000) -> Path:
    start = np.arange(rows) * 1000
    body = {"session": "fp01", "annotator": "ew", "variable": "task", "value": "people", "start_ms": start}
    pd.DataFrame({**body, "end_ms": start + 900})[list(spans.ORIGINAL)].to_csv(path, index=False)
    return path


def fill(source: Path, disk: Path) -> Run:
    script = str(ROOT / "stages/engagement/fill_spans.py")
    return Run([[sys.executable, script, str(source), str(disk / "tasks.csv"), str(disk / "filled.csv")]], ROOT).go()


@needs_root
@pytest.mark.parametrize(
    ("before", "words", "after"),
    [("size=20000", "No space left on device", "size=100000000"), ("ro", "Read-only file system", "rw")],
)
def test_a_stage_on_a_bad_disk_says_so_and_leaves_nothing(tmp_path: Path, before: str, words: str, after: str) -> None:
    source = table(tmp_path / "original.csv")
    small = Disk(tmp_path / "disk", 100_000_000)
    with small as disk:
        small.change(before)
        failed = fill(source, disk)
        assert failed.code == 1
        (line,) = failed.errors.splitlines()
        assert line.startswith(f"error: {disk}/")
        assert words in line
        assert list(disk.iterdir()) == []
        small.change(after)
        assert fill(source, disk).code == 0
        assert len(list(disk.iterdir())) == 2


def test_a_folder_that_is_removed_under_the_run_is_told(tmp_path: Path) -> None:
    stage = Started(tmp_path, "plain")
    running.remove(stage.out.parent)
    (tmp_path / "go").touch()
    code, said = stage.process.wait(60), stage.process.communicate()[1]
    assert code == 1
    assert said.startswith(f"error: {stage.out}: removed while it was written.")
    assert not stage.out.exists()


PIPELINE = """\
stages:
  slow:
    cmd: {python} stage.py plain . there/out
    outs: [there/out]
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "stage.py").write_text(STAGE)
    (tmp_path / "dvc.yaml").write_text(PIPELINE.format(python=sys.executable))
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


def repro(folder: Path, mark: str) -> "subprocess.Popen[str]":
    settings = {"PYTHONPATH": str(ROOT / "src"), "DVC_NO_ANALYTICS": "1", running.MARK: mark}
    settings["DVC_SITE_CACHE_DIR"] = str(folder / ".site")
    command = [sys.executable, "-m", "dvc", "repro"]
    return subprocess.Popen(
        command, cwd=folder, env={**os.environ, **settings}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.slow
@needs_linux
def test_of_two_repros_at_once_the_second_is_refused(repository: Path) -> None:
    run = Run([], repository)
    first = repro(repository, run.mark)
    wait_for((repository / "ready").exists)
    second = repro(repository, run.mark)
    said, _ = second.communicate(timeout=120)
    assert second.returncode not in (0, None)
    assert "is busy, it is being blocked by" in said
    (repository / "go").touch()
    said, _ = first.communicate(timeout=120)
    assert first.returncode == 0, said
    assert [path.name for path in sorted((repository / "there/out").iterdir())] == ["first", "second"]
    assert run.left() == []
    assert repro(repository, run.mark).communicate(timeout=120)[0].count("didn't change") == 1


@pytest.mark.slow
@needs_linux
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stage_ends_with_its_dvc(repository: Path, number: signal.Signals) -> None:
    run = Run([], repository)
    process = repro(repository, run.mark)
    wait_for((repository / "ready").exists)
    process.send_signal(number)
    process.communicate(timeout=120)
    assert run.left() == []
    assert not (repository / "there/out").exists()
    assert running.half_written(repository) == []
    (repository / "go").touch()
    again = repro(repository, run.mark)
    said, _ = again.communicate(timeout=120)
    assert again.returncode == 0, said


def test_a_pool_gives_back_what_its_processes_made() -> None:
    with processes.pool(2, prepare=time.tzset) as pool:
        assert sorted(pool.map(abs, [-2, 1])) == [1, 2]
