import datetime
import itertools
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attune import artifacts
from attune.annotation import filling, spans
from attune.annotation.protocol import Protocol, Variable
from attune.problems import InputError

PROTOCOL = Protocol(
    first_date=datetime.date(2022, 1, 1),
    last_date=datetime.date(2022, 12, 31),
    sessions=".*",
    annotators=("ew", "kb"),
    tasks=("people", "eggs", "drums"),
    variables={
        "attending": Variable(values=("attending", "excited")),
        "participating": Variable(values=("self", "joint")),
        "smiling": Variable(values=("smile",), required=False),
    },
)
LENGTH = 60  # ms, the end of the small recordings that are painted millisecond by millisecond
VALUES = {"task": PROTOCOL.tasks, "ignore": ("", "pause")} | {
    name: (*variable.values, "no") for name, variable in PROTOCOL.variables.items()
}
Row = tuple[str, str, str, str, int, int]


def table(rows: list[Row]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(spans.ORIGINAL)).astype(
        {name: object if kind == "str" else kind for name, kind in spans.ORIGINAL.items()}
    )


def fill(rows: list[Row]) -> filling.Filled:
    [filled] = filling.fill_parts([table(rows)], PROTOCOL, "spans.csv")
    return filled


def rows_of(frame: pd.DataFrame) -> list[tuple]:
    return list(frame.itertuples(index=False, name=None))


@st.composite
def tier(draw: st.DrawFn, session: str, annotator: str, name: str, at_least: int = 0) -> list[Row]:
    """Spans that do not overlap: of a sorted list of borders, some neighbours enclose a span."""
    borders = sorted(draw(st.sets(st.integers(0, LENGTH), min_size=at_least + 1, max_size=9)))
    rows = []
    for start, end in itertools.pairwise(borders):
        if at_least or draw(st.booleans()):
            rows.append((session, annotator, name, draw(st.sampled_from(VALUES[name])), start, end))
    return rows


@st.composite
def recordings(draw: st.DrawFn) -> list[Row]:
    rows = []
    for session, annotator in draw(
        st.lists(st.sampled_from([("a", "ew"), ("a", "kb"), ("b", "ew")]), min_size=1, unique=True)
    ):
        for name in VALUES:
            rows += draw(tier(session, annotator, name, at_least=int(name == "task")))
    return draw(st.permutations(rows))


def paint(rows: list[Row]) -> tuple[dict, dict]:
    """The same by brute force: a task and a value for every millisecond, one at a time."""
    tasks, values, coded = {}, {}, set()
    for session, annotator, name, value, start, end in rows:
        coded.add((session, annotator, name))
        for t in range(start, end):
            if name == "task":
                tasks[session, annotator, t] = value
            elif name != "ignore":
                values[session, annotator, name, t] = value
    for session, annotator, name, _, start, end in rows:
        if name == "ignore":
            for t in range(start, end):
                tasks.pop((session, annotator, t), None)
    painted = {
        (session, annotator, task, name, t): values.get((session, annotator, name, t), "no")
        for (session, annotator, t), task in tasks.items()
        for name, variable in PROTOCOL.variables.items()
        if variable.required or (session, annotator, name) in coded
    }
    return tasks, painted


@settings(max_examples=80, deadline=None)
@given(recordings())
def test_filled_spans_equal_painting_every_millisecond(rows: list[Row]) -> None:
    tasks, painted = paint(rows)
    if not tasks:
        with pytest.raises(InputError, match="no task time at all"):
            fill(rows)
        return
    filled = fill(rows)
    covered = [(*row[:2], t, row[2]) for row in rows_of(filled.tasks) for t in range(row[3], row[4])]
    assert len(covered) == len(tasks), "task spans overlap"
    assert {key[:3]: key[3] for key in covered} == tasks
    shown = [((*row[:4], t), row[4]) for row in rows_of(filled.spans) for t in range(row[5], row[6])]
    assert len(shown) == len(painted), "spans overlap"
    assert dict(shown) == painted


@settings(max_examples=40, deadline=None)
@given(recordings(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: list[Row], random) -> None:
    if not paint(rows)[0]:
        return
    one = fill(rows)
    shuffled = list(rows)
    random.shuffle(shuffled)
    other = fill(shuffled)
    pd.testing.assert_frame_equal(one.spans, other.spans)
    pd.testing.assert_frame_equal(one.tasks, other.tasks)


@settings(max_examples=40, deadline=None)
@given(recordings())
def test_filling_twice_changes_nothing(rows: list[Row]) -> None:
    if not paint(rows)[0]:
        return
    once = fill(rows)
    as_original = once.tasks.rename(columns={"task": "value"}).assign(variable="task")
    again = filling.fill(
        pd.concat([as_original, once.spans.drop(columns="task")], ignore_index=True)[list(spans.ORIGINAL)],
        PROTOCOL,
        "spans.csv",
    )
    pd.testing.assert_frame_equal(once.spans, again.spans)
    pd.testing.assert_frame_equal(once.tasks, again.tasks)


@settings(max_examples=40, deadline=None)
@given(recordings())
def test_every_variable_covers_the_whole_time_of_its_task(rows: list[Row]) -> None:
    if not paint(rows)[0]:
        return
    filled = fill(rows)
    expected = lengths(filled.tasks, ["session", "annotator", "task"])
    for (session, annotator, task, _), time in lengths(filled.spans, list(spans.FILLED)[:4]).items():
        assert time == expected[session, annotator, task]
    assert filled.spans["start_ms"].dtype == filled.spans["end_ms"].dtype == np.int64
    assert (filled.spans["start_ms"] < filled.spans["end_ms"]).all()
    neighbours = filled.spans.groupby(["session", "annotator", "task", "variable"])
    touching = filled.spans["start_ms"] == neighbours["end_ms"].shift()
    equal = filled.spans["value"] == neighbours["value"].shift()
    assert not (touching & equal).any(), "equal neighbours were not merged"


def lengths(frame: pd.DataFrame, keys: list[str]) -> dict:
    total: dict = defaultdict(int)
    for *key, start, end in frame[[*keys, "start_ms", "end_ms"]].itertuples(index=False, name=None):
        total[tuple(key)] += end - start
    return total


def test_an_example_by_hand() -> None:
    filled = fill(
        [
            ("fp01", "ew", "task", "eggs", 100, 200),
            ("fp01", "ew", "task", "people", 10, 100),
            ("fp01", "ew", "ignore", "", 40, 50),
            ("fp01", "ew", "attending", "attending", 0, 45),
            ("fp01", "ew", "attending", "excited", 90, 120),
            ("fp01", "ew", "participating", "joint", 150, 160),
            ("fp01", "ew", "participating", "joint", 160, 170),
            ("fp01", "ew", "participating", "self", 170, 230),
        ]
    )
    assert rows_of(filled.tasks) == [
        ("fp01", "ew", "people", 10, 40),
        ("fp01", "ew", "people", 50, 100),
        ("fp01", "ew", "eggs", 100, 200),
    ]
    assert [row[2:] for row in rows_of(filled.spans)] == [
        ("eggs", "attending", "excited", 100, 120),
        ("eggs", "attending", "no", 120, 200),
        ("eggs", "participating", "no", 100, 150),
        ("eggs", "participating", "joint", 150, 170),
        ("eggs", "participating", "self", 170, 200),
        ("people", "attending", "attending", 10, 40),
        ("people", "attending", "no", 50, 90),
        ("people", "attending", "excited", 90, 100),
        ("people", "participating", "no", 10, 40),
        ("people", "participating", "no", 50, 100),
    ]
    assert not filled.problems


def test_an_optional_variable_without_any_span_is_not_coded() -> None:
    task = ("fp01", "ew", "task", "eggs", 0, 100)
    assert set(fill([task]).spans["variable"]) == {"attending", "participating"}
    outside_the_task = fill([task, ("fp01", "ew", "smiling", "smile", 150, 160)]).spans
    assert rows_of(outside_the_task[outside_the_task["variable"] == "smiling"]) == [
        ("fp01", "ew", "eggs", "smiling", "no", 0, 100)
    ]


def test_an_annotator_without_task_time_is_left_out_with_a_warning() -> None:
    filled = fill(
        [
            ("fp01", "ew", "task", "eggs", 0, 100),
            ("fp01", "kb", "task", "eggs", 0, 100),
            ("fp01", "kb", "ignore", "", 0, 100),
        ]
    )
    assert set(filled.spans["annotator"]) == {"ew"}
    [problem] = filled.problems
    assert problem.severity == "warning"
    assert problem.where == "session fp01, annotator kb"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("fp01", "ew", "task", "cooking", 0, 1), "line 3: expected one of drums, eggs, people on the tier task"),
        (("fp01", "ew", "attending", "bored", 0, 1), "line 3: expected one of attending, excited, no on the tier"),
        (("fp01", "ew", "looking", "yes", 0, 1), "line 3: expected one of attending, participating, smiling, task"),
    ],
)
def test_what_the_protocol_does_not_know_is_refused(row: Row, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fill([("fp01", "ew", "task", "eggs", 0, 100), row])


GOOD = [("fp01", "ew", "attending", "attending", 0, 50), ("fp01", "ew", "attending", "attending", 50, 70)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("fp01", "ew", "attending", "excited", 69, 80), r"line 4: .*do not overlap, found \[69, 80\), .* line 3"),
        (("fp01", "ew", "attending", "attending", 0, 50), r"found \[0, 50\), which overlaps line 2"),
        (("fp01", "ew", "attending", "excited", 10, 20), r"line 4: .*overlaps line 2"),
        (("fp01", "ew", "attending", "excited", 90, 90), "line 4: expected end_ms > start_ms = 90, found end_ms = 90"),
        (("fp01", "ew", "attending", "excited", 90, 80), "line 4: expected end_ms > start_ms = 90"),
        (("fp01", "ew", "attending", "excited", -5, 80), r"line 4: expected times from 0 .*found \[-5, 80\)"),
        (("fp01", "ew", "attending", "excited", 90, 2**62), "line 4: expected times from 0 to"),
        (("", "ew", "attending", "excited", 90, 100), "line 4: expected the name of the session"),
    ],
)
def test_a_table_that_breaks_the_rules_of_spans_is_refused(row: Row, message: str, tmp_path: Path) -> None:
    artifacts.write_table(tmp_path / "spans.csv", table([*GOOD, row]))
    with pytest.raises(InputError, match=message):
        spans.read(tmp_path / "spans.csv", spans.ORIGINAL)


@pytest.mark.parametrize(
    ("fold", "engaged", "message"),
    [
        (-1, 0, "line 3: expected the number of a fold, from 0, found fold = -1"),
        (0, 2, "line 3: expected 0 or 1, found engaged = 2"),
        (0, -1, "line 3: expected 0 or 1, found engaged = -1"),
    ],
)
def test_folds_and_classes_that_do_not_exist_are_refused(fold: int, engaged: int, message: str, tmp_path: Path) -> None:
    rows = [("a", "ew", "eggs", "attending", 0, 1, 0, 9), ("a", "ew", "eggs", "attending", fold, engaged, 9, 20)]
    artifacts.write_table(tmp_path / "spans.csv", pd.DataFrame(rows, columns=list(spans.STRATIFIED)))
    with pytest.raises(InputError, match=message):
        spans.read(tmp_path / "spans.csv", spans.STRATIFIED)


def test_good_spans_are_read_as_they_were_written(tmp_path: Path) -> None:
    rows = [*GOOD, ("fp01", "kb", "attending", "no", 60, 80), ("fp02", "ew", "attending", "no", 60, 80)]
    artifacts.write_table(tmp_path / "spans.csv", table(rows))
    assert rows_of(spans.read(tmp_path / "spans.csv", spans.ORIGINAL)) == rows


def test_an_empty_table_is_refused(tmp_path: Path) -> None:
    artifacts.write_table(tmp_path / "spans.csv", table([]))
    with pytest.raises(InputError, match="expected at least one span, found no rows"):
        spans.read(tmp_path / "spans.csv", spans.ORIGINAL)


def test_all_violations_are_reported_together(tmp_path: Path) -> None:
    rows = [("", "ew", "attending", "no", 5, 3), ("fp01", "", "attending", "no", -1, 3)]
    artifacts.write_table(tmp_path / "spans.csv", table(rows))
    with pytest.raises(InputError) as caught:
        spans.read(tmp_path / "spans.csv", spans.ORIGINAL)
    assert len(caught.value.problems) == 4


def test_merging_joins_only_what_touches_and_is_equal() -> None:
    frame = pd.DataFrame(
        [("a", 1, 10, 20), ("a", 1, 0, 10), ("a", 0, 20, 30), ("a", 0, 31, 40), ("b", 0, 40, 50)],
        columns=["session", "engaged", "start_ms", "end_ms"],
    )
    assert rows_of(spans.merge(frame, ["session"])) == [
        ("a", 1, 0, 20),
        ("a", 0, 20, 30),
        ("a", 0, 31, 40),
        ("b", 0, 40, 50),
    ]


@pytest.mark.slow
def test_ten_thousand_sessions_take_seconds() -> None:
    """Time grows with the number of spans, not with its square (20 s would be the sign of the latter)."""
    rng = np.random.default_rng(0)
    sessions, each = 10_000, 60
    borders = np.sort(rng.integers(0, 2_000, (sessions, each + 1)), axis=1).cumsum(axis=1)
    names = np.repeat([f"s{number:05d}" for number in range(sessions)], each).astype(object)
    frame = pd.DataFrame(
        {
            "session": names,
            "annotator": "ew",
            "variable": "attending",
            "value": "attending",
            "start_ms": borders[:, :-1].ravel() + 1,
            "end_ms": borders[:, 1:].ravel() + 1,
        }
    )
    frame = frame[frame["start_ms"] < frame["end_ms"]]
    tasks = frame.groupby("session", as_index=False).agg(start_ms=("start_ms", "min"), end_ms=("end_ms", "max"))
    tasks = tasks.assign(annotator="ew", variable="task", value="eggs")
    filled = filling.fill(pd.concat([frame, tasks], ignore_index=True)[list(spans.ORIGINAL)], PROTOCOL, "spans.csv")
    assert filled.spans["session"].nunique() == sessions
