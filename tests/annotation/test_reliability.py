"""The reliability tables: hand-computed cases, pooling, what is undefined, and the stage."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.metrics import cohen_kappa_score

from attune import params
from attune.annotation import reliability, spans
from attune.annotation.protocol import Protocol
from attune.annotation.reliability import ReliabilityConfig

ROOT = Path(__file__).parents[2]
PROTOCOL = params.load("engagement.protocol", Protocol, ROOT / "params.yaml")
CONFIG = params.load("engagement.reliability", ReliabilityConfig, ROOT / "params.yaml")
QUICK = CONFIG.model_copy(update={"bootstrap": 200})
VALUES = {"attending": ("no", "attending", "excited"), "participating": ("no", "self", "joint")}
Tables = tuple[pd.DataFrame, pd.DataFrame]


def _tables(tasks: list[tuple[object, ...]], filled: list[tuple[object, ...]]) -> Tables:
    return pd.DataFrame(tasks, columns=list(spans.TASKS)), pd.DataFrame(filled, columns=list(spans.FILLED))


def measure(tasks: pd.DataFrame, filled: pd.DataFrame, *settings: Any) -> dict[str, pd.DataFrame]:
    return reliability.measure(
        [tasks.sort_values("session", kind="stable")], [filled.sort_values("session", kind="stable")], *settings
    )


def _lab(sessions: int = 8, jitter_ms: float = 500, guess: bool = False, mean_s: float = 5, levels: int = 3) -> Tables:
    """Sessions of 90 s with alternating labels, coded by two or three annotators whose borders jitter."""
    rng = np.random.default_rng(5)
    tasks: list[tuple[object, ...]] = []
    filled: list[tuple[object, ...]] = []
    for number in range(sessions):
        people = PROTOCOL.annotators if number % 2 else rng.permutation(PROTOCOL.annotators)[:2]
        truth = {(variable, task): None for variable in VALUES for task in PROTOCOL.tasks}
        for annotator in people:
            for place, task in enumerate(PROTOCOL.tasks):
                start, end = 40_000 * place, 40_000 * place + 30_000
                tasks.append((f"fp{number:02}", annotator, task, start, end))
                for variable, values in VALUES.items():
                    if guess or truth[variable, task] is None:
                        steps = np.maximum(rng.exponential(mean_s * 1000, 60), 1500)
                        truth[variable, task] = start + np.cumsum(steps), int(rng.integers(levels))
                    borders, first = truth[variable, task]
                    moved = np.sort(borders + rng.normal(0, jitter_ms, len(borders))).astype(int)
                    first += int((moved <= start).sum())
                    moved = np.array([start, *moved[(moved > start) & (moved < end)], end])
                    for step, (low, high) in enumerate(pairwise(moved)):
                        value = values[(first + step) % levels]
                        filled.append((f"fp{number:02}", annotator, task, variable, value, low, high))
    return _tables(tasks, filled)


@pytest.fixture(scope="module")
def lab() -> Tables:
    return _lab()


@pytest.fixture(scope="module")
def measured(lab: Tables) -> dict[str, pd.DataFrame]:
    return measure(*lab, PROTOCOL, QUICK)


def _row(table: pd.DataFrame, **group: object) -> pd.Series:
    rows = table
    for column, value in {"annotator_1": "all", "annotator_2": "all", **group}.items():
        rows = rows[rows[column] == value]
    assert len(rows) == 1
    return rows.iloc[0]


def _sampled_by_hand(lab: Tables, first: str, second: str, variable: str, task: str) -> tuple[list[str], list[str]]:
    """Labels of two annotators every 100 ms where everybody was in the task, found span by span."""
    tasks, filled = lab
    one: list[str] = []
    other: list[str] = []
    for session, people in tasks.groupby("session")["annotator"].unique().items():
        if not {first, second} <= set(people):
            continue
        chosen = filled[(filled["session"] == session) & (filled["variable"] == variable) & (filled["task"] == task)]
        times = np.arange(0, 200_000, 100)
        found = {}
        for annotator in people:
            labels = np.full(len(times), "", dtype=object)
            for span in chosen[chosen["annotator"] == annotator].itertuples():
                labels[(times >= span.start_ms) & (times < span.end_ms)] = span.value
            found[annotator] = labels
        common = np.all([labels != "" for labels in found.values()], axis=0)
        one.extend(found[first][common])
        other.extend(found[second][common])
    return one, other


@pytest.mark.parametrize("variable", list(VALUES))
def test_a_pair_has_the_kappa_of_its_samples(lab: Tables, measured: dict[str, pd.DataFrame], variable: str) -> None:
    one, other = _sampled_by_hand(lab, "ew", "mt", variable, "eggs")
    group = {"variable": variable, "task": "eggs", "annotator_1": "ew", "annotator_2": "mt"}
    multi = _row(measured["agreement"], labels="multi", **group)
    binary = _row(measured["agreement"], labels="binary", **group)
    engaged = [[label != "no" for label in labels] for labels in (one, other)]
    assert multi["comparisons"] == binary["comparisons"] == len(one)
    assert multi["kappa"] == pytest.approx(cohen_kappa_score(one, other), abs=1e-6)
    assert binary["kappa"] == pytest.approx(cohen_kappa_score(*engaged), abs=1e-6)
    assert multi["agreement"] == pytest.approx(np.mean(np.array(one) == np.array(other)), abs=1e-6)


def test_every_group_is_there(measured: dict[str, pd.DataFrame]) -> None:
    groups = (1 + 2) * (1 + 3) * (1 + 3)  # variables, pairs, tasks, each with the whole
    assert len(measured["agreement"]) == 2 * groups
    assert not measured["agreement"].duplicated(["variable", "annotator_1", "annotator_2", "task", "labels"]).any()
    assert len(measured["tolerance"]) == 2 * (1 + 2) * (1 + 3) * len(CONFIG.tolerances_ms)
    assert len(measured["events"]) == 2 * (1 + 3) * (1 + 2)


def test_intervals_hold_the_value(measured: dict[str, pd.DataFrame]) -> None:
    table = measured["agreement"]
    for name in ("agreement", "kappa", "ac1", "alpha"):
        assert (table[f"{name}_low"] <= table[name]).all()
        assert (table[name] <= table[f"{name}_high"]).all()
        assert (table[f"{name}_low"] < table[f"{name}_high"]).all()


def test_a_single_pair_pooled_is_that_pair(lab: Tables) -> None:
    tasks, filled = (table[table["annotator"] != "kb"] for table in lab)
    table = measure(tasks, filled, PROTOCOL, QUICK)["agreement"]
    group = {"variable": "attending", "task": "all", "labels": "multi"}
    pair = _row(table, annotator_1="ew", annotator_2="mt", **group)
    pooled = _row(table, **group)
    numbers = [name for name in table.columns if name.startswith(("kappa", "ac1", "alpha", "agreement"))]
    pd.testing.assert_series_equal(pair[numbers], pooled[numbers], check_names=False)


def test_guessing_annotators_have_kappa_zero_everywhere() -> None:
    """Also over all variables, where labels of one big table would make them look reliable."""
    table = measure(*_lab(sessions=30, guess=True), PROTOCOL, QUICK)["agreement"]
    whole = table[(table["annotator_1"] == "all") & (table["task"] == "all")]
    assert len(whole) == 6
    assert whole[["kappa", "alpha"]].abs().to_numpy().max() < 0.06


def test_result_does_not_depend_on_the_order_of_rows(lab: Tables, measured: dict[str, pd.DataFrame]) -> None:
    shuffled = [table.sample(frac=1, random_state=1) for table in lab]
    for name, table in measure(*shuffled, PROTOCOL, QUICK).items():
        pd.testing.assert_frame_equal(table, measured[name])


def test_pooled_values_do_not_depend_on_the_order_of_annotators(lab: Tables, measured: dict[str, pd.DataFrame]) -> None:
    turned = PROTOCOL.model_copy(update={"annotators": PROTOCOL.annotators[::-1]})
    table = measure(*lab, turned, QUICK)["agreement"]
    pooled, before = (
        each[each["annotator_1"] == "all"].reset_index(drop=True) for each in (table, measured["agreement"])
    )
    pd.testing.assert_frame_equal(pooled, before, atol=2e-6)


def test_jitter_of_borders_alone_pulls_kappa_down() -> None:
    """Spans of 5 s whose borders jitter by 0.5 s: perfect raters but for that, and a tolerance of 1 s shows it."""
    table = measure(*_lab(sessions=24, jitter_ms=500, levels=2), PROTOCOL, QUICK)["tolerance"]
    rows = [_row(table, variable="all", labels="binary", tolerance_ms=step) for step in CONFIG.tolerances_ms]
    assert rows[0]["mean_span_s"] == pytest.approx(5, abs=0.6)
    assert 0.65 < rows[0]["kappa"] <= 0.80
    assert [row["kappa"] for row in rows] == sorted(row["kappa"] for row in rows)
    assert rows[-1]["kappa"] > 0.95


def _constant(sessions: int) -> Tables:
    tasks = [(f"fp{n:02}", who, "people", 0, 10_000) for n in range(sessions) for who in ("ew", "kb")]
    filled = [(s, who, t, v, "no", a, b) for s, who, t, a, b in tasks for v in VALUES]
    return _tables(tasks, filled)


def test_undefined_is_empty_and_never_zero_or_one() -> None:
    tables = measure(*_constant(3), PROTOCOL, QUICK)
    table = tables["agreement"]
    assert table[["kappa", "kappa_low", "kappa_high", "alpha"]].isna().all(axis=None)
    assert (table["undefined"] == QUICK.bootstrap).all()
    assert (table["agreement"] == 1).all()
    assert set(table["note"]) == {"kappa undefined: every label alike"}
    assert reliability.headline(table)["attending_kappa"] is None


def test_one_session_has_no_interval_and_says_so(lab: Tables) -> None:
    tasks, filled = (table[table["session"] == "fp01"] for table in lab)
    table = measure(tasks, filled, PROTOCOL, QUICK)["agreement"]
    assert table["kappa_low"].isna().all()
    defined = table[table["kappa"].notna()]
    assert len(defined) > 80
    assert set(defined["note"]) == {"one session: no interval"}


def test_sessions_with_one_annotator_are_left_out_and_named() -> None:
    tasks, filled = _constant(2)
    tasks, filled = (each[(each["session"] == "fp00") | (each["annotator"] == "ew")] for each in (tasks, filled))
    tables = measure(tasks, filled, PROTOCOL, QUICK)
    assert set(tables["agreement"]["sessions"]) == {1}
    warnings = reliability.warnings(tables)
    assert [(problem.file, problem.found) for problem in warnings[-1:]] == [("session fp01", "one annotator")]
    assert {problem.severity for problem in warnings} == {"warning"}


def test_no_pair_at_all_gives_empty_tables() -> None:
    tasks, filled = (table[table["annotator"] == "ew"] for table in _constant(2))
    tables = measure(tasks, filled, PROTOCOL, QUICK)
    assert all(tables[name].empty for name in ("agreement", "tolerance", "events"))
    assert reliability.headline(tables["agreement"]) == {}


def test_a_lab_with_one_annotator_gets_empty_tables() -> None:
    alone = PROTOCOL.model_copy(update={"annotators": ("ew",)})
    tables = measure(*(table[table["annotator"] == "ew"] for table in _constant(2)), alone, QUICK)
    assert tables["agreement"].empty
    assert len(tables["coverage"]) == 2 * len(PROTOCOL.tasks)


def test_a_missing_optional_tier_is_no_disagreement(lab: Tables, measured: dict[str, pd.DataFrame]) -> None:
    tasks, filled = lab
    gone = (filled["annotator"] == "kb") & (filled["variable"] == "participating")
    table = measure(tasks, filled[~gone], PROTOCOL, QUICK)["events"]
    pairs = table[table["variable"] == "participating"][["annotator_1", "annotator_2"]].drop_duplicates()
    assert pairs.to_numpy().tolist() == [["all", "all"], ["ew", "mt"]]


def test_headline_is_flat_and_short(measured: dict[str, pd.DataFrame]) -> None:
    numbers = reliability.headline(measured["agreement"])
    assert len(numbers) == 14
    assert all(isinstance(value, float) for value in numbers.values())
    row = _row(measured["agreement"], variable="attending", task="all", labels="binary")
    assert numbers["attending_kappa_low"] == row["kappa_low"]


@pytest.mark.parametrize(
    "change",
    [
        {"sample_ms": 0},
        {"tolerances_ms": []},
        {"tolerances_ms": [150]},
        {"tolerances_ms": [-100]},
        {"event_overlap": 0.5},
        {"bootstrap": 10},
        {"confidence": 1.0},
        {"draws": 5},
    ],
)
def test_settings_that_make_no_sense_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ReliabilityConfig.model_validate({**CONFIG.model_dump(), **change})


def test_stage_writes_the_same_bytes_twice(
    lab: Tables, tmp_path: Path, run_stage: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    for name, table in zip(("tasks.csv", "filled.csv"), lab, strict=True):
        table.to_csv(tmp_path / name, index=False)
    for out in ("one", "two"):
        done = run_stage("engagement/measure_reliability", "tasks.csv", "filled.csv", out, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    files = sorted(path.relative_to(tmp_path / "one").as_posix() for path in (tmp_path / "one").rglob("*.*"))
    tables = ("agreement", "annotators", "coverage", "events", "span_lengths", "tolerance")
    assert set(files) == {*(f"{name}.csv" for name in tables), "initials/kappa_binary.png", "initials/kappa_multi.png"}
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in files)
    assert set(reliability.read(tmp_path / "one")) == {"agreement", "tolerance", "annotators"}


def test_stage_reports_bad_input_without_writing(
    tmp_path: Path, run_stage: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    done = run_stage("engagement/measure_reliability", "absent.csv", "absent.csv", "out", cwd=tmp_path)
    assert done.returncode == 1
    assert "absent.csv" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_stage_imports_nothing_heavy() -> None:
    code = (
        "import sys, runpy; runpy.run_path('stages/engagement/measure_reliability.py', run_name='stage');"
        "print(sorted({'torch', 'sklearn', 'scipy', 'statsmodels', 'matplotlib', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
