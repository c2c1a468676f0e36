"""A model that learned from shuffled labels is not better than chance, by the very rule that the summary applies.

First on features whose sign is known, many times; then on the pixels of a tiny lab through everything that a label
passes on its way: bake, search, head, the clips of the test fold, scores.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from attune import artifacts
from attune.annotation import spans
from attune.annotation.chance import chance_scores
from attune.learning import baked, fold_heads, head_search, heads, metrics, scoring, summary
from attune.learning.fold_heads import HeadCourse
from attune.learning.head_config import HeadSearchConfig, HeadSettings
from attune.learning.head_training import HeadData, train_heads
from attune.learning.heads import Clips
from attune.learning.scoring import BootstrapConfig, Predicted
from tests.learning import tiny
from tests.learning.test_finetune_search import inputs_of, load
from tests.learning.tiny import Lab

SETTINGS = HeadSettings(learning_rate=0.01, decay=0.01, weight_decay=0.001, class_weights=True)
SESSIONS, CLIPS, FEATURES, EPOCHS = 20, 12, 8, 30


def sessions(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features that tell the label, with a shift of each session's own, as clothes and light make it."""
    labels = rng.integers(0, 2, (count, CLIPS))
    shift = rng.normal(0, 1, (count, 1, FEATURES))
    direction = np.eye(FEATURES)[0] * 5
    features = rng.normal(0, 1, (count, CLIPS, FEATURES)) + labels[..., None] * direction + shift
    return (
        features.reshape(-1, FEATURES).astype(np.float32),
        labels.reshape(-1),
        np.repeat(np.arange(count), CLIPS),
    )


def above_chance(seed: int, shuffled: bool) -> bool:
    rng = np.random.default_rng(seed)
    features, labels, _ = sessions(rng, SESSIONS)
    learned = rng.permutation(labels) if shuffled else labels
    clips = Clips(features, learned[:, None].astype(np.int8), np.zeros(len(labels), dtype=np.int32))
    trained = train_heads(
        HeadData.of(clips, clips, torch.device("cpu")),
        [SETTINGS],
        epochs=EPOCHS,
        batch_size=16,
        initial=heads.initial(FEATURES, seed, 0),
        order=lambda count, epoch: heads.order(count, seed, 0, epoch),
    )
    tested, truth, session = sessions(rng, 6)
    logits = torch.from_numpy(tested) @ trained.weight[0].T + trained.bias[0]
    probability = torch.softmax(logits, dim=1)[:, 1].double().numpy()
    table = metrics.session_bootstrap(truth, probability, session, draws=500, confidence=0.95, seed=0)
    scores = {row["metric"]: row for row in table.to_dict("records")}
    model = {"model": scores, "chance": chance_scores(float(truth.mean()))}
    return summary.above_chance([{"task": "play", "variable": "gaze", "test": model}])["play-gaze"]


@pytest.mark.parametrize("seed", range(4))
def test_true_labels_are_learned(seed: int) -> None:
    assert above_chance(seed, shuffled=False)


def test_shuffled_labels_are_not() -> None:
    found = [above_chance(seed, shuffled=True) for seed in range(20)]
    assert sum(found) <= 2  # by chance 0.5 of 20 at most: only 2.5 % lie above a 95 % interval's lower end


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    made = tiny.make(tmp_path_factory.mktemp("shuffled") / "lab")
    tiny.write_params(made.folder, head_search__space__learning_rate={"value": 0.1})
    return made


def shuffle(lab: Lab, rng: np.random.Generator) -> None:
    """Give every span of time the label of another one, the same for both annotators, in all folds."""
    table = artifacts.read_table(lab.stratified, spans.STRATIFIED)
    times = table.groupby(["session", "start_ms"])["engaged"].first()
    times[:] = rng.permutation(times.to_numpy())
    table["engaged"] = times.loc[list(zip(table["session"], table["start_ms"], strict=True))].to_numpy()
    artifacts.write_table(lab.stratified, table)
    tiny.bake(lab)


def lab_above_chance(folder: Path, lab: Lab) -> bool:
    """Search, train and test on what is baked, as the stages do."""
    config = load(folder, "head_search", HeadSearchConfig)
    folds = range(tiny.NUM_FOLDS - 1)
    ((name, parts),) = head_search.read_pairs(lab.baked, len(folds), config.augmentation)
    winner = head_search.search_heads(parts, config, name=name).winner
    course = HeadCourse(winner.settings(), 100, config.batch_size, config.augmentation, 0, 0)
    head = fold_heads.train(lab.baked, "play", "looking", folds, folds[-1], course)
    corpus = inputs_of(folder).corpus("play", "looking")
    clips = corpus.fixed(lab.sessions[tiny.NUM_FOLDS - 1])
    tested = baked.load(baked.path_of(lab.baked.parent / "test", "play", tiny.NUM_FOLDS - 1, "test"))
    assert tested.start_ms.tolist() == clips.clips["start_ms"].tolist()
    with torch.no_grad():
        probability = head.linear()(torch.from_numpy(tiny.whole(tested.features))).softmax(dim=1)[:, 1].double().numpy()
    scores = scoring.score(Predicted(clips, corpus.annotators, probability), BootstrapConfig(draws=200))
    return summary.above_chance([{"task": "play", "variable": "looking", "test": scores}])["play-looking"]


def test_a_lab_is_above_chance_with_its_labels_and_not_with_shuffled_ones(lab: Lab) -> None:
    assert lab_above_chance(lab.folder, lab)
    rng, found = np.random.default_rng(0), []
    for _ in range(6):
        shuffle(lab, rng)
        found.append(lab_above_chance(lab.folder, lab))
    assert sum(found) <= 2  # a label that leaks into bake, search, training or test makes it six
