import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from attune.learning import baked, features, fold_heads, head_data, head_search
from attune.learning.fold_heads import HeadCourse
from attune.learning.head_config import HeadSearchConfig, HeadSettings
from attune.learning.head_data import HeadData
from attune.learning.heads import Clips
from attune.problems import InputError
from tests.learning.tiny import whole

SPACE = {
    "learning_rate": {"log_uniform": [1e-4, 0.1]},
    "decay": {"value": 0.01},
    "weight_decay": {"value": 0.001},
    "class_weights": {"choice": [True, False]},
}
CONFIG = HeadSearchConfig.model_validate(
    {"settings": 3, "repetitions": 1, "epochs": 4, "batch_size": 16, "window": 2, "seed": 1, "space": SPACE}
)
COURSE = HeadCourse(HeadSettings(learning_rate=0.01, decay=0, weight_decay=0, class_weights=True), 4, 16, "train", 0, 0)


def bake(folder: Path, count: int, size: int = 7, folds: int = 3, *, zeros: bool = False) -> None:
    """Files of training folds with ``count`` clips each to learn from and to score by; two annotators."""
    rng = np.random.default_rng(0)
    for fold in range(folds):
        for kind, epochs in (("train", 2), ("test", 1)):
            labels = rng.integers(-1, 2, (count, 1, 2)).astype(np.int8)
            sample = baked.Baked(
                np.zeros((0, size), np.float32),
                labels,
                np.zeros(count, np.int32),
                np.arange(count, dtype=np.int64),
                (np.arange(count) % epochs).astype(np.int32),
                ("fp01",),
                ("attending",),
                ("ew", "kb"),
                {},
            )
            rows = (rng.normal(size=size) + labels[row].sum() for row in range(count))
            blocks = (np.zeros((1, size), np.float32) if zeros else row[None].astype(np.float32) for row in rows)
            baked.write(baked.path_of(folder, "eggs", fold, kind), sample, blocks)


def folds_of(folder: Path) -> list[head_search.Fold]:
    ((_, folds),) = head_search.read_pairs(folder, 3, "train")
    return folds


def in_memory(clips: Clips) -> Clips:
    return Clips(whole(clips.features), clips.labels, clips.epoch)


def test_rows_come_from_wherever_they_are(tmp_path):
    bake(tmp_path, 20)
    parts = [fold.augmented.features for fold in folds_of(tmp_path)]
    joined = features.Joined((*parts[:2], np.zeros((0, 7), np.float32), whole(parts[2])))
    everything = np.concatenate([whole(part) for part in parts])
    assert joined.shape == everything.shape == (60, 7) and len(np.unique(everything)) == everything.size
    rows, out = np.array([59, 0, 19, 20, 0, 39, 40]), np.full((9, 9), -1, np.float32)
    features.read(joined, rows, out[:, 1:-1], np.arange(7) + 1)
    assert np.array_equal(out[1:8, 1:-1], everything[rows])
    assert (out[[0, 8]] == -1).all() and (out[:, [0, -1]] == -1).all()


@pytest.mark.parametrize("held_mb", [0, 256])
def test_files_and_memory_give_the_same(tmp_path, monkeypatch, held_mb):
    """Also with scores gathered from chunks, of which the last one is smaller."""
    bake(tmp_path, 50)
    folds = folds_of(tmp_path)
    arrays = [head_search.Fold(in_memory(fold.augmented), in_memory(fold.plain)) for fold in folds]
    expected = head_search.search_heads(arrays, CONFIG, name="x").results
    head = fold_heads.train(tmp_path, "eggs", "attending", [0, 1, 2], 1, COURSE)
    assert expected["score"].max() > expected["score"].min() > 0

    monkeypatch.setattr(head_data, "HELD_MB", held_mb)
    monkeypatch.setattr(head_data, "CHUNK", 9)
    pd.testing.assert_frame_equal(head_search.search_heads(folds, CONFIG, name="x").results, expected, check_exact=True)
    other = fold_heads.train(tmp_path, "eggs", "attending", [0, 1, 2], 1, COURSE)
    assert torch.equal(other.weight, head.weight) and torch.equal(other.bias, head.bias)
    assert np.array_equal(other.f1, head.f1)


def test_features_of_a_training_are_held_up_to_a_bound(tmp_path, monkeypatch):
    """Both sides count, with their column of ones; what is held is not read again."""
    bake(tmp_path, 50)
    one, other, _ = folds_of(tmp_path)
    for held_mb, held in ((100 * 8 * 4 / 1e6, True), (99 * 8 * 4 / 1e6, False)):
        monkeypatch.setattr(head_data, "HELD_MB", held_mb)
        data = HeadData.of(one.augmented, other.plain)
        sides = (data.inputs, data.validation[0].inputs)
        monkeypatch.setattr(features.Stored, "read", lambda *_: pytest.fail("read again"))
        if held:
            assert [float(inputs.take(torch.tensor([3]))[0, -1]) for inputs in sides] == [1, 1]
        else:
            for inputs in sides:
                with pytest.raises(pytest.fail.Exception, match="read again"):
                    inputs.take(torch.tensor([3]))
        monkeypatch.undo()


def peak_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.findall(r"VmHWM:\s+([0-9]+) kB", status)[0]) / 1000


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_memory_grows_by_labels_alone(tmp_path, monkeypatch):
    """Four times the clips: 100 MB more features are read, and few bytes for each clip are kept."""
    monkeypatch.setattr(head_data, "HELD_MB", 8)
    monkeypatch.setattr(head_data, "CHUNK", 64)
    config = CONFIG.model_copy(update={"settings": 1, "epochs": 2, "batch_size": 64})
    size, few, many = 3840, 400, 1600

    def above_start(count):
        folder = tmp_path / str(count)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak counts from here on
        start = peak_mb()
        head_search.search_heads(folds_of(folder), config, name="x", workers=1)
        fold_heads.train(folder, "eggs", "attending", [0, 1, 2], 1, COURSE)
        return peak_mb() - start

    for count in (few, many):
        bake(tmp_path / str(count), count, size, zeros=True)
    above_start(few)  # libraries and allocators settle
    grown = [min(above_start(count) for _ in range(2)) for count in (few, many)]
    more_clips = 2 * 3 * (many - few)
    assert more_clips * size * 4 / 1e6 > 100
    assert grown[1] - grown[0] < more_clips * 1000 / 1e6


def test_a_file_that_is_cut_short_while_it_is_read_is_named(tmp_path, monkeypatch):
    bake(tmp_path, 50)
    monkeypatch.setattr(head_data, "HELD_MB", 0)
    folds = folds_of(tmp_path)
    os.truncate(baked.path_of(tmp_path, "eggs", 1, "train"), 2000)
    with pytest.raises(InputError, match=r"features of 50 clips, found .* bytes at .* stage bake again"):
        head_search.search_heads(folds, CONFIG, name="x")
    monkeypatch.setattr(head_data, "HELD_MB", 256)
    with pytest.raises(InputError, match="features of 50 clips"):
        head_search.search_heads(folds, CONFIG, name="x")


def test_a_file_remains_what_it_was_and_is_closed_in_the_end(tmp_path):
    def opened():
        return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0

    before = opened()
    bake(tmp_path, 20)
    path = baked.path_of(tmp_path, "eggs", 0, "test")
    found = baked.load(path)
    expected = whole(found.features)
    bake(tmp_path, 3)
    assert np.array_equal(whole(found.features), expected) and len(baked.load(path)) == 3
    del found
    assert opened() == before
