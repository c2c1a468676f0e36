"""What every stage takes on the demo, each measured by itself.

A clone of the last commit runs its stages one after the other, in the order of their dependencies and as DVC would, but
without DVC, so that hashing is not among what is measured. Processor time (of a stage and its children) and peak memory
(of the largest of its processes) are the kernel's. Run it on an idle machine: beside other work even processor times
were seen to double.

    python benchmarks/bench_stages.py              the whole pipeline, some ten minutes
    python benchmarks/bench_stages.py summarise    until that stage
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import networkx
import numpy as np
from dvc.repo import Repo
from dvc.stage import PipelineStage

PROJECT = Path(__file__).parents[1]
FRAMES = "data/processed/frames"
FRAMES_PER_HOUR = 3600 * 25 / 8


class Cost(NamedTuple):
    """What a stage took."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def main(last: str | None = None) -> None:
    """Run the stages and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "attune"
        subprocess.run(["git", "clone", "--quiet", PROJECT, clone], check=True)
        print(f"{'stage':32}{'s':>8}{'CPU s':>9}{'MB':>7}", flush=True)
        costs = {}
        for stage in in_order(clone):
            costs[stage.name] = cost = run(stage, clone)
            print(f"{stage.name:32}{cost.wall_s:8.1f}{cost.cpu_s:9.1f}{cost.peak_mb:7.0f}", flush=True)
            if stage.name == last:
                break
        wall_s, cpu_s, _ = (sum(column) for column in zip(*costs.values(), strict=True))
        print(f"{'all':32}{wall_s:8.1f}{cpu_s:9.1f}")
        lengths = [len(np.load(path, mmap_mode="r")) / FRAMES_PER_HOUR for path in (clone / FRAMES).glob("*.npy")]
        print(f"{len(lengths)} sessions, {sum(lengths):.2f} hours of video")


def in_order(clone: Path) -> Iterator[PipelineStage]:
    """The stages of a pipeline, each after what it depends on."""
    with Repo(str(clone)) as repo:
        for stage in networkx.topological_sort(repo.index.graph.reverse()):
            if isinstance(stage, PipelineStage):
                yield stage


def run(stage: PipelineStage, clone: Path) -> Cost:
    """Run the commands of a stage as DVC does.

    Raises:
        RuntimeError: a command failed.
    """
    paths = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(clone / "src")}
    commands = stage.cmd if isinstance(stage.cmd, list) else [stage.cmd]
    start, cpu_s, peak_kb = time.perf_counter(), 0.0, 0
    for command in commands:
        shell = ["sh", "-c", command]
        process = subprocess.Popen(shell, cwd=stage.wdir, env=os.environ | paths, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        if status:
            raise RuntimeError(f"{stage.name} failed: {command}")
        cpu_s += used.ru_utime + used.ru_stime
        peak_kb = max(peak_kb, used.ru_maxrss)
    return Cost(time.perf_counter() - start, cpu_s, peak_kb * 1024 / 1e6)


if __name__ == "__main__":
    main(*sys.argv[1:])
