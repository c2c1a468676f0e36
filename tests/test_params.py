from pathlib import Path

import pytest
from pydantic import Field

from attune import params
from attune.problems import InputError


class Example(params.Params):
    word: str = "x"
    rate: float = Field(gt=0)
    size: int = 1


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
