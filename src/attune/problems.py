"""What is wrong with a user's input, said in one form everywhere.

A :class:`Problem` names the file, the place in it, what was found, what was expected and how to mend it. Code that
checks collects all problems it can find and raises them together as one :class:`InputError`; the console
(:mod:`attune.console`) prints them and exits with code 1.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, order=True)
class Problem:
    """One violation in one file.

    Attributes:
        file: name or path of the file, as the user knows it.
        where: the place inside the file (tier and time, key, row), empty if it is the whole file.
        found: what stands there.
        expected: what should stand there.
        cure: what to do about it.
        severity: an ``error`` stops the work, a ``warning`` is reported and the rule says what happens instead.
    """

    file: str
    where: str
    found: str
    expected: str
    cure: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        place = f"{self.file}, {self.where}" if self.where else self.file
        return f"{place}: expected {self.expected}, found {self.found}. {self.cure}"


class InputError(Exception):
    """The user's input cannot be used; carries every problem that was found, sorted."""

    def __init__(self, problems: Iterable[Problem] | Problem) -> None:
        listed = [problems] if isinstance(problems, Problem) else list(problems)
        self.problems: list[Problem] = sorted(listed)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def errors(problems: Iterable[Problem]) -> list[Problem]:
    """The problems that stop the work."""
    return [problem for problem in problems if problem.severity == "error"]


def raise_errors(problems: Iterable[Problem]) -> None:
    """Raise one :class:`InputError` with all errors among the problems, if there are any.

    Raises:
        InputError: at least one problem is an error.
    """
    if found := errors(problems):
        raise InputError(found)
