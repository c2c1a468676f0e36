"""A folder of ELAN files against the protocol: spans, EasyDIAg tab files, and everything that is wrong.

Files are read session by session in the order of their names, and rows are written as they come, so memory holds one
session whatever the size of the corpus. Nothing depends on the order in which the folder lists its files.
"""

import csv
import re
import sys
import typing
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations, groupby
from pathlib import Path

from attune import artifacts
from attune.annotation import checks, eaf, spans
from attune.annotation.checks import Coding, Row, listed, suggestion
from attune.annotation.protocol import NO, Protocol, fold
from attune.problems import InputError, Problem, raise_errors

RENAME = "Rename the file."
COPY = re.compile(r"\.eaf\.(?!\d+$)", re.IGNORECASE)  # x.eaf.txt, but not ELAN's own backups x.eaf.001


@dataclass(frozen=True)
class Session:
    """What one session's files hold: rows sorted by annotator, variable and time; problems sorted."""

    name: str
    rows: list[Row]
    problems: list[Problem]


@dataclass(frozen=True)
class Report:
    """What is wrong with a folder, and how much was looked at."""

    problems: list[Problem]
    files: int
    sessions: int
    annotators: int


@dataclass(frozen=True)
class Found:
    """The codings in a folder, sorted; those whose names break the rules, and all that is wrong with the names."""

    codings: list[Coding]
    misnamed: list[Coding]
    problems: list[Problem]


def find(folder: Path, protocol: Protocol) -> Found:
    """Look at the names of a folder's files.

    Hidden files, ELAN's backups (``.eaf.001``), preferences (``.pfsx``) and files of other kinds are passed over.
    """
    problems: list[Problem] = []
    try:
        entries = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        cure = "Check `engagement.raw` in params.yaml: the ELAN files belong into its folder `engagement`."
        return Found([], [], [Problem(str(folder), "", error.strerror or str(error), "a folder of ELAN files", cure)])
    codings: list[Coding] = []
    misnamed: list[Coding] = []
    for name in entries:
        path = folder / name
        if not _is_text(name):
            found = f"the name {name!a}"
            problems.append(Problem(str(folder), "", found, "a printable name in UTF-8", RENAME))
        elif _is_eaf(path):
            coding, valid, wrong = _name(path, protocol)
            (codings if valid else misnamed).append(coding)
            problems += wrong
        elif path.is_dir() or COPY.search(name):
            found_kind = "a folder" if path.is_dir() else "a file whose name does not end in .eaf"
            cure = "It is passed over; if it holds codings, rename or move them."
            problems.append(Problem(name, "", found_kind, "an ELAN file", cure, "warning"))
    if not any(_is_eaf(Path(name)) for name in entries):
        problems.append(Problem(str(folder), "", "no ELAN file", "at least one .eaf file", "Put them there."))
    return Found(sorted(codings), sorted(misnamed), problems + _complete(codings, protocol))


def sessions(codings: list[Coding], protocol: Protocol, durations_ms: dict[str, int]) -> Iterator[Session]:
    """Read the files of one session after the other.

    Args:
        codings: sorted, from :func:`find`.
        protocol: the rules.
        durations_ms: length of the videos by session; a session without one is not held against it.
    """
    for name, group in groupby(codings, key=lambda coding: coding.session):
        rows: list[Row] = []
        problems: list[Problem] = []
        duration_ms = durations_ms.get(name)
        if duration_ms is None and durations_ms:  # without any video, one warning says so
            cure = "Its times are not checked against a video; add the video, or the later stages leave it out."
            problems.append(Problem(f"session {name}", "", "no readable video", "a video", cure, "warning"))
        for coding in group:
            found, wrong = _read(coding, protocol, duration_ms)
            rows += found
            problems += wrong
        yield Session(name, rows, problems)


def _read(coding: Coding, protocol: Protocol, duration_ms: int | None) -> tuple[list[Row], list[Problem]]:
    try:
        path = coding.path.with_name(coding.path.name)  # one that is used keeps its text, and codings are kept
        return checks.check(eaf.read(path), coding, protocol, duration_ms)
    except InputError as error:
        return [], error.problems


def validate(folder: Path, protocol: Protocol, durations_ms: dict[str, int]) -> Report:
    """Look at every file and collect all errors and warnings."""
    found = find(folder, protocol)
    problems = found.problems
    for session in sessions(found.codings, protocol, durations_ms):
        problems += session.problems
    for coding in found.misnamed:
        problems += _read(coding, protocol, None)[1]
    names, annotators = {coding.session for coding in found.codings}, {coding.annotator for coding in found.codings}
    return Report(sorted(problems), len(found.codings) + len(found.misnamed), len(names), len(annotators))


class Probed(typing.Protocol):
    """What is asked of a video; the reader of videos is handed in, since annotations know nothing of it."""

    @property
    def duration_ms(self) -> int:
        """Length in ms."""


def durations(
    folder: Path,
    find_videos: Callable[[Path], tuple[dict[str, Path], list[Problem]]],
    probe: Callable[[Path], Probed],
) -> tuple[dict[str, int], list[Problem]]:
    """Length in ms of every session's video; what cannot be read is a warning, since it is an error elsewhere.

    Args:
        folder: the videos.
        find_videos: the videos of a folder by session, raising InputError.
        probe: the properties of a video, raising InputError.
    """
    lengths: dict[str, int] = {}
    problems: list[Problem] = []
    try:
        videos, _ = find_videos(folder)
    except InputError as error:
        return {}, [_unchecked(problem) for problem in error.problems]
    for session, path in videos.items():
        try:
            lengths[unicodedata.normalize("NFC", session)] = probe(path).duration_ms
        except InputError as error:
            problems += map(_unchecked, error.problems)
    return lengths, problems


def _unchecked(problem: Problem) -> Problem:
    cure = f"{problem.cure} Until then times are not checked against the video."
    return replace(problem, cure=cure, severity="warning")


def extract(
    folder: Path, protocol: Protocol, durations_ms: dict[str, int], table: Path, tab_folder: Path
) -> list[Problem]:
    """Write the span table and the tab files of EasyDIAg; return the warnings.

    A tab file ``<a>_<b>.txt`` holds the sessions that both annotators coded: variable with ``_R1`` for a and ``_R2``
    for b, start_ms, end_ms, value, session; tab-separated, no header. Task and ignore tiers are not part of it, nor is
    ``no``, which is no event.

    Raises:
        InputError: with all errors in all files; then nothing is written.
    """
    found = find(folder, protocol)
    problems = found.problems
    with artifacts.replacing(table) as part, artifacts.replacing_folder(tab_folder) as tabs:
        with part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(spans.ORIGINAL)
            for session in sessions(found.codings, protocol, durations_ms):
                problems += session.problems
                writer.writerows(session.rows)
                for name, lines in _tab_lines(session, protocol):
                    with (tabs / name).open("a", encoding="utf-8", newline="") as tab_file:
                        tab_file.writelines(lines)
        for coding in found.misnamed:
            problems += _read(coding, protocol, None)[1]
        raise_errors(problems)
    return sorted(problems)


def _is_eaf(path: Path) -> bool:
    return path.suffix.lower() == ".eaf" and not path.name.startswith(".")


def _is_text(name: str) -> bool:
    """Whether a file's name can be shown and written; the system allows any bytes in it."""
    return name.isprintable() and name == name.encode(errors="replace").decode()


def _name(path: Path, protocol: Protocol) -> tuple[Coding, bool, list[Problem]]:
    """Session and annotator from a file's name, whether they are those of a coding, and what is wrong."""
    problems: list[Problem] = []

    def report(found: str, expected: str, cure: str = RENAME) -> None:
        problems.append(Problem(path.name, "name", found, expected, cure))

    parts = protocol.parse_name(path.stem)
    if parts is None:
        report(f"'{path.stem}'", f"a name like {protocol.file_name}.eaf")
        return Coding(path.stem, "", path), False, problems
    session, annotator, date = sys.intern(parts.session), sys.intern(parts.annotator), parts.date  # kept of every file
    problems += _date(path.name, date, protocol)
    valid = protocol.knows_session(session)
    if not valid:
        rule = protocol.sessions if isinstance(protocol.sessions, str) else listed(protocol.sessions)
        near = "" if isinstance(protocol.sessions, str) else suggestion(session, protocol.sessions)
        report(f"session '{session}'", f"{rule}{near}", f"{RENAME} Or correct protocol.sessions.")
    allowed = protocol.assigned.get(session, protocol.annotators)
    if annotator not in protocol.annotators:
        expected = f"one of {listed(protocol.annotators)}{suggestion(annotator, protocol.annotators)}"
        report(f"annotator '{annotator}'", expected, f"{RENAME} Or correct protocol.annotators.")
    elif annotator not in allowed:
        cure = "Rename or remove the file, or correct protocol.assigned."
        report(f"annotator '{annotator}'", f"one assigned to {session}: {listed(allowed)}", cure)
    return Coding(session, annotator, path), valid and annotator in allowed, problems


def _date(file: str, text: str, protocol: Protocol) -> list[Problem]:
    if "{date}" not in protocol.file_name:
        return []
    date = protocol.parse_date(text)
    if date is None:
        example = protocol.first_date.strftime(protocol.date_format)
        return [Problem(file, "name", f"date '{text}'", f"a calendar date written like {example}", RENAME)]
    if not protocol.first_date <= date <= protocol.last_date:
        expected = f"a date from {protocol.first_date} to {protocol.last_date}"
        return [Problem(file, "name", f"date {date}", expected, f"{RENAME} Or correct the protocol's dates.")]
    return []


def _complete(codings: list[Coding], protocol: Protocol) -> list[Problem]:
    """Sessions that lack an annotator, or have one twice."""
    codings = sorted(codings)
    owners = [coding.session for coding in codings]
    problems = _alike(set(owners))
    required = () if isinstance(protocol.sessions, str) else protocol.sessions
    for session in sorted({*required, *protocol.assigned, *owners}):
        there: dict[str, list[str]] = {}
        for coding in codings[bisect_left(owners, session) : bisect_right(owners, session)]:
            there.setdefault(coding.annotator, []).append(coding.path.name)
        for annotator, names in there.items():
            if len(names) > 1:
                found = f"{len(names)} files of {annotator}: {listed(names)}"
                problems.append(Problem(f"session {session}", "", found, "one file", "Remove all but the valid one."))
        if missing := [name for name in protocol.assigned.get(session, ()) if name not in there]:
            expected = f"a file of each assigned annotator: {listed(protocol.assigned[session])}"
            cure = f"Add the files of {listed(missing)}, or correct protocol.assigned."
            problems.append(Problem(f"session {session}", "", f"only {listed(there)}", expected, cure))
        elif session not in protocol.assigned and len(there) < protocol.min_annotators:
            expected = f"files of at least {protocol.min_annotators} annotators"
            cure = "Add the missing files, remove the session, or lower protocol.min_annotators."
            problems.append(Problem(f"session {session}", "", f"annotators: {listed(there)}", expected, cure))
    return problems


def _alike(names: Iterable[str]) -> list[Problem]:
    """Sessions whose names differ in case alone, which some file systems take for one."""
    first: dict[str, str] = {}
    cure = "Rename the files of one of the two."
    return [
        Problem(f"session {name}", "", f"a session {first[fold(name)]}", "names that differ in more than case", cure)
        for name in sorted(names)
        if first.setdefault(fold(name), name) != name
    ]


def _tab_lines(session: Session, protocol: Protocol) -> Iterator[tuple[str, list[str]]]:
    """The name of every tab file that the session belongs to, and its lines there."""
    there = {row.annotator for row in session.rows}
    order = {name: position for position, name in enumerate(protocol.variables)}
    for first, second in combinations([name for name in protocol.annotators if name in there], 2):
        raters = {first: "R1", second: "R2"}
        rows = [row for row in session.rows if row.annotator in raters and row.variable in order and row.value != NO]
        rows.sort(key=lambda row: (order[row.variable], raters[row.annotator], row.start_ms))
        yield (
            f"{first}_{second}.txt",
            [
                f"{row.variable}_{raters[row.annotator]}\t{row.start_ms}\t{row.end_ms}\t{row.value}\t{row.session}\n"
                for row in rows
            ],
        )
