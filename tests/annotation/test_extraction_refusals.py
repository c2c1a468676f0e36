"""Folders of EAF files that are refused: the library, the real stage script and `attune validate`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from attune import cli
from attune.annotation import extraction
from attune.annotation.protocol import Protocol
from attune.problems import InputError, Problem
from tests.annotation.eaf_builder import TASKS, Span, coded, media, protocol, tiers, write_lab

ROOT = Path(__file__).parents[2]
DURATIONS = {"fp01": 15000, "fp02": 15000}


def refused(folder: Path, rules: Protocol) -> list[Problem]:
    """The errors of a folder; nothing may have been written."""
    out = folder.parent / "out"
    with pytest.raises(InputError) as caught:
        extraction.extract(folder, rules, DURATIONS, out / "spans.csv", out / "tabs")
    assert list(out.iterdir()) == []
    return caught.value.problems


Spoil = Callable[[Path], object]
FIRST = "fp01_ew_20220301.eaf"


def spans_of(**changes: list[Span]) -> Spoil:
    return lambda folder: (folder / FIRST).write_text(coded(tiers(**changes)))


def content(text: str | bytes) -> Spoil:
    return lambda folder: (folder / FIRST).write_bytes(text.encode() if isinstance(text, str) else text)


def renamed(name: str) -> Spoil:
    return lambda folder: (folder / FIRST).rename(folder / name)


def without(*names: str) -> list[tuple[str, list[Span]]]:
    return [(name, rows) for name, rows in tiers() if name not in names]


def link_to_nothing(folder: Path) -> None:
    (folder / FIRST).unlink()
    (folder / FIRST).symlink_to(folder / "gone")


# kind: how to spoil the lab, the protocol, what the message must say
BAD: dict[str, tuple[Spoil, dict[str, object], str]] = {
    "folder missing": (shutil.rmtree, {}, "expected a folder of ELAN files"),
    "no file in the folder": (lambda folder: [p.unlink() for p in folder.iterdir()], {}, "at least one .eaf file"),
    "empty file": (content(""), {}, f"{FIRST}: expected an ELAN annotation file (EAF), found an empty file"),
    "not XML": (content("dear diary"), {}, "broken XML"),
    "LFS pointer": (content("version https://git-lfs.github.com/spec/v1\n"), {}, "git lfs pull"),
    "truncated": (content(coded(tiers())[:1500]), {}, "broken XML"),
    "other root element": (content("<TextGrid/>"), {}, "root element TextGrid"),
    "entity bomb": (content('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'), {}, "a forbidden XML entity"),
    "dangling time slot": (content(coded(tiers()).replace('REF2="ts2"', 'REF2="ts0"')), {}, "the time slot 'ts0'"),
    "time slot twice": (content(coded(tiers()).replace('SLOT_ID="ts2"', 'SLOT_ID="ts1"')), {}, "time slot ts1"),
    "time is no number": (content(coded(tiers()).replace('VALUE="1500"', 'VALUE="1,5"')), {}, "TIME_VALUE '1,5'"),
    "unknown time units": (content(coded(tiers(), '<HEADER TIME_UNITS="bars"/>')), {}, "TIME_UNITS 'bars'"),
    "a folder named like a file": (lambda folder: ((folder / FIRST).unlink(), (folder / FIRST).mkdir()), {}, FIRST),
    "link to nothing": (link_to_nothing, {}, "No such file"),
    "name that is no text": (lambda folder: (folder / os.fsdecode(b"fp01_\xff.eaf")).touch(), {}, "a printable name"),
    "name with a line end": (renamed("fp01_\n_20220301.eaf"), {}, "a printable name in UTF-8"),
    "name outside the pattern": (renamed("fp01-ew.eaf"), {}, "expected a name like {session}_{annotator}_{date}.eaf"),
    "unknown session": (renamed("xx01_ew_20220301.eaf"), {}, "session 'xx01'"),
    "unlisted session": (renamed("fp1_ew_20220301.eaf"), {"sessions": ["fp01", "fp02"]}, "(perhaps 'fp01')"),
    "unknown annotator": (renamed("fp01_we_20220301.eaf"), {}, "one of ew, kb, mt"),
    "annotator in upper case": (renamed("fp01_EW_20220301.eaf"), {}, "(perhaps 'ew')"),
    "annotator not assigned": (
        lambda folder: None,
        {"assigned": {"fp01": ["kb", "mt"]}},
        "one assigned to fp01: kb, mt",
    ),
    "assigned annotator missing": (
        lambda folder: None,
        {"assigned": {"fp02": ["ew", "kb", "mt"]}},
        "Add the files of mt",
    ),
    "too few annotators": (lambda folder: (folder / FIRST).unlink(), {}, "session fp01: expected files of at least 2"),
    "listed session without files": (lambda folder: None, {"sessions": ["fp01", "fp02", "fp03"]}, "session fp03"),
    "sessions that differ in case": (
        lambda folder: shutil.copy(folder / FIRST, folder / "FP01_ew_20220301.eaf"),
        {"sessions": "(fp|FP)[0-9]{2}"},
        "session fp01: expected names that differ in more than case, found a session FP01",
    ),
    "no calendar date": (renamed("fp01_ew_20220230.eaf"), {}, "date '20220230'"),
    "date outside the range": (renamed("fp01_ew_20210301.eaf"), {}, "a date from 2022-01-01 to 2022-12-31"),
    "same session and annotator twice": (
        lambda folder: shutil.copy(folder / FIRST, folder / "fp01_ew_20220302.eaf"),
        {},
        f"2 files of ew: {FIRST}, fp01_ew_20220302.eaf",
    ),
    "required tier missing": (content(coded(without("attending"))), {}, "tier attending: expected the tier"),
    "task tier missing": (content(coded(without("task"))), {}, "tier task: expected the tier"),
    "tier misspelt": (
        content(coded([*without("attending"), ("atending", [])])),
        {},
        "no such tier (perhaps 'atending')",
    ),
    "tier twice": (content(coded([*tiers(), ("Attending", [])])), {}, "the tier more than once"),
    "value outside the vocabulary": (
        spans_of(attending=[(1000, 2000, "atending")]),
        {},
        "tier attending, 00:00:01.000 to 00:00:02.000: expected one of attending, excited, no (perhaps 'attending')",
    ),
    "value missing": (spans_of(participating=[(1000, 2000, " ")]), {}, "found no value"),
    "unknown task": (spans_of(task=[*TASKS, (14000, 14500, "tower")]), {}, "found 'tower'"),
    "task missing": (spans_of(task=TASKS[:2]), {}, "no task 'drums'"),
    "task twice": (spans_of(task=[*TASKS, (14000, 14500, "eggs")]), {}, "'eggs' 2 times, at 00:00:06.000, at"),
    "tasks out of order in time": (
        spans_of(task=[(1000, 2000, "eggs"), (3000, 4000, "people"), (5000, 6000, "drums")]),
        {},
        "the order eggs, people, drums",
    ),
    "tasks overlap": (spans_of(task=[TASKS[0], (4000, 9000, "eggs"), TASKS[2]]), {}, "'eggs' and 'people' at once"),
    "equal tasks overlap": (spans_of(task=[*TASKS, (2000, 3000, "people")]), {}, "'people' and 'people' at once"),
    "different values overlap": (
        spans_of(attending=[(1000, 3000, "attending"), (2999, 4000, "excited")]),
        {},
        "'excited' and 'attending' at once, until 00:00:03.000",
    ),
    "negative length": (spans_of(attending=[(3000, 1000, "attending")]), {}, "ends before it starts"),
    "span after the video": (spans_of(ignore=[(15000, 15100, "")]), {}, "a span outside the video"),
    "span long after the video": (spans_of(ignore=[(14000, 15501, "")]), {}, "a span outside the video"),
    "time beyond any recording": (
        lambda folder: [
            (folder / f"fp03_{name}_20220301.eaf").write_text(coded(tiers(ignore=[(14000, 10**12, "")])))
            for name in ("ew", "kb")
        ],
        {},
        "expected an end within the 30 days that a recording may last, found an end at 1000000000000 ms",
    ),
    "start before the video": (content(coded(tiers(), media(("fp01.mp4", -1500)))), {}, "a start before the video"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_folders_are_refused_with_a_clear_message(tmp_path, kind):
    spoil, changes, message = BAD[kind]
    folder = write_lab(tmp_path / "eaf")
    spoil(folder)
    problems = refused(folder, protocol(**changes))
    assert message in "\n".join(map(str, problems))
    assert all(problem.file and problem.cure for problem in problems)


def test_there_are_enough_kinds_of_bad_input():
    assert len(BAD) >= 40


def test_all_violations_in_all_files_are_reported_together(tmp_path):
    folder = write_lab(tmp_path / "eaf")
    (folder / FIRST).write_text(coded(tiers(attending=[(1000, 2000, "x"), (2000, 3000, "y")], task=TASKS[:2])))
    (folder / "fp01_kb_20220301.eaf").write_text("")
    (folder / "wrong name.eaf").write_text(coded(tiers(participating=[(5, 1, "self")])))
    (folder / "fp02_ew_20220301.eaf").rename(folder / "fp02_ew_20239999.eaf")
    found = [(problem.file, problem.where.split(",")[0]) for problem in refused(folder, protocol())]
    assert found == [
        (FIRST, "tier attending"),
        (FIRST, "tier attending"),
        (FIRST, "tier task"),
        ("fp01_kb_20220301.eaf", ""),
        ("fp02_ew_20239999.eaf", "name"),
        ("wrong name.eaf", "name"),
        ("wrong name.eaf", "tier participating"),
    ]


# The real stage script and the command line


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A folder as the stage sees it: params.yaml, and raw recordings without videos."""
    write_lab(tmp_path / "raw" / "engagement")
    write_params(tmp_path)
    return tmp_path


def write_params(folder: Path, **changes: object) -> None:
    values = protocol(**changes).model_dump(mode="json")
    with (folder / "params.yaml").open("w") as file:
        YAML().dump({"engagement": {"protocol": values}}, file)


def run(lab: Path, seed: str = "0") -> subprocess.CompletedProcess[str]:
    script = ROOT / "stages" / "engagement" / "extract_spans.py"
    arguments = ["raw/engagement", "raw/video", "out/spans.csv", "out/tabs"]
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=lab,
        env=os.environ | {"PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=False,
    )


def test_stage_writes_the_same_bytes_whatever_the_hash_seed(lab):
    outputs = []
    for seed in ("1", "2"):
        done = run(lab, seed)
        assert done.returncode == 0, done.stderr
        outputs.append({path.name: path.read_bytes() for path in sorted((lab / "out").rglob("*.*"))})
        shutil.rmtree(lab / "out")
    assert outputs[0] == outputs[1]
    assert set(outputs[0]) == {"spans.csv", "ew_kb.txt"}


@pytest.mark.parametrize("kind", BAD)
def test_stage_exits_with_1_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_stage_here: Callable, kind: str
) -> None:
    spoil, changes, message = BAD[kind]
    spoil(write_lab(tmp_path / "raw" / "engagement"))
    write_params(tmp_path, **changes)
    monkeypatch.setattr(extraction, "durations", lambda *_: (DURATIONS, []))
    ended = run_stage_here("engagement/extract_spans", "raw/engagement", "raw/video", "spans.csv", "tabs", cwd=tmp_path)
    assert ended.code == 1
    assert message in ended.stderr
    assert ended.stderr.endswith(" error(s); nothing was written.\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["params.yaml", "raw"]


def test_a_process_exits_with_1_and_writes_nothing(lab: Path) -> None:
    BAD["entity bomb"][0](lab / "raw" / "engagement")
    done = run(lab)
    assert done.returncode == 1
    assert BAD["entity bomb"][2] in done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for path in (lab / "out").rglob("*") if path.is_file()]


def test_an_earlier_output_stays_when_the_input_breaks(lab):
    assert run(lab).returncode == 0
    before = (lab / "out" / "spans.csv").read_bytes()
    BAD["task missing"][0](lab / "raw" / "engagement")
    assert run(lab).returncode == 1
    assert (lab / "out" / "spans.csv").read_bytes() == before
    assert (lab / "out" / "tabs" / "ew_kb.txt").is_file()


def validate(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(cli.app, ["validate", *map(str, arguments)], env={"COLUMNS": "100"})
    return done.exit_code, done.stdout


def test_validate_shows_a_table_that_fits_and_a_summary(lab):
    code, text = validate(lab / "raw" / "engagement", "--params", lab / "params.yaml")
    assert (code, text) == (0, "4 file(s) of 2 session(s) by 2 annotator(s): 0 error(s), 0 warning(s).\n")
    BAD["value outside the vocabulary"][0](lab / "raw" / "engagement")
    code, text = validate(lab / "raw", "--params", lab / "params.yaml")
    assert code == 1
    assert max(map(len, text.splitlines())) <= 100
    assert "atending" in text
    assert "0 session(s)" not in text
    assert text.splitlines()[-1].endswith("1 error(s), 1 warning(s).")  # the folder of videos is missing


def test_validate_reads_the_parameters_of_the_working_directory(lab, monkeypatch):
    monkeypatch.chdir(lab)
    assert validate("raw/engagement")[0] == 0
    write_params(lab, sessions="[a-z]+")
    code, text = validate("raw/engagement")
    assert code == 1
    assert text.splitlines()[-1].startswith("4 file(s) of 0 session(s)")
    assert "[a-z]+" in text  # not taken for markup
