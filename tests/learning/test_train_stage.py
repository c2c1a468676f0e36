import contextlib
import json
import os
import runpy
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
import torch

from attune import artifacts
from attune.annotation import spans
from attune.learning import final_training, finetune_search, models, scoring, training_figures
from attune.learning.corpus import Labelled
from attune.learning.final_training import Split, TrainConfig
from attune.learning.scoring import BootstrapConfig, Predicted
from attune.problems import InputError
from tests.learning import tiny
from tests.learning.test_finetune_search import DATA, inputs_of, load

ROOT = Path(__file__).parents[2]
TRAIN = ("winner.json", "chance.json", "reliability", "model.safetensors", "out", "work/train")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train") / "lab"
    tiny.make(folder)
    tiny.write_params(folder)
    tiny.write_winner(folder)
    settings = {"learning_rate": 0.002, "decay": 0.01, "weight_decay": 0.0}
    found = {"epochs": 3, "score": 0.5, "score_std": 0.0, "head_score": 0.4, "setting": 0, "runs": 3, "diverged": 0}
    artifacts.write_json(folder / "winner.json", settings | found)
    artifacts.write_json(folder / "chance.json", {"play": {"looking": {"f1": 0.5}}})
    names = ["variable", "annotator_1", "annotator_2", "task", "labels", *scoring.RELIABILITY]
    rows = [["looking", "all", "all", "play", "binary", "0.9", "0.8", "", "0.95", "0.93"]]
    artifacts.write_table(folder / "reliability" / "agreement.csv", pd.DataFrame(rows, columns=names))
    return folder


@pytest.fixture(scope="module")
def trained(lab, run_stage):
    done = run_stage("engagement/train", "play", "looking", *DATA, *TRAIN, cwd=lab)
    assert done.returncode == 0, done.stderr
    assert done.stdout == done.stderr == ""  # quiet in a log
    return lab


@pytest.fixture
def copy(lab, tmp_path):
    target = tmp_path / "lab"
    ignored = shutil.ignore_patterns("work", "out", "model.safetensors")
    shutil.copytree(lab, target, copy_function=os.link, ignore=ignored)
    return target


def run(folder, **changes):
    """Run the stage in this process, which spares it the seconds of its imports."""
    (folder / "params.yaml").unlink()
    tiny.write_params(folder, **changes)
    main = runpy.run_path(str(ROOT / "stages" / "engagement" / "train.py"))["main"]
    with contextlib.chdir(folder):
        main("play", "looking", *map(Path, (*DATA, *TRAIN)))


def test_it_leaves_curves_scores_predictions_and_a_figure(trained):
    out = trained / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "curves.csv",
        "curves.png",
        "live",
        "predictions.csv",
        "scores.json",
    ]
    curves = pd.read_csv(out / "curves.csv")
    assert curves.groupby("phase")["best"].sum().to_dict() == {"fine-tuning": 1, "head": 1}
    scores = json.loads((out / "scores.json").read_text())
    tuned = curves[curves["phase"] == "fine-tuning"].set_index("epoch")
    chosen = tuned.loc[scores["validation"]["epoch"]]
    assert chosen["best"] == 1
    assert chosen["validation_f1"] == scores["validation"]["f1"]
    assert chosen["smoothed_f1"] == tuned["smoothed_f1"].max() == scores["validation"]["smoothed_f1"]
    live = pd.read_csv(out / "live" / "plots" / "metrics" / "validation_f1.tsv", sep="\t")
    np.testing.assert_allclose(live["validation_f1"], tuned["validation_f1"], atol=1e-8)


def test_the_scores_are_those_of_the_predictions(trained):
    samples = pd.read_csv(trained / "out" / "predictions.csv")
    scores = json.loads((trained / "out" / "scores.json").read_text())["test"]
    assert set(samples["session"]) == set(tiny.lab_of(trained).sessions[3])
    assert scores["samples"] == len(samples) == 16 and scores["clips"] == 8 and scores["sessions"] == 2
    predicted = samples["probability"] > 0.5
    assert scores["model"]["f1"]["value"] == pytest.approx(sklearn.metrics.f1_score(samples["label"], predicted))
    expected = sklearn.metrics.brier_score_loss(samples["label"], samples["probability"])
    assert scores["model"]["brier"]["value"] == pytest.approx(expected)
    kappa = sklearn.metrics.cohen_kappa_score(samples["label"], predicted)
    assert scores["kappa"] == pytest.approx(kappa)
    share = samples["label"].mean()
    assert scores["chance"]["f1"] == pytest.approx(2 * share / (1 + share))
    for low_high in scores["model"].values():
        assert low_high["low"] <= low_high["value"] <= low_high["high"]


def test_the_model_file_gives_the_predictions(trained):
    network, configuration = models.load(trained / "model.safetensors")
    told = configuration.training
    assert told["sessions"]["test"] == list(tiny.lab_of(trained).sessions[3])
    assert told["sessions"]["validation"] == list(tiny.lab_of(trained).sessions[2])
    corpus = inputs_of(trained).corpus("play", "looking")
    fixed = corpus.fixed(told["sessions"]["test"]).clips
    from attune.video.reading import ClipReader

    reader = ClipReader(corpus.frames, corpus.rate, corpus.num_frames)
    pixels = np.stack([reader.read(clip.session, clip.start_ms) for clip in fixed.itertuples()])
    with torch.no_grad():
        found = network(models.prepare(pixels, network.encoder.input_size, configuration)).softmax(1)[:, 1]
    samples = pd.read_csv(trained / "out" / "predictions.csv").drop_duplicates(["session", "index"])
    np.testing.assert_allclose(found, samples["probability"], atol=1e-4)


def test_a_second_run_gives_the_same_bytes(trained, copy):
    run(copy)
    for name in ("model.safetensors", *(f"out/{file}" for file in ("curves.csv", "curves.png", "scores.json"))):
        assert (copy / name).read_bytes() == (trained / name).read_bytes()
    assert not list(copy.glob("work/**/checkpoint.safetensors"))
    assert not (copy / "dvc.yaml").exists()


def test_the_test_fold_decides_nothing(trained, copy):
    """Other labels and other pixels in the test fold, and no baked files of it: the same model."""
    tested = tiny.lab_of(copy).sessions[3]
    table = artifacts.read_table(copy / "stratified.csv", spans.STRATIFIED)
    there = table["session"].isin(tested)
    table.loc[there, "engaged"] = 1 - table.loc[there, "engaged"]
    artifacts.write_table(copy / "stratified.csv", table)
    for session in tested:
        path = copy / "frames" / f"{session}.npy"
        frames = np.load(path)
        path.unlink()
        np.save(path, 255 - frames)
    shutil.rmtree(copy / "baked" / "test")
    run(copy)
    assert (copy / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()
    assert (copy / "out" / "curves.csv").read_bytes() == (trained / "out" / "curves.csv").read_bytes()
    assert (copy / "out" / "scores.json").read_bytes() != (trained / "out" / "scores.json").read_bytes()


def test_a_diverging_loss_is_an_error_that_tells_what_to_do(copy):
    winner = artifacts.read_json(copy / "winner.json")
    artifacts.write_json(copy / "winner.json", winner | {"learning_rate": 1e30})
    with pytest.raises(
        InputError, match=r"a loss that is not finite with the learning rate 1e\+30. Lower the learning"
    ):
        run(copy)
    assert not (copy / "out").exists() and not (copy / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train__validation_fold": 3}, "engagement.train.validation_fold: expected a training fold, 0 to 2"),
        ({"train__finetuning__freeze": {1: -9}}, "freeze: expected from -7 to 7"),
        ({"train__head_epochs": 0}, "engagement.train.head_epochs: expected greater than or equal to 1, found 0"),
        ({"train__head_window": 7}, "engagement.train: expected a head_window of at most 6, the number of head_epochs"),
        ({"train__bootstrap": {"draws": 0}}, "train.bootstrap.draws: expected greater than or equal to 1, found 0"),
        ({"train__bootstrap": {"confidence": 1.0}}, "train.bootstrap.confidence: expected less than 1, found 1"),
        ({"train__bootstrap": {"confidence": 0.0}}, "train.bootstrap.confidence: expected greater than 0, found 0"),
        ({"train__bootstrap": {"seed": -1}}, "train.bootstrap.seed: expected greater than or equal to 0, found -1"),
        ({"train__surprise": 1}, "engagement.train.surprise: expected only keys of this section"),
    ],
)
def test_bad_parameters_are_refused(copy, change, message):
    with pytest.raises(InputError, match=message):
        run(copy, **change)
    assert not (copy / "out").exists()


def test_the_split_leaves_the_validation_fold_out(lab):
    statistics = inputs_of(lab).statistics
    split = Split.of(statistics, -1)
    assert (split.folds, split.validation) == ((0, 1, 2), 2)
    everyone = [*split.learned, *split.judged, *split.tested]
    assert sorted(everyone) == list(tiny.SESSIONS)
    assert Split.of(statistics, 0).judged == tiny.lab_of(lab).sessions[0]


def test_too_few_training_folds_are_refused(lab):
    statistics = inputs_of(lab).statistics
    few = statistics.model_copy(update={"folds": statistics.folds[:2], "num_folds": 2, "test_fold": 1})
    with pytest.raises(InputError, match="of at least two"):
        Split.of(few, -1)


def test_no_clip_in_the_test_fold_is_an_error(lab):
    class Workshop:
        corpus = inputs_of(lab).corpus("play", "looking")

    config = load(lab, "train", TrainConfig)
    with pytest.raises(InputError, match="test fold: expected at least one, found no labelled clip"):
        final_training.test(Workshop(), (), config.finetuning, Path("nowhere"))


def labelled(labels, sessions):
    table = pd.DataFrame({"session": sessions, "task": "play", "index": range(len(sessions)), "start_ms": 0})
    return Labelled(table, np.array(labels, dtype=np.int8))


def test_humans_are_scored_on_every_ordered_pair():
    clips = labelled([[1, 1, -1], [1, 0, -1], [0, 0, 1], [-1, -1, 1]], ["a", "a", "b", "b"])
    scores = scoring.score(Predicted(clips, ("x", "y", "z"), np.array([0.9, 0.8, 0.2, 0.7])), BootstrapConfig(draws=20))
    pairs = [(1, 1), (1, 0), (0, 0), (0, 1), (0, 1)]
    both = pairs + [pair[::-1] for pair in pairs]
    assert scores["human"]["pairs"] == 10
    first, second = zip(*both, strict=True)
    assert scores["human"]["f1"]["value"] == pytest.approx(sklearn.metrics.f1_score(first, second))
    assert scores["human"]["kappa"] == pytest.approx(sklearn.metrics.cohen_kappa_score(first, second))
    assert scores["samples"] == 8
    assert scores["model"]["accuracy"]["value"] == pytest.approx(6 / 8)


def test_what_is_not_defined_is_none():
    scores = scoring.score(Predicted(labelled([[1], [1]], ["a", "b"]), ("x",), np.array([0.9, 0.2])), BootstrapConfig())
    assert scores["model"]["roc_auc"] == {"value": None, "low": None, "high": None}
    assert scores["human"]["f1"]["value"] is None and scores["human"]["kappa"] is None
    json.dumps(scores, allow_nan=False)


def test_reliability_is_read_where_there_is_any(lab):
    found = scoring.reliability(lab / "reliability", "play", "looking")
    assert found["kappa"] == 0.9 and found["kappa_high"] is None
    assert set(scoring.reliability(lab / "reliability", "play", "waving").values()) == {None}
    with pytest.raises(InputError, match="no such file"):
        scoring.reliability(lab, "play", "looking")


def test_the_figure_shows_training_validation_best_epoch_and_chance(trained):
    curves = pd.read_csv(trained / "out" / "curves.csv")
    figure = training_figures.draw(curves, 0.4, "play-looking")
    labels = [line.get_label() for line in figure.axes[1].lines]
    assert labels[:4] == ["training", "validation", "trailing mean", "chance 0.400"]
    assert labels[4].startswith("chosen epoch")
    assert [axes.get_title() for axes in figure.axes] == ["head: F1", "fine-tuning: F1", "fine-tuning: loss"]


def test_the_winner_of_a_search_gives_the_settings(lab):
    winner = finetune_search.Winner.model_validate(artifacts.read_json(lab / "winner.json"))
    assert winner.settings().model_dump() == {"learning_rate": 0.002, "decay": 0.01, "weight_decay": 0.0}
