"""The commands ``attune cluster ...``: searches and trainings on SLURM, or as processes of this machine."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from attune.cluster import Resources, Run
    from attune.cluster_submit import State

app = typer.Typer(no_args_is_help=True, help="Run searches and trainings on a SLURM cluster, or side by side here.")


class Executor(StrEnum):
    """Who runs tasks."""

    slurm = "slurm"
    local = "local"


Who = Annotated[Executor, typer.Option(help="slurm, or local: processes of this machine.")]
Partition = Annotated[str | None, typer.Option(help="SLURM's partition; its default unless given.")]
Account = Annotated[str | None, typer.Option(help="SLURM's account.")]
Cpus = Annotated[int, typer.Option(min=1, help="Cores of a task; without GPU as many rows run side by side.")]
Memory = Annotated[float | None, typer.Option(min=0.1, help="Memory of a task in GB.")]
Time = Annotated[int, typer.Option(min=1, help="Minutes until a task is interrupted and goes on in its next turn.")]
AtOnce = Annotated[int, typer.Option(min=1, help="Tasks that run at once.")]
Python = Annotated[str | None, typer.Option(help="Python on a node: 'apptainer exec --nv attune.sif python'.")]
Wait = Annotated[bool, typer.Option("--wait", help="Stay until it is done, as `attune cluster wait` does.")]
Name = Annotated[str | None, typer.Argument(help="A run such as finetune-001; the newest unless given.")]


@app.command()
def finetune(
    settings: Annotated[int | None, typer.Option(min=1, help="Settings to draw, instead of params.yaml's.")] = None,
    shards: Annotated[
        int | None, typer.Option(min=1, help="Tasks that share the rows; one per row if not given.")
    ] = None,
    executor: Who = Executor.slurm,
    partition: Partition = None,
    account: Account = None,
    gpus: Annotated[int, typer.Option(min=0, max=1, help="GPUs of a task; a row uses one.")] = 0,
    cpus: Cpus = 1,
    memory: Memory = None,
    time: Time = 240,
    at_once: AtOnce = 256,
    python: Python = None,
    wait: Wait = False,
) -> None:
    """Submit the rows of the fine-tuning search that have no result yet."""
    from attune import cluster  # imported here so that the other commands start fast

    resources = cluster.Resources(
        executor=executor.value, partition=partition, account=account, gpus=gpus, cpus=cpus, memory_gb=memory,
        minutes=time, at_once=at_once, python=python,
    )  # fmt: skip
    _submit(resources, lambda: cluster.plan_search(Path.cwd(), resources, settings), shards, wait)


@app.command()
def train(
    models: Annotated[list[str] | None, typer.Argument(help="<task>-<variable>; all models unless given.")] = None,
    executor: Who = Executor.slurm,
    partition: Partition = None,
    account: Account = None,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs of a model; several share each batch.")] = 0,
    cpus: Cpus = 1,
    memory: Memory = None,
    time: Time = 240,
    at_once: AtOnce = 256,
    python: Python = None,
    wait: Wait = False,
) -> None:
    """Submit the fine-tuning of the final models, one job each; `dvc repro` then tests them and writes the results."""
    from attune import cluster

    resources = cluster.Resources(
        executor=executor.value, partition=partition, account=account, gpus=gpus, cpus=cpus, memory_gb=memory,
        minutes=time, at_once=at_once, python=python,
    )  # fmt: skip
    _submit(resources, lambda: cluster.plan_training(Path.cwd(), resources, models or ()), None, wait)


@app.command()
def status(name: Name = None) -> None:
    """Say how far a run is; changes nothing."""
    from attune import cluster, cluster_submit

    run = cluster.load(Path.cwd(), name)
    state = cluster_submit.look(run)
    _tell(run, state)
    for job, said in state.living.items():
        print(f"  job {job}: {said}")
    for item in state.lost[:10]:
        print(f"  lost: {item}, log {cluster_submit.log_of(run, item) or 'of the cluster'}")
    if state.lost:
        print("`attune cluster wait` submits what was lost again.")


@app.command("wait")
def wait_for(
    name: Name = None,
    tries: Annotated[int, typer.Option(min=1, help="How often an item is submitted at most.")] = 3,
    pause: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks at the queue.")] = 10,
) -> None:
    """Wait for a run, submit again what was lost, and gather the results of a search."""
    from attune import cluster

    _wait(cluster.load(Path.cwd(), name), tries, pause)


def _submit(resources: "Resources", plan: "Callable[[], Run]", shards: int | None, wait: bool) -> None:
    from attune import cluster_submit

    cluster_submit.check(resources)
    run = plan()
    run.write()
    missing = run.missing()
    print(f"{run.folder.name}: {len(missing)} of {len(run.record.items)} to do, {run.folder}")
    if missing:
        jobs = cluster_submit.submit(run, missing, shards or cluster_submit.tasks_for(run, missing))
        print(f"{len(jobs)} job(s) submitted: {jobs[0]}{f' to {jobs[-1]}' if len(jobs) > 1 else ''}")
    if wait or not missing:
        _wait(run, 3, 10)
    else:
        print(f"Next: attune cluster status {run.folder.name}, attune cluster wait {run.folder.name}")


def _wait(run: "Run", tries: int, pause_s: float) -> None:
    from attune import cluster, cluster_submit

    again = cluster_submit.wait(run, tries, pause_s, lambda state: _tell(run, state))
    print(f"{run.folder.name}: done, {again} submitted again")
    if run.record.kind == "train":
        print("Next: `dvc repro` tests the models and writes their files.")
        return
    run.unify()
    print(f"The tables and figures of this run: {run.results}")
    searched, asked = cluster.settings_in(run.code), cluster.settings_in(Path.cwd())
    if searched == asked:
        print("Next: `dvc repro finetune_search` finds all rows done and gathers them.")
    else:
        print(f"params.yaml asks for {asked} settings, this run has {searched}. To gather them all, write")
        print(f"engagement.finetune_search.settings: {searched} into params.yaml, then `dvc repro finetune_search`.")


def _tell(run: "Run", state: "State") -> None:
    total = len(run.record.items)
    print(
        f"{run.folder.name}: {total - len(state.missing)} of {total} done, {len(state.living)} job(s) in the queue, "
        f"{len(state.lost)} lost",
        flush=True,
    )
