"""A model that learned from shuffled labels is not better than chance, by the very rule that the summary applies."""

import numpy as np
import pytest
import torch

from attune.annotation.chance import chance_scores
from attune.learning import heads, metrics, summary
from attune.learning.head_config import HeadSettings
from attune.learning.head_training import HeadData, train_heads
from attune.learning.heads import Clips

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
