import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from attune import params, scales
from attune.annotation.folds import FoldConfig
from attune.cli import app
from attune.learning.baking import BakeConfig
from attune.learning.encoders import EncoderConfig
from attune.learning.final_training import TrainConfig
from attune.learning.finetune_search import FinetuneSearchConfig
from attune.learning.head_config import HeadSearchConfig
from attune.problems import InputError
from tests.pipeline.structure import ROOT

MODELS = {
    "folds": FoldConfig,
    "bake": BakeConfig,
    "encoder": EncoderConfig,
    "head_search": HeadSearchConfig,
    "finetune_search": FinetuneSearchConfig,
    "train": TrainConfig,
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / "params.yaml", tmp_path))


def test_the_committed_file_is_at_demo_scale(file: Path) -> None:
    assert scales.switch("demo", file) == []


def test_there_and_back_changes_no_byte(file: Path) -> None:
    before = file.read_bytes()
    changed = scales.switch("published", file)
    assert set(changed) == set(scales.values("published"))
    assert file.read_bytes() != before
    assert len(file.read_text().splitlines()) == len(before.decode().splitlines())  # comments stay
    assert set(scales.switch("demo", file)) == set(changed)
    assert file.read_bytes() == before


@pytest.mark.parametrize("name", scales.NAMES)
def test_every_stage_takes_both_scales(name: str, file: Path) -> None:
    scales.switch(name, file)
    read = {section: params.load(f"engagement.{section}", model, file) for section, model in MODELS.items()}
    search = read["head_search"]
    assert isinstance(search, HeadSearchConfig)
    assert search.settings == {"demo": 60, "published": 250}[name]


def test_a_missing_key_is_named_and_nothing_changes(file: Path) -> None:
    file.write_text(file.read_text().replace("    head_epochs: 60\n", ""))
    before = file.read_bytes()
    with pytest.raises(InputError, match=r"engagement\.train\.head_epochs"):
        scales.switch("published", file)
    assert file.read_bytes() == before


def test_the_command(file: Path) -> None:
    result = CliRunner().invoke(app, ["scale", "published", "--params", str(file)])
    assert result.exit_code == 0
    assert "published scale" in result.stdout
    assert isinstance(CliRunner().invoke(app, ["scale", "huge", "--params", str(file)]).exception, InputError)
