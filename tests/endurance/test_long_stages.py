"""Every long stage on a tiny project, disturbed in every way that happens on a real machine, at random moments."""

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from attune import console
from tests.endurance import running
from tests.endurance.running import Disk, StageCommand, needs_linux, needs_root
from tests.pipeline.conftest import Project, built

__all__ = ["built"]  # the fixture
pytestmark = [pytest.mark.endurance, pytest.mark.xdist_group("endurance"), needs_linux]

KILLS = 20
STAGES = (
    "record",
    "process_videos",
    "bake",
    "head_search",
    "finetune_search",
    "train@people-attending",
    "rate_clips",
    "attribute",
    "paint",
    "score_attention",
    "compare_attention",
)
TERMINATED = 128 + 15
YEARS_S = 20 * 365 * 86400


@dataclass(frozen=True)
class Reference:
    """A stage and what it gives where nothing disturbs it.

    Attributes:
        results: content of its outputs.
        seconds: how long it takes.
        size: bytes that it leaves on the disk, work folder and all.
    """

    stage: StageCommand
    results: dict[str, dict[str, bytes]]
    seconds: float
    size: int


@pytest.fixture(scope="module")
def references(built: Project, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Reference]:
    """A stage's undisturbed run, made once."""
    made: dict[str, Reference] = {}

    def make(name: str) -> Reference:
        if name not in made:
            stage = running.read_stage(built.folder, name)
            disk = tmp_path_factory.mktemp("undisturbed")
            done = stage.run(disk).go()
            assert done.code == 0, done.errors
            assert done.left() == []
            results = stage.results(disk)
            assert results == stage.results(built.folder)  # by DVC or by hand, on whatever disk
            files = {path.stat().st_ino: path.stat() for path in disk.rglob("*") if path.is_file()}  # links once
            size = sum(file.st_blocks * 512 for file in files.values())
            made[name] = Reference(stage, results, done.seconds, size)
            shutil.rmtree(disk)
        return made[name]

    return make


@pytest.fixture(params=STAGES)
def reference(request: pytest.FixtureRequest, references: Callable[[str], Reference]) -> Reference:
    return references(request.param)


def finish(reference: Reference, disk: Path) -> None:
    """Run to the end and hold everything against the undisturbed run."""
    reference.stage.clear(disk)
    done = reference.stage.run(disk).go()
    assert done.code == 0, done.errors
    assert reference.stage.results(disk) == reference.results
    assert running.half_written(disk) == []
    assert done.left() == []


def whole(reference: Reference, disk: Path) -> bool:
    """Whether every output is absent, or there as it should be."""
    return all(reference.results[out] == found for out, found in reference.stage.results(disk).items())


def test_killed_again_and_again(reference: Reference, tmp_path: Path) -> None:
    """Moments are drawn over the whole run; one that comes to its end between two kills begins anew from nothing."""
    draw = random.Random(str(reference.stage.outs))
    kills = 0
    while kills < KILLS:
        reference.stage.clear(tmp_path)
        run = reference.stage.run(tmp_path).go(running.kill, draw.uniform(0, reference.seconds))
        assert run.left() == []
        assert whole(reference, tmp_path)
        if run.code == 0:
            assert reference.stage.results(tmp_path) == reference.results
            for path in tmp_path.iterdir():
                running.remove(path)
        else:
            assert run.code == -9, run.errors
            kills += 1
    finish(reference, tmp_path)


def test_asked_to_end(reference: Reference, tmp_path: Path) -> None:
    draw = random.Random(str(reference.stage.outs))
    for part in (draw.uniform(0.3, 0.6), draw.uniform(0.6, 0.9)):
        reference.stage.clear(tmp_path)
        run = reference.stage.run(tmp_path).go(running.terminate, part * reference.seconds)
        assert run.left() == []
        assert whole(reference, tmp_path)
        assert "Traceback" not in run.errors
        # before the script has begun there is nothing to remove, and Python dies of the signal itself
        assert run.code in (TERMINATED, -15, 0), run.errors
        if run.seconds < part * reference.seconds + console.GRACE_S:
            assert running.half_written(tmp_path) == []
    finish(reference, tmp_path)


@needs_root
def test_disk_full(reference: Reference, tmp_path: Path) -> None:
    draw = random.Random(str(reference.stage.outs))
    for share in (draw.uniform(0, 0.3), draw.uniform(0.3, 0.9)):
        small = Disk(tmp_path / f"{share}", max(8192, int(share * reference.size)))
        with small as disk:
            run = reference.stage.run(disk).go()
            check_told(run, disk, "No space left on device")
            assert whole(reference, disk)
            assert running.half_written(disk) == []
            small.change("size=1000000000")
            finish(reference, disk)


@needs_root
def test_read_only(reference: Reference, tmp_path: Path) -> None:
    small = Disk(tmp_path / "disk", 1_000_000_000)
    with small as disk:
        small.change("ro")
        check_told(reference.stage.run(disk).go(), disk, "Read-only file system")
        small.change("rw")
        finish(reference, disk)


def test_folder_removed(reference: Reference, tmp_path: Path) -> None:
    """As a network folder that is lost; a stage may also be done with it, or make it anew."""
    disk, lost = tmp_path / "disk", tmp_path / "lost"
    found = {}

    def lose(process: subprocess.Popen[str]) -> None:
        disk.rename(lost)  # at one moment, after which it can be seen whether the stage was done with it
        found.update(reference.stage.results(lost))
        running.remove(lost)

    draw = random.Random(str(reference.stage.outs))
    for _ in range(2):
        found.clear()
        disk.mkdir(exist_ok=True)
        run = reference.stage.run(disk).go(lose, draw.uniform(0.3, 1) * reference.seconds)
        assert "Traceback" not in run.errors, run.errors
        if run.code == 0:
            assert reference.results in (found, reference.stage.results(disk))
        else:
            check_told(run, disk, "No such file", "no such file", "removed while it was written")
            assert whole(reference, disk)
        assert run.left() == []
    finish(reference, disk)


def test_clock_that_jumps(reference: Reference, tmp_path: Path, jumping_clock: Path) -> None:
    """Twenty years to and fro at every look at the clock, and files from the future in the work folder."""
    environment = {"LD_PRELOAD": str(jumping_clock)}
    draw = random.Random(str(reference.stage.outs))
    reference.stage.run(tmp_path, environment).go(running.kill, draw.uniform(0.5, 1) * reference.seconds)
    for path in tmp_path.rglob("*"):
        if path.exists():
            moment = path.stat().st_mtime + draw.uniform(-YEARS_S, YEARS_S)
            os.utime(path, (moment, moment))
    reference.stage.clear(tmp_path)
    done = reference.stage.run(tmp_path, environment).go()
    assert done.code == 0, done.errors
    assert reference.stage.results(tmp_path) == reference.results


def check_told(run: running.Run, disk: Path, *words: str) -> None:
    """One message that names a file on the disk and says what is wrong with it."""
    assert run.code == 1, run.errors
    assert "Traceback" not in run.errors, run.errors
    (line,) = [line for line in run.errors.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: {disk}"), line
    assert any(word in line for word in words), line
    assert run.left() == []
