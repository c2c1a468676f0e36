"""The protocol: names taken apart, vocabularies, and parameters that are refused."""

import datetime
from pathlib import Path

import pytest

from attune import params
from attune.annotation.protocol import NameParts, Protocol, fold
from attune.problems import InputError
from tests.annotation.eaf_builder import protocol


@pytest.mark.parametrize(
    ("stem", "parts"),
    [
        ("fp01_ew_20220301", NameParts("fp01", "ew", "20220301")),
        ("child_01_kb_20220301", NameParts("child_01", "kb", "20220301")),
        ("fp01_xx_20220301", NameParts("fp01", "xx", "20220301")),
        ("fp01_ew", None),
        ("fp01ew20220301", None),
        ("__", None),
    ],
)
def test_parts_of_a_name(stem, parts):
    assert protocol().parse_name(stem) == parts


def test_other_patterns_and_unicode_forms():
    other = protocol(file_name="{annotator}-{session}", annotators=["a", "a-b", "zoë"], min_annotators=1)
    assert other.parse_name("a-b-c") == NameParts("c", "a-b", "")  # the longer known annotator wins
    assert other.parse_name("zoe\u0308-s1") == NameParts("s1", "zoë", "")
    assert protocol(file_name="{date}.({session})+{annotator}").parse_name("1.(s)+ew") == NameParts("s", "ew", "1")


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("20220301", datetime.date(2022, 3, 1)),
        ("20220229", None),  # no leap year
        ("20221301", None),
        ("2022031", None),  # strptime alone would read the first of March
        ("2022-03-01", None),
        ("", None),
    ],
)
def test_dates(text, date):
    assert protocol().parse_date(text) == date


def test_values_are_compared_without_case_and_outer_white_space():
    known = protocol().lookup("attending")
    assert known[fold("  ATTENDING ")] == known[fold("attending")] == "attending"
    assert known[fold("Exited")] == "excited"
    assert known["no"] == "no"
    assert protocol().lookup("task")[fold(" Peple")] == "people"
    assert protocol().lookup("ignore") is None


def test_sessions_by_rule_or_by_list():
    assert protocol().knows_session("fp07")
    assert not protocol().knows_session("fp071")
    listed = protocol(sessions=["Anna", "Zoë 2"])
    assert listed.knows_session("Zoë 2")
    assert not listed.knows_session("anna")


WRONG = {
    "unknown key": {"tier": "x"},
    "no field for the annotator": {"file_name": "{session}_{date}"},
    "field twice": {"file_name": "{session}_{session}_{annotator}"},
    "unknown field": {"file_name": "{session}_{annotator}_{place}"},
    "broken expression": {"sessions": "fp[0-9"},
    "date format without day": {"date_format": "%Y%m"},
    "date format that cannot be read": {"date_format": "%Q"},
    "no calendar date": {"first_date": "2022-02-30"},
    "dates in the wrong order": {"first_date": "2023-01-01"},
    "no annotator": {"annotators": []},
    "annotator twice": {"annotators": ["ew", "ew", "kb"]},
    "annotator is a path": {"annotators": ["../ew", "kb"]},
    "annotator with a tab": {"annotators": ["e\tw", "kb"]},
    "annotator of nothing": {"annotators": ["", "kb"]},
    "annotator for a shell": {"annotators": ["e$(w)", "kb"]},
    "annotator who would be an option": {"annotators": ["-ew", "kb"]},
    "annotators that differ in case": {"annotators": ["ew", "EW"]},
    "annotators whose pairs share a name": {"annotators": ["a", "a_b", "c", "b_c"]},
    "annotator all": {"annotators": ["ew", "All"]},
    "annotator is a number": {"annotators": [1, 2]},
    "too many annotators required": {"min_annotators": 4},
    "nobody required": {"min_annotators": 0},
    "assigned stranger": {"assigned": {"fp01": ["zz"]}},
    "assigned unknown session": {"assigned": {"xx": ["ew"]}},
    "no task": {"tasks": []},
    "task twice": {"tasks": ["eggs", "eggs"]},
    "tasks that differ in case": {"tasks": ["eggs", "Eggs"]},
    "correction of a task that leads nowhere": {"task_corrections": {"egg": "omelette"}},
    "task is a path": {"tasks": ["a/b"]},
    "task of nothing": {"tasks": [""]},
    "task with a space at its end": {"tasks": ["eggs "]},
    "task with a quote": {"tasks": ['say "a"']},
    "task with a line end": {"tasks": ["free\nplay"]},
    "task all": {"tasks": ["all"]},
    "tasks and variables that share a model": {
        "tasks": ["a", "a-b"],
        "variables": {"b-c": {"values": ["x"]}, "c": {"values": ["x"]}},
    },
    "task tier of nothing": {"task_tier": ""},
    "ignore tier with a line end": {"ignore_tier": "not\nvisible"},
    "no session": {"sessions": []},
    "session of nothing": {"sessions": ""},
    "sessions that differ in case": {"sessions": ["S1", "s1"]},
    "date with slashes": {"date_format": "%Y/%m/%d"},
    "variable is a path": {"variables": {"a/b": {"values": ["x"]}}},
    "variable for a shell": {"variables": {"a;b": {"values": ["x"]}}},
    "variable all": {"variables": {"all": {"values": ["x"]}}},
    "no variable": {"variables": {}},
    "variable without values": {"variables": {"a": {"values": []}}},
    "value no": {"variables": {"a": {"values": ["No", "yes"]}}},
    "values that differ in case": {"variables": {"a": {"values": ["x", "X"]}}},
    "typo that is a value": {"variables": {"a": {"values": ["x", "y"], "corrections": {"X": "y"}}}},
    "correction that leads nowhere": {"variables": {"a": {"values": ["x"], "corrections": {"z": "w"}}}},
    "variable is the task tier": {"variables": {"task": {"values": ["x"]}}},
    "tiers that differ in case": {"variables": {"Ignore": {"values": ["x"]}}},
    "task tier is the ignore tier": {"task_tier": "ignore"},
}


@pytest.mark.parametrize("kind", WRONG)
def test_refused_protocols(kind):
    with pytest.raises(ValueError):
        protocol(**WRONG[kind])


def test_names_with_spaces_and_signs_that_no_shell_takes():
    lab = protocol(
        annotators=["Zoë B.", "kb_2"],
        tasks=["free play", "2nd-part", "thé"],
        task_tier="play (kind)",
        task_corrections={},
        variables={"gaze + touch": {"values": ["both?", "one"]}},
    )
    assert (lab.tasks[0], *lab.variables) == ("free play", "gaze + touch")


def test_a_refusal_names_file_key_and_cure(tmp_path: Path):
    file = tmp_path / "params.yaml"
    file.write_text("engagement:\n  protocol:\n    first_date: 2022-01-01\n    annotators: [ew, no]\n    tasks: eggs\n")
    with pytest.raises(InputError) as caught:
        params.load("engagement.protocol", Protocol, file)
    places = {problem.where for problem in caught.value.problems}
    assert {"engagement.protocol.last_date", "engagement.protocol.tasks"} <= places
    assert all(problem.file == str(file) and problem.cure for problem in caught.value.problems)


def test_the_committed_protocol_is_valid():
    assert params.load("engagement.protocol", Protocol, Path(__file__).parents[2] / "params.yaml").tiers == {
        "attending": True,
        "participating": True,
        "task": True,
        "ignore": False,
    }
