"""Parameters that contradict each other are refused together, before any work."""

import contextlib
import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

from attune import scales
from attune.problems import InputError
from tests.pipeline.conftest import TINY, Project
from tests.pipeline.structure import ROOT


@pytest.fixture
def project(tmp_path: Path) -> Project:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return Project(tmp_path)


def check(project: Project, **values: Any) -> str:
    """Run the stage; returns what it leaves."""
    project.set_params({f"engagement.{key.replace('__', '.')}": value for key, value in values.items()})
    main = runpy.run_path(str(ROOT / "stages" / "engagement" / "check_parameters.py"))["main"]
    with contextlib.chdir(project.folder):
        main(Path("checked.txt"))
    return (project.folder / "checked.txt").read_text()


def test_both_scales_and_the_tiny_one_are_taken_and_leave_the_same(project: Project) -> None:
    left = {check(project)}
    scales.switch("published", project.folder / "params.yaml")
    left.add(check(project))
    scales.switch("demo", project.folder / "params.yaml")
    project.set_params(TINY)
    left.add(check(project))
    assert len(left) == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"head_search__window": 21}, "engagement.head_search: expected a window of at most 20"),
        ({"train__head_window": 61}, "engagement.train: expected a head_window of at most 60"),
        ({"train__finetuning__window": 11}, "engagement.train.finetuning: expected a window of at most 10"),
        ({"train__validation_fold": 4}, "engagement.train.validation_fold: expected a training fold, 0 to 3, or"),
        ({"train__validation_fold": -5}, "engagement.train.validation_fold: expected a training fold, 0 to 3, or"),
        ({"folds__num_folds": 2}, "engagement.folds.num_folds: expected at least 3"),
        ({"train__finetuning__freeze": {1: 99}}, "engagement.train.finetuning.freeze.1: expected from -"),
        ({"finetune_search__training__freeze": {1: -1, 3: -99}}, "finetune_search.training.freeze.3: expected from -"),
        (
            {"finetune_search__targets": [{"task": "drum", "variable": "attending"}]},
            "engagement.finetune_search.targets.0.task: expected one of people, eggs, drums, found drum",
        ),
        (
            {"finetune_search__targets": [{"task": "drums", "variable": "playing"}]},
            "engagement.finetune_search.targets.0.variable: expected one of attending, participating, found playing",
        ),
        (
            {"head_search__augmentation": "train"},
            "engagement.bake.train_epochs: expected at least 1, because engagement.head_search.augmentation is train",
        ),
        ({"encoder__name": "timm/resnet19", "encoder__weights": "none"}, "name: expected timm/ and the name of an"),
    ],
)
def test_contradictions_name_the_key_and_what_is_allowed(project: Project, values: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check(project, **values)
    assert not (project.folder / "checked.txt").exists()


def test_all_contradictions_are_told_at_once(project: Project) -> None:
    with pytest.raises(InputError) as raised:
        check(project, bake__plain_epochs=0, train__validation_fold=9, train__finetuning__freeze={1: 99})
    assert len(raised.value.problems) == 3
