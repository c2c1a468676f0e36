"""The real `dvc repro` on a tiny demo: complete, repeatable, and safe to kill."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from voluptuous import Invalid

from tests.pipeline.conftest import Project
from tests.pipeline.structure import STAGE_NAMES

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("built")]


def test_everything_is_built(built: Project) -> None:
    status = built.run("dvc", "status")
    assert "up to date" in status.stdout
    chance = json.loads((built.folder / "metrics/engagement/chance.json").read_text())
    assert set(chance) == {"people"}
    summary = json.loads((built.folder / "metrics/engagement/summary.json").read_text())
    assert {"test_f1", "people_attending_f1", "people_participating_f1"} <= set(summary)


def test_a_second_run_does_nothing(built: Project) -> None:
    again = built.run("dvc", "repro")
    assert "Running stage" not in again.stdout
    assert "up to date" in again.stdout


def test_metrics_and_plots_read_well(built: Project) -> None:
    shown = json.loads(built.run("dvc", "metrics", "show", "--json").stdout)
    assert "metrics/engagement/chance.json" in shown[""]["data"]


def test_no_absolute_path_in_any_result(built: Project) -> None:
    for name, content in built.results().items():
        if name.endswith((".csv", ".json", ".txt", ".eaf")):
            assert str(built.folder).encode() not in content, name


def test_a_changed_parameter_runs_only_what_reads_it(built: Project, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(built.folder, folder, symlinks=True)
    project = Project(folder)
    project.set_params({"engagement.folds.tries": 1500})
    ran = project.run("dvc", "repro").stdout
    assert "Running stage 'make_folds'" in ran
    assert "Running stage 'extract_spans'" not in ran
    assert "Running stage 'process_videos'" not in ran


# What trains takes seconds to load torch; the moment lies in the work after that.
TORCH = ("bake", "head_search", "finetune_search", "train@people-attending", "rate_clips", "attribute")
MOMENTS = dict.fromkeys((*TORCH, "score_attention"), (6.0, 12.0))
KILLED = [name.replace("train", "train@people-attending") if name == "train" else name for name in STAGE_NAMES]
ALWAYS = {"extract_spans", "process_videos", "finetune_search", "attribute"}  # all would take minutes


@pytest.mark.parametrize(
    "stage", [name if name in ALWAYS else pytest.param(name, marks=pytest.mark.endurance) for name in KILLED]
)
def test_a_killed_stage_leaves_no_trace_in_the_result(stage: str, built: Project, tmp_path: Path) -> None:
    project = Project(tmp_path / "killed")
    shutil.copytree(built.folder, project.folder, symlinks=True)
    shutil.rmtree(project.folder / "data/work")  # what the killed run resumes from is its own
    moment = random.Random(stage)
    kill_in(project, stage, after_s=moment.uniform(*MOMENTS.get(stage, (0.05, 1.5))))
    project.run("dvc", "repro", "--force", "--single-item", stage)  # forced: the run-cache must not help
    project.run("dvc", "repro")
    expected, found = built.results(), project.results()
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []


def kill_in(project: Project, stage: str, after_s: float) -> None:
    """Start `dvc repro` so that this stage runs, and kill the whole process group some time after it began.

    DVC writes dvc.lock in place; if the kill falls into that, the file is taken back as a user does with git (README).
    """
    lock = project.folder / "dvc.lock"
    before = lock.read_bytes()
    process = subprocess.Popen(
        ["dvc", "repro", "--force", "--single-item", stage],
        cwd=project.folder,
        env=project.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    for line in process.stdout:
        if line.startswith("Running stage"):
            break
    time.sleep(after_s)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    if not lock_is_whole(lock):
        lock.write_bytes(before)


def lock_is_whole(lock: Path) -> bool:
    try:
        COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe").load(lock))
    except (YAMLError, Invalid):
        return False
    return True
