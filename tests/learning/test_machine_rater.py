"""Models that rate back-to-back clips: probabilities of the single clips, labels of the annotators, refusals."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from attune.annotation import spans
from attune.annotation.clip_ratings import MODEL, RATINGS
from attune.learning import encoders, machine_rater, models
from attune.learning.encoders import EncoderConfig
from attune.learning.machine_rater import Material
from attune.learning.models import Configuration, Network
from attune.problems import InputError
from attune.video.clips import ClipConfig, ClipReader
from attune.video.files import VideoConfig

torch.set_num_threads(1)

ENCODERS = {
    "frames": EncoderConfig(name="timm/test_resnet", weights="none", input_size=32),
    "clips": EncoderConfig(name="r3d_18", weights="none", input_size=16),
}
TASKS = [
    ("a", "ann", "play", 1000, 9500),
    ("a", "bob", "play", 1200, 9000),
    ("b", "ann", "play", 0, 5100),
    ("c", "ann", "play", 0, 9000),
]


def configuration(kind: str, **training: object) -> Configuration:
    return Configuration(
        task="play",
        variable="looking",
        encoder=ENCODERS[kind],
        clips=ClipConfig(duration_s=2.0),
        video=VideoConfig(height=48, width_multiple=16, frame_rate=Fraction(25, 8)),
        view="square",
        mean=(0.5, 0.5, 0.5),
        std=(0.2, 0.2, 0.2),
        training=dict(training),
    )


def network(kind: str) -> Network:
    torch.manual_seed(0)
    encoder = encoders.build(ENCODERS[kind])
    head = nn.Linear(encoder.feature_size, 2)
    nn.init.normal_(head.weight, std=3 if kind == "frames" else 0.1)
    return Network(encoder, head).eval()


@pytest.fixture
def material(tmp_path: Path) -> Material:
    rng = np.random.default_rng(0)
    for session, count in (("a", 30), ("b", 12), ("c", 30)):
        np.save(tmp_path / f"{session}.npy", rng.integers(0, 256, (count, 48, 64, 3), dtype=np.uint8))
    tasks = pd.DataFrame(TASKS, columns=list(spans.TASKS))
    rows = []
    for session, annotator, task, start, end in TASKS:
        middle = start + 3000
        rows += [
            (session, annotator, task, "looking", 0, 1, start, middle),
            (session, annotator, task, "looking", 0, 0, middle, end),
        ]
    stratified = pd.DataFrame(rows, columns=list(spans.STRATIFIED))
    return Material(stratified, tasks, ("a", "b"), tmp_path)


@pytest.mark.parametrize("kind", ["frames", "clips"])
def test_the_model_is_asked_about_each_clip(kind: str, material: Material, tmp_path: Path) -> None:
    net, form, seen = network(kind), configuration(kind), []
    table = machine_rater.rate(Path("m"), net, form, material, tmp_path / "work", seen.append)
    assert list(table.columns) == list(RATINGS)
    assert sum(seen) == machine_rater.frames_to_encode(net, form, material)

    answers = table[table["rater"] == MODEL]
    starts = {session: list(rows["start_ms"]) for session, rows in answers.groupby("session")}
    assert starts == {"a": [1200, 3200, 5200], "b": [0, 2000]}  # what is left is shorter than a clip; c is no test
    reader = ClipReader(tmp_path, Fraction(25, 8), 6)
    pixels = np.stack([reader.read(row.session, row.start_ms) for row in answers.itertuples()])  # type: ignore[arg-type]
    with torch.inference_mode():
        logits = net(models.prepare(pixels, net.encoder.input_size, form))
    expected = logits.softmax(dim=1)[:, 1].numpy()
    np.testing.assert_allclose(answers["probability"], expected, atol=2e-5)
    assert (answers["label"] == (answers["probability"] > 0.5)).all()


def test_annotators_keep_their_labels(material: Material, tmp_path: Path) -> None:
    table = machine_rater.rate(Path("m"), network("frames"), configuration("frames"), material, tmp_path / "work")
    humans = table[table["rater"] != MODEL]
    found = {(row.session, row.start_ms, row.rater): row.label for row in humans.itertuples()}
    # ann looks in [1000, 4000), bob in [1200, 4200), and in b ann in [0, 3000): of [3200, 5200) that is 0.8 s and 1 s.
    assert found == {
        ("a", 1200, "ann"): 1, ("a", 3200, "ann"): 0, ("a", 5200, "ann"): 0,
        ("a", 1200, "bob"): 1, ("a", 3200, "bob"): 0, ("a", 5200, "bob"): 0,
        ("b", 0, "ann"): 1, ("b", 2000, "ann"): 0,
    }  # fmt: skip
    assert humans["probability"].isna().all()


def test_a_model_may_not_rate_what_it_has_learned_from(material: Material, tmp_path: Path) -> None:
    used = configuration("frames", sessions={"training": ["x"], "validation": ["b"], "test": ["a"]})
    with pytest.raises(InputError, match="has learned from b"):
        machine_rater.rate(Path("play-looking.safetensors"), network("frames"), used, material, tmp_path / "work")


def test_a_folder_without_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model files"):
        machine_rater.find(tmp_path)
