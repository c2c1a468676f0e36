"""Baking on tiny frame stores with a tiny encoder: the same numbers as encoding every clip alone."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from attune.learning import baked, baking, threads
from attune.learning.encoder_base import Encoder, Form
from attune.learning.encoders import FrameEncoder
from attune.learning.pieces import Look, PieceStore, fingerprint
from attune.learning.pixels import PixelConfig, normalisation
from attune.learning.pooling import Moments
from attune.learning.threads import in_order
from attune.problems import InputError
from attune.video import clips, transforms
from attune.video.clips import ClipConfig
from attune.video.recipes import Augmentation
from tests.learning.tiny import whole

torch.set_num_threads(1)

RATE = Fraction(25, 8)
CLIPS = ClipConfig(duration_s=2.0, per_session=3)  # 6 frames
BAKE = baking.BakeConfig(test_clips=4, plain_epochs=3, train_epochs=2, batch_frames=20, seed=5)
FOLDS = {"s1": 0, "s2": 1, "s3": 2, "s4": 0}
TEST_FOLD = 2
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


class Image(nn.Module):
    """An image model of timm's form."""

    num_features = 5

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, stride=2)

    def forward_features(self, frames: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.conv(frames))

    def forward_head(self, features: torch.Tensor, pre_logits: bool) -> torch.Tensor:
        return features.mean(dim=(2, 3))


class Volume(Encoder):
    @property
    def gradcam_layer(self) -> nn.Module:
        return self.model

    def encode(self, clips: torch.Tensor) -> torch.Tensor:
        return self.model(clips).mean(dim=(2, 3, 4))


def frame_encoder(seed: int = 0) -> FrameEncoder:
    torch.manual_seed(seed)
    pooling = Moments(5)
    return FrameEncoder(Image(), Form(pooling.feature_size, 16, MEAN, STD), pooling, nn.Identity()).eval()


def clip_encoder(seed: int = 0) -> Encoder:
    torch.manual_seed(seed)
    return Volume(nn.Conv3d(3, 4, 3, stride=2), Form(4, 16, MEAN, STD)).eval()


@dataclass(frozen=True)
class Lab:
    """Four sessions; each has two tasks, the second of which is cut in two for one annotator."""

    frames: Path
    tasks: pd.DataFrame
    stratified: pd.DataFrame


def record(folder: Path, seconds: int = 20, sessions: dict[str, int] = FOLDS) -> Lab:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    tasks, stratified = [], []
    for session, fold in sessions.items():
        count = int(seconds * RATE) + 1
        np.save(folder / f"{session}.npy", rng.integers(0, 256, (count, 20, 24, 3), dtype=np.uint8))
        for annotator, lag in (("ew", 0), ("kb", 300)):
            half = seconds * 500
            spans = [("people", 100 + lag, half), ("eggs", half + 500 + lag, 2 * half - 200)]
            for task, start, end in spans:
                tasks.append((session, annotator, task, start, end))
                for variable in ("attending", "participating"):
                    middle = int(rng.integers(start + 1, end))
                    stratified += [
                        (session, annotator, task, variable, fold, 1, start, middle),
                        (session, annotator, task, variable, fold, 0, middle, end),
                    ]
    names = ["session", "annotator", "task", "variable", "fold", "engaged", "start_ms", "end_ms"]
    return Lab(
        folder,
        pd.DataFrame(tasks, columns=["session", "annotator", "task", "start_ms", "end_ms"]),
        pd.DataFrame(stratified, columns=names),
    )


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return record(tmp_path_factory.mktemp("lab"))


def bakery_of(lab: Lab, encoder: Encoder, work: Path, config: baking.BakeConfig = BAKE, **look: Any) -> baking.Bakery:
    shown = Look(**{"num_frames": 6, "view": "square", "mean": MEAN, "std": STD, "augmentation": Augmentation()} | look)
    samples = baking.draw_clips(lab.tasks, FOLDS, TEST_FOLD, config, CLIPS)
    store = PieceStore(encoder, lab.frames, RATE, shown, work, config.batch_frames)
    return baking.Bakery(samples, lab.tasks, store, config.seed)


def bake(bakery: baking.Bakery, lab: Lab, out: Path) -> int:
    """Bake and return the number of frames that had to be encoded."""
    done: list[int] = []
    bakery.store.make(bakery.store.missing(bakery.pieces), done.append)
    baking.pack(bakery, baking.label(bakery.samples, lambda: [lab.stratified], CLIPS), {"name": "tiny"}, out, TEST_FOLD)
    bakery.store.remove_others(bakery.pieces)
    return sum(done)


def place(out: Path, task: str, fold: int, augmentation: str) -> Path:
    return baked.path_of(out / ("test" if fold == TEST_FOLD else "training"), task, fold, augmentation)


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.safetensors"))}


@pytest.fixture(scope="module", params=["frames", "clips"])
def baked_folder(request: pytest.FixtureRequest, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Any:
    encoder = frame_encoder() if request.param == "frames" else clip_encoder()
    folder = tmp_path_factory.mktemp(request.param)
    bake(bakery_of(lab, encoder, folder / "work"), lab, folder / "out")
    return encoder, folder / "out"


def test_files_are_those_of_task_fold_and_augmentation(baked_folder: Any) -> None:
    expected = {
        f"training/{task}/{fold}/{name}"
        for task in ("people", "eggs")
        for fold in (0, 1)
        for name in baked.AUGMENTATIONS
    }
    expected |= {f"test/{task}/2/test" for task in ("people", "eggs")}
    assert set(content(baked_folder[1])) == {f"{name}.safetensors" for name in expected}


def test_features_equal_those_of_each_clip_alone(baked_folder: Any, lab: Lab) -> None:
    encoder, out = baked_folder
    reader = clips.ClipReader(lab.frames, RATE, 6)
    for task, fold, name in (("people", 0, "test"), ("eggs", 0, "plain"), ("eggs", 1, "train"), ("people", 2, "test")):
        found = baked.load(place(out, task, fold, name))
        for row in range(len(found)):
            session, start = found.sessions[found.session[row]], int(found.start_ms[row])
            pixels = reader.read(session, start)[None]
            if name == "train":
                index = row % CLIPS.per_session
                clip = pd.DataFrame({"session": [session], "task": [task], "index": [index], "start_ms": [start]})
                keys = clips.keys(clip, seed=BAKE.seed, epoch=int(found.epoch[row]))
                shown = transforms.augment(pixels, Augmentation(), 16, keys)
            else:
                shown = transforms.evaluate(pixels, 16, "square")
            with torch.inference_mode():
                expected = encoder(transforms.normalise(shown, MEAN, STD))[0].numpy()
            np.testing.assert_allclose(whole(found.features)[row], expected, rtol=1e-4, atol=1e-5)


def test_labels_session_start_and_epoch_are_the_clips_own(baked_folder: Any, lab: Lab) -> None:
    found = baked.load(place(baked_folder[1], "eggs", 0, "plain"))
    sampled = pd.concat(
        [clips.sample(lab.tasks, CLIPS, seed=BAKE.seed, epoch=epoch).assign(epoch=epoch) for epoch in range(3)]
    )
    sampled = sampled[sampled["session"].isin(["s1", "s4"]) & (sampled["task"] == "eggs")]
    sampled = sampled.sort_values(["session", "epoch", "index"])
    assert found.sessions == ("s1", "s4")
    assert [found.sessions[index] for index in found.session] == sampled["session"].tolist()
    assert found.start_ms.tolist() == sampled["start_ms"].tolist()
    assert found.epoch.tolist() == sampled["epoch"].tolist()
    assert (found.variables, found.annotators) == (("attending", "participating"), ("ew", "kb"))
    labels = clips.label(sampled, lab.stratified, ["attending", "participating"], ["ew", "kb"], CLIPS)
    np.testing.assert_array_equal(found.labels, labels)
    assert found.labels.dtype == np.int8
    assert set(np.unique(found.labels)) == {0, 1}


def test_each_frame_is_encoded_once(lab: Lab, tmp_path: Path) -> None:
    few = BAKE.model_copy(update={"train_epochs": 0, "plain_epochs": 1})
    many = few.model_copy(update={"plain_epochs": 30})
    stored = sum(len(np.load(path)) for path in lab.frames.glob("*.npy"))
    assert bake(bakery_of(lab, frame_encoder(), tmp_path / "work", few), lab, tmp_path / "out") <= stored
    assert bake(bakery_of(lab, frame_encoder(), tmp_path / "work", many), lab, tmp_path / "out") == 0


def test_a_second_run_encodes_nothing_and_gives_the_same(lab: Lab, tmp_path: Path) -> None:
    for encoder in (frame_encoder(), clip_encoder()):
        assert bake(bakery_of(lab, encoder, tmp_path / "work"), lab, tmp_path / "a") > 0
        assert bake(bakery_of(lab, encoder, tmp_path / "work"), lab, tmp_path / "b") == 0
        assert content(tmp_path / "a") == content(tmp_path / "b")


def test_nothing_depends_on_the_order_of_rows_or_on_what_was_there_before(lab: Lab, tmp_path: Path) -> None:
    bake(bakery_of(lab, clip_encoder(), tmp_path / "one"), lab, tmp_path / "a")
    shuffled = replace(
        lab, tasks=lab.tasks.sample(frac=1, random_state=1), stratified=lab.stratified.sample(frac=1, random_state=2)
    )
    bakery = bakery_of(shuffled, clip_encoder(), tmp_path / "two")
    bakery.store.make(bakery.pieces[::2])
    bake(bakery, shuffled, tmp_path / "b")
    assert content(tmp_path / "a") == content(tmp_path / "b")


@pytest.mark.parametrize("change", ["weights", "view", "mean", "augmentation", "frames", "duration"])
def test_pieces_are_made_again_for_whatever_shapes_them(change: str, lab: Lab, tmp_path: Path) -> None:
    encoder = frame_encoder(seed=int(change == "weights"))
    look: dict[str, Any] = {
        "view": {"view": "crop"},
        "mean": {"mean": (0.0, 0.0, 0.0)},
        "augmentation": {"augmentation": Augmentation(flip_share=1.0)},
        "duration": {"num_frames": 5},
    }.get(change, {})
    first = bakery_of(lab, frame_encoder(), tmp_path)
    other_lab = replace(lab, frames=tmp_path / "frames")
    if change == "frames":
        record(tmp_path / "frames")
        np.save(tmp_path / "frames/s1.npy", 255 - np.load(lab.frames / "s1.npy"))
    second = bakery_of(other_lab if change == "frames" else lab, encoder, tmp_path, **look)
    before, after = ({bakery.store.path(piece) for piece in bakery.pieces} for bakery in (first, second))
    expected = {"augmentation": len(before & after) == 8, "frames": 0 < len(before & after) < len(before)}
    assert expected.get(change, not before & after)


def test_the_test_fold_is_neither_drawn_nor_augmented(lab: Lab) -> None:
    samples = baking.draw_clips(lab.tasks, FOLDS, TEST_FOLD, BAKE, CLIPS)
    for name in ("plain", "train"):
        assert "s3" not in set(samples[name].clips["session"])
    without = {session: fold for session, fold in FOLDS.items() if fold != TEST_FOLD}
    others = baking.draw_clips(lab.tasks, without, TEST_FOLD, BAKE, CLIPS)
    for name in ("plain", "train"):
        pd.testing.assert_frame_equal(samples[name].clips, others[name].clips)


def test_a_video_that_ends_a_little_early_shows_its_last_frame_on(lab: Lab, tmp_path: Path) -> None:
    short = replace(lab, frames=tmp_path / "frames")
    record(short.frames)
    for session in FOLDS:
        np.save(short.frames / f"{session}.npy", np.load(lab.frames / f"{session}.npy")[:-4])
    close = BAKE.model_copy(update={"test_clips": 60})  # so that the last one is close to the end
    bake(bakery_of(short, frame_encoder(), tmp_path / "work", close), short, tmp_path / "out")
    found = baked.load(place(tmp_path / "out", "eggs", 0, "test"))
    last = int(np.flatnonzero(found.session == 0)[-1])
    pixels = clips.ClipReader(short.frames, RATE, 6).read("s1", int(found.start_ms[last]))
    assert (pixels[-1] == pixels[-2]).all()
    with torch.inference_mode():
        shown = transforms.evaluate(pixels[None], 16, "square")
        expected = frame_encoder()(transforms.normalise(shown, MEAN, STD))[0].numpy()
    np.testing.assert_allclose(whole(found.features)[last], expected, rtol=1e-4, atol=1e-5)


def test_frames_that_end_too_early_are_refused_before_any_work(lab: Lab, tmp_path: Path) -> None:
    record(tmp_path / "frames", seconds=20)
    for session in ("s2", "s3"):
        np.save(tmp_path / f"frames/{session}.npy", np.load(lab.frames / f"{session}.npy")[:30])
    with pytest.raises(InputError) as caught:
        bakery_of(replace(lab, frames=tmp_path / "frames"), frame_encoder(), tmp_path / "work")
    assert [Path(problem.file).name for problem in caught.value.problems] == ["s2.npy", "s3.npy"]
    assert not (tmp_path / "work").exists()


def test_no_clip_at_all_is_refused(lab: Lab, tmp_path: Path) -> None:
    short = lab.tasks.assign(end_ms=lab.tasks["start_ms"] + 1000)
    with pytest.raises(InputError, match="no clip at all"):
        bakery_of(replace(lab, tasks=short), frame_encoder(), tmp_path)


def test_a_task_without_clips_in_a_fold_gives_an_empty_file(lab: Lab, tmp_path: Path) -> None:
    tasks = lab.tasks[(lab.tasks["task"] != "eggs") | (lab.tasks["session"] != "s2")]
    bake(bakery_of(replace(lab, tasks=tasks), frame_encoder(), tmp_path / "work"), lab, tmp_path / "out")
    empty = baked.load(place(tmp_path / "out", "eggs", 1, "train"))
    assert (len(empty), empty.features.shape, empty.labels.shape) == (0, (0, 15), (0, 2, 2))


def test_features_that_are_no_numbers_are_refused(lab: Lab, tmp_path: Path) -> None:
    encoder = frame_encoder()
    nn.init.constant_(encoder.model.conv.weight, float("nan"))
    with pytest.raises(InputError, match="NaN"):
        bake(bakery_of(lab, encoder, tmp_path / "work"), lab, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_too_little_graphics_memory_names_the_cure(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(FrameEncoder, "encode_frames", full)
    with pytest.raises(InputError, match="Lower batch_frames"):
        bake(bakery_of(lab, frame_encoder(), tmp_path / "work"), lab, tmp_path / "out")


@pytest.mark.parametrize(("damage", "words"), [("missing", "no such file"), ("cut", "stage bake"), ("other", "format")])
def test_a_damaged_file_is_refused(damage: str, words: str, baked_folder: Any, tmp_path: Path) -> None:
    path = tmp_path / "test.safetensors"
    whole = place(baked_folder[1], "people", 0, "test").read_bytes()
    if damage != "missing":
        path.write_bytes(whole[:-9] if damage == "cut" else whole.replace(b"samples 1", b"samples 9"))
    with pytest.raises(InputError, match=words):
        baked.load(path)


def test_blocks_that_do_not_make_up_the_features_are_refused(baked_folder: Any, tmp_path: Path) -> None:
    found = baked.load(place(baked_folder[1], "people", 0, "test"))
    features = whole(found.features)
    for blocks in ([features[:-1]], [features[:, 1:]], [features.astype(float)]):
        with pytest.raises(ValueError, match="expected"):
            baked.write(tmp_path / "x.safetensors", found, blocks)
    assert list(tmp_path.iterdir()) == []


def test_a_fingerprint_knows_weights_and_form() -> None:
    assert fingerprint(frame_encoder()) == fingerprint(frame_encoder())
    assert len({fingerprint(encoder) for encoder in (frame_encoder(), frame_encoder(1), clip_encoder())}) == 3


@pytest.mark.parametrize("count", [1, 3])
def test_results_come_in_order_and_errors_in_their_place(count: int) -> None:
    def half(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        if number == 7:
            raise ValueError("seven")
        return number // 2

    assert list(in_order(half, range(7), count)) == [(number, number // 2) for number in range(7)]
    seen = []
    with pytest.raises(ValueError, match="seven"):
        for item, _ in in_order(half, range(20), count):
            seen.append(item)
    assert seen == list(range(7))


def test_workers_have_one_core_each_and_leave_the_others_as_they_were() -> None:
    torch.set_num_threads(3)
    try:
        assert [result for _, result in in_order(lambda _: torch.get_num_threads(), range(4), 2)] == [1] * 4
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)


def test_features_do_not_depend_on_the_number_of_cores(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for count in (1, 5):
        monkeypatch.setattr(threads, "workers", lambda count=count: count)
        bake(bakery_of(lab, clip_encoder(), tmp_path / f"work{count}"), lab, tmp_path / f"out{count}")
    assert content(tmp_path / "out1") == content(tmp_path / "out5")


def test_normalisation_by_folds_leaves_the_test_fold_out() -> None:
    from types import SimpleNamespace as Simple

    rng = np.random.default_rng(0)
    pixels = [rng.random((size, 3)) ** power for size, power in ((50, 1), (70, 2), (90, 9))]
    values = [Simple(count=len(part), mean=tuple(part.mean(0)), std=tuple(part.std(0))) for part in pixels]
    statistics: Any = Simple(folds=[Simple(pixel_values=value) for value in values], test_fold=2)
    config = PixelConfig(view="square", normalise="folds")
    mean, std = normalisation(config, frame_encoder(), statistics)
    training = np.concatenate(pixels[:2])
    np.testing.assert_allclose(mean, training.mean(0))
    np.testing.assert_allclose(std, training.std(0))
    assert normalisation(PixelConfig(view="square"), frame_encoder(), statistics) == (MEAN, STD)


PROGRAM = """
import json, sys, time
from pathlib import Path
from tests.learning import test_baking as t
lab = t.record(Path(sys.argv[1]))
bakery = t.bakery_of(lab, t.clip_encoder(), Path(sys.argv[2]))
missing = bakery.store.missing(bakery.pieces)
print(len(missing), flush=True)
bakery.store.make(missing, lambda _: time.sleep(float(sys.argv[4])))
labels = t.baking.label(bakery.samples, lambda: [lab.stratified], t.CLIPS)
t.baking.pack(bakery, labels, {"name": "tiny"}, Path(sys.argv[3]), t.TEST_FOLD)
"""


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bytes(lab: Lab, tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"}

    def start(pause: float) -> subprocess.Popen[str]:
        arguments = [str(lab.frames), str(tmp_path / "work"), str(tmp_path / "out"), str(pause)]
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments], env=environment, stdout=subprocess.PIPE, text=True
        )

    def made() -> int:
        return len(list((tmp_path / "work").glob("[!.]*.npy"))) if (tmp_path / "work").exists() else 0

    with start(0.2) as killed:
        while made() < 3:
            assert killed.poll() is None
            time.sleep(0.02)
        os.kill(killed.pid, signal.SIGKILL)
    left = made()
    assert not (tmp_path / "out").exists()
    with start(0) as resumed:
        assert resumed.stdout
        total = len(bakery_of(lab, clip_encoder(), tmp_path / "other").pieces)
        assert int(resumed.stdout.readline()) == total - left > 0
    bake(bakery_of(lab, clip_encoder(), tmp_path / "fresh"), lab, tmp_path / "expected")
    assert content(tmp_path / "out") == content(tmp_path / "expected")
    assert len(content(tmp_path / "out")) == 14
