"""A bad value in each section of params.yaml, met by the script that reads it: one clear message, nothing written."""

import inspect
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from attune import cli
from attune.problems import InputError
from tests.conftest import ROOT

# section, key in it: a script that reads the section, a value that is refused
BAD: dict[tuple[str, str], tuple[str, Any]] = {
    ("demo", "sessions"): ("demo/record", 0),
    ("engagement.protocol", "annotators"): ("engagement/extract_spans", ["ew", "../kb"]),
    ("engagement.protocol", "first_date"): ("engagement/fill_spans", "2023-02-01"),
    ("engagement.video", "height"): ("engagement/process_videos", 161),
    ("engagement.folds", "num_folds"): ("engagement/make_folds", 1),
    ("engagement.reliability", "sample_ms"): ("engagement/measure_reliability", 0),
    ("engagement.clips", "duration_s"): ("engagement/choose_snippets", -1),
    ("engagement.augmentation", "flip_share"): ("engagement/bake", 1.5),
    ("engagement.encoder", "name"): ("engagement/bake", "abacus"),
    ("engagement.pixels", "view"): ("engagement/bake", "round"),
    ("engagement.bake", "test_clips"): ("engagement/bake", 0),
    ("engagement.head_search", "epochs"): ("engagement/head_search", 0),
    ("engagement.finetune_search", "settings"): ("engagement/plan_finetune_search", -1),
    ("engagement.train", "head_epochs"): ("engagement/train", 0),
    ("engagement.attribution", "cell"): ("engagement/attribute", -1),
    ("engagement.attention_quality", "draws"): ("engagement/score_attention", -1),
    ("engagement.attention_similarity", "size"): ("engagement/compare_attention", 0),
    ("engagement.snippets", "folds"): ("engagement/choose_snippets", "some"),
    ("engagement.report", "budget_mb"): ("engagement/report", -1),
    ("engagement.queue.head", "space"): ("", {"engagement.bake.plain_epochs": {"choice": []}}),
    ("engagement.queue.train", "seed"): ("", "x"),
}


def spoil(folder: Path, section: str, key: str, value: Any) -> None:
    """The committed parameters with one value changed."""
    yaml = YAML()
    document = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    inner = document
    for part in section.split("."):
        inner = inner[part]
    assert key in inner
    inner[key] = value
    yaml.dump(document, folder / "params.yaml")


@pytest.mark.parametrize(("section", "key"), [place for place, (script, _) in BAD.items() if script])
def test_a_stage_refuses_a_bad_value(section: str, key: str, tmp_path: Path, run_stage_here: Callable) -> None:
    script, value = BAD[section, key]
    spoil(tmp_path, section, key, value)
    main = runpy.run_path(str(ROOT / "stages" / f"{script}.py"))["main"]
    required = [name for name, one in inspect.signature(main).parameters.items() if one.default is one.empty]
    ended = run_stage_here(script, *required, cwd=tmp_path)
    assert ended.code == 1, ended.stderr
    lines = ended.stderr.splitlines()
    assert lines[-1] == "1 error(s); nothing was written."
    assert lines[-2].startswith(f"error: params.yaml, {section}")
    assert [path.name for path in tmp_path.rglob("*")] == ["params.yaml"]


@pytest.mark.parametrize(("section", "key"), [place for place, (script, _) in BAD.items() if not script])
def test_the_queue_refuses_a_bad_value(section: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(tmp_path, section, key, BAD[section, key][1])
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.app, ["queue", section.rpartition(".")[2], "--settings", "1"])
    assert isinstance(done.exception, InputError)
    assert f"params.yaml, {section}.{key}" in str(done.exception)
    assert [path.name for path in tmp_path.rglob("*")] == ["params.yaml"]


def test_every_section_has_a_bad_value() -> None:
    document = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    sections = {f"engagement.{name}" for name in set(document.pop("engagement")) - {"raw"}} | set(document)
    assert {
        section.replace(".queue.head", ".queue").replace(".queue.train", ".queue") for section, _ in BAD
    } == sections
