"""Scoring many snippets: what is done is found again, what shapes it changes it."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from attune.attention import machine, map_files, quality_work
from attune.attention.attribution import METHODS
from attune.attention.faithfulness import FaithfulnessConfig
from attune.attention.machine import MachineConfig, Snippet
from attune.attention.map_files import Explanation
from attune.attention.quality import QualityConfig
from attune.attention.sanity import SanityConfig
from attune.learning import encoders, models
from attune.learning.encoders import EncoderConfig
from attune.learning.models import Configuration, Network
from attune.problems import InputError
from attune.video.clips import ClipConfig
from attune.video.files import VideoConfig

torch.set_num_threads(1)

T, S = 3, 32
RULES = {name: METHODS[name].kind for name in ("saliency", "grad_cam")}
EXPLAINING = MachineConfig(methods=("saliency", "grad_cam"))
CONFIG = QualityConfig(
    faithful_snippets=1,
    sane_snippets=1,
    sane_methods=("saliency",),
    faithfulness=FaithfulnessConfig(steps=2),
    sanity=SanityConfig(blocks=1, noisy=0),
    draws=50,
)
SNIPPETS = [Snippet(f"v-a-b-{k}", "v", "a", "b", 1000 * k, k % 2) for k in range(3)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    chosen = EncoderConfig(name="timm/test_resnet", weights="none", input_size=S)
    encoder = encoders.build(chosen)
    configuration = Configuration(
        task="a",
        variable="b",
        encoder=chosen,
        clips=ClipConfig(duration_s=1.0),
        video=VideoConfig(height=48, width_multiple=16, frame_rate=Fraction(25, 8)),
        view="square",
        mean=(0.5, 0.5, 0.5),
        std=(0.2, 0.2, 0.2),
        training={},
    )
    models.save(
        tmp_path / "models/a-b.safetensors", Network(encoder, nn.Linear(encoder.feature_size, 2)), configuration
    )
    rng = np.random.default_rng(0)
    (tmp_path / "frames").mkdir()
    np.save(tmp_path / "frames/v.npy", rng.integers(0, 256, (20, 48, 64, 3), dtype=np.uint8))
    for snippet in SNIPPETS:
        parts = {
            (method, target): rng.normal(size=(T, S, S)).astype(np.float32)
            for method in EXPLAINING.methods
            for target in machine.TARGETS
        }
        map_files.save(tmp_path / f"maps/{snippet.name}.npz", Explanation(parts, RULES, 0.5, snippet.label))
    return tmp_path


def truth(snippet: Snippet, seen: Any) -> np.ndarray:
    evidence = np.zeros((T, S, S), dtype=np.float32)
    evidence[:, :8, :8] = 1
    return evidence


def bench(folder: Path, config: QualityConfig = CONFIG, known: Any = truth) -> quality_work.Bench:
    return quality_work.Bench(
        SNIPPETS, folder / "maps", folder / "frames", folder / "models", config, EXPLAINING, known
    )


def test_what_was_measured_is_found_again(folder: Path) -> None:
    first, work = bench(folder), folder / "work"
    assert len(first.missing(work)) == 3
    first.make(first.missing(work)[:2], work)  # a run that was killed
    again = bench(folder)
    assert len(again.missing(work)) == 1
    again.make(again.missing(work), work)
    measures, curves = again.read(work)
    assert list(dict.fromkeys(measures["snippet"])) == [one.name for one in SNIPPETS]
    assert measures[measures["measure"] == "deletion"]["snippet"].nunique() == 1
    assert measures[measures["measure"] == "mprt"]["snippet"].nunique() == 1
    assert set(curves["curve"]) == {"deletion", "insertion", "spearman", "ssim"}

    whole = bench(folder)
    whole.make(whole.missing(folder / "other"), folder / "other")
    for one, two in zip((measures, curves), whole.read(folder / "other"), strict=True):
        pd.testing.assert_frame_equal(one, two)

    (work / "leftover.csv").write_text("x")
    again.tidy(work)
    assert len(list(work.iterdir())) == 6


def test_what_shapes_a_measure_makes_it_missing(folder: Path) -> None:
    work = folder / "work"
    first = bench(folder)
    first.make(first.missing(work), work)
    assert bench(folder).missing(work) == []
    assert len(bench(folder, known=None).missing(work)) == 3
    assert len(bench(folder, CONFIG.model_copy(update={"seed": 1})).missing(work)) == 3
    explanation = map_files.read(folder / "maps/v-a-b-1.npz")
    changed = {key: part + 1 for key, part in explanation.attributions.items()}
    map_files.save(folder / "maps/v-a-b-1.npz", Explanation(changed, RULES, 0.5, 1))
    assert [one.name for one in bench(folder).missing(work)] == ["v-a-b-1"]


def test_bad_input_is_told(folder: Path) -> None:
    with pytest.raises(InputError, match=r"smooth_methods: expected one of .*saliency, grad_cam, found occlusion"):
        bench(folder, CONFIG.model_copy(update={"smooth_methods": ("occlusion",)}))
    (folder / "maps/v-a-b-2.npz").unlink()
    with pytest.raises(InputError, match=r"v-a-b-2\.npz: expected a snippet's attention"):
        bench(folder)
