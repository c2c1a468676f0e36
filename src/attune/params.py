"""Typed parameters: a section of params.yaml is a frozen model that stands beside the code which uses it.

The file is read as YAML 1.2, as DVC reads it: ``no`` is a word, ``1e-5`` is a number.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import CollectionNode, ScalarNode

from attune.problems import InputError, Problem

FILE = Path("params.yaml")


class Params(BaseModel):
    """Base of every parameter model: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Model = TypeVar("Model", bound=Params)


def load(section: str, model: type[Model], file: Path = FILE) -> Model:
    """Read one section of a parameter file.

    Args:
        section: dotted path of the section, such as ``engagement.folds``.
        model: the typed form of the section.
        file: the parameter file.

    Raises:
        InputError: the file or the section is missing, or any of its values is refused; all refusals are listed.
    """
    value = _section(_read(file), section, file)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InputError(_problem(section, detail, file) for detail in error.errors()) from None


def _read(file: Path) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            Problem(str(file), "", "no such file", "a parameter file", "Run from the project's root folder.")
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            Problem(str(file), "", str(error), "a readable UTF-8 text", "Check the file's permissions and encoding.")
        ) from None
    except YAMLError as error:
        mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
        where = f"line {mark.line + 1}" if mark else ""
        found = (error.problem if isinstance(error, MarkedYAMLError) else str(error)) or "a syntax error"
        raise InputError(Problem(str(file), where, found, "valid YAML", "Mend the line.")) from None
    except ValueError as error:  # a scalar that looks like a date or a number, and is none
        raise InputError(_no_scalar(file, str(error))) from None


def _no_scalar(file: Path, reason: str) -> list[Problem]:
    """The lines whose scalars cannot be made values, which the reader does not name."""
    yaml = YAML(typ="safe", pure=True)
    found = []
    for node in _scalars(yaml.compose(file.read_text(encoding="utf-8"))):
        try:
            yaml.constructor.construct_object(node)
        except ValueError as error:
            where = f"line {node.start_mark.line + 1}"
            cure = "Correct it, or put it in quotes if it is a text."
            found.append(Problem(str(file), where, f"{node.value} ({error})", "a date or number that exists", cure))
    return found or [Problem(str(file), "", reason, "valid YAML", "Mend the value.")]


def _scalars(node: Any) -> Iterator[ScalarNode]:
    if isinstance(node, ScalarNode):
        yield node
    elif isinstance(node, CollectionNode):
        for child in node.value:
            for part in child if isinstance(child, tuple) else (child,):
                yield from _scalars(part)


def _section(document: Any, section: str, file: Path) -> Any:
    value = document
    for depth, key in enumerate(section.split(".")):
        if not isinstance(value, dict) or key not in value:
            there = sorted(map(str, value)) if isinstance(value, dict) else value
            where = ".".join(section.split(".")[:depth]) or "top level"
            raise InputError(
                Problem(str(file), where, f"{there}", f"a section '{key}'", f"Add '{section}' to the file.")
            )
        value = value[key]
    return value


def _problem(section: str, detail: Any, file: Path) -> Problem:
    key = ".".join([section, *(str(part) for part in detail["loc"] if part != "[key]")])
    if detail["type"] == "extra_forbidden":
        return Problem(
            str(file), key, "an unknown key", "only keys of this section", "Correct its spelling or remove it."
        )
    if detail["type"] == "missing":
        return Problem(str(file), key, "nothing", "a value", "Add the key.")
    expected = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if detail["type"] == "value_error" and isinstance(detail["input"], dict):  # settings that do not fit together
        expected, found = _contradiction(expected)
        return Problem(str(file), key, found, expected, "Change one of them.")
    return Problem(str(file), key, repr(detail["input"]), expected, "Change the value.")


def _contradiction(message: str) -> tuple[str, str]:
    """What the settings of a section should be and what they are, told apart in the words of its model."""
    told = re.fullmatch(r"(.*?)(?:, got (.*)| \((?:not|twice): (.*)\))", message, re.DOTALL)
    return (told[1], told[2] or told[3]) if told else (message, "settings that contradict it")
