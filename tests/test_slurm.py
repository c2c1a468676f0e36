"""A search on a real SLURM cluster of one node, with a kill, a pre-emption and a node that goes and comes back."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from attune.learning import finetune_search
from tests import cluster_project
from tests.cluster_project import Project, contents

pytestmark = pytest.mark.slurm

SCRIPT = Path(__file__).parent / "slurm" / "single-node.sh"
SETTINGS = 12
ROWS = 3 * SETTINGS


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of the one node."""
    needed = ("slurmctld", "slurmd", "munged", "sbatch")
    if absent := [name for name in needed if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")]:
        pytest.skip(f"not installed: {', '.join(absent)} (Debian: slurm-wlm, munge)")
    if os.geteuid():
        pytest.skip("only root can start SLURM's daemons")
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run([SCRIPT, "start", folder], check=True, stdout=subprocess.DEVNULL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        try:
            yield call("sinfo", "--noheader", "--format=%n").strip()
            subprocess.run(["scancel", "--me"], check=False)
            until(lambda: not tasks())
        finally:
            subprocess.run([SCRIPT, "stop", folder], check=True)


def call(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def queue() -> dict[str, str]:
    lines = call("squeue", "--noheader", "--array", "--format=%i %T").splitlines()
    return dict(line.split(maxsplit=1) for line in lines)


def node_state() -> str:
    return call("sinfo", "--noheader", "--format=%T").strip()


def running() -> list[str]:
    return sorted(name for name, state in queue().items() if state == "RUNNING")


def until(condition: Callable[[], object], seconds: float = 600, pause_s: float = 0.2) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, queue()
        time.sleep(pause_s)


def hurry() -> None:
    """Let requeued jobs begin now; SLURM holds them back for two minutes."""
    for name, state in queue().items():
        if state == "PENDING":
            subprocess.run(["scontrol", "update", f"JobId={name}", "StartTime=now"], capture_output=True, check=False)


def tasks() -> dict[str, int]:
    """The processes of tasks on the node (submitit's, whose children are the stage scripts), by their jobs."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_text().split("\0")
            variables = (folder / "environ").read_text().split("\0")
        except OSError:
            continue
        values = dict(variable.split("=", 1) for variable in variables if "=" in variable)
        if "submitit.core._submit" in command and "SLURM_PROCID" in values and Path(command[0]).name != "srun":
            job = values.get("SLURM_ARRAY_JOB_ID"), values.get("SLURM_ARRAY_TASK_ID")
            found["_".join(map(str, job)) if all(job) else values["SLURM_JOB_ID"]] = int(folder.name)
    return found


def test_a_search_with_three_failures_equals_the_local_one(slurm: str, tmp_path: Path) -> None:
    here = cluster_project.make(tmp_path / "here", finetune_search__settings=SETTINGS)
    there = cluster_project.copy(here, tmp_path / "there", finetune_search__settings=1)
    options = ["--settings", str(SETTINGS), "--shards", "4", "--partition", "main", "--time", "30"]
    assert f"{ROWS} of {ROWS} to do" in there.run("attune", "cluster", "finetune", *options).stdout
    logs = there.folder / "data" / "work" / "cluster" / "finetune-001" / "logs"
    waiting = watch(there)
    try:
        until(lambda: done(there) >= 2)

        until(lambda: running() and running()[0] in tasks())
        killed = running()[0]  # nobody tells SLURM to try again: the waiting command has to
        os.kill(tasks()[killed], signal.SIGKILL)
        until(lambda: killed not in queue())

        until(lambda: running() and checkpoints(there))
        interrupted = running()[0]  # the signal that SLURM sends before it takes a node away, or time is over
        # Not waited for: once the job is on its way back into the queue, scancel tries again and again.
        signalling = subprocess.Popen(["scancel", "--signal=USR2", interrupted], stderr=subprocess.DEVNULL)
        until(lambda: queue().get(interrupted) == "PENDING")
        signalling.kill()
        signalling.wait()
        assert "Requeued job" in (logs / f"{interrupted}_0_log.out").read_text()
        hurry()

        until(lambda: done(there) >= 8 and running())
        call("scontrol", "update", f"NodeName={slurm}", "State=DRAIN", "Reason=test")
        moved = running()
        for name in moved:  # as an administrator empties a node
            call("scontrol", "requeue", name)
        until(lambda: not running() and not tasks() and node_state() == "drained")
        assert moved and done(there) < ROWS
        hurry()
        time.sleep(3)
        assert set(moved) <= set(queue()) and not running()
        call("scontrol", "update", f"NodeName={slurm}", "State=RESUME")
        until(lambda: hurry() or waiting.poll() is not None, 3000, 2)
        said, wrong = waiting.communicate()
    finally:
        waiting.kill()
    assert waiting.returncode == 0, said + wrong
    assert int(re.search(r"done, (\d+) submitted again", said)[1]) > 0
    assert f"params.yaml asks for 1 settings, this run has {SETTINGS}" in said

    expected = here.search()
    assert contents(there.folder / "data" / "work" / "cluster" / "finetune-001" / "results") == expected
    for result in here.rows.glob("*/result.json"):
        assert (there.rows / result.parent.name / "result.json").read_bytes() == result.read_bytes()


def watch(project: Project) -> subprocess.Popen[str]:
    """`attune cluster wait` in the background."""
    command = [sys.executable, "-c", "from attune.cli import main; main()", "cluster", "wait", "--pause", "1"]
    environment = {**os.environ, "PYTHONPATH": str(cluster_project.ROOT / "src")}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=project.folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def done(project: Project) -> int:
    return len(list(project.rows.glob(f"*/{finetune_search.RESULT}")))


def checkpoints(project: Project) -> int:
    return len(list(project.rows.glob("*/checkpoint.safetensors")))


def test_a_wrong_partition_is_an_error_in_words(slurm: str, tmp_path: Path) -> None:
    project = cluster_project.make(tmp_path / "project", finetune_search__settings=1)
    failed = project.run("attune", "cluster", "finetune", "--partition", "moon", check=False)
    assert failed.returncode == 1
    assert "invalid partition" in failed.stderr and "Traceback" not in failed.stderr
