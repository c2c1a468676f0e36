"""What is known about a painting, as typed records and as JSON."""

import datetime
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from attune import artifacts
from attune.attention.strokes import MAX_FRAMES, MAX_OPERATIONS, MAX_SIDE, AnyOperation, Operation
from attune.params import Model, Params
from attune.problems import InputError, Problem

FORMAT: Literal["attune-painting-1"] = "attune-painting-1"
AGAIN = "_again"


def _short(name: str) -> str:
    if len(name.encode()) > 160:
        raise ValueError("a name of at most 160 bytes")
    return name


# A name is one component of a path: no slash, no dot or space first, nothing that a terminal or a shell interprets.
Identifier = Annotated[str, Field(strict=True, pattern=r"^\w([\w .+-]*[\w.+-])?$"), AfterValidator(_short)]
Label = Annotated[int, Field(strict=True, ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=1e6)]
Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]


class Info(Params):
    """What is known about a painting besides its strokes.

    Attributes:
        annotator: who painted.
        painting: the snippet's id, or that with ``_again``.
        snippet: the snippet's id.
        labels: variable to the painter's own label, None where none was given.
        seconds: time spent on each frame; empty if it was not measured.
        created: when it was saved first (UTC); set by saving.
        saved: when this version was saved (UTC); set by saving.
        version: counts from 1; 0 if it was never saved.
    """

    annotator: Identifier
    painting: Identifier
    snippet: Identifier
    labels: dict[Identifier, Label | None] = Field(default_factory=dict, max_length=100)
    seconds: tuple[Seconds, ...] = Field(default=(), max_length=MAX_FRAMES)
    created: datetime.datetime | None = None
    saved: datetime.datetime | None = None
    version: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _of_its_snippet(self) -> Self:
        if self.painting not in (self.snippet, self.snippet + AGAIN):
            raise ValueError(f"a painting named as its snippet {self.snippet}, got {self.painting}")
        return self


class Painting(Info):
    """A painting: what is known about it, and its operations in their order."""

    strokes: tuple[Operation, ...] = Field(default=(), max_length=MAX_OPERATIONS)


class Document(Params):
    """The content of strokes.json."""

    format: Literal["attune-painting-1"] = FORMAT
    version: int = Field(ge=1)
    shape: tuple[Annotated[int, Field(ge=1, le=MAX_FRAMES)], Side, Side]
    strokes: tuple[Operation, ...] = Field(max_length=MAX_OPERATIONS)


class Version(Document):
    """The content of a file in versions/."""

    info: dict[str, Any]


def as_text(head: dict[str, Any], strokes: Sequence[AnyOperation]) -> str:
    """JSON with one operation per line, so that a diff shows the strokes that came or went."""
    lines = [f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items()]
    told = [_line(stroke) for stroke in strokes]
    inner = "\n    " + ",\n    ".join(told) + "\n  " if told else ""
    return "{\n" + ",\n".join([*lines, f'  "strokes": [{inner}]']) + "\n}\n"


@lru_cache(maxsize=2048)  # a painting is saved again and again while it grows
def _line(stroke: AnyOperation) -> str:
    return json.dumps(stroke.model_dump(mode="json", exclude_none=True))


def read(path: Path, model: type[Model]) -> Model:
    """Read and check one JSON file of a painting.

    Raises:
        InputError: the file is missing or damaged.
    """
    content = artifacts.read_json(path)
    if model is Info and isinstance(content, dict) and content.pop("format", None) != FORMAT:
        raise InputError(Problem(str(path), "format", "another", FORMAT, "Convert it."))
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise problem(path, error) from None


def problem(path: Path, error: ValidationError) -> InputError:
    """What is refused, in the form in which users read it."""

    def one(detail: Any) -> Problem:
        expected = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        where = ".".join(map(str, detail["loc"]))
        return Problem(str(path), where, repr(detail["input"])[:80], expected, "Correct it or paint again.")

    return InputError(one(detail) for detail in error.errors(include_url=False)[:10])
