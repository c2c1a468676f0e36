"""A project at tiny scale on which the real `dvc` runs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.pipeline.structure import ROOT

COURSE = {"epochs": 2, "clips_per_session": 2, "window": 1, "patience": 2}
TINY: dict[str, Any] = {
    "demo.sessions": 6,
    "demo.task_seconds": [14, 18],
    "demo.pause_seconds": [1, 2],
    "demo.simulated_sessions": 40,
    "engagement.protocol.tasks": ["people"],
    "engagement.protocol.task_corrections": {"peple": "people"},
    "engagement.folds.num_folds": 3,
    "engagement.folds.tries": 2000,
    "engagement.folds.groups": {"experimenter_2": ["fp03", "fp06"]},
    "engagement.reliability.bootstrap": 200,
    "engagement.encoder.input_size": 64,
    "engagement.bake.plain_epochs": 2,
    "engagement.bake.test_clips": 4,
    "engagement.head_search.settings": 3,
    "engagement.head_search.repetitions": 1,
    "engagement.head_search.epochs": 3,
    "engagement.head_search.window": 3,
    "engagement.finetune_search.settings": 1,
    "engagement.finetune_search.targets": [{"task": "people", "variable": "attending"}],
    "engagement.train.head_epochs": 3,
    "engagement.train.head_window": 1,
    "engagement.train.bootstrap.draws": 50,
    "engagement.attribution.methods": ["saliency", "grad_cam"],
    "engagement.attention_quality.faithful_snippets": 1,
    "engagement.attention_quality.sane_snippets": 1,
    "engagement.attention_quality.sane_methods": ["grad_cam"],
    "engagement.attention_quality.smooth_methods": [],
    "engagement.attention_quality.sanity.blocks": 1,
    "engagement.attention_quality.faithfulness.steps": 2,
    "engagement.attention_quality.draws": 100,
    "engagement.attention_similarity.frame.emd_size": 8,
    "engagement.attention_similarity.volume.emd_size": 4,
    "engagement.attention_similarity.bootstrap.draws": 100,
    "engagement.snippets.again": 1,
    **{f"engagement.finetune_search.training.{name}": value for name, value in COURSE.items()},
    **{f"engagement.train.finetuning.{name}": value for name, value in COURSE.items()},
}


@dataclass(frozen=True)
class Project:
    """A git and DVC repository of its own in a temporary folder."""

    folder: Path

    def environment(self) -> dict[str, str]:
        tools = str(Path(sys.executable).parent)
        return {
            **os.environ,
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder / "src"),
            "DVC_NO_ANALYTICS": "1",
        }

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            command, cwd=self.folder, env=self.environment(), capture_output=True, text=True, check=False
        )
        assert not check or result.returncode == 0, result.stdout + result.stderr
        return result

    def set_params(self, values: Mapping[str, Any]) -> None:
        yaml = YAML()
        file = self.folder / "params.yaml"
        document = yaml.load(file)
        for path, value in values.items():
            *parents, key = path.split(".")
            section = document
            for parent in parents:
                section = section[parent]
            section[key] = value
        yaml.dump(document, file)

    def results(self) -> dict[str, bytes]:
        """Bytes of every file that the pipeline made, except those that only speed up the next run."""
        made = [path for top in ("data", "metrics", "plots") for path in (self.folder / top).rglob("*")]
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in sorted(made)
            if path.is_file() and "data/work/" not in path.as_posix()
        }


def make_project(folder: Path) -> Project:
    """Copy the project's files as git knows them, without results, and make a repository of them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if name.startswith(("metrics/", "plots/")) or name == "dvc.lock" or name.endswith("/dvc.lock"):
            continue
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    project = Project(folder)
    project.set_params(TINY)
    project.run("git", "init", "--quiet")
    project.run("git", "add", "--all")
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    project.run("git", *identity, "commit", "--quiet", "--message", "start")
    return project


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A tiny project after one undisturbed `dvc repro`; tests must not change it."""
    project = make_project(tmp_path_factory.mktemp("built"))
    project.run("dvc", "repro")
    return project
