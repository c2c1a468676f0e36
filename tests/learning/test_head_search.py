import json
import runpy
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from attune.learning import baked, head_data, head_search, head_training, search_report
from attune.learning.head_config import HeadSearchConfig, Winner
from attune.learning.head_search import Fold, search_heads
from attune.learning.heads import Clips
from attune.problems import InputError
from tests.conftest import ROOT
from tests.learning.tiny import whole

SPACE = {
    "learning_rate": {"log_uniform": [1e-5, 1]},
    "decay": {"mixture": [{"weight": 1, "value": 0}, {"weight": 4, "log_uniform": [1e-3, 0.1]}]},
    "weight_decay": {"mixture": [{"weight": 1, "value": 0}, {"weight": 4, "log_uniform": [1e-4, 10]}]},
    "class_weights": {"choice": [True, False]},
}


def config(**changes):
    written = {"settings": 9, "repetitions": 2, "epochs": 4, "batch_size": 8, "window": 2, "seed": 1, "space": SPACE}
    return HeadSearchConfig.model_validate(written | changes)


def clips(rng, n=24, epochs=3, signal=3.0, positive=0.5):
    labels = (rng.random((n, 1)) < positive).astype(np.int8).repeat(2, axis=1)
    features = rng.normal(size=(n, 5))
    features[:, 0] += signal * (labels[:, 0] - 0.5)
    labels[::5, 1] = -1
    return Clips(features.astype(np.float32), labels, np.arange(n, dtype=np.int32) % epochs)


def folds(count=4, seed=0, **changes):
    rng = np.random.default_rng(seed)
    return [Fold(clips(rng, **changes), clips(rng, epochs=1, **changes)) for _ in range(count)]


def test_the_same_search_gives_the_same_answer_whatever_the_workers():
    one = search_heads(folds(), config(memory_mb=1e-3), name="people, attending", workers=1)
    two = search_heads(folds(), config(memory_mb=1e-3), name="people, attending", workers=3)
    pd.testing.assert_frame_equal(one.results, two.results)
    assert one.winner == two.winner and not one.problems


def test_blocks_change_nothing_but_rounding_and_cover_every_run():
    done = []
    whole = search_heads(folds(), config(), name="x", on_done=done.append)
    cut = search_heads(folds(), config(memory_mb=1e-4), name="x")
    pd.testing.assert_frame_equal(whole.results, cut.results, atol=0.02)
    assert sum(done) == head_search.total_runs(config(), 4) == 9 * 2 * 4
    assert (whole.results["runs"] == 8).all()


def test_more_settings_leave_the_first_as_they_are():
    few, more = (search_heads(folds(), config(settings=n, memory_mb=1e-6), name="x").results for n in (3, 5))
    pd.testing.assert_frame_equal(few, more.head(3))


def test_the_winner_is_the_best_setting_and_beats_chance_where_there_is_something_to_learn():
    found = search_heads(folds(positive=0.4), config(settings=20), name="x")
    assert found.winner.score == found.results["score"].max()
    assert found.winner.score > found.winner.chance + 0.15
    row = found.results.set_index("setting").loc[found.winner.setting]
    assert found.winner.settings().model_dump() == {name: row[name] for name in SPACE}
    assert 1 <= found.winner.epochs <= 4


def test_chance_is_the_f1_of_always_answering_yes():
    labels = np.array([[1, 1], [1, -1], [0, 0]], dtype=np.int8)
    plain = Clips(np.zeros((3, 5), np.float32), labels, np.zeros(3, np.int32))
    chance = search_heads([Fold(plain, plain)] * 2, config(settings=1), name="x").winner.chance
    assert chance == pytest.approx(2 * 3 / (3 + 5))


def test_validation_is_never_learned_from(monkeypatch):
    """Each split learns from the augmented clips of the other folds and scores the plain clips of its own."""
    seen = []
    original = head_data.HeadData.of
    monkeypatch.setattr(
        head_search.HeadData,
        "of",
        lambda train, validation, device: seen.append((train, validation)) or original(train, validation, device),
    )
    given = folds(3)
    search_heads(given, config(settings=1), name="x")
    for place, (train, validation) in enumerate(seen):
        assert validation is given[place].plain
        others = np.concatenate([fold.augmented.features for number, fold in enumerate(given) if number != place])
        assert np.array_equal(whole(train.features), others)


def test_folds_without_a_class_are_named_and_defined():
    given = folds(3)
    plain = given[1].plain
    given[1] = Fold(given[1].augmented, Clips(plain.features, np.minimum(plain.labels, 0), plain.epoch))
    found = search_heads(given, config(), name="eggs, attending")
    assert [problem.where for problem in found.problems] == ["validation clips of fold 1"]
    assert found.problems[0].severity == "warning" and "0 engaged" in found.problems[0].found
    assert (found.results["lowest"] == 0).all()

    one_class = [
        Fold(Clips(f.augmented.features, np.minimum(f.augmented.labels, 0), f.augmented.epoch), f.plain) for f in given
    ]
    found = search_heads(one_class, config(), name="x")
    assert "training clips where fold 0 validates" in [problem.where for problem in found.problems]
    assert found.results["score"].between(0, 1).all()


def test_a_fold_without_clips_is_a_warning_and_fewer_than_two_with_clips_an_error():
    given = folds(3)
    nothing = Clips(np.zeros((0, 5), np.float32), np.zeros((0, 2), np.int8), np.zeros(0, np.int32))
    found = search_heads([*given[:2], Fold(nothing, nothing)], config(), name="x")
    assert [problem.where for problem in found.problems] == ["validation clips of fold 2"]
    for few in (given[:1], [given[0], Fold(nothing, nothing)], []):
        with pytest.raises(InputError, match="two training folds with labelled clips"):
            search_heads(few, config(), name="x")


def test_a_run_that_diverges_counts_zero_and_is_reported():
    wild = SPACE | {"learning_rate": {"choice": [1e39, 0.01]}}
    results = search_heads(folds(), config(space=wild), name="x").results
    lost = results["learning_rate"] == 1e39
    assert lost.any() and not lost.all()
    assert (results["score"][lost] == 0).all() and (results["diverged"][lost] == 8).all()
    assert (results["diverged"][~lost] == 0).all()


def test_a_gpu_without_memory_is_told_what_to_do(monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(head_training, "train_heads", full)
    with pytest.raises(InputError, match="Lower memory_mb"):
        search_heads(folds(), config(), name="x")


def test_threads_of_pytorch_are_as_before():
    before = torch.get_num_threads()
    search_heads(folds(2), config(settings=2), name="x")
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"settings": 0}, "settings"),
        ({"window": 0}, "window"),
        ({"window": 5}, "a window of at most 4, the number of epochs"),
        ({"memory_mb": 0}, "memory_mb"),
        ({"space": SPACE | {"decay": {"value": 1}}}, "decay that can only be drawn as allowed"),
        ({"space": SPACE | {"learning_rate": {"uniform": [0, 1]}}}, "learning_rate that can only be drawn as allowed"),
        ({"space": SPACE | {"weight_decay": {"uniform": [-1, 1]}}}, "weight_decay that can only"),
        ({"space": SPACE | {"class_weights": {"choice": ["maybe"]}}}, "class_weights that can only"),
        ({"space": SPACE | {"momentum": {"value": 1}}}, "and for nothing else"),
        ({"space": {}}, "and for nothing else"),
        ({"setings": 3}, "Extra inputs"),
    ],
)
def test_bad_parameters_are_refused_before_any_work(changes, said):
    with pytest.raises(ValidationError, match=said):
        config(**changes)


def bake(folder, tasks=("eggs",), num_folds=4):
    """Packed files as the stage bake leaves them; the last fold is the test fold."""
    rng = np.random.default_rng(0)
    for task in tasks:
        for fold in range(num_folds):
            for kind in ("test", "train") if fold < num_folds - 1 else ("test",):
                one, other = (clips(rng, epochs=1 if kind == "test" else 3) for _ in range(2))
                labels = np.stack([one.labels, other.labels], axis=1)
                sample = baked.Baked(
                    np.zeros((0, 5), np.float32),
                    labels,
                    np.zeros(24, np.int32),
                    np.arange(24, dtype=np.int64),
                    one.epoch,
                    ("fp01",),
                    ("attending", "participating"),
                    ("ew", "kb"),
                    {},
                )
                baked.write(baked.path_of(folder, task, fold, kind), sample, [one.features])


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A folder with baked samples and parameters, and the stage's main."""
    bake(tmp_path / "baked")
    section = {"head_search": config(settings=4).model_dump(exclude_none=True), "folds": {"num_folds": 4, "tries": 1}}
    (tmp_path / "params.yaml").write_text(json.dumps({"engagement": section}))
    monkeypatch.chdir(tmp_path)
    return tmp_path, runpy.run_path(str(ROOT / "stages" / "engagement" / "head_search.py"))["main"]


def test_the_stage_never_reads_the_test_fold_and_repeats_itself(lab):
    folder, main = lab
    main(folder / "baked", folder / "first")
    shutil.rmtree(folder / "baked" / "eggs" / "3")
    main(folder / "baked", folder / "second")
    files = sorted(path.relative_to(folder / "first") for path in (folder / "first").rglob("*.*"))
    assert len(files) == 2 * (3 + 1 + 4) + 1  # tables, winner, figures; and what experiments are compared by
    for file in files:
        assert (folder / "first" / file).read_bytes() == (folder / "second" / file).read_bytes()


def test_the_winner_can_be_read_by_what_comes_after(lab):
    folder, main = lab
    main(folder / "baked", folder / "out")
    files = sorted((folder / "out").glob(f"*/{search_report.WINNER}"))
    found = {file.parent.name: Winner.model_validate_json(file.read_bytes()) for file in files}
    assert list(found) == ["eggs-attending", "eggs-participating"]
    best = pd.read_csv(folder / "out" / "eggs-attending" / "top10.csv").iloc[0]
    assert found["eggs-attending"].learning_rate == best["learning_rate"]
    assert found["eggs-attending"].score > found["eggs-participating"].score  # its features carry no sign of the latter


def test_the_stage_leaves_nothing_half_written(lab):
    folder, main = lab
    with pytest.raises(InputError, match="no task"):
        main(folder / "elsewhere", folder / "out")
    (folder / "baked" / "eggs" / "1" / "train.safetensors").unlink()
    with pytest.raises(InputError, match="no such file"):
        main(folder / "baked", folder / "out")
    assert not (folder / "out").exists() and not list(folder.glob(".out*"))
