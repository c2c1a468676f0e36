import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from attune import artifacts, params
from attune.annotation import folds, spans
from attune.learning import (
    activations,
    encoders,
    finetune_inputs,
    finetune_run,
    finetune_search,
    finetuning,
    pixels,
    search,
    training,
)
from attune.learning.finetune_search import NAMES, FinetuneSearchConfig, Untyped
from attune.learning.head_config import HeadSearchConfig
from attune.problems import InputError
from attune.video import clips, files, recipes
from tests.learning import tiny

ROOT = Path(__file__).parents[2]
DATA = ("stratified.csv", "task_spans.csv", "fold_statistics.json", "frames", "baked/training", "head_search")
FORMS = ("augmentation", "encoder", "pixels", "clips", "video")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search") / "lab"
    tiny.make(folder)
    tiny.write_params(folder)
    tiny.write_winner(folder)
    return folder


@pytest.fixture(scope="module")
def finished(lab):
    """Work folder in which every row of the lab's plan has been run."""
    runner, table, work = runner_of(lab, lab / "work" / "finetune_search")
    done = []
    assert runner.run_all(table.to_dict("records"), 2, lambda: done.append(1)) == []
    assert len(done) == len(table)
    return table, work


@pytest.fixture
def copy(lab, tmp_path):
    """A lab that a test may change; frames are linked."""
    target = tmp_path / "lab"
    shutil.copytree(lab, target, copy_function=os.link, ignore=shutil.ignore_patterns("work"))
    return target


def load(folder, section, model):
    return params.load(f"engagement.{section}", model, folder / "params.yaml")


def inputs_of(folder):
    paths = finetune_inputs.Paths(*(folder / name for name in DATA))
    video = load(folder, "video", files.VideoConfig)
    return finetune_inputs.read(paths, load(folder, "clips", clips.ClipConfig), video)


def plan_of(folder):
    forms = {name: load(folder, name, Untyped) for name in FORMS}
    config = load(folder, "finetune_search", FinetuneSearchConfig)
    return finetune_inputs.plan_rows(inputs_of(folder), config, load(folder, "head_search", HeadSearchConfig), forms)


def runner_of(folder, work):
    inputs = inputs_of(folder)
    config = load(folder, "finetune_search", FinetuneSearchConfig)
    forms = finetuning.Forms(
        load(folder, "encoder", encoders.EncoderConfig),
        inputs.clips,
        inputs.video,
        load(folder, "pixels", pixels.PixelConfig),
        load(folder, "augmentation", recipes.Augmentation),
        inputs.statistics,
    )
    ingredients = finetune_run.Ingredients(
        config,
        forms,
        {"play-looking": inputs.corpus("play", "looking")},
        {"play-looking": inputs.winner("play-looking")},
        load(folder, "head_search", HeadSearchConfig),
        folder / "baked" / "training",
        inputs.folds,
        work,
    )
    return finetune_run.Runner(ingredients), plan_of(folder), work


def result_bytes(work, row):
    return (work / row["hash"] / "result.json").read_bytes()


# Plan


def test_a_plan_has_a_row_per_setting_fold_and_repetition(lab):
    table = plan_of(lab)
    assert list(table) == list(finetune_search.PLAN)
    assert table[["setting", "fold"]].to_numpy().tolist() == [[s, f] for s in (0, 1) for f in (0, 1, 2)]
    assert table["hash"].nunique() == 6
    drawn = search.draw_all(load(lab, "finetune_search", FinetuneSearchConfig).space, 2, 0)
    assert table.groupby("setting")["learning_rate"].first().tolist() == drawn["learning_rate"].tolist()
    assert plan_of(lab).equals(table)


def test_too_little_graphics_memory_for_activations_is_told(lab, tmp_path, monkeypatch):
    def full(*_):
        raise torch.cuda.OutOfMemoryError("no memory")

    monkeypatch.setattr(activations, "run_up_to", full)
    runner, table, _ = runner_of(lab, tmp_path / "work" / "search")
    with pytest.raises(InputError, match="graphics memory: expected more, found no room for 32 frames at once"):
        runner.run(table.to_dict("records")[0])


def test_more_settings_and_repetitions_leave_the_rows_that_were_there(lab, copy):
    before = set(plan_of(lab)["hash"])
    (copy / "params.yaml").unlink()
    tiny.write_params(copy, finetune_search__settings=3, finetune_search__repetitions=2)
    assert before < set(plan_of(copy)["hash"])


@pytest.mark.parametrize(
    "change",
    [
        {"finetune_search__seed": 1},
        {"finetune_search__training__epochs": 4},
        {"encoder__seed": 1},
        {"pixels__normalise": "folds"},
        {"augmentation__flip_share": 0.1},
        {"head_search__batch_size": 9},
    ],
)
def test_every_parameter_that_counts_is_in_the_hash(lab, copy, change):
    (copy / "params.yaml").unlink()
    tiny.write_params(copy, **change)
    assert not set(plan_of(lab)["hash"]) & set(plan_of(copy)["hash"])


@pytest.mark.parametrize(
    "what", ["frames/s01.npy", "baked/training/play/0/test.safetensors", "stratified.csv", "winner"]
)
def test_all_data_that_counts_is_in_the_hash(lab, copy, what):
    if what == "winner":
        path = copy / "head_search" / "play-looking" / "winner.json"
        winner = artifacts.read_json(path)
        artifacts.write_json(path, winner | {"learning_rate": 0.02})
    elif what == "stratified.csv":
        table = artifacts.read_table(copy / what, spans.STRATIFIED)
        table.loc[0, "engaged"] = 1 - table.loc[0, "engaged"]
        artifacts.write_table(copy / what, table)
    else:
        content = bytearray((copy / what).read_bytes())
        content[-1] ^= 1
        (copy / what).unlink()
        (copy / what).write_bytes(content)
    assert not set(plan_of(lab)["hash"]) & set(plan_of(copy)["hash"])


def test_the_order_of_rows_in_tables_is_not(lab, copy):
    table = artifacts.read_table(copy / "stratified.csv", spans.STRATIFIED)
    artifacts.write_table(copy / "stratified.csv", table.iloc[::-1])
    assert plan_of(lab).equals(plan_of(copy))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": []}, "at least 1"),
        ({"targets": [{"task": "play", "variable": "looking"}] * 2}, "every target once"),
        ({"settings": 0}, "greater than or equal to 1"),
        ({"space": {"learning_rate": {"value": 1.0}}}, "a distribution for each of decay, learning_rate, weight_decay"),
        ({"surprise": 1}, "Extra inputs"),
    ],
)
def test_a_bad_search_is_refused(lab, change, message):
    config = load(lab, "finetune_search", FinetuneSearchConfig).model_dump(exclude_none=True)
    with pytest.raises(ValidationError, match=message):
        FinetuneSearchConfig.model_validate(config | change)


def test_an_unknown_target_is_refused_with_those_that_exist(copy):
    (copy / "params.yaml").unlink()
    tiny.write_params(copy, finetune_search__targets=[{"task": "play", "variable": "waving"}])
    with pytest.raises(InputError, match=r"expected play-looking, found nothing of play-waving"):
        plan_of(copy)


@pytest.mark.parametrize(
    ("rows", "shard", "expected"),
    [
        (None, None, [0, 1, 2, 3, 4, 5]),
        ("3", None, [3]),
        ("5,1,5", None, [1, 5]),
        (None, "1/1", [0, 1, 2, 3, 4, 5]),
        (None, "2/4", [1, 5]),
        (None, "8/8", []),
    ],
)
def test_rows_are_selected(lab, rows, shard, expected):
    assert finetune_search.select(plan_of(lab), rows, shard)["row"].tolist() == expected


@pytest.mark.parametrize(
    ("rows", "shard", "message"),
    [
        ("6", None, "rows from 0 to 5"),
        ("1;2", None, "such as 3,7"),
        ("", None, "such as 3,7"),
        (None, "0/2", "such as 2/8"),
        (None, "3/2", "such as 2/8"),
        (None, "2", "such as 2/8"),
        ("1", "1/2", "one of the two"),
    ],
)
def test_a_wrong_selection_is_refused(lab, rows, shard, message):
    with pytest.raises(InputError, match=message):
        finetune_search.select(plan_of(lab), rows, shard)


@pytest.mark.parametrize("text", ["", "row\n1\n", "hash"])
def test_a_file_that_is_no_plan_is_refused(lab, tmp_path, text):
    path = tmp_path / "plan.csv"
    if text == "hash":
        table = plan_of(lab)
        table.loc[2, "hash"] = "../../elsewhere"
        artifacts.write_table(path, table)
    elif text:
        path.write_text(text)
    with pytest.raises(InputError, match="plan"):
        finetune_search.read_plan(path)


# Run


def test_a_row_leaves_its_result_alone(finished):
    table, work = finished
    for row in table.to_dict("records"):
        assert [path.name for path in (work / row["hash"]).iterdir()] == ["result.json"]
        result = finetune_search.read_result(work, row["hash"])
        history = pd.DataFrame(result["history"])
        assert result["score"] == pytest.approx(np.nanmax(history["smoothed_f1"].astype(float)))
        assert history["learning_rate"].dropna().iloc[0] == row["learning_rate"]
        assert history["learning_rate"].iloc[2] == pytest.approx(row["learning_rate"] * 0.99)
        assert result["head_score"] == history["validation_f1"].iloc[0]


def test_the_same_row_gives_the_same_bytes_in_any_order(lab, finished, tmp_path):
    table, work = finished
    runner, _, other = runner_of(lab, tmp_path / "work" / "finetune_search")
    for row in table.iloc[[4, 1]].to_dict("records"):
        runner.run(row)
        assert result_bytes(other, row) == result_bytes(work, row)


def test_a_finished_row_is_passed_over_and_a_foreign_result_is_not(lab, finished, tmp_path):
    table, work = finished
    row = table.iloc[0].to_dict()
    copied = tmp_path / "work" / "finetune_search"
    shutil.copytree(work / row["hash"], copied / row["hash"])
    runner, _, _ = runner_of(lab, copied)
    epochs = []
    runner.run(row, epochs.append)
    assert epochs == []
    path = copied / row["hash"] / "result.json"
    artifacts.write_json(path, artifacts.read_json(path) | {"hash": "0" * 32})
    runner.run(row, epochs.append)
    assert len(epochs) == 4
    assert result_bytes(copied, row) == result_bytes(work, row)


def test_a_row_that_is_interrupted_goes_on_after_its_last_epoch(lab, finished, tmp_path):
    table, work = finished
    row = table.iloc[3].to_dict()

    class AbortError(Exception):
        pass

    def abort(epoch):
        if epoch["epoch"] == 2:
            raise AbortError

    runner, _, other = runner_of(lab, tmp_path / "work" / "finetune_search")
    with pytest.raises(AbortError):
        runner.run(row, abort)
    assert (other / row["hash"] / "checkpoint.safetensors").is_file()
    done = []
    train = training._epoch
    training_epochs = lambda *arguments: done.append(arguments[-1]) or train(*arguments)  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_epoch", training_epochs)
        runner_of(lab, other)[0].run(row)
    assert done == [3]
    assert result_bytes(other, row) == result_bytes(work, row)


def test_a_diverged_row_scores_0_and_says_so(copy, tmp_path):
    (copy / "params.yaml").unlink()
    tiny.write_params(copy, finetune_search__space__learning_rate={"value": 1e30}, finetune_search__settings=1)
    runner, table, work = runner_of(copy, tmp_path / "work" / "finetune_search")
    for row in table.to_dict("records"):
        runner.run(row)
    found = finetune_search.unify(table, work)
    assert found.runs["diverged"].tolist() == [1, 1, 1]
    assert found.results["diverged"].tolist() == [3]
    assert found.winner["score"] == 0.0


def test_a_class_that_does_not_occur_is_an_error_that_names_the_folds(copy, tmp_path):
    statistics = folds.read_statistics(copy / "fold_statistics.json")
    table = artifacts.read_table(copy / "stratified.csv", spans.STRATIFIED)
    table.loc[table["session"].isin(statistics.folds[1].sessions), "engaged"] = 0
    artifacts.write_table(copy / "stratified.csv", table)
    shutil.rmtree(copy / "baked")
    tiny.bake(tiny.lab_of(copy))
    runner, rows, _ = runner_of(copy, tmp_path / "work" / "finetune_search")
    with pytest.raises(InputError, match=r"validation fold 1: expected clips of both classes, found 0 positive"):
        runner.run(rows.iloc[1].to_dict())


@pytest.mark.slow
def test_a_killed_row_goes_on_and_gives_the_same_bytes(lab, finished, copy):
    table, work = finished
    artifacts.write_table(copy / "plan.csv", table)
    script = [sys.executable, str(ROOT / "stages" / "engagement" / "run_finetune_search.py"), "plan.csv", *DATA]
    command = [*script, "work/finetune_search", "--rows", "2"]
    row = table.iloc[2].to_dict()
    folder = copy / "work" / "finetune_search" / row["hash"]
    process = subprocess.Popen(command, cwd=copy, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (folder / "checkpoint.safetensors").is_file() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "" and done.stderr == ""  # quiet in a log
    assert (folder / "result.json").read_bytes() == result_bytes(work, row)


# Unify


def test_unify_gives_a_row_per_setting_and_the_best(finished):
    table, work = finished
    found = finetune_search.unify(table, work)
    assert found.results["runs"].tolist() == [3, 3]
    means = found.runs.groupby("setting")["score"].mean()
    np.testing.assert_allclose(found.results["score"], means, atol=1e-9)
    assert found.winner["setting"] == means.idxmax()
    assert found.winner["learning_rate"] == table.groupby("setting")["learning_rate"].first()[means.idxmax()]
    assert found.curves.groupby("row").size().tolist() == [4] * 6
    assert finetune_search.Winner.model_validate(found.winner).settings().decay == 0.01


def test_a_missing_row_is_refused_by_number_unless_it_is_allowed(finished, tmp_path):
    table, work = finished
    copied = tmp_path / "work"
    shutil.copytree(work, copied)
    shutil.rmtree(copied / table["hash"][4])
    with pytest.raises(InputError, match=r"no result of 1 of 6 rows \(4\)"):
        finetune_search.unify(table, copied)
    found = finetune_search.unify(table, copied, allow_missing=True)
    assert found.results["setting"].tolist() == [0]
    assert found.problems[0].severity == "warning"
    shutil.rmtree(copied / table["hash"][0])
    with pytest.raises(InputError, match=r"no result of 2 of 6 rows \(0,4\)"):  # no setting is complete
        finetune_search.unify(table, copied, allow_missing=True)


def test_the_stages_write_the_same_wherever_the_rows_were_run(finished, tmp_path, run_stage):
    table, work = finished
    artifacts.write_table(tmp_path / "plan.csv", table)
    for name, hashes in {"one": table["hash"], "two": table["hash"][::-1]}.items():
        for hashed in hashes:
            shutil.copytree(work / hashed, tmp_path / name / hashed)
        done = run_stage("engagement/unify_finetune_search", "plan.csv", name, f"{name}-out", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (tmp_path / "one-out").iterdir())
    figures = ["decay.png", "learning_rate.png", "scores.png", "weight_decay.png"]
    tables = ["curves.csv", "results.csv", "rows.csv", "top10.csv"]
    assert names == sorted([*figures, *tables, "results.json", "validation.json", "winner.json"])
    for name in names:
        assert (tmp_path / "one-out" / name).read_bytes() == (tmp_path / "two-out" / name).read_bytes()


def test_the_test_fold_is_never_read(lab, finished, copy, run_stage):
    table, work = finished
    tested = tiny.lab_of(copy).sessions[tiny.NUM_FOLDS - 1]
    for session in tested:
        (copy / "frames" / f"{session}.npy").unlink()
    shutil.rmtree(copy / "baked" / "test")
    done = run_stage("engagement/plan_finetune_search", *DATA, "plan.csv", cwd=copy)
    assert done.returncode == 0, done.stderr
    assert finetune_search.read_plan(copy / "plan.csv").to_numpy().tolist() == table.to_numpy().tolist()
    runner, _, other = runner_of(copy, copy / "work" / "finetune_search")
    for row in table.to_dict("records"):
        runner.run(row)
    assert finetune_search.unify(table, other).winner == finetune_search.unify(table, work).winner


def test_a_plan_of_other_data_is_refused(finished, copy, run_stage):
    table, _ = finished
    artifacts.write_table(copy / "plan.csv", table)
    (copy / "params.yaml").unlink()
    tiny.write_params(copy, finetune_search__training__epochs=7)
    done = run_stage("engagement/run_finetune_search", "plan.csv", *DATA, "work", cwd=copy)
    assert done.returncode == 1
    assert "a plan of other data or parameters" in done.stderr and "Traceback" not in done.stderr
    assert not (copy / "work").exists()


def test_planning_and_unifying_need_no_torch():
    code = (
        "import sys, attune.learning.finetune_inputs, attune.learning.search_report; print(json.dumps([*sys.modules]))"
    )
    found = subprocess.run([sys.executable, "-c", f"import json; {code}"], capture_output=True, text=True, check=True)
    assert not {"torch", "sklearn", "scipy.stats"} & set(json.loads(found.stdout))


def test_names_are_those_of_the_settings():
    assert NAMES == ("learning_rate", "decay", "weight_decay")
