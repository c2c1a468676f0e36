"""What dvc.yaml, params.yaml and the stage scripts say, read without running anything."""

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"


@dataclass(frozen=True)
class Stage:
    """One stage of a pipeline file, with `matrix` stages counted once; it may run several scripts."""

    name: str
    pipeline: Path
    scripts: tuple[Path, ...]
    params: frozenset[str]
    deps: frozenset[str]


def read_yaml(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def pipelines() -> list[Path]:
    return [ROOT / "dvc.yaml", *sorted(ROOT.glob("stages/*/dvc.yaml"))]


def stages() -> list[Stage]:
    found = []
    for pipeline in pipelines():
        for name, body in read_yaml(pipeline)["stages"].items():
            body = body.get("do", body)
            commands = [body["cmd"]] if isinstance(body["cmd"], str) else body["cmd"]
            scripts = [script for command in commands for script in re.findall(r"stages/\S+\.py", command)]
            assert scripts, f"{name} runs no stage script"
            found.append(
                Stage(
                    name=name,
                    pipeline=pipeline,
                    scripts=tuple(ROOT / script for script in scripts),
                    params=frozenset(body.get("params", [])),
                    deps=frozenset(body["deps"]),
                )
            )
    return found


def loaded_sections(scripts: Iterable[Path]) -> set[str]:
    """The literal sections of every `params.load(...)` call in some scripts."""
    sections = set()
    for script, node in ((file, node) for file in scripts for node in ast.walk(ast.parse(file.read_text("utf-8")))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"params.load", "load"}:
            argument = node.args[0]
            if isinstance(argument, ast.JoinedStr):  # a section chosen by the user: all of its parent may be read
                argument = argument.values[0]
            assert isinstance(argument, ast.Constant), f"{script}: params.load needs a literal section"
            sections.add(str(argument.value).rstrip("."))
    return sections


def local_modules(scripts: Iterable[Path]) -> set[str]:
    """Paths of the scripts and of every module of this project they import, directly or not."""
    todo, seen = list(scripts), set()
    while todo:
        file = todo.pop()
        if file in seen:
            continue
        seen.add(file)
        todo += [target for name in _imported(file) if (target := _file_of(name))]
    return {file.relative_to(ROOT).as_posix() for file in seen if file.name != "__init__.py"}


def _imported(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return {name for name in names if name.split(".")[0] == "attune"}


def _file_of(name: str) -> Path | None:
    base = SOURCE.joinpath(*name.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


STAGE_NAMES = [
    stage.name if stage.pipeline.parent == ROOT else f"{stage.pipeline.relative_to(ROOT)}:{stage.name}"
    for stage in stages()
]
