"""Queueing variants, in part with the real dvc on a project of one stage."""

import itertools
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from attune import leaderboard, params, queue
from attune.learning import finetune_search, summary
from attune.learning.finetune_search import FinetuneSearchConfig
from attune.problems import InputError

ROOT = Path(__file__).parents[1]

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
assert settings["rate"] < 1, "a rate that cannot work"
pathlib.Path("seen.json").write_text(json.dumps(settings))
metrics = pathlib.Path("metrics/engagement/summary.json")
metrics.parent.mkdir(parents=True, exist_ok=True)
metrics.write_text(json.dumps({"test_f1": settings["rate"], "validation_f1": 1 - settings["rate"]}))
"""
PIPELINE = """\
stages:
  train:
    cmd: python stage.py
    params: [train]
    deps: [stage.py]
    outs: [{seen.json: {cache: false}}, {metrics/engagement/summary.json: {cache: false}}]
metrics: [seen.json, metrics/engagement/summary.json]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in (("params.yaml", PARAMS), ("stage.py", STAGE), ("dvc.yaml", PIPELINE)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def repository(project: Path) -> Path:
    return start(project)


def start(project: Path) -> Path:
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
    assert all(re.fullmatch(r"train-00\d-[0-9a-f]{8}", variant.name) for variant in many)


@pytest.mark.parametrize("target", ["head", "train"])
def test_twenty_settings_are_twenty_different_ones(target: str) -> None:
    config = params.load(f"engagement.queue.{target}", queue.QueueConfig, ROOT / "params.yaml")
    variants = queue.draw(target, config, 20)
    assert len({json.dumps(variant.settings, sort_keys=True) for variant in variants}) == 20


def test_a_space_that_holds_fewer_gives_each_once() -> None:
    config = queue.QueueConfig.model_validate({"space": {"a": {"choice": [1, 2]}, "b": {"choice": [True, False]}}})
    variants = queue.draw("head", config, 10)
    assert len({json.dumps(variant.settings) for variant in variants}) == len(variants) == 4


def test_equal_settings_are_the_same_whatever_their_index() -> None:
    there = {"head-002-0123abcd", "train-001-00000000", "mine"}
    assert queue.same("head-000-0123abcd", there) == "head-002-0123abcd"
    assert queue.same("train-000-0123abcd", there) is None


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
    assert "expected head or finetune or train" in result.stderr
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
    run(repository, "dvc", "exp", "run", "--queue", "--name", "train-999-broken", "-S", "train.rate=2.0")

    run(repository, "dvc", "exp", "run", "--run-all", check=False)  # the broken one does not stop the others
    config = params.load("engagement.queue.train", queue.QueueConfig, repository / "params.yaml")
    variants = queue.draw("train", config, 3)
    entries = leaderboard.read(repository, "train")
    best_first = sorted(variants, key=lambda variant: float(variant.settings["train.rate"]))  # validation is 1 - rate
    assert [entry.name for entry in entries] == [*(variant.name for variant in best_first), "train-999-broken"]
    assert entries[0].settings == best_first[0].settings
    assert [entry.state for entry in entries] == ["success"] * 3 + ["failed"]
    printed = run(repository, "attune", "leaderboard", "--top", "1").stdout
    assert f"1. {1 - float(best_first[0].settings['train.rate']):.4f}  {best_first[0].name}" in printed
    assert best_first[1].name not in printed
    assert "failed  train-999-broken  (dvc queue logs train-999-broken)" in printed
    assert "a rate that cannot work" in run(repository, "dvc", "queue", "logs", "train-999-broken").stdout
    run(repository, "dvc", "exp", "apply", variants[2].name)
    seen = json.loads((repository / "seen.json").read_text(encoding="utf-8"))
    assert seen == {key.removeprefix("train."): value for key, value in variants[2].settings.items()}
    assert "# kept" in (repository / "params.yaml").read_text(encoding="utf-8")


def ranking(monkeypatch: pytest.MonkeyPatch, experiments: list[dict[str, Any]]) -> list[str]:
    """What the leaderboard says of models of these scores, through the summary that experiments are compared by."""
    shown = [
        {
            "name": f"train-{number:03d}-{'0' * 8}",
            "revs": [
                {
                    "rev": str(number),
                    "data": {"metrics": {queue.TARGETS["train"].file: {"data": summary.headline([model])}}},
                }
            ],
        }
        for number, model in enumerate(experiments)
    ]
    monkeypatch.setattr(queue, "run_dvc", lambda *_: json.dumps([{"experiments": shown}]))
    return [entry.name for entry in leaderboard.read(Path(), "train")]


def test_the_test_fold_has_no_part_in_the_ranking(monkeypatch: pytest.MonkeyPatch) -> None:
    def model(validation: float, test: float) -> dict[str, Any]:
        metrics = {name: {"value": test, "low": test, "high": test} for name in ("f1", "balanced_accuracy")}
        scores = {"model": metrics, "human": metrics, "chance": {"f1": test / 2, "balanced_accuracy": 0.5}}
        validated = {"smoothed_f1": validation, "f1": validation, "head_f1": validation}
        return {"task": "people", "variable": "attending", "validation": validated, "test": scores}

    validations = [0.4, 0.9, 0.6, 0.7]
    rankings = [
        ranking(monkeypatch, [model(*pair) for pair in zip(validations, tests, strict=True)])
        for tests in itertools.permutations([0.1, 0.3, 0.8, 0.99])
    ]
    assert all(each == rankings[0] for each in rankings)
    assert [name.split("-")[1] for name in rankings[0]] == ["001", "003", "002", "000"]


@pytest.mark.endurance
def test_two_workers_and_one_experiment_that_fails(repository: Path) -> None:
    run(repository, "attune", "queue", "train", "--settings", "3")
    run(repository, "dvc", "exp", "run", "--queue", "--name", "train-999-broken", "-S", "train.rate=2.0")
    run(repository, "dvc", "queue", "start", "--jobs", "2")
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        states = [entry.state for entry in leaderboard.read(repository, "train")]
        if not {"queued", "running"} & {state.lower() for state in states}:
            break
        time.sleep(2)
    assert states == ["success"] * 3 + ["failed"]
    assert "a rate that cannot work" in run(repository, "dvc", "queue", "logs", "train-999-broken").stdout


GATHERED = """\
import json, pathlib
from ruamel.yaml import YAML
settings = YAML(typ="safe", pure=True).load(pathlib.Path("params.yaml").read_text())
first = settings["engagement"]["finetune_search"]["first"]
out = pathlib.Path("data/processed/finetune_search")
out.mkdir(parents=True, exist_ok=True)
name = f"{first:032x}"
(out / "results.json").write_text(json.dumps({name: {"hash": name, "score": 0.5 + first}}))
(out / "validation.json").write_text(json.dumps({"finetune_search_f1": 0.5 + first}))
"""


@pytest.mark.slow
def test_rows_of_experiments_are_gathered_through_dvc(project: Path) -> None:
    (project / "params.yaml").write_text("engagement: {finetune_search: {first: 0}}\n")
    (project / "stage.py").write_text(GATHERED)
    (project / "dvc.yaml").write_text(
        "stages: {finetune_search: {cmd: python stage.py, params: [engagement.finetune_search], deps: [stage.py],"
        " outs: [data/processed/finetune_search]}}\nmetrics: [data/processed/finetune_search/validation.json]\n"
    )
    start(project)
    for index in (1, 2):
        setting = f"engagement.finetune_search.first={index}"
        run(project, "dvc", "exp", "run", "--name", f"finetune-{index:03d}-{'0' * 8}", "-S", setting)
    assert "2 row(s) of 2 experiment(s) are new" in run(project, "attune", "gather").stdout
    for index in (1, 2):
        row = finetune_search.read_result(project / "data/work/finetune_search", f"{index:032x}")
        assert row == {"hash": f"{index:032x}", "score": 0.5 + index}
    assert "0 row(s) of 2" in run(project, "attune", "gather").stdout


def test_the_parts_of_a_search_are_the_settings_that_it_would_draw() -> None:
    config = params.load("engagement.finetune_search", FinetuneSearchConfig, ROOT / "params.yaml")
    whole = finetune_search.plan(config, [0, 1], None, {str(target): None for target in config.targets})
    hashes = []
    for variant in queue.draw_parts(config, config.settings):
        part = {key.rpartition(".")[2]: value for key, value in variant.settings.items()}
        rows = finetune_search.plan(
            config.model_copy(update=part), [0, 1], None, {str(target): None for target in config.targets}
        )
        hashes += rows["hash"].tolist()
    assert hashes == whole["hash"].tolist()


def test_gathered_rows_are_taken_over_once(tmp_path: Path) -> None:
    hashed = "0" * 32
    content = json.dumps({hashed: {"hash": hashed, "score": 0.5}, "../../etc": {"hash": "../../etc"}}).encode()
    assert finetune_search.gather(content, tmp_path) == 1
    assert finetune_search.gather(content, tmp_path) == 0
    assert finetune_search.read_result(tmp_path, hashed) == {"hash": hashed, "score": 0.5}
    assert [path.name for path in tmp_path.iterdir()] == [hashed]


@pytest.mark.slow
def test_an_unknown_key_queues_nothing(repository: Path) -> None:
    text = (repository / "params.yaml").read_text(encoding="utf-8").replace("train.kind:", "train.pudding:")
    (repository / "params.yaml").write_text(text, encoding="utf-8")
    result = run(repository, "attune", "queue", "train", "--settings", "2", check=False)
    assert result.returncode == 1
    assert "train.pudding" in result.stderr
    assert queue.names(repository) == set()
