"""The stages from spans to folds, chance and summary, on good input as processes, on broken input within this one."""

import json
import re
import runpy
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attune import artifacts, params
from attune.annotation import folds, reliability_tables, spans
from attune.annotation.protocol import Protocol
from tests.conftest import ROOT

PARAMS = """
engagement:
  protocol:
    first_date: 2022-01-01
    last_date: 2022-12-31
    sessions: "s[0-9]"
    annotators: [ew, kb]
    tasks: [people, eggs]
    variables:
      attending: {values: [attending, excited]}
  folds:
    num_folds: 3
    tries: 500
    groups: {second: [s0, s1, s2]}
  reliability:
    sample_ms: 100
    tolerances_ms: [0, 200]
    event_overlap: 0.6
    bootstrap: 100
    confidence: 0.95
    seed: 0
"""
SPANS, FRAMES = "original.csv", "frames"
FILL = ("engagement/fill_spans", SPANS, "tasks.csv", "filled.csv")
FOLDS = ("engagement/make_folds", "filled.csv", FRAMES, "stratified.csv", "fold_statistics.json")
CHANCE = ("engagement/score_chance", "stratified.csv", "chance.json")
RELIABILITY = ("engagement/measure_reliability", "tasks.csv", "filled.csv", "reliability")
SUMMARISE = ("engagement/summarise", "fold_statistics.json", "reliability", "metrics", "plots")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, run_stage: Callable) -> Path:
    """All results on six sessions of two annotators, two tasks each, with a few frames; tests must not change it."""
    folder = tmp_path_factory.mktemp("results")
    (folder / "params.yaml").write_text(PARAMS)
    (folder / FRAMES).mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for session in (f"s{number}" for number in range(6)):
        np.save(folder / FRAMES / f"{session}.npy", rng.integers(0, 256, (3, 4, 5, 3), dtype=np.uint8))
        for annotator in ("ew", "kb"):
            for start, task in ((1_000, "people"), (12_000, "eggs")):
                rows.append((session, annotator, "task", task, start, start + 10_000))
                first = start + int(rng.integers(1, 4_000))
                rows.append((session, annotator, "attending", "attending", first, first + 2_000))
                rows.append((session, annotator, "attending", "excited", first + 2_000, first + 4_000))
    artifacts.write_table(folder / SPANS, pd.DataFrame(rows, columns=list(spans.ORIGINAL)))
    for stage in (FILL, FOLDS, CHANCE, RELIABILITY, SUMMARISE):
        result = run_stage(*stage, cwd=folder)
        assert (result.returncode, result.stderr) == (0, ""), stage
    return folder


@pytest.fixture
def project(results: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return shutil.copytree(results, tmp_path / "project")


def test_from_spans_to_folds_chance_and_figures(results: Path) -> None:
    stratified = spans.read(results / "stratified.csv", spans.STRATIFIED)
    statistics = folds.read_statistics(results / "fold_statistics.json")
    assert set(stratified["fold"]) == {0, 1, 2}
    for index, fold in enumerate(statistics.folds):
        assert fold.sessions == tuple(sorted(set(stratified[stratified["fold"] == index]["session"])))
        pixels = (
            np.concatenate([np.load(results / FRAMES / f"{name}.npy") for name in fold.sessions]).reshape(-1, 3) / 255
        )
        assert fold.pixel_values.count == len(pixels)
        np.testing.assert_allclose(fold.pixel_values.mean, pixels.mean(axis=0), atol=1e-9)
        np.testing.assert_allclose(fold.pixel_values.std, pixels.std(axis=0), atol=1e-9)
    chance = json.loads((results / "chance.json").read_text())
    overall = statistics.all_sessions.empirical_probability
    assert chance["eggs"]["attending"]["positive_probability"] == overall["eggs"]["attending"]
    made = {
        path.relative_to(results).as_posix() for top in ("metrics", "plots") for path in (results / top).rglob("*.*")
    }
    assert {
        "metrics/folds.json",
        "metrics/reliability.json",
        "plots/folds/balance.png",
        "plots/folds/balance.csv",
    } <= made
    assert {"plots/reliability/kappa_binary.png", "plots/reliability/kappa_multi.png"} <= made
    assert (results / "reliability/initials/kappa_binary.png").is_file()


def test_what_git_holds_has_letters_and_the_measured_folder_initials(results: Path) -> None:
    for name, column in (("agreement", "annotator_1"), ("events", "annotator_2"), ("span_lengths", "annotator")):
        measured, shown = (pd.read_csv(results / top / f"{name}.csv") for top in ("reliability", "plots/reliability"))
        assert {"ew", "kb"} & set(measured[column])
        assert {"A", "B"} & set(shown[column])
        people = [each for each in reliability_tables.PEOPLE if each in shown]
        pd.testing.assert_frame_equal(shown.drop(columns=people), measured.drop(columns=people))
    for path in [*(results / "plots").rglob("*.*"), *(results / "metrics").rglob("*.*")]:
        assert not re.search(rb"\b(ew|kb)\b", path.read_bytes() if path.suffix != ".png" else b""), path


def test_initials_are_shown_on_demand(project: Path, run_stage: Callable) -> None:
    params = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(params + "    names: initials\n")
    for stage in (RELIABILITY, SUMMARISE):
        assert run_stage(*stage, cwd=project).returncode == 0
    for name in ("agreement", "events", "span_lengths", "coverage"):
        paths = [project / top / f"{name}.csv" for top in ("reliability", "plots/reliability")]
        assert paths[0].read_bytes() == paths[1].read_bytes()
    figures = [project / top / "kappa_multi.png" for top in ("reliability/initials", "plots/reliability")]
    assert figures[0].read_bytes() == figures[1].read_bytes()


def test_a_second_run_writes_the_same_bytes(project: Path, run_stage: Callable) -> None:
    outputs = ("tasks.csv", "filled.csv", "stratified.csv", "fold_statistics.json")
    first = {name: (project / name).read_bytes() for name in outputs}
    table = pd.read_csv(project / SPANS, dtype=str)
    artifacts.write_table(project / SPANS, table.sample(frac=1, random_state=1))
    for stage in (FILL, FOLDS):
        assert run_stage(*stage, cwd=project).returncode == 0
    assert {name: (project / name).read_bytes() for name in outputs} == first


def test_a_user_error_of_a_process(project: Path, run_stage: Callable) -> None:
    result = run_stage("engagement/fill_spans", "absent.csv", "tasks.csv", "filled.csv", cwd=project)
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "error: absent.csv: expected a file, found no such file. Run `dvc repro`, or check the path.",
        "1 error(s); nothing was written.",
    ]


def test_sessions_on_one_side_alone_are_named_in_a_warning(project: Path, run_stage: Callable) -> None:
    (project / FRAMES / "s5.npy").rename(project / FRAMES / "s9.npy")
    result = run_stage(*FOLDS, cwd=project)
    assert result.returncode == 0
    assert "session s5" in result.stderr
    assert "session s9" in result.stderr
    assert result.stderr.count("warning: ") == 2
    assert "s5" not in (project / "stratified.csv").read_text()


@dataclass
class Ended:
    """How a stage ended."""

    code: object
    stderr: str


@pytest.fixture
def run_here(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[..., Ended]:
    """Run a stage's script in this process, which saves its start; what a process would show as a traceback raises."""

    def run(script: str, *arguments: str) -> Ended:
        path = str(ROOT / "stages" / f"{script}.py")
        monkeypatch.chdir(project)
        monkeypatch.setattr("sys.argv", [path, *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(path, run_name="__main__")
        return Ended(ended.value.code, capsys.readouterr().err)

    return run


def append(row: str) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        file.write_text(file.read_text() + row + "\n")

    return change


def replace(old: str, new: str) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    return change


def overwrite(content: bytes) -> Callable[[Path], object]:
    return lambda file: file.write_bytes(content)


def save(frames: np.ndarray) -> Callable[[Path], None]:
    return lambda file: np.save(file, frames)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


BROKEN = {
    "spans missing": (FILL, SPANS, Path.unlink, "no such file"),
    "spans empty": (FILL, SPANS, overwrite(b""), "original.csv"),
    "spans without rows": (FILL, SPANS, overwrite(b"session,annotator,variable,value,start_ms,end_ms\n"), "no rows"),
    "spans not text": (FILL, SPANS, overwrite(b"\xff\xfe\x00\x01"), "original.csv"),
    "column missing": (FILL, SPANS, replace("start_ms", "start"), "start_ms"),
    "time no number": (FILL, SPANS, append("s1,ew,attending,excited,soon,99000"), "'soon'"),
    "time missing": (FILL, SPANS, append("s1,ew,attending,excited,,99000"), "column start_ms, line 74"),
    "time negative": (FILL, SPANS, append("s1,ew,attending,excited,-5,900"), "line 74"),
    "time beyond any recording": (FILL, SPANS, append("s1,ew,attending,excited,5,9000000000000000000"), "line 74"),
    "end before start": (FILL, SPANS, append("s1,ew,attending,excited,99000,98000"), "end_ms > start_ms"),
    "span empty": (FILL, SPANS, append("s1,ew,attending,excited,99000,99000"), "end_ms > start_ms"),
    "overlap": (FILL, SPANS, append("s1,ew,task,eggs,20000,23000"), "overlaps line"),
    "task unknown": (FILL, SPANS, append("s1,ew,task,cooking,50000,60000"), "'cooking'"),
    "variable unknown": (FILL, SPANS, append("s1,ew,smiling,smile,50000,60000"), "'smiling'"),
    "value unknown": (FILL, SPANS, append("s1,ew,attending,bored,50000,60000"), "'bored'"),
    "session unnamed": (FILL, SPANS, append(",ew,attending,excited,50000,60000"), "the name of the session"),
    "no task anywhere": (
        FILL,
        SPANS,
        overwrite(b"session,annotator,variable,value,start_ms,end_ms\ns1,ew,attending,excited,0,5\n"),
        "no task time at all",
    ),
    "params missing": (FILL, "params.yaml", Path.unlink, "no such file"),
    "section missing": (FOLDS, "params.yaml", replace("  folds:", "  fold:"), "a section 'folds'"),
    "key unknown": (
        FOLDS,
        "params.yaml",
        replace("tries: 500", "trials: 5\n    tries: 500"),
        "engagement.folds.trials",
    ),
    "one fold": (FOLDS, "params.yaml", replace("num_folds: 3", "num_folds: 1"), "engagement.folds.num_folds"),
    "no tries": (FOLDS, "params.yaml", replace("tries: 500", "tries: 0"), "engagement.folds.tries"),
    "folds a fraction": (FOLDS, "params.yaml", replace("num_folds: 3", "num_folds: 2.5"), "engagement.folds.num_folds"),
    "group unknown session": (FOLDS, "params.yaml", replace("s2]", "s7]"), "engagement.folds.groups.second"),
    "group no list": (FOLDS, "params.yaml", replace("[s0, s1, s2]", "s0"), "engagement.folds.groups.second"),
    "too few sessions": (FOLDS, "params.yaml", replace("num_folds: 3", "num_folds: 7"), "at least 7 sessions"),
    "filled overlap": (FOLDS, "filled.csv", append("s1,ew,eggs,attending,no,20000,22000"), "overlaps line"),
    "filled end before start": (FOLDS, "filled.csv", append("s1,ew,eggs,attending,no,90,80"), "end_ms > start_ms"),
    "frames folder missing": (FOLDS, FRAMES, shutil.rmtree, "no such folder"),
    "frames cut": (FOLDS, f"{FRAMES}/s1.npy", cut, "s1.npy"),
    "frames empty": (FOLDS, f"{FRAMES}/s1.npy", overwrite(b""), "s1.npy"),
    "frames none": (FOLDS, f"{FRAMES}/s1.npy", save(np.zeros((0, 4, 5, 3), np.uint8)), "at least one frame"),
    "frames of another type": (FOLDS, f"{FRAMES}/s1.npy", save(np.zeros((2, 4, 5, 3))), "float64 (2, 4, 5, 3)"),
    "frames of another shape": (FOLDS, f"{FRAMES}/s1.npy", save(np.zeros((2, 4, 5), np.uint8)), "uint8 (2, 4, 5)"),
    "frames an object": (FOLDS, f"{FRAMES}/s1.npy", save(np.array([{}], dtype=object)), "s1.npy"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_input_gives_one_clear_message(name: str, project: Path, run_here: Callable) -> None:
    stage, file, change, message = BROKEN[name]
    change(project / file)
    outputs = [project / output for output in (stage[2:] if stage is FILL else stage[3:])]
    for output in outputs:
        output.unlink(missing_ok=True)
    result = run_here(*stage)
    assert result.code == 1, result.stderr
    assert message in result.stderr
    assert result.stderr.endswith("1 error(s); nothing was written.\n")
    assert not any(output.exists() for output in outputs)
    assert not list(project.rglob("*.partial"))


@pytest.mark.parametrize(
    ("stage", "file", "change", "message"),
    [
        (CHANCE, "stratified.csv", Path.unlink, "no such file"),
        (CHANCE, "stratified.csv", replace("engaged", "value"), "engaged"),
        (SUMMARISE, "fold_statistics.json", Path.unlink, "no such file"),
        (SUMMARISE, "fold_statistics.json", overwrite(b"{"), "expected JSON"),
        (SUMMARISE, "fold_statistics.json", overwrite(b"{}"), "Run the stage make_folds again"),
        (SUMMARISE, "reliability", shutil.rmtree, "no such file"),
    ],
)
def test_broken_results_of_earlier_stages(
    stage: tuple, file: str, change: Callable, message: str, project: Path, run_here: Callable
) -> None:
    outputs = [project / output for output in ("chance.json", "metrics", "plots")]
    for output in outputs:
        artifacts.remove(output)
    change(project / file)
    result = run_here(*stage)
    assert result.code == 1
    assert message in result.stderr
    assert not any(output.exists() for output in outputs)


def test_all_broken_frame_stores_are_named_together(project: Path, run_here: Callable) -> None:
    for session in ("s1", "s3"):
        cut(project / FRAMES / f"{session}.npy")
    result = run_here(*FOLDS)
    assert result.code == 1
    assert "s1.npy" in result.stderr
    assert "s3.npy" in result.stderr
    assert result.stderr.endswith("2 error(s); nothing was written.\n")


def test_the_committed_parameters_are_read() -> None:
    config = params.load("engagement.folds", folds.FoldConfig, ROOT / "params.yaml")
    protocol = params.load("engagement.protocol", Protocol, ROOT / "params.yaml")
    assert config.num_folds >= 2
    assert protocol.variables
