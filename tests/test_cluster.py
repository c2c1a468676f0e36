"""Searches and trainings as jobs, with processes of this machine as the cluster."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from attune import artifacts, cluster, cluster_submit, cluster_task
from attune.cluster import Record, Resources, Run
from attune.problems import InputError
from tests import cluster_project
from tests.cluster_project import Project, contents

LOCAL = Resources(executor="local")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return cluster_project.make(tmp_path_factory.mktemp("cluster") / "project", finetune_search__settings=1)


def a_run(folder: Path, commands: dict[str, tuple[str, ...]]) -> Run:
    """A run of kind ``train`` whose commands are the given ones."""
    (folder / "code" / "src").mkdir(parents=True)
    # submitit loads tasks by the name of their module, from the frozen package
    (folder / "code" / "src" / "attune").symlink_to(Path(cluster.__file__).parent)
    run = Run(folder, Record(kind="train", resources=LOCAL, commands=commands, items=tuple(commands)))
    run.write()
    return run


def script(text: str) -> tuple[str, ...]:
    return ("python", "-c", text)


# Tasks


def test_a_task_runs_its_command_in_the_frozen_project_and_leaves_marks(tmp_path: Path) -> None:
    text = "import os, pathlib; pathlib.Path('seen').write_text(os.environ['PYTHONPATH'])"
    (tmp_path / "code").mkdir()
    cluster_task.Task(script(text), tmp_path, ("a", "b"))()
    assert (tmp_path / "code" / "seen").read_text() == str(tmp_path / "code" / "src")
    assert sorted(path.name for path in (tmp_path / "ended").iterdir()) == ["a", "b"]


def test_a_task_that_fails_leaves_none(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    with pytest.raises(RuntimeError, match="code 3"):
        cluster_task.Task(script("raise SystemExit(3)"), tmp_path, ("a",))()
    assert not (tmp_path / "ended").exists()


WORKER = """
import pickle, signal, sys, pathlib
from attune import cluster_task

code = "import os, time, pathlib; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(600)"
task = cluster_task.Task(("python", "-c", code), pathlib.Path(sys.argv[1]), ("a",))

def handler(*_):  # as submitit's: asks for the successor and exits, wherever the task stands
    pickle.dumps(task.checkpoint().function)
    sys.exit(7)

signal.signal(signal.SIGUSR2, handler)
task()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGUSR2, 7), (signal.SIGKILL, -9)])
def test_the_command_ends_with_its_task(tmp_path: Path, number: signal.Signals, code: int) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "worker.py").write_text(WORKER)
    process = subprocess.Popen([sys.executable, str(tmp_path / "worker.py"), str(tmp_path)])
    written = tmp_path / "code" / "pid"
    until(lambda: written.exists() and written.read_text())
    process.send_signal(number)
    assert process.wait(60) == code
    until(lambda: not alive(int(written.read_text())))


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path("/proc", str(pid), "status").read_text()
    except FileNotFoundError:
        return False


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# Runs


def test_what_is_lost_is_submitted_again_until_it_is_done(tmp_path: Path) -> None:
    die = "import os, pathlib; path = pathlib.Path('tried'); first = not path.exists(); path.touch(); "
    commands = {"good": script("pass"), "killed": script(die + "first and os.kill(os.getppid(), 9)")}
    run = a_run(tmp_path / "run", commands)
    cluster_submit.submit(run, ["good", "killed"], 2)
    assert cluster_submit.wait(run, 2, 0.1) == 1
    assert run.missing() == []
    again = Run(run.folder, Record.model_validate(artifacts.read_json(run.folder / "run.json")))
    assert [list(attempt.values()) for attempt in again.record.attempts] == [[("good",), ("killed",)], [("killed",)]]


def test_what_always_fails_is_given_up_with_the_end_of_its_log(tmp_path: Path) -> None:
    text = "import sys; print('error: the frames are blue', file=sys.stderr); sys.exit(1)"
    run = a_run(tmp_path / "run", {"bad": script(text)})
    cluster_submit.submit(run, ["bad"], 1)
    with pytest.raises(
        InputError, match=r"1 without a result after 2 attempt\(s\) \(bad\): error: the frames are blue"
    ):
        cluster_submit.wait(run, 2, 0.1)


def test_a_process_that_got_the_number_of_a_job_is_not_the_job(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", {"a": script("pass")})
    run.submitted({str(os.getpid()): ("a",)})
    assert cluster_submit.look(run) == cluster_submit.State(["a"], {}, ["a"])


def test_no_slurm_is_an_error_with_its_cure(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    with pytest.raises(InputError, match=r"expected SLURM, found no sbatch.*--executor local"):
        cluster_submit.check(Resources(executor="slurm"))
    cluster_submit.check(LOCAL)


def test_a_queue_that_does_not_answer_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "squeue").write_text("#!/bin/sh\necho 'Unable to contact slurm controller' >&2\nexit 1\n")
    (tmp_path / "squeue").chmod(0o755)
    run = a_run(tmp_path / "run", {"a": script("pass")})
    run.record = run.record.model_copy(update={"resources": Resources(executor="slurm")})
    with pytest.raises(cluster_submit.SilentError, match="Unable to contact slurm controller"):
        cluster_submit.wait(run, 2, 0.1)
    at_work = cluster_submit.State(["a"], {"7": "RUNNING"}, [])
    answers = iter([at_work, None, None, cluster_submit.State([], {}, [])])

    def look(_: Run) -> cluster_submit.State:
        state = next(answers)
        if state is None:
            raise cluster_submit.SilentError([])
        return state

    monkeypatch.setattr(cluster_submit, "look", look)
    assert cluster_submit.wait(run, 2, 0.01) == 0
    assert run.record.attempts == ()


def test_the_newest_run_is_meant_unless_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a run, found no run"):
        cluster.load(tmp_path, None)
    for number, name in enumerate(("finetune-001", "train-001")):
        run = a_run(tmp_path / "data" / "work" / "cluster" / name, {"a": script("pass")})
        run.code.mkdir(exist_ok=True)
        os.utime(run.code, (number, number))
        os.utime(run.folder / "run.json", (9 - number, 9 - number))  # the older one has been tried again since
    assert cluster.load(tmp_path, None).folder.name == "train-001"
    assert cluster.load(tmp_path, "finetune-001").folder.name == "finetune-001"
    with pytest.raises(InputError, match="expected finetune-001 or train-001, found no run finetune-009"):
        cluster.load(tmp_path, "finetune-009")


# Planning


def test_the_project_s_own_package_is_frozen_whatever_runs(tmp_path: Path) -> None:
    for name in ("src/attune", "stages"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "src/attune/__init__.py").write_text("# this checkout's\n")
    (tmp_path / "params.yaml").write_text("engagement: {}\n")
    folder = cluster._freeze(tmp_path, "train")
    assert (folder / "code/src/attune/__init__.py").read_text() == "# this checkout's\n"
    (tmp_path / "src/attune/__init__.py").unlink()
    (tmp_path / "src/attune").rmdir()
    installed = cluster._freeze(tmp_path, "train") / "code/src/attune/cluster.py"
    assert installed.read_bytes() == Path(cluster.__file__).read_bytes()


def test_a_run_is_frozen_and_planned_with_the_commands_of_the_pipeline(project: Project) -> None:
    run = cluster.plan_search(project.folder, LOCAL, 3)
    assert run.record.items == tuple(map(str, range(9)))
    assert run.record.work == "data/work/finetune_search"
    assert run.record.commands["rows"][:3] == (
        "python",
        "stages/engagement/run_finetune_search.py",
        str(run.folder / "plan.csv"),
    )
    assert (run.code / "data").resolve() == project.folder / "data"
    assert not list(run.code.rglob("dvc.yaml"))
    assert cluster.settings_in(run.code) == 3
    assert cluster.settings_in(project.folder) == 1
    assert not (project.folder / "data" / "work" / "finetune_search").exists()  # the plan of the stage is left alone
    assert run.command(("4", "7"))[-2:] == ("--rows", "4,7")


def test_programming_goes_on_without_touching_a_run(project: Project) -> None:
    run = cluster.plan_search(project.folder, LOCAL, None)
    before = contents(run.code / "stages")
    script_file = project.folder / "stages" / "engagement" / "train.py"
    text = script_file.read_text()
    script_file.write_text("broken")
    try:
        assert contents(run.code / "stages") == before
    finally:
        script_file.write_text(text)


def test_a_training_has_a_process_for_every_graphics_processor(project: Project) -> None:
    run = cluster.plan_training(project.folder, Resources(executor="local", gpus=4), [])
    command = run.record.commands["play-looking"]
    assert command[:6] == (
        "python",
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=4",
        "stages/engagement/train.py",
    )
    assert command[-1] == "--fit-only"
    with pytest.raises(InputError, match="expected play-looking, found play-waving"):
        cluster.plan_training(project.folder, LOCAL, ["play-waving"])


def test_a_pipeline_without_the_stage_is_refused(project: Project, tmp_path: Path) -> None:
    other = cluster_project.copy(project, tmp_path / "other")
    (other.folder / "dvc.yaml").write_text("stages: {}\n")
    with pytest.raises(InputError, match="plan, run and unify"):
        cluster.plan_search(other.folder, LOCAL, None)
    with pytest.raises(InputError, match=r"expected a stage for each model, found none"):
        cluster.plan_training(other.folder, LOCAL, [])


@pytest.mark.endurance
def test_a_search_in_jobs_equals_the_stage_and_the_stage_finds_it_done(project: Project, tmp_path: Path) -> None:
    here = cluster_project.copy(project, tmp_path / "here")
    there = cluster_project.copy(project, tmp_path / "there")
    said = there.run("attune", "cluster", "finetune", "--executor", "local", "--shards", "2").stdout
    assert "6 of 6 to do" in said and "2 job(s) submitted" in said
    assert "of 6 done" in there.run("attune", "cluster", "status").stdout
    said = there.run("attune", "cluster", "wait", "--pause", "0.3").stdout
    assert "0 submitted again" in said and "finds all rows done" in said
    expected = here.search()
    assert contents(there.folder / "data" / "work" / "cluster" / "finetune-001" / "results") == expected
    times = {path: path.stat().st_mtime_ns for path in there.rows.glob("*/result.json")}
    assert len(times) == 6
    shutil.rmtree(there.folder / "data" / "work" / "activations")
    assert there.search() == expected
    assert {path: path.stat().st_mtime_ns for path in there.rows.glob("*/result.json")} == times
    assert not (there.folder / "data" / "work" / "activations").exists()  # nothing was computed
    assert "0 of 6 to do" in there.run("attune", "cluster", "finetune", "--executor", "local").stdout


@pytest.mark.endurance
def test_a_training_in_a_job_is_taken_up_by_the_stage(project: Project, tmp_path: Path) -> None:
    here = cluster_project.copy(project, tmp_path / "here")
    there = cluster_project.copy(project, tmp_path / "there")
    there.run("attune", "cluster", "train", "--executor", "local", "--wait")
    assert not list((there.folder / "models").iterdir()) and not (there.folder / "data" / "training").exists()
    kept = there.folder / "data" / "work" / "train" / "play-looking" / "checkpoint.safetensors"
    assert kept.is_file()
    for one in (here, there):
        one.run("dvc", "repro", "--quiet", "train@play-looking")
    assert not kept.exists()
    assert contents(there.folder / "models") == contents(here.folder / "models")
    scores = [json.loads((one.folder / "data/training/play-looking/scores.json").read_text()) for one in (here, there)]
    assert scores[0] == scores[1]
