"""Queueing variants, in part with the real dvc on a project of one stage."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from attune import params, queue
from attune.problems import InputError

PARAMS = """\
engagement:
  queue:
    train:
      seed: 3
      space:
        train.rate: {log_uniform: [1.0e-6, 1.0e-3]}
        train.kind: {choice: ["no", "it's"]}
        train.weights: {choice: [true]}
train:
  rate: 0.1  # kept
  kind: plain
  weights: false
"""
STAGE = """\
import json, pathlib
from ruamel.yaml import YAML
settings = YAML(typ="safe", pure=True).load(pathlib.Path("params.yaml").read_text())["train"]
pathlib.Path("seen.json").write_text(json.dumps(settings))
"""
PIPELINE = """\
stages:
  train:
    cmd: python stage.py
    params: [train]
    deps: [stage.py]
    outs: [{seen.json: {cache: false}}]
metrics: [seen.json]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in (("params.yaml", PARAMS), ("stage.py", STAGE), ("dvc.yaml", PIPELINE)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def repository(project: Path) -> Path:
    run(project, "git", "init", "--quiet")
    run(project, "dvc", "init", "--quiet")
    run(project, "git", "add", "--all")
    run(project, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "-m", "start")
    return project


def run(folder: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    identity = {f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    result = subprocess.run(
        [sys.executable, "-c", "from attune.cli import main; main()", *command[1:]]
        if command[0] == "attune"
        else command,
        cwd=folder,
        env={**os.environ, **identity, "PATH": path, "DVC_NO_ANALYTICS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result


def test_a_variant_is_the_same_whatever_their_number(project: Path) -> None:
    config = params.load("engagement.queue.train", queue.QueueConfig, project / "params.yaml")
    few, many = queue.draw("train", config, 2), queue.draw("train", config, 9)
    assert many[:2] == few
    assert len({variant.name for variant in many}) == 9
    assert all(re.fullmatch(r"train-00\d-[0-9a-f]{6}", variant.name) for variant in many)


def test_other_values_have_another_name(project: Path) -> None:
    config = params.load("engagement.queue.train", queue.QueueConfig, project / "params.yaml")
    other = config.model_copy(update={"seed": 4})
    assert queue.draw("train", config, 1)[0].name != queue.draw("train", other, 1)[0].name


def test_no_settings_to_vary_are_refused(project: Path) -> None:
    (project / "params.yaml").write_text("engagement: {queue: {train: {space: {}}}}", encoding="utf-8")
    with pytest.raises(InputError, match=r"engagement\.queue\.train\.space"):
        params.load("engagement.queue.train", queue.QueueConfig, project / "params.yaml")


def test_an_unknown_target_names_those_that_exist(project: Path) -> None:
    result = run(project, "attune", "queue", "pudding", "--settings", "2", check=False)
    assert result.returncode == 1
    assert "found ['train']" in result.stderr
    assert "Traceback" not in result.stderr


def test_outside_a_repository_one_message(project: Path) -> None:
    result = run(project, "attune", "queue", "train", "--settings", "2", check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("error: dvc queue status: ")
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_queue_run_compare_apply(repository: Path) -> None:
    first = run(repository, "attune", "queue", "train", "--settings", "1").stdout
    assert "1 queued, 0 there already" in first
    again = run(repository, "attune", "queue", "train", "--settings", "3").stdout
    assert "2 queued, 1 there already" in again

    run(repository, "dvc", "exp", "run", "--run-all")
    keep = re.search(r"--keep '(.*)'", again)
    assert keep
    shown = run(repository, "dvc", "exp", "show", "--no-pager", "--csv", "--keep", keep.group(1)).stdout
    config = params.load("engagement.queue.train", queue.QueueConfig, repository / "params.yaml")
    variants = queue.draw("train", config, 3)
    assert all(variant.name in shown for variant in variants)
    run(repository, "dvc", "exp", "apply", variants[2].name)
    seen = json.loads((repository / "seen.json").read_text(encoding="utf-8"))
    assert seen == {key.removeprefix("train."): value for key, value in variants[2].settings.items()}
    assert "# kept" in (repository / "params.yaml").read_text(encoding="utf-8")


@pytest.mark.slow
def test_an_unknown_key_queues_nothing(repository: Path) -> None:
    text = (repository / "params.yaml").read_text(encoding="utf-8").replace("train.kind:", "train.pudding:")
    (repository / "params.yaml").write_text(text, encoding="utf-8")
    result = run(repository, "attune", "queue", "train", "--settings", "2", check=False)
    assert result.returncode == 1
    assert "train.pudding" in result.stderr
    assert queue.names(repository) == set()
