"""The rules that the Dockerfile keeps, read without an engine."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.container import dockerfile, run_steps

STEPS = dockerfile.read(ROOT / "Dockerfile")
DEFINITION = (ROOT / "attune.def").read_text(encoding="utf-8")


def of(name: str) -> list[dockerfile.Instruction]:
    return [step for step in STEPS if step.name == name]


def test_base_is_pinned_by_version_and_digest() -> None:
    (base,) = of("FROM")
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}", base.text)


def test_packages_come_in_pinned_versions_or_without_dependencies() -> None:
    installs = [part for step in of("RUN") for part in step.text.split("&&") if "pip install" in part]
    assert installs
    for command in installs:
        assert "--constraint constraints.txt" in command or "--no-deps" in command
        assert "--no-cache-dir" in command


def test_ends_as_a_user_without_rights() -> None:
    users = of("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1].text)
    assert not [step for step in STEPS if step.name == "RUN" and step.line > users[-1].line]


def test_runs_what_make_repro_runs() -> None:
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").split("\nrepro:")[1].split("\n\n")[0]
    assert recipe.index("dvc repro") < recipe.index("attune where")
    assert of("CMD")[-1].words() == ["sh", "-c", "dvc repro && attune where"]
    assert [step.name for step in STEPS][-1] == "CMD"


def test_copies_programs_alone_and_the_versions_before_the_code() -> None:
    copied = [step.words()[:-1] for step in of("COPY")]
    assert copied == [["pyproject.toml", "constraints.txt", "README.md", "LICENSE"], ["src"]]
    assert run_steps.sent(ROOT) == {name for names in copied for name in names}
    install = next(step for step in of("RUN") if "--constraint" in step.text)
    assert of("COPY")[0].line < install.line < of("COPY")[1].line


def test_the_projects_code_goes_before_the_images() -> None:
    """DVC hashes the mounted code; another one must not run in its place."""
    folder = of("WORKDIR")[-1].text
    assert dockerfile.pairs(of("ENV")[-1], {})["PYTHONPATH"] == f"{folder}/src"


def test_apptainers_definition_is_the_same() -> None:
    (base,) = of("FROM")
    tag, digest = base.text.split("@")
    assert f"From: python@{digest}" in DEFINITION
    assert tag in DEFINITION
    for part in ("apt-get install --no-install-recommends --yes git make", '--constraint constraints.txt ".[s3,ssh]"'):
        assert part in DEFINITION
        assert any(part in step.text for step in of("RUN"))
    for name in run_steps.sent(ROOT):
        assert f"    {name} /opt/source/{name}\n" in DEFINITION


def test_definitions_scripts_are_valid_shell(tmp_path: Path) -> None:
    sections = re.split(r"^%(\w+)$", DEFINITION, flags=re.MULTILINE)[1:]
    scripts = dict(zip(sections[::2], sections[1::2], strict=True))
    for name in ("post", "environment", "runscript", "test"):
        subprocess.run(["sh", "-n"], input=scripts[name], text=True, check=True)
    # Without arguments it runs what `make repro` runs, and fails where that fails.
    (tmp_path / "dvc").write_text("#!/bin/sh\nexit 7\n")
    (tmp_path / "dvc").chmod(0o755)
    done = subprocess.run(["sh", "-c", scripts["runscript"]], env={"PATH": f"{tmp_path}:/bin"}, check=False)
    assert done.returncode == 7


def test_unknown_instructions_are_refused(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM a\nADD b /c\n")
    with pytest.raises(ValueError, match="Dockerfile:2: ADD"):
        dockerfile.read(tmp_path / "Dockerfile")


def test_reading(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        'FROM a\n# why\nRUN one \\\n    # in between\n    && two\n\nENV A=1 B="$P:x" C=${A}\n'
    )
    base, run, env = dockerfile.read(tmp_path / "Dockerfile")
    assert (base.text, run.text, run.line) == ("a", "one && two", 3)
    assert dockerfile.pairs(env, {"P": "/bin"}) == {"A": "1", "B": "/bin:x", "C": ""}


@pytest.mark.services
def test_linter_finds_nothing() -> None:
    if not shutil.which("hadolint"):
        pytest.skip("hadolint is not installed (make test-all)")
    done = subprocess.run(["hadolint", "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
