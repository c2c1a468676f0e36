import datetime
from pathlib import Path
from typing import Self

import pytest
from pydantic import Field, model_validator

from attune import params
from attune.problems import InputError


class Example(params.Params):
    word: str = "x"
    rate: float = Field(gt=0)
    size: int = 1


class Range(params.Params):
    first: datetime.date
    last: datetime.date
    steps: dict[str, Example] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.first > self.last:
            raise ValueError(f"first not after last, got {self.first} > {self.last}")
        if len(self.steps) > 1:
            raise ValueError(f"one step (not: {', '.join(self.steps)})")
        return self


def write(folder: Path, text: str) -> Path:
    file = folder / "params.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_yaml_is_read_as_dvc_reads_it(tmp_path: Path) -> None:
    file = write(tmp_path, "a:\n  b: {word: no, rate: 1e-5}\n")
    assert params.load("a.b", Example, file) == Example(word="no", rate=1e-5)


def test_a_model_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Example(rate=1).rate = 2  # type: ignore[misc]  # the error is the point


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a: {b: {rate: 1, wrod: x}}", ["a.b.wrod", "an unknown key"]),
        ("a: {b: {}}", ["a.b.rate", "nothing"]),
        ("a: {b: {rate: -1}}", ["a.b.rate", "-1", "greater than 0"]),
        ("a: {b: {rate: fast}}", ["a.b.rate", "'fast'", "a valid number"]),
        ("a: {b: {rate: .inf}}", ["a.b.rate", "a finite number"]),
        ("a: {b: {rate: 1, size: 1.5}}", ["a.b.size", "1.5", "integer"]),
        ("a: {c: 1}", ["a: expected a section 'b'", "['c']"]),
        ("a: 3", ["a: expected a section 'b'", "3"]),
        ("", ["top level", "a section 'a'"]),
        ("a: [1", ["line 1", "valid YAML"]),
        ("a: {b: {rate: 1}}\na: 2", ["line 2", "duplicate key"]),
        ("a: {b: 3}", ["a.b", "3"]),
    ],
)
def test_bad_parameters_are_refused_with_their_key(tmp_path: Path, text: str, parts: list[str]) -> None:
    file = write(tmp_path, text)
    with pytest.raises(InputError) as error:
        params.load("a.b", Example, file)
    assert all(part in str(error.value) for part in [str(file), *parts]), str(error.value)


def test_all_refusals_are_told_together(tmp_path: Path) -> None:
    file = write(tmp_path, "a: {b: {rate: -1, size: x, wrod: y}}")
    with pytest.raises(InputError) as error:
        params.load("a.b", Example, file)
    assert len(error.value.problems) == 3


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        params.load("a", Example, tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_bytes(b"a: \xff")
    with pytest.raises(InputError, match="UTF-8"):
        params.load("a", Example, tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "{first: 2022-03-01, last: 2022-02-01}",
            "a.b: expected first not after last, found 2022-03-01 > 2022-02-01. Change one of them.",
        ),
        (
            "{first: 2022-03-01, last: 2022-04-01, steps: {x: {rate: 1}, y: {rate: 2}}}",
            "a.b: expected one step, found x, y. Change one of them.",
        ),
        (
            "{first: 2022-03-01, last: 2022-04-01, steps: {x: {rate: -1}}}",
            "a.b.steps.x.rate: expected greater than 0, found -1. Change the value.",
        ),
    ],
)
def test_a_contradiction_is_told_without_the_whole_section(tmp_path: Path, text: str, told: str) -> None:
    file = write(tmp_path, f"a:\n  b: {text}\n")
    with pytest.raises(InputError) as error:
        params.load("a.b", Range, file)
    assert str(error.value) == f"{file}, {told}"


@pytest.mark.parametrize("date", ["2022-02-30", "2022-13-01"])
def test_a_date_that_does_not_exist_is_refused_with_its_line(tmp_path: Path, date: str) -> None:
    file = write(tmp_path, f"a:\n  b:\n    first: 2022-01-01\n    last: {date}\n")
    with pytest.raises(InputError, match=rf"params.yaml, line 4: expected a date or number that exists, found {date}"):
        params.load("a.b", Range, file)
