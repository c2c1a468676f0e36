"""Where a lab's recordings may lie: every path reaches the stages through DVC and a shell as it is, or is refused."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from attune import raw_folder
from tests.pipeline.conftest import Project, make_project
from tests.pipeline.test_own_recordings import TASKS, apply, example_in_readme, record_lab

TABLE = "data/processed/engagement/original_annotation_spans.csv"
GOOD = {
    "words": "data/it's my raw; & (Größe) * #1 {a} | <b> !x",
    "trailing slash": "data/raw/",
    "dash": "./-raw",
    "dots": "data/../data/raw",
    "above": "../own recordings",
    "whole": "TMP/elsewhere/raw",
    "whole, within": "TMP/project/data/raw",
}
BAD: dict[str, tuple[Any, str]] = {
    "command": ("data/$(touch canary)", "'$'"),
    "old command": ("data/`touch canary`", "'`'"),
    "end of quotes": ('data/"; touch canary; "', "'\"'"),
    "variable": ("$HOME/raw", "'$'"),
    "backslash": ("data\\raw", "'\\\\'"),
    "two lines": ("data/a\ntouch canary", "'\\n'"),
    "home": ("~/raw", "'~/raw'"),
    "dash": ("-raw", "Write ./-raw."),
    "address": ("s3://bucket/raw", "this machine"),
    "missing": ("data/nowhere", "no folder 'data/nowhere'"),
    "in part": ("data/part", "no video, no attention in 'data/part'"),
    "blank": (" ", "' '"),
    "number": (2023, "2023"),
    "nothing": (None, "None"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_path_is_refused(case: str, tmp_path: Path) -> None:
    value, told = BAD[case]
    (tmp_path / "data/part/engagement").mkdir(parents=True)
    problem = raw_folder.check(value, Path("data/demo"), tmp_path)
    assert problem is not None
    assert str(problem).startswith("params.yaml, engagement.raw: expected ")
    assert told in str(problem)


def test_the_demo_need_not_be_there_yet(tmp_path: Path) -> None:
    assert raw_folder.check("data/demo/", Path("data/demo"), tmp_path) is None
    assert raw_folder.check("data/other", Path("data/demo"), tmp_path) is not None


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A lab's project, with recordings beside it."""
    folder = tmp_path_factory.mktemp("lab")
    project = make_project(folder / "project")
    record_lab(folder / "recordings")
    settings = example_in_readme()
    settings["protocol"]["tasks"] = list(TASKS)
    apply(project, settings)
    yield project


@pytest.mark.slow
@pytest.mark.xdist_group("raw folder")
@pytest.mark.parametrize("case", GOOD)
def test_the_stages_read_it(lab: Project, case: str) -> None:
    """The whole text that the shell gets, from DVC to the table of spans."""
    value = GOOD[case].replace("TMP", str(lab.folder.parent))
    raw = lab.folder / value
    shutil.copytree(lab.folder.parent / "recordings", raw)
    (lab.folder / TABLE).unlink(missing_ok=True)
    lab.set_params({"engagement.raw": value})
    try:
        lab.run("dvc", "repro", "extract_spans")
        assert "S-01,björn" in (lab.folder / TABLE).read_text(encoding="utf-8")
        assert "up to date" in lab.run("dvc", "repro", "extract_spans").stdout
    finally:
        shutil.rmtree(raw)


@pytest.mark.slow
@pytest.mark.xdist_group("raw folder")
@pytest.mark.parametrize("case", ["command", "end of quotes", "dash", "missing", "number"])
def test_nothing_runs_with_it(lab: Project, case: str) -> None:
    value, told = BAD[case]
    (lab.folder / TABLE).unlink(missing_ok=True)
    lab.set_params({"engagement.raw": value})
    answer = lab.run("dvc", "repro", check=False)
    said = answer.stdout + answer.stderr
    assert answer.returncode != 0
    assert told in said
    assert "exited with 1" in said  # of the stage's script
    assert "failed to reproduce 'check_recordings'" in said
    assert "Traceback" not in said
    assert "extract_spans" not in said
    assert not (lab.folder / TABLE).exists()
    assert not list(lab.folder.rglob("canary*"))
