"""What is kept is found again only under the code that computed it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from attune.learning import activations, encoders, finetune_inputs, provenance
from attune.learning.encoders import EncoderConfig
from tests.learning import tiny
from tests.learning.test_finetune_search import inputs_of, plan_of

ROWS, FINAL = "attune.learning.finetune_run", "attune.learning.final_training"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(provenance.PACKAGE, tmp_path / "attune", ignore=ignored))


@pytest.mark.parametrize("root", [ROWS, FINAL])
def test_code_that_computes_is_told_from_code_that_does_not(copy: Path, root: str) -> None:
    before = provenance.code_digest(copy, root)
    assert before == provenance.code_digest(provenance.PACKAGE, root)
    for name in ("problems.py", "learning/prediction.py", "attention/cams.py"):
        (copy / name).write_text((copy / name).read_text() + "\n# changed\n")
    assert provenance.code_digest(copy, root) == before
    seen = {before}
    for name in ("learning/training.py", "learning/steps.py", "learning/head_training.py", "video/transforms.py"):
        (copy / name).write_text((copy / name).read_text() + "\n# changed\n")
        seen.add(provenance.code_digest(copy, root))
    assert len(seen) == 5


def test_naming_the_code_needs_no_torch() -> None:
    program = f"import sys; from attune.learning import provenance; provenance.made_by({ROWS!r}); print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "torch" not in result.stdout.split()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("provenance") / "lab"
    tiny.make(folder)
    tiny.write_params(folder)
    tiny.write_winner(folder)
    return folder


def other_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "made_by", lambda *_: {"code": "another", "libraries": {}})


def test_rows_and_trainings_of_other_code_are_not_taken_over(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = inputs_of(lab)
    corpus, sessions = inputs.corpus("play", "looking"), ["s00"]
    rows, training = plan_of(lab)["hash"], finetune_inputs.key_of_training(corpus, sessions, [])
    other_code(monkeypatch)
    assert not set(plan_of(lab)["hash"]) & set(rows)
    assert finetune_inputs.key_of_training(corpus, sessions, []) != training


def test_activations_of_other_code_are_not_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = encoders.build(EncoderConfig(name="timm/test_efficientnet", weights="none", input_size=32))
    cut = activations.cut(encoder, len(encoders.stages_of(encoder)) - 2)
    assert cut and activations.fits(cut, torch.rand(2, 3, 32, 32))
    before = activations.key_of(cut, {})
    other_code(monkeypatch)
    assert activations.key_of(cut, {}) != before
