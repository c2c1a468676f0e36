"""A lab's coding protocol: what its ELAN files are called and may contain.

The protocol is a section of params.yaml, so that another lab's tiers, values and names need no code.
"""

import datetime
import re
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from attune.params import Params

FIELDS = ("session", "annotator", "date")
NO = "no"  # fills every gap; the level that counts as not engaged

Name = Annotated[str, Field(min_length=1, pattern=r"^[^\s/\\]+$")]


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
        return self


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
    annotators: tuple[Name, ...] = Field(min_length=1)
    assigned: dict[str, tuple[Name, ...]] = Field(default_factory=dict)
    min_annotators: int = Field(default=2, ge=1)
    tasks: tuple[Name, ...] = Field(min_length=1)
    task_tier: str = "task"
    task_corrections: dict[str, str] = Field(default_factory=dict)
    ignore_tier: str = "ignore"
    variables: dict[str, Variable] = Field(min_length=1)

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
        if isinstance(value, str):
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"a list of names or a valid regular expression ({error})") from None
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
        return self
