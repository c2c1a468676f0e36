"""A tiny project with the pipeline's two stages that go to a cluster, on the tiny lab's data."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from attune import artifacts
from attune.learning import scoring
from tests.learning import tiny

ROOT = Path(__file__).parents[1]
DATA = "data/stratified.csv data/task_spans.csv data/fold_statistics.json data/frames data/baked/training"
PLAN = "data/work/finetune_search/plan.csv"
SCRIPTS = "python stages/engagement/"


@dataclass(frozen=True)
class Project:
    """A project in a temporary folder."""

    folder: Path

    @property
    def rows(self) -> Path:
        return self.folder / "data" / "work" / "finetune_search"

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment in the folder; ``attune`` comes from this source."""
        bin_folder = str(Path(sys.executable).parent)
        environment = {
            **os.environ,
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "src"),
            "DVC_NO_ANALYTICS": "1",
        }
        if command[0] == "attune":
            command = (sys.executable, "-c", "from attune.cli import main; main()", *command[1:])
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def search(self) -> dict[str, bytes]:
        """Run the stage of the search and return its output."""
        self.run("dvc", "repro", "--quiet", "finetune_search")
        return contents(self.folder / "data" / "finetune_search")


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of every file in a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def make(folder: Path, **changes: Any) -> Project:
    """Write a project into a folder; changes are those of :func:`tests.learning.tiny.write_params`."""
    data = folder / "data"
    tiny.make(data)
    tiny.write_winner(data)
    found = {"epochs": 3, "score": 0.5, "score_std": 0.0, "head_score": 0.4, "setting": 0, "runs": 3, "diverged": 0}
    settings = {"learning_rate": 0.002, "decay": 0.01, "weight_decay": 0.0}
    artifacts.write_json(data / "winner.json", settings | found)
    artifacts.write_json(data / "chance.json", {"play": {"looking": {"f1": 0.5}}})
    names = ["variable", "annotator_1", "annotator_2", "task", "labels", *scoring.RELIABILITY]
    rows = [["looking", "all", "all", "play", "binary", "0.9", "0.8", "", "0.95", "0.93"]]
    artifacts.write_table(data / "reliability" / "agreement.csv", pd.DataFrame(rows, columns=names))
    shutil.copytree(ROOT / "stages" / "engagement", folder / "stages" / "engagement")
    tiny.write_params(folder, **changes)
    _write_pipeline(folder)
    project = Project(folder)
    project.run("dvc", "init", "--quiet", "--no-scm")
    return project


def copy(project: Project, folder: Path, **changes: Any) -> Project:
    """The same project somewhere else, without results."""
    shutil.copytree(project.folder, folder, ignore=shutil.ignore_patterns("work", "cache", "tmp", "finetune_search"))
    (folder / "params.yaml").unlink()
    tiny.write_params(folder, **changes)
    return Project(folder)


def _write_pipeline(folder: Path) -> None:
    search = [
        f"{SCRIPTS}plan_finetune_search.py {DATA} data/head_search {PLAN}",
        f"{SCRIPTS}run_finetune_search.py {PLAN} {DATA} data/head_search data/work/finetune_search",
        f"{SCRIPTS}unify_finetune_search.py {PLAN} data/work/finetune_search ${{search}}",
    ]
    outs = ["models/${item.task}-${item.variable}.safetensors", "data/training/${item.task}-${item.variable}"]
    others = "data/head_search data/winner.json data/chance.json data/reliability"
    train = f"{SCRIPTS}train.py ${{item.task}} ${{item.variable}} {DATA} {others} {' '.join(outs)} data/work/train"
    sections = [f"engagement.{name}" for name in ("finetune_search", "head_search", "clips", "encoder")]
    stages = {
        "finetune_search": {"cmd": search, "params": sections, "outs": ["${search}"]},
        "train": {
            "matrix": {"task": ["play"], "variable": ["looking"]},
            "cmd": train,
            "params": ["engagement.train"],
            "outs": outs,
        },
    }
    with (folder / "dvc.yaml").open("w", encoding="utf-8") as file:
        YAML().dump({"vars": [{"search": "data/finetune_search"}], "stages": stages}, file)
