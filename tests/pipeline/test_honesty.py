"""dvc.yaml says the truth about what its stages read."""

import ast
import subprocess
import sys
from typing import Any

import pytest

from tests.pipeline import structure

STAGES = structure.stages()


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_declares_the_parameters_it_loads(stage: structure.Stage) -> None:
    assert structure.loaded_sections(stage.scripts) == stage.params


def test_every_section_of_params_is_read_by_something() -> None:
    scripts = [script for stage in STAGES for script in stage.scripts]
    loaded = structure.loaded_sections([*scripts, *structure.SOURCE.glob("attune/cli*.py")])
    templates = "\n".join(pipeline.read_text(encoding="utf-8") for pipeline in structure.pipelines())

    def is_read(path: str) -> bool:
        return any(path == key or path.startswith(f"{key}.") for key in loaded) or f"${{{path}}}" in templates

    unread = [path for path in leaves(structure.read_yaml(structure.ROOT / "params.yaml")) if not is_read(path)]
    assert not unread


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_depends_on_the_modules_it_imports(stage: structure.Stage) -> None:
    code = {dep for dep in stage.deps if dep.startswith(("src/", "stages/")) and dep.endswith(".py")}
    assert code == structure.local_modules(stage.scripts)


@pytest.mark.parametrize("file", sorted(structure.SOURCE.rglob("__init__.py")), ids=str)
def test_package_markers_hold_no_code(file: Any) -> None:
    """Only so may the test above leave them out."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    assert all(
        isinstance(node, ast.Expr) or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__")
        for node in body
    )


def test_imports_point_one_way() -> None:
    layers = ["annotation", "video", "learning", "attention", "demo", "report", "privacy"]
    base = {"problems", "params", "artifacts", "console"}
    wrong = []
    for file in structure.SOURCE.rglob("*.py"):
        parts = file.relative_to(structure.SOURCE / "attune").with_suffix("").parts
        for name in structure._imported(file):
            target = name.split(".")[1] if "." in name else ""
            if parts[0] in layers and target in layers and layers.index(target) > layers.index(parts[0]):
                wrong.append(f"{'/'.join(parts)} imports {name}")
            if parts[0] in base and target and target not in base and target != "__version__":
                wrong.append(f"{'/'.join(parts)} imports {name}")
    assert not wrong


def test_every_template_resolves() -> None:
    command = [sys.executable, "-m", "dvc", "stage", "list", "--all", "--name-only"]
    listed = subprocess.run(command, cwd=structure.ROOT, capture_output=True, text=True, check=True).stdout.split()
    for stage in STAGES:
        prefix = "" if stage.pipeline.parent == structure.ROOT else f"{stage.pipeline.relative_to(structure.ROOT)}:"
        assert any(name.split("@")[0] == f"{prefix}{stage.name}" for name in listed)


TRAINING = {"bake", "head_search", "finetune_search", "train", "rate_clips", "attribute", "score_attention"}
HEAVY = TRAINING | {"check_parameters"}  # it counts the parts of the encoder
LIGHT = [stage for stage in STAGES if stage.name not in HEAVY]


@pytest.mark.parametrize("stage", LIGHT, ids=lambda stage: stage.name)
def test_a_stage_that_does_not_train_imports_nothing_heavy(stage: structure.Stage) -> None:
    program = (
        "import runpy, sys; runpy.run_path(sys.argv[1]);"
        "print([name for name in ('torch', 'sklearn', 'scipy.stats', 'statsmodels', 'matplotlib.pyplot')"
        " if name in sys.modules])"
    )
    for script in stage.scripts:
        command = [sys.executable, "-c", program, str(script)]
        result = subprocess.run(command, cwd=structure.ROOT, capture_output=True, text=True, check=True)
        assert result.stdout.strip() == "[]"


def leaves(value: Any, path: str = "") -> list[str]:
    if isinstance(value, dict) and value:
        return [leaf for key, child in value.items() for leaf in leaves(child, f"{path}.{key}".lstrip("."))]
    return [path]
