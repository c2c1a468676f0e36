"""Predictions over time, and the command that makes them, on short videos with a tiny encoder."""

import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pandas as pd
import pympi
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from attune import cli
from attune.annotation import eaf
from attune.annotation.eaf import Annotation
from attune.learning import encoders, models, prediction
from attune.learning.encoders import EncoderConfig
from attune.learning.models import Configuration, Network
from attune.problems import InputError
from attune.video.clips import ClipConfig, ClipReader
from attune.video.files import VideoConfig

torch.set_num_threads(1)

ENCODERS = {
    "frames": EncoderConfig(name="timm/test_resnet", weights="none", input_size=32),
    "clips": EncoderConfig(name="r3d_18", weights="none", input_size=16),
}


def configuration(kind: str = "frames") -> Configuration:
    return Configuration(
        task="people",
        variable="attending",
        encoder=ENCODERS[kind],
        clips=ClipConfig(duration_s=2.0),
        video=VideoConfig(height=48, width_multiple=16, frame_rate=Fraction(25, 8)),
        view="square",
        mean=(0.5, 0.5, 0.5),
        std=(0.2, 0.2, 0.2),
        training={},
    )


def network(kind: str = "frames") -> Network:
    torch.manual_seed(0)
    encoder = encoders.build(ENCODERS[kind])
    head = nn.Linear(encoder.feature_size, 2)
    nn.init.normal_(head.weight, std=3 if kind == "frames" else 0.1)
    return Network(encoder, head).eval()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "people-attending.safetensors"
    models.save(path, network(), configuration())
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "visit 1.mp4"
    source = ["-f", "lavfi", "-i", "testsrc2=size=96x72:rate=25:duration=9.6"]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source, str(path)], check=True)
    return path


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cli.app, ["predict", *map(str, arguments)])


@pytest.mark.parametrize("kind", ["frames", "clips"])
@pytest.mark.parametrize("step_ms", [1000, 700, 2000])
def test_each_moment_has_the_probability_of_the_nearest_clip(kind: str, step_ms: int, tmp_path: Path) -> None:
    rate, count, duration_ms = Fraction(25, 8), 32, 10_100
    frames = np.random.default_rng(0).integers(0, 256, (count, 48, 64, 3), dtype=np.uint8)
    np.save(tmp_path / "visit.npy", frames)
    start_ms = prediction.clip_starts(duration_ms, configuration(kind), step_ms, "visit")
    net = network(kind)
    path = tmp_path / "visit.npy"
    found = prediction.predict(net, configuration(kind), path, duration_ms, start_ms, tmp_path / "work")

    reader = ClipReader(tmp_path, rate, 6)
    pixels = np.stack([reader.read("visit", int(start)) for start in start_ms])
    with torch.inference_mode():
        logits = net(models.prepare(pixels, net.encoder.input_size, configuration(kind)))
    expected = logits.softmax(dim=1)[:, 1].numpy()
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(found["probability"], expected, atol=2e-5)

    assert found["start_ms"].iloc[0] == 0
    assert found["end_ms"].iloc[-1] == duration_ms
    assert (found["start_ms"].iloc[1:].to_numpy() == found["end_ms"].iloc[:-1].to_numpy()).all()
    for time in range(0, duration_ms, 37):
        row = int(np.flatnonzero((found["start_ms"] <= time) & (time < found["end_ms"]))[0])
        distances = np.abs(start_ms + 1000 - time)
        assert distances[row] <= distances.min() + 1


def test_tiers_join_touching_spans_of_equal_value() -> None:
    table = pd.DataFrame(
        {
            "start_ms": [0, 1000, 2000, 3000],
            "end_ms": [1000, 2000, 3000, 3500],
            "probability": [0.501, 0.9, 0.5, 0.9],
        }
    )
    engaged, probability = prediction.tiers(table, "attending")
    assert engaged.name == "attending_model"
    assert engaged.spans == [Annotation(0, 2000, "engaged"), Annotation(3000, 3500, "engaged")]
    assert probability.name == "attending_probability"
    assert [span.value for span in probability.spans] == ["0.50", "0.90", "0.50", "0.90"]


def test_the_command_writes_a_table_and_an_elan_file(model: Path, video: Path, tmp_path: Path) -> None:
    first = run(video, "--model", model, "--out", tmp_path / "a")
    assert first.exit_code == 0, first.output
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "visit 1.attending.csv",
        "visit 1.attending.eaf",
    ]
    table = pd.read_csv(tmp_path / "a/visit 1.attending.csv")
    assert list(table.columns) == list(prediction.PREDICTION)
    assert (table["start_ms"].iloc[0], table["end_ms"].iloc[-1], len(table)) == (0, 9600, 8)
    document = eaf.read(tmp_path / "a/visit 1.attending.eaf")
    assert [medium.name for medium in document.media] == ["visit 1.mp4"]
    tiers = {tier.name: tier.annotations for tier in document.tiers}
    assert tiers["attending_probability"][0].start_ms == 0
    assert tiers["attending_probability"][-1].end_ms == 9600
    run(video, "--model", model, "--out", tmp_path / "b")
    for name in ("visit 1.attending.csv", "visit 1.attending.eaf"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_command_adds_to_a_copy_of_a_human_file(model: Path, video: Path, tmp_path: Path) -> None:
    human = pympi.Elan.Eaf()
    human.add_linked_file(str(video), mimetype="video/mp4")
    human.add_tier("attending")
    human.add_annotation("attending", 100, 900, "attending")
    human.to_file(tmp_path / "visit_ew.eaf")
    before = (tmp_path / "visit_ew.eaf").read_bytes()
    result = run(video, "--model", model, "--out", tmp_path, "--eaf", tmp_path / "visit_ew.eaf", "--step", 2)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "visit_ew.eaf").read_bytes() == before
    names = [tier.name for tier in eaf.read(tmp_path / "visit_ew.attending.eaf").tiers]
    assert names[-2:] == ["attending_model", "attending_probability"]
    assert "attending" in names


def short(folder: Path) -> Path:
    path = folder / "short.mp4"
    source = ["-f", "lavfi", "-i", "testsrc2=size=96x72:rate=25:duration=1"]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source, str(path)], check=True)
    return path


def text_file(folder: Path, name: str) -> Path:
    (folder / name).write_text("no such thing", encoding="utf-8")
    return folder / name


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: {"model": f / "none.safetensors"}, "none.safetensors: expected a model, found no such file"),
        (lambda f: {"model": text_file(f, "x.safetensors")}, "x.safetensors: expected a model"),
        (lambda f: {"video": f / "none.mp4"}, "none.mp4"),
        (lambda f: {"video": text_file(f, "text.mp4")}, "text.mp4"),
        (lambda f: {"video": short(f)}, "at least the 2 s of a clip, found 1.0 s"),
        (lambda f: {"step": 0}, "--step: expected more than 0 s"),
        (lambda f: {"step": "nan"}, "--step: expected a number of seconds, found nan"),
        (lambda f: {"step": "inf"}, "--step: expected a number of seconds, found inf"),
        (lambda f: {"step": 3}, "at most the 2 s of a clip, found 3 s"),
        (lambda f: {"eaf": text_file(f, "text.eaf")}, "text.eaf: expected an ELAN annotation file"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(
    change: Any, words: str, model: Path, video: Path, tmp_path: Path
) -> None:
    given = {"video": video, "model": model, "out": tmp_path / "out"} | change(tmp_path)
    result = run(given.pop("video"), *(part for name, value in given.items() for part in (f"--{name}", value)))
    assert isinstance(result.exception, InputError)
    assert len(result.exception.problems) == 1
    assert words in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_too_little_graphics_memory_names_a_cure_that_is_one(
    model: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(encoders.FrameEncoder, "encode_frames", full)
    result = run(video, "--model", model, "--out", tmp_path)
    assert isinstance(result.exception, InputError)
    assert "batch_frames" not in str(result.exception) and "CUDA_VISIBLE_DEVICES" in str(result.exception)


def test_a_model_of_another_version_is_refused(model: Path, video: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.safetensors"
    old.write_bytes(model.read_bytes().replace(b"attune model 1", b"attune model 0"))
    result = run(video, "--model", old, "--out", tmp_path / "out")
    assert "found the format 'attune model 0'" in str(result.exception)
