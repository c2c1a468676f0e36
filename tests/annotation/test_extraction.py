"""A folder of EAF files against the protocol: spans, tab files, and the rules that warn (docs/annotation_rules.md)."""

import random
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from attune.annotation import extraction, filling, spans
from attune.annotation.protocol import Protocol
from attune.problems import InputError, Problem
from tests.annotation.eaf_builder import TASKS, Span, coded, media, protocol, tiers, write_lab

DURATIONS = {"fp01": 15000, "fp02": 15000}


def extract(
    folder: Path, rules: Protocol | None = None, durations_ms: dict[str, int] = DURATIONS
) -> tuple[list[list[object]], dict[str, str], list[Problem]]:
    """Rows of the span table, tab files and warnings."""
    table, tabs = folder.parent / "out" / "spans.csv", folder.parent / "out" / "tabs"
    warnings = extraction.extract(folder, rules or protocol(), durations_ms, table, tabs)
    rows = spans.read(table, spans.ORIGINAL).to_numpy().tolist()
    return rows, {path.name: path.read_text() for path in sorted(tabs.iterdir())}, warnings


def test_spans_of_a_valid_lab(tmp_path):
    rows, tabs, warnings = extract(write_lab(tmp_path / "eaf"))
    assert rows[:7] == [
        ["fp01", "ew", "attending", "attending", 1000, 3000],
        ["fp01", "ew", "attending", "excited", 7000, 8000],
        ["fp01", "ew", "participating", "self", 1500, 2500],
        ["fp01", "ew", "participating", "joint", 10500, 13000],
        ["fp01", "ew", "task", "people", 1000, 5000],
        ["fp01", "ew", "task", "eggs", 6000, 9000],
        ["fp01", "ew", "task", "drums", 10000, 14000],
    ]
    assert [row[:2] for row in rows] == [[s, a] for s in ("fp01", "fp02") for a in ("ew", "kb") for _ in range(7)]
    assert list(tabs) == ["ew_kb.txt"]
    assert tabs["ew_kb.txt"].splitlines()[:5] == [
        "attending_R1\t1000\t3000\tattending\tfp01",
        "attending_R1\t7000\t8000\texcited\tfp01",
        "attending_R2\t1000\t3000\tattending\tfp01",
        "attending_R2\t7000\t8000\texcited\tfp01",
        "participating_R1\t1500\t2500\tself\tfp01",
    ]
    assert warnings == []


def test_tab_files_hold_the_sessions_that_both_coded_in_the_protocols_order(tmp_path):
    folder = write_lab(tmp_path / "eaf")
    shutil.copy(folder / "fp02_ew_20220301.eaf", folder / "fp02_mt_20220302.eaf")
    rules = protocol(annotators=["mt", "ew", "kb"])
    _, tabs, _ = extract(folder, rules)
    assert {name: sorted({line.split("\t")[4] for line in text.splitlines()}) for name, text in tabs.items()} == {
        "ew_kb.txt": ["fp01", "fp02"],
        "mt_ew.txt": ["fp02"],
        "mt_kb.txt": ["fp02"],
    }


def test_values_are_normalised(tmp_path):
    typed: list[Span] = [(1000, 2000, " Attending\n"), (2000, 3000, "EXITED"), (3000, 4000, "no")]
    folder = write_lab(tmp_path / "eaf", attending=typed, task=[(1000, 5000, "Peple "), *TASKS[1:]])
    rows, _, warnings = extract(folder)
    assert [row[3] for row in rows[:3]] == ["attending", "excited", "no"]
    assert ["fp01", "ew", "task", "people", 1000, 5000] in rows
    assert warnings == []


def test_tiers_are_found_whatever_their_case_white_space_and_unicode_form(tmp_path):
    folder = write_lab(tmp_path / "eaf")
    changed = [(f" {unicodedata.normalize('NFD', name).upper()} ", rows) for name, rows in tiers()]
    (folder / "fp01_ew_20220301.eaf").write_text(coded(changed))
    rows, _, _ = extract(folder)
    assert rows[:7] == [[*row[:1], "ew", *row[2:]] for row in rows[7:14]]


def test_a_task_in_which_nothing_was_coded_is_fine(tmp_path):
    rows, tabs, warnings = extract(write_lab(tmp_path / "eaf", attending=[], participating=[]))
    assert {row[2] for row in rows if row[:2] == ["fp01", "ew"]} == {"task"}
    assert "fp01" in tabs["ew_kb.txt"]
    assert warnings == []


def test_an_empty_optional_tier_says_no_and_a_missing_one_nothing(tmp_path):
    rules = protocol(
        variables={"attending": {"values": ["attending", "excited"]}, "touch": {"values": ["x"], "required": False}},
        min_annotators=1,
    )
    folder = tmp_path / "eaf"
    folder.mkdir()
    shared = [(name, spans) for name, spans in tiers() if name != "participating"]
    (folder / "fp01_ew_20220301.eaf").write_text(coded([*shared, ("Touch", [])]))
    (folder / "fp01_kb_20220301.eaf").write_text(coded([*shared, ("touch", [(1500, 2000, "x")])]))
    (folder / "fp01_mt_20220301.eaf").write_text(coded(shared))
    rows, tabs, warnings = extract(folder, rules)
    touched = [row[1:] for row in rows if row[2] == "touch"]
    assert touched == [["ew", "touch", "no", start, end] for start, end, _ in TASKS] + [
        ["kb", "touch", "x", 1500, 2000]
    ]
    assert "touch_R1" not in tabs["ew_kb.txt"]
    assert "touch_R2" in tabs["ew_kb.txt"]
    assert [(problem.file, problem.where) for problem in warnings] == [("fp01_mt_20220301.eaf", "tier touch")]
    table = pd.DataFrame(rows, columns=list(spans.ORIGINAL))
    filled = filling.fill(table, rules, "spans.csv").spans
    assert set(filled[filled["variable"] == "touch"]["annotator"]) == {"ew", "kb"}


def test_time_origin_of_the_sessions_video_is_added(tmp_path):
    folder = write_lab(tmp_path / "eaf")
    header = media(("sound.wav", 7), ("FP01.mp4", 500))
    (folder / "fp01_ew_20220301.eaf").write_text(coded(tiers(), header))
    rows, _, warnings = extract(folder)
    assert rows[0] == ["fp01", "ew", "attending", "attending", 1500, 3500]
    assert [(problem.found, problem.cure[:6]) for problem in warnings] == [("TIME_ORIGIN 500", "That o")]


@pytest.mark.parametrize(
    ("linked", "added", "found"),
    [
        ([("other.mp4", 500)], 500, "TIME_ORIGIN 500"),
        ([("sound.wav", 7), ("b.mp4", 500)], 500, "different TIME_ORIGIN, b.mp4 500, sound.wav 7"),
        ([("fp01.wav", 700), ("fp01.mp4", 0)], 0, "different TIME_ORIGIN, fp01.mp4 0, fp01.wav 700"),
        ([("fp01.WAV", 700)], 700, "TIME_ORIGIN 700"),
        ([("b.wav", 0), ("fp01.wav", 700)], 700, "TIME_ORIGIN 700"),
        ([("fp01.wav", 700), ("b.mp4", 0)], 0, "different TIME_ORIGIN, b.mp4 0, fp01.wav 700"),
    ],
)
def test_an_origin_that_is_applied_or_in_doubt_is_reported(tmp_path, linked, added, found):
    folder = write_lab(tmp_path / "eaf")
    (folder / "fp01_ew_20220301.eaf").write_text(coded(tiers(), media(*linked)))
    rows, _, warnings = extract(folder)
    assert rows[0] == ["fp01", "ew", "attending", "attending", 1000 + added, 3000 + added]
    assert [found in problem.found for problem in warnings] == [True]
    assert f"{added} ms are added" in warnings[0].cure


def test_other_labs_names_and_vocabulary(tmp_path):
    folder = tmp_path / "eaf"
    folder.mkdir()
    rules = protocol(
        file_name="{annotator} {session}",
        annotators=["Zoë", "o.Neil"],
        sessions=["-1", 'the "big" one'],
        tasks=["libre jeu"],
        task_corrections={},
        task_tier="tâche",
        variables={"regard + œil": {"values": ["vers l'adulte"]}},
    )
    text = coded([("tâche", [(0, 9000, "Libre  jeu")]), ("regard + œil", [(100, 200, "VERS L'ADULTE")])])
    for session in rules.sessions:
        for annotator in rules.annotators:
            name = unicodedata.normalize("NFD", f"{annotator} {session}.EAF")
            (folder / name).write_text(text)
    rows, tabs, _ = extract(folder, rules)
    assert rows[0] == ["-1", "Zoë", "regard + œil", "vers l'adulte", 100, 200]
    assert rows[3] == ["-1", "o.Neil", "tâche", "libre jeu", 0, 9000]
    assert tabs["Zoë_o.Neil.txt"].splitlines()[-1] == 'regard + œil_R2\t100\t200\tvers l\'adulte\tthe "big" one'


WARNED: dict[str, tuple[dict[str, list[Span]], str, Callable[[list[list[object]]], bool]]] = {
    "equal spans overlap": (
        {"attending": [(1000, 3000, "attending"), (2000, 4000, "Attending"), (4000, 4500, "attending")]},
        "They are merged.",
        lambda rows: [row[4:] for row in rows[:2]] == [[1000, 4000], [4000, 4500]],
    ),
    "ignored times overlap": (
        {"ignore": [(2000, 2500, "cough"), (2100, 2200, "door")]},
        "They are merged.",
        lambda rows: ["fp01", "ew", "ignore", "cough", 2000, 2500] in rows,
    ),
    "zero length": (
        {"attending": [(1000, 1000, "attending"), (7000, 8000, "excited")]},
        "It is left out.",
        lambda rows: rows[0] == ["fp01", "ew", "attending", "excited", 7000, 8000],
    ),
    "ends shortly after the video": (
        {"ignore": [(14000, 15400, "")]},
        "It is cut to the video.",
        lambda rows: ["fp01", "ew", "ignore", "", 14000, 15000] in rows,
    ),
    "outside all tasks": (
        {"attending": [(5100, 5900, "attending"), (9000, 10000, "excited")]},
        "2 span(s) outside all tasks, the first at 00:00:05.100",
        lambda rows: rows[0] == ["fp01", "ew", "attending", "attending", 5100, 5900],
    ),
    "tier outside the protocol": (
        {"smile": [(0, 1, "x")], "default": []},
        "tiers smile",
        lambda rows: "smile" not in {row[2] for row in rows},
    ),
}


@pytest.mark.parametrize("kind", WARNED)
def test_rules_that_warn(tmp_path, kind):
    changes, message, holds = WARNED[kind]
    rows, _, warnings = extract(write_lab(tmp_path / "eaf", **changes))
    assert [message in str(problem) for problem in warnings] == [True]
    assert holds(rows)


def test_times_are_checked_only_where_a_video_is_known(tmp_path):
    folder = write_lab(tmp_path / "eaf", ignore=[(90000, 95000, "")])
    assert extract(folder, durations_ms={})[2] == []
    (warning,) = extract(folder, durations_ms={"fp02": 15000})[2]
    assert "session fp01: expected a video" in str(warning)
    with pytest.raises(InputError, match="a span outside the video"):
        extract(folder)


def test_an_unreadable_video_is_a_warning_here(tmp_path):
    def probe(path: Path) -> extraction.Probed:
        raise InputError(Problem(path.name, "", "noise", "a video", "Copy it again."))

    known, (problem,) = extraction.durations(tmp_path, lambda folder: ({"fp01": folder / "fp01.mp4"}, []), probe)
    assert known == {}
    assert (problem.severity, problem.file) == ("warning", "fp01.mp4")


def test_other_files_are_passed_over(tmp_path):
    folder = write_lab(tmp_path / "eaf")
    for name in (
        "._fp01_ew_20220301.eaf",
        ".DS_Store",
        "fp01_ew_20220301.eaf.001",
        "fp01_ew_20220301.pfsx",
        "notes.txt",
    ):
        (folder / name).write_text("?")
    (folder / "fp02_ew_20220301.eaf").rename(folder / "fp02_ew_20220301.EAF")
    assert extract(folder)[2] == []
    (folder / "fp03_ew_20220301.eaf.txt").write_text("?")
    (folder / "old").mkdir()
    assert [problem.file for problem in extract(folder)[2]] == ["fp03_ew_20220301.eaf.txt", "old"]


def test_nothing_depends_on_the_order_of_files_tiers_and_rows(tmp_path):
    expected = extract(write_lab(tmp_path / "a" / "eaf"))
    rng = random.Random(3)
    folder = tmp_path / "b" / "eaf"
    folder.mkdir(parents=True)
    for path in rng.sample(sorted((tmp_path / "a" / "eaf").iterdir()), 4):
        shuffled = [(name, rng.sample(rows, len(rows))) for name, rows in rng.sample(tiers(), 4)]
        (folder / path.name).write_text(coded(shuffled))
    assert extract(folder) == expected
