"""A lab's coding protocol: what its ELAN files are called and may contain.

The protocol is a section of params.yaml, so that another lab's tiers, values and names need no code.
Names of tiers, values, tasks and typos are compared by :func:`fold`: without case, outer white space and Unicode form.
"""

import datetime
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from itertools import combinations
from typing import Annotated, NamedTuple, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from attune.params import Params

FIELDS = ("session", "annotator", "date")
NO = "no"  # fills every gap; the level that counts as not engaged
RESERVED = "all"  # what the tables of reliability call everything pooled


def _name(name: str) -> str:
    """A name as it may stand in a file's name and in a cell of a tab-separated table."""
    name = unicodedata.normalize("NFC", name)
    if name.splitlines() != [name] or name != name.strip() or set(name) & {"/", "\\", "\t"}:
        raise ValueError("a name on one line, without slashes, tabs and outer spaces")
    return name


def _safe_name(name: str) -> str:
    """A name that is also a part of commands, paths and ids: nothing that a shell or a file system interprets."""
    name = unicodedata.normalize("NFC", name)
    if not re.fullmatch(r"\w([\w .+-]*[\w.+-])?", name):
        raise ValueError("a name of letters, digits, spaces and . _ + -, with a letter or digit first")
    if fold(name) == RESERVED:
        raise ValueError(f"another name than '{RESERVED}', which stands for everything pooled")
    return name


Name = Annotated[str, AfterValidator(_name)]
SafeName = Annotated[str, AfterValidator(_safe_name)]


class NameParts(NamedTuple):
    """The parts of a file's name; ``date`` is as written, empty if the pattern has none."""

    session: str
    annotator: str
    date: str


def normalise(text: str) -> str:
    """Unicode form NFC, single spaces, no outer white space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def fold(text: str) -> str:
    """The form in which names are compared: normalised, without case."""
    return unicodedata.normalize("NFC", normalise(text).casefold())


def _twice(names: Iterable[str]) -> list[str]:
    """Folded names that occur more than once."""
    return sorted(name for name, count in Counter(map(fold, names)).items() if count > 1)


def _lookup(values: Iterable[str], corrections: dict[str, str]) -> dict[str, str]:
    """Folded spelling to the value it stands for."""
    return {fold(typo): value for typo, value in corrections.items()} | {fold(value): value for value in values}


def _check_vocabulary(values: tuple[str, ...], corrections: dict[str, str]) -> None:
    if twice := _twice([*values, *corrections]):
        raise ValueError(f"every value and typo once, compared without case (twice: {', '.join(twice)})")


class Variable(Params):
    """A behaviour that is coded on a tier of its own name.

    Attributes:
        values: the vocabulary, without ``no``.
        required: whether every file must have the tier (it may be empty).
        corrections: known typos and what they stand for, compared without case and outer white space.
    """

    values: tuple[Name, ...] = Field(min_length=1)
    required: bool = True
    corrections: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _corrections_lead_to_values(self) -> Self:
        known = {*self.values, NO}
        if wrong := sorted(f"{typo} -> {value}" for typo, value in self.corrections.items() if value not in known):
            raise ValueError(f"corrections that lead to one of {sorted(known)} (not: {', '.join(wrong)})")
        if NO in {fold(value) for value in self.values}:
            raise ValueError(f"values without '{NO}', which stands for every time that is not annotated")
        _check_vocabulary(self.values, self.corrections)
        return self

    def lookup(self) -> dict[str, str]:
        """Every accepted spelling, folded, and the value it stands for; ``no`` is always accepted."""
        return _lookup((*self.values, NO), self.corrections)


class Protocol(Params):
    """The rules that a folder of ELAN files must follow.

    Attributes:
        file_name: the pattern of a file's name without ``.eaf``; ``{session}``, ``{annotator}`` and ``{date}`` stand
            for the parts, ``{date}`` may be missing.
        date_format: how a date is written, as for :func:`datetime.datetime.strptime`.
        first_date: the earliest date allowed.
        last_date: the latest date allowed.
        sessions: a list of the session names, or a regular expression that every name matches.
        annotators: initials of the annotators.
        assigned: which annotators must have coded a session; for sessions not listed, ``min_annotators`` counts.
        min_annotators: how many annotators each session needs.
        tasks: the play activities in the order in which they take place.
        task_tier: the tier that holds the tasks.
        task_corrections: known typos of task names.
        ignore_tier: the tier whose spans are cut out of the tasks; it is optional in every file.
        variables: the coded behaviours; the key is the name of the tier.
    """

    file_name: str = "{session}_{annotator}_{date}"
    date_format: str = "%Y%m%d"
    first_date: datetime.date
    last_date: datetime.date
    sessions: str | tuple[Name, ...]
    annotators: tuple[SafeName, ...] = Field(min_length=1)
    assigned: dict[Name, tuple[Name, ...]] = Field(default_factory=dict)
    min_annotators: int = Field(default=2, ge=1)
    tasks: tuple[SafeName, ...] = Field(min_length=1)
    task_tier: Name = "task"
    task_corrections: dict[str, str] = Field(default_factory=dict)
    ignore_tier: Name = "ignore"
    variables: dict[SafeName, Variable] = Field(min_length=1)

    @field_validator("file_name")
    @classmethod
    def _fields_once(cls, value: str) -> str:
        found = re.findall(r"{(\w*)}", value)
        if sorted(set(found)) != sorted(found) or not {"session", "annotator"} <= set(found) <= set(FIELDS):
            raise ValueError("a name with {session} and {annotator}, and {date} if wanted, each once")
        return value

    @field_validator("sessions")
    @classmethod
    def _valid_expression(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not value:
            raise ValueError("at least one name, or a regular expression")
        if isinstance(value, str):
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"a list of names or a valid regular expression ({error})") from None
        return value

    @field_validator("date_format")
    @classmethod
    def _whole_date(cls, value: str) -> str:
        if set(value) & {"/", "\\"}:
            raise ValueError("a date format without slashes, which no file's name can hold")
        probe = datetime.date(2021, 12, 31)
        try:
            read = datetime.datetime.strptime(probe.strftime(value), value).date()
        except ValueError as error:
            raise ValueError(f"a date format such as %Y%m%d ({error})") from None
        if read != probe:
            raise ValueError("a date format with year, month and day, such as %Y%m%d")
        return value

    @field_validator("annotators", "tasks")
    @classmethod
    def _no_duplicates(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("every entry once")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.first_date > self.last_date:
            raise ValueError(f"first_date not after last_date, got {self.first_date} > {self.last_date}")
        if tiers := {self.task_tier, self.ignore_tier} & set(self.variables):
            raise ValueError(f"variables other than the task and the ignore tier (not: {', '.join(sorted(tiers))})")
        if self.task_tier == self.ignore_tier:
            raise ValueError("different names for task_tier and ignore_tier")
        if strangers := {name for names in self.assigned.values() for name in names} - set(self.annotators):
            raise ValueError(f"assigned annotators that are listed in annotators (not: {', '.join(sorted(strangers))})")
        if self.min_annotators > len(self.annotators):
            raise ValueError(f"min_annotators of at most {len(self.annotators)}, the number of annotators")
        if wrong := sorted(value for value in self.task_corrections.values() if value not in self.tasks):
            raise ValueError(f"task_corrections that lead to one of {list(self.tasks)} (not: {', '.join(wrong)})")
        if unknown := sorted(session for session in self.assigned if not self.knows_session(session)):
            raise ValueError(f"assigned sessions that are among the sessions (not: {', '.join(unknown)})")
        if twice := _twice([*self.variables, self.task_tier, self.ignore_tier]):
            raise ValueError(f"tiers that differ in more than case (not: {', '.join(twice)})")
        _check_vocabulary(self.tasks, self.task_corrections)
        return self

    @model_validator(mode="after")
    def _distinct_files(self) -> Self:
        """Some file systems take names that differ in case for one."""
        sessions = () if isinstance(self.sessions, str) else self.sessions
        pairs = [f"{first}_{second}" for first, second in combinations(self.annotators, 2)]
        models = [f"{task}-{variable}" for task in self.tasks for variable in self.variables]
        for what, names in [
            ("annotators that differ in more than case", self.annotators),
            ("sessions that differ in more than case", sessions),
            ("annotators each pair of whom has a name of its own, <first>_<second>", pairs),
            ("tasks and variables each two of which have a name of their own, <task>-<variable>", models),
        ]:
            if twice := _twice(names):
                raise ValueError(f"{what} (not: {', '.join(twice)})")
        return self

    @property
    def tiers(self) -> dict[str, bool]:
        """Name of every tier and whether each file must have it."""
        variables = {name: variable.required for name, variable in self.variables.items()}
        return {**variables, self.task_tier: True, self.ignore_tier: False}

    def lookup(self, tier: str) -> dict[str, str] | None:
        """Accepted spellings on a tier, folded, and what they stand for; None where any text is accepted."""
        if tier == self.ignore_tier:
            return None
        if tier == self.task_tier:
            return _lookup(self.tasks, self.task_corrections)
        return self.variables[tier].lookup()

    def knows_session(self, session: str) -> bool:
        """Whether a session has one of the names that the protocol allows."""
        if isinstance(self.sessions, str):
            return re.fullmatch(self.sessions, session) is not None
        return session in self.sessions

    def parse_name(self, stem: str) -> NameParts | None:
        """Take a file's name (without ``.eaf``) apart; None if it does not follow the pattern.

        A known annotator is preferred where the pattern can be matched in several ways; otherwise the session takes
        as much of the name as it can, so ``child_01_ew_20220301`` is session ``child_01``.
        """
        stem = unicodedata.normalize("NFC", stem)
        known = "|".join(re.escape(name) for name in sorted(self.annotators, key=lambda name: (-len(name), name)))
        for annotator in (f"(?:{known})", ".+"):
            groups = {"session": ".+", "annotator": annotator, "date": ".+"}
            parts = re.split(r"{(\w+)}", self.file_name)
            pattern = "".join(
                f"(?P<{part}>{groups[part]})" if odd % 2 else re.escape(part) for odd, part in enumerate(parts)
            )
            if found := re.fullmatch(pattern, stem):
                return NameParts(**{"date": "", **found.groupdict()})
        return None

    def parse_date(self, text: str) -> datetime.date | None:
        """The calendar date written in a file's name; None if it is none or is written in another way."""
        try:
            date = datetime.datetime.strptime(text, self.date_format).date()
        except ValueError:
            return None
        return date if date.strftime(self.date_format) == text else None
