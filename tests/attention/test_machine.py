import contextlib
import os
import runpy
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
from ruamel.yaml import YAML
from torch import nn

from attune import artifacts
from attune.attention import machine, map_files
from attune.attention.attribution import METHODS, attribute
from attune.attention.machine import Gallery, Machine, MachineConfig
from attune.attention.map_files import Explanation
from attune.learning import encoders, models
from attune.problems import InputError
from tests.learning import tiny

ROOT = Path(__file__).parents[2]
STAGE = ROOT / "stages" / "engagement" / "attribute.py"
SETTINGS = {
    "methods": ["saliency", "grad_cam", "occlusion"],
    "occlusion": {"size": [2, 16, 16], "stride": [2, 16, 16]},
    "cell": 32,
}
CONFIG = MachineConfig.model_validate(SETTINGS)
ARGUMENTS = ("candidates.csv", "frames", "models", "maps", "overlays", "work")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Frames of two sessions, one model, and snippets, one of them painted by two."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("machine") / "lab"
    rng = np.random.default_rng(0)
    (folder / "frames").mkdir(parents=True)
    for session in ("s00", "s01"):
        np.save(folder / "frames" / f"{session}.npy", rng.integers(0, 256, (40, 32, 48, 3), np.uint8))
    encoder = encoders.build(encoders.EncoderConfig.model_validate(tiny.ENCODER))
    torch.manual_seed(0)
    configuration = models.Configuration.model_validate(
        {
            "task": "play",
            "variable": "looking",
            "encoder": tiny.ENCODER,
            "clips": tiny.CLIPS,
            "video": tiny.VIDEO,
            "view": "square",
            "mean": encoder.mean,
            "std": encoder.std,
            "training": {},
        }
    )
    network = models.Network(encoder, nn.Linear(encoder.feature_size, 2))
    models.save(folder / "models" / "play-looking.safetensors", network, configuration)
    rows = [
        (f"{session}-play-looking-{start:07d}", session, annotator, "play", "looking", start, label)
        for session, start, label, annotators in [("s00", 1000, 1, "ab"), ("s01", 3000, 0, "a"), ("s01", 7000, 1, "b")]
        for annotator in annotators
    ]
    names = ["snippet", "session", "annotator", "task", "variable", "start_ms", "label"]
    artifacts.write_table(folder / "candidates.csv", pd.DataFrame(rows, columns=names))
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump({"engagement": {"attribution": SETTINGS}}, file)
    return folder


@pytest.fixture
def copy(lab, tmp_path):
    return Path(shutil.copytree(lab, tmp_path / "lab", ignore=shutil.ignore_patterns(*ARGUMENTS[3:])))


def run(folder):
    main = runpy.run_path(str(STAGE))["main"]
    with contextlib.chdir(folder):
        main(*map(Path, ARGUMENTS))
    return content(folder)


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for name in ("maps", "overlays")
        for path in sorted((folder / name).iterdir())
    }


@pytest.fixture(scope="module")
def made(lab):
    return run(lab)


def test_the_maps_are_those_of_the_model(lab, made):
    snippets = machine.read_snippets(lab / "candidates.csv")
    assert [snippet.name for snippet in snippets] == [Path(name).stem for name in made if name.endswith(".npz")]
    assert len(snippets) == 3
    network, configuration = models.load(lab / "models" / "play-looking.safetensors")
    for snippet in snippets:
        first = int(snippet.start_ms * 25 / 8 / 1000)
        pixels = np.load(lab / "frames" / f"{snippet.session}.npy")[first : first + 6]
        clips = models.prepare(pixels[None], 32, configuration)
        found = map_files.read(lab / "maps" / f"{snippet.name}.npz")
        with torch.no_grad():
            assert found.probability == pytest.approx(network(clips).softmax(1)[0, 1].item(), rel=1e-4)
        assert found.label == snippet.label
        assert set(found.attributions) == {(m, t) for m in CONFIG.methods for t in ("matching", "opposite")}
        for (method, target), part in found.attributions.items():
            label = snippet.label if target == "matching" else 1 - snippet.label
            expected = attribute(network, clips, torch.tensor([label]), method, CONFIG)[0].numpy()
            np.testing.assert_allclose(part, expected, rtol=2e-3, atol=2e-3 * np.abs(expected).max())


def test_the_file_is_what_the_contract_says(lab, made):
    with np.load(lab / "maps" / "s00-play-looking-0001000.npz", allow_pickle=False) as file:
        names = [f"{method}__{target}" for method in CONFIG.methods for target in machine.TARGETS]
        assert set(file.files) == {*names, "probability", "label", "scales", "rules"}
        for name in names:
            assert file[name].dtype == np.float16 and file[name].shape == (6, 32, 32)
            assert np.abs(file[name]).max() == 1


def test_small_gradients_survive(tmp_path):
    part = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32) * 1e-9
    parts = {("saliency", "matching"): part, ("grad_cam", "matching"): np.zeros_like(part)}
    rules = {"saliency": "absolute", "grad_cam": "positive"}
    map_files.save(tmp_path / "a.npz", Explanation(parts, rules, 0.25, 1))
    found = map_files.read(tmp_path / "a.npz")
    np.testing.assert_allclose(found.attributions["saliency", "matching"], part, rtol=2e-3, atol=2e-12)
    assert not found.attributions["grad_cam", "matching"].any()
    assert (found.probability, found.label, found.rules) == (0.25, 1, rules)
    map_files.save(tmp_path / "b.npz", Explanation(dict(reversed(parts.items())), rules, 0.25, 1))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:100])
    with pytest.raises(InputError, match=r"b.npz: expected machine attention of a snippet"):
        map_files.read(tmp_path / "b.npz")


def test_what_is_done_is_not_done_again(copy, made, monkeypatch):
    assert run(copy) == made
    calls = []
    monkeypatch.setattr(Machine, "explain", lambda *_: calls.append(1))
    assert run(copy) == made and not calls
    (next((copy / "work").glob("*.mp4"))).unlink()
    gallery = Gallery(
        machine.read_snippets(copy / "candidates.csv"), copy / "frames", copy / "models", CONFIG, copy / "work"
    )
    assert len(gallery.missing) == 1


def test_what_shapes_a_piece_names_it(copy):
    def keys(config=CONFIG):
        snippets = machine.read_snippets(copy / "candidates.csv")
        one = Machine(copy / "models" / "play-looking.safetensors", copy / "frames", config)
        return [one.key(snippet) for snippet in snippets]

    before = keys()
    assert len(set(before)) == 3 and keys() == before
    assert not set(keys(CONFIG.model_copy(update={"cell": 34}))) & set(before)
    frames = np.load(copy / "frames" / "s00.npy")
    frames[4] = 0
    np.save(copy / "frames" / "s00.npy", frames)
    assert [new == old for new, old in zip(keys(), before, strict=True)] == [False, True, True]
    network, configuration = models.load(copy / "models" / "play-looking.safetensors")
    network.head.bias.data += 1
    models.save(copy / "models" / "play-looking.safetensors", network, configuration)
    assert not set(keys()) & set(before)


@pytest.mark.slow
def test_a_killed_run_is_continued(copy, made):
    command = [sys.executable, str(STAGE), *ARGUMENTS]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(command, cwd=copy, env=environment)
    while process.poll() is None and not list((copy / "work").glob("*.npz")):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == done.stderr == ""  # quiet in a log
    assert content(copy) == made


def test_pieces_and_outputs_of_snippets_that_are_gone_vanish(copy):
    run(copy)
    table = pd.read_csv(copy / "candidates.csv")
    artifacts.write_table(copy / "candidates.csv", table[table["session"] == "s00"])
    assert sorted(run(copy)) == ["maps/s00-play-looking-0001000.npz", "overlays/s00-play-looking-0001000.mp4"]
    assert len(list((copy / "work").iterdir())) == 2


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("label", 0, r"snippet s00-play-looking-0001000: expected one session"),
        ("label", 2, "expected 0 or 1, found 2"),
        ("snippet", "../evil", r"column snippet: expected letters, digits"),
    ],
)
def test_snippets_that_make_no_sense_are_refused(copy, column, value, words):
    table = pd.read_csv(copy / "candidates.csv")
    table.loc[0, column] = value
    artifacts.write_table(copy / "candidates.csv", table)
    with pytest.raises(InputError, match=words):
        machine.read_snippets(copy / "candidates.csv")


def test_snippets_of_a_task_whose_name_has_a_space_are_read(copy):
    text = (copy / "candidates.csv").read_text()
    (copy / "candidates.csv").write_text(text.replace("-play-", "-free play + 1-"))
    assert all("-free play + 1-" in snippet.name for snippet in machine.read_snippets(copy / "candidates.csv"))


def test_missing_models_and_methods_that_do_not_fit_are_refused_before_work(copy):
    snippets = machine.read_snippets(copy / "candidates.csv")
    bad = CONFIG.model_copy(update={"methods": ("saliency", "attention_rollout")})
    with pytest.raises(InputError, match="attention_rollout"):
        Gallery(snippets, copy / "frames", copy / "models", bad, copy / "work")
    (copy / "models" / "play-looking.safetensors").unlink()
    with pytest.raises(InputError, match=r"play-looking.safetensors: expected a model, found no such file"):
        Gallery(snippets, copy / "frames", copy / "models", CONFIG, copy / "work")
    assert not (copy / "work").exists()


def test_no_snippets_give_empty_folders(copy):
    artifacts.write_table(copy / "candidates.csv", pd.read_csv(copy / "candidates.csv").iloc[:0])
    assert run(copy) == {}


def test_every_method_says_how_its_maps_are_compared(lab, made):
    found = map_files.read(lab / "maps" / "s00-play-looking-0001000.npz")
    assert found.rules == {name: METHODS[name].kind for name in CONFIG.methods}
