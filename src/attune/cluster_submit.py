"""Submitting the items of a run as jobs, seeing which jobs live, and submitting anew what was lost.

Submitit writes the job array and requeues tasks that are pre-empted or out of time. What it cannot see without an
accounting database is asked here: a job lives while SLURM's queue lists it, or its process is there. An item is lost
if it has no result and no living job; whether that was a kill, a node that broke or an error, only a new attempt tells.
"""

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attune.cluster import Resources, Run
from attune.cluster_task import Task
from attune.problems import InputError, Problem

MOST_TASKS = 1000  # of an array, as SLURM is usually configured
TIMEOUTS = 1000  # times that a task may use up its time; it goes on after its last epoch
WARNING_S = 60  # between the signal and the end of a task's time
LOG_LINES = 4
HELD = "launch failed requeued held"  # what SLURM says of a job that it will not start by itself any more


class SilentError(InputError):
    """SLURM does not answer; jobs live on meanwhile."""


@dataclass(frozen=True)
class State:
    """How far a run is.

    Attributes:
        missing: items without a result.
        living: job to its state in the queue.
        lost: items without result and without a living job.
    """

    missing: list[str]
    living: dict[str, str]
    lost: list[str]


def check(resources: Resources) -> None:
    """Refuse an executor that is not there.

    Raises:
        InputError: SLURM's commands are missing.
    """
    if resources.executor == "slurm" and not (shutil.which("sbatch") and shutil.which("srun")):
        cure = "Submit from a machine of the cluster, or run on this one: --executor local."
        raise InputError(Problem("attune cluster", "--executor", "no sbatch on this machine", "SLURM", cure))


def tasks_for(run: Run, items: Sequence[str]) -> int:
    """How many tasks share items unless somebody says: one for each on a cluster, one per core here."""
    if run.record.resources.executor == "slurm":
        return len(items)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def submit(run: Run, items: Sequence[str], tasks: int) -> list[str]:
    """Submit items as one job array and note it in the run.

    Args:
        run: the run.
        items: not yet worked off.
        tasks: how many jobs share them; item i goes to job i modulo ``tasks``.

    Returns:
        The jobs.

    Raises:
        InputError: the cluster refuses.
    """
    tasks = min(tasks, len(items), MOST_TASKS) if run.record.kind == "finetune" else len(items)
    shares = [tuple(items[number::tasks]) for number in range(tasks)]
    executor = _executor(run)
    work = [Task(run.command(share), run.folder, share) for share in shares]
    with _package_of(run):
        try:
            jobs = executor.submit_array(work)
        except Exception as error:  # submitit raises what the cluster's command line says as its own errors
            found = " ".join(str(error).split()) or type(error).__name__
            cure = "Correct the option; `sinfo` lists partitions and their limits."
            raise InputError(Problem("sbatch", "", found, "an accepted job", cure)) from None
    ids = [str(job.job_id) for job in jobs]
    run.submitted(dict(zip(ids, shares, strict=True)))
    return ids


def look(run: Run) -> State:
    """How far a run is.

    Raises:
        SilentError: SLURM does not answer.
    """
    jobs = [name for attempt in run.record.attempts for name in attempt]
    listed = _queue() if run.record.resources.executor == "slurm" else _processes(run, jobs)
    living = {name: listed[name] for name in jobs if name in listed}  # before results: what ends in between is found
    missing = run.missing()
    held = {
        item for attempt in run.record.attempts for name, items in attempt.items() if name in living for item in items
    }
    return State(missing, living, [item for item in missing if item not in held])


def wait(run: Run, tries: int, pause_s: float, on_change: Callable[[State], object] = lambda _: None) -> int:
    """Wait until every item has its result, submitting anew what was lost.

    Args:
        run: the run.
        tries: how often an item is submitted at most.
        pause_s: between two looks.
        on_change: called when the state has changed.

    Returns:
        How many items were submitted anew.

    Raises:
        InputError: items were lost as often as that, and the end of a log is shown; or SLURM does not answer at all.
    """
    before: State | None = None
    again = 0
    while True:
        try:
            state = look(run)
        except SilentError:  # a controller that is restarted
            if before is None:
                raise
            time.sleep(pause_s)
            continue
        _release(state)
        if state != before:
            on_change(state)
        if not state.missing:
            return again
        # A disk that several machines share shows new files late: what is lost must be so at two looks.
        lost = [item for item in state.lost if before and item in before.lost]
        if lost:
            given_up = [item for item in lost if _submissions(run, item) >= tries]
            if given_up:
                raise InputError(_given_up(run, given_up, tries))
            submit(run, lost, _tasks_before(run, lost))
            again += len(lost)
        before = state
        time.sleep(pause_s)


def _release(state: State) -> None:
    """Let jobs begin again whose node broke while they were started; SLURM holds them back for ever."""
    for name in [name for name, said in state.living.items() if HELD in said]:
        subprocess.run(["scontrol", "release", name], capture_output=True, check=False)


def log_of(run: Run, item: str) -> Path | None:
    """The error log of the last job that had an item, if there is one."""
    jobs = [name for attempt in run.record.attempts for name, items in attempt.items() if item in items]
    path = run.folder / "logs" / f"{jobs[-1]}_0_log.err" if jobs else None
    return path if path and path.is_file() else None


def _submissions(run: Run, item: str) -> int:
    return sum(item in items for attempt in run.record.attempts for items in attempt.values())


def _tasks_before(run: Run, items: Sequence[str]) -> int:
    """As many tasks as the lost items belonged to."""
    last: dict[str, str] = {}
    for attempt in run.record.attempts:
        last |= {item: name for name, held in attempt.items() for item in held}
    return len({last.get(item) for item in items})


def _given_up(run: Run, items: Sequence[str], tries: int) -> Problem:
    log = log_of(run, items[0])
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()] if log else []
    said = [line for line in lines if line.startswith("error:")] or lines[-LOG_LINES:]
    which, end = ",".join(items[:10]), " ".join(said[-LOG_LINES:])
    found = f"{len(items)} without a result after {tries} attempt(s) ({which}): {end}"
    cure = f"The log is {log}." if log else "Look at the cluster's own log."
    return Problem(run.folder.name, "", found, "the results of all items", cure)


def _executor(run: Run) -> Any:
    import submitit  # imported here so that the other commands start fast

    asked = run.record.resources
    executor = submitit.AutoExecutor(
        run.folder / "logs",
        cluster=asked.executor,
        slurm_python=asked.python,
        slurm_max_num_timeout=TIMEOUTS,
        local_max_num_timeout=TIMEOUTS,
    )
    wanted = {
        "name": f"attune-{run.folder.name}",
        "timeout_min": asked.minutes,
        "cpus_per_task": asked.cpus,
        "gpus_per_node": asked.gpus or None,
        "mem_gb": asked.memory_gb,
        "slurm_partition": asked.partition,
        "slurm_account": asked.account,
        "slurm_array_parallelism": asked.at_once,
        "slurm_signal_delay_s": WARNING_S,
        "slurm_setup": [f"export PYTHONPATH={shlex.quote(str(run.code / 'src'))}"],
        "slurm_additional_parameters": {"requeue": True},
    }
    executor.update_parameters(**{name: value for name, value in wanted.items() if value is not None})
    return executor


@contextmanager
def _package_of(run: Run) -> Iterator[None]:
    """Let processes that are started meanwhile import the frozen package."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(run.code / "src")
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _queue() -> dict[str, str]:
    """Jobs of this user in SLURM's queue with state and reason; each task of an array on its own."""
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i|%T|%r"]
    try:
        text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError) as error:
        found = (getattr(error, "stderr", "") or str(error)).strip()
        cure = "Look with `sinfo` whether the controller is up."
        raise SilentError(Problem("squeue", "", found, "the list of jobs", cure)) from None
    fields = [line.split("|") for line in text.splitlines() if line.count("|") == 2]
    return {
        name: state if reason in ("None", "Priority", "Resources") else f"{state} ({reason})"
        for name, state, reason in fields
    }


def _processes(run: Run, jobs: Sequence[str]) -> dict[str, str]:
    """Processes of the local executor that are there and belong to this run, not to one that got their number."""
    import psutil

    found = {}
    for name in jobs:
        try:
            line = psutil.Process(int(name)).cmdline()
        except (psutil.Error, ValueError):  # gone, a zombie, or somebody else's
            continue
        if any(str(run.folder) in part for part in line):
            found[name] = "RUNNING"
    return found
