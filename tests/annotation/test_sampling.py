"""Sampling spans on a common grid and on common time."""

import datetime
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attune.annotation import sampling, spans
from attune.annotation.protocol import Protocol
from attune.problems import InputError

PROTOCOL = Protocol(
    first_date=datetime.date(2022, 1, 1),
    last_date=datetime.date(2022, 12, 31),
    sessions="s[0-9]+",
    annotators=("x", "y", "z"),
    tasks=("people", "eggs"),
    variables={"attending": {"values": ("attending", "excited")}},  # type: ignore[dict-item]
)


def table(rows: list[tuple[object, ...]], columns: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns)).astype(
        {name: "int64" for name, kind in columns.items() if kind == "int64"}
    )


def sampled(
    tasks: list[tuple[object, ...]], filled: list[tuple[object, ...]], sample_ms: int = 100
) -> list[sampling.Session]:
    return list(sampling.sessions([table(tasks, spans.TASKS)], [table(filled, spans.FILLED)], PROTOCOL, sample_ms))


def test_spans_are_half_open_and_time_is_common() -> None:
    (session,) = sampled(
        [("s1", "x", "people", 100, 1000), ("s1", "y", "people", 250, 1200)],
        [
            ("s1", "x", "people", "attending", "excited", 100, 500),
            ("s1", "x", "people", "attending", "no", 500, 1000),
            ("s1", "y", "people", "attending", "no", 250, 600),
            ("s1", "y", "people", "attending", "attending", 600, 1200),
        ],
    )
    assert session.annotators == (0, 1)
    np.testing.assert_array_equal(session.task, [-1, -1, -1, 0, 0, 0, 0, 0, 0, 0, -1, -1])
    np.testing.assert_array_equal(session.codes["attending"][0], [-1, -1, -1, 2, 2, 0, 0, 0, 0, 0, -1, -1])
    np.testing.assert_array_equal(session.codes["attending"][1], [-1, -1, -1, 0, 0, 0, 1, 1, 1, 1, -1, -1])
    (parts, values), (others, _) = session.events["attending"]
    np.testing.assert_array_equal(parts, [[250, 500]])  # cut to the common time
    np.testing.assert_array_equal(values, [1])
    np.testing.assert_array_equal(others, [[600, 1000]])


def test_common_time_is_that_of_the_same_task() -> None:
    """While one annotator is still in the first task and the other already in the second, nothing is compared."""
    (session,) = sampled(
        [("s1", "x", "people", 0, 500), ("s1", "x", "eggs", 500, 900),
         ("s1", "y", "people", 0, 300), ("s1", "y", "eggs", 300, 900)],
        [],
    )  # fmt: skip
    np.testing.assert_array_equal(session.task, [0, 0, 0, -1, -1, 1, 1, 1, 1])


def test_all_annotators_of_a_session_decide() -> None:
    (session,) = sampled(
        [("s1", "x", "people", 0, 500), ("s1", "y", "people", 0, 500), ("s1", "z", "people", 200, 400)], []
    )
    np.testing.assert_array_equal(session.task, [-1, -1, 0, 0, -1])


BORDERS = st.lists(st.integers(0, 3000), min_size=2, max_size=10, unique=True).map(sorted)


@settings(deadline=None)
@given(BORDERS, BORDERS, st.sampled_from([40, 100, 333]))
def test_every_sample_has_the_label_of_the_span_around_it(first: list[int], second: list[int], step: int) -> None:
    tasks, filled = [], []
    for annotator, borders in (("x", first), ("y", second)):
        tasks.append(("s1", annotator, "people", borders[0], borders[-1]))
        for place, (start, end) in enumerate(pairwise(borders)):
            value = ("no", "attending", "excited")[place % 3]
            filled.append(("s1", annotator, "people", "attending", value, start, end))
    (session,) = sampled(tasks, filled, step)
    for sample, task in enumerate(session.task):
        time = sample * step
        inside = all(borders[0] <= time < borders[-1] for borders in (first, second))
        assert (task == 0) == inside
        for row, borders in enumerate((first, second)):
            expected = (np.searchsorted(borders, time, side="right") - 1) % 3 if inside else -1
            assert session.codes["attending"][row, sample] == expected


def test_sessions_come_in_the_order_of_their_names() -> None:
    rows = [(name, "x", "people", 0, 500) for name in ("s2", "s10", "s1")]
    assert [session.name for session in sampled(rows, [])] == ["s1", "s10", "s2"]


def test_every_unknown_name_is_reported() -> None:
    with pytest.raises(InputError) as caught:
        sampled(
            [("s1", "nobody", "people", 0, 500), ("s1", "x", "lunch", 0, 500)],
            [("s1", "x", "people", "attending", "asleep", 0, 500), ("s1", "x", "people", "mood", "no", 0, 500)],
        )
    assert [problem.found for problem in caught.value.problems] == ["asleep", "mood", "nobody", "lunch"]
