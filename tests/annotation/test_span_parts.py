"""Tables that are read some sessions at a time give what the whole table gives."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attune import artifacts
from attune.annotation import filling, spans
from attune.annotation.protocol import Protocol
from attune.problems import InputError

PROTOCOL = Protocol(
    first_date="2022-01-01",
    last_date="2022-12-31",
    sessions="s[0-9]+",
    annotators=["a", "b"],
    tasks=["play"],
    variables={"gaze": {"values": ["up"]}},
)


def original(lengths: list[int]) -> pd.DataFrame:
    rows = []
    for number, length in enumerate(lengths):
        rows.append((f"s{number}", "a", "task", "play", 0, 100 * (length + 1)))
        rows += [(f"s{number}", "a", "gaze", "up", 100 * place, 100 * place + 50) for place in range(length)]
    return pd.DataFrame(rows, columns=list(spans.ORIGINAL))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 7), min_size=1, max_size=9), st.integers(1, 12))
def test_parts_are_whole_sessions_and_make_up_the_table(tmp_path: Path, lengths: list[int], rows: int) -> None:
    file = tmp_path / "spans.csv"
    artifacts.write_table(file, original(lengths))
    parts = list(spans.read_parts(file, spans.ORIGINAL, rows))
    pd.testing.assert_frame_equal(pd.concat(parts), spans.read(file, spans.ORIGINAL))
    owners = [set(part["session"]) for part in parts]
    assert sum(map(len, owners)) == len(lengths)
    assert max(len(part) for part in parts) <= rows + max(lengths) + 1  # memory is bounded


def test_filling_in_parts_equals_filling_the_whole(tmp_path: Path) -> None:
    file = tmp_path / "spans.csv"
    artifacts.write_table(file, original([3, 0, 5, 1]))
    parts = list(filling.fill_parts(spans.read_parts(file, spans.ORIGINAL, rows=4), PROTOCOL, "spans.csv"))
    whole = filling.fill(spans.read(file, spans.ORIGINAL), PROTOCOL, "spans.csv")
    assert len(parts) > 1
    pd.testing.assert_frame_equal(pd.concat([part.spans for part in parts], ignore_index=True), whole.spans)
    pd.testing.assert_frame_equal(pd.concat([part.tasks for part in parts], ignore_index=True), whole.tasks)


def test_all_violations_of_all_parts_are_told_with_their_lines(tmp_path: Path) -> None:
    table = original([2, 2, 2])
    table.loc[1, "end_ms"] = -1
    table.loc[7, "end_ms"] = table.loc[7, "start_ms"]
    artifacts.write_table(tmp_path / "spans.csv", table)
    with pytest.raises(InputError) as error:
        list(spans.read_parts(tmp_path / "spans.csv", spans.ORIGINAL, rows=3))
    assert {problem.where for problem in error.value.problems} == {"line 3", "line 9"}


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_the_order_of_rows_does_not_matter(tmp_path: Path, rows: int) -> None:
    table = original([1, 2, 1]).astype(dict.fromkeys(["session", "annotator", "variable", "value"], object))
    artifacts.write_table(tmp_path / "spans.csv", pd.concat([table.iloc[2:], table.iloc[:2]]))
    together = pd.concat(spans.read_parts(tmp_path / "spans.csv", spans.ORIGINAL, rows))
    assert list(together["session"]) == list(table["session"])
    pd.testing.assert_frame_equal(
        spans.merge(together, ["session", "variable"]), spans.merge(table, ["session", "variable"])
    )


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    artifacts.write_table(tmp_path / "spans.csv", original([1]).iloc[:0])
    with pytest.raises(InputError, match="no rows"):
        list(spans.read_parts(tmp_path / "spans.csv", spans.ORIGINAL))
