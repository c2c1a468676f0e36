"""What shows a child has a remote of its own: raw recordings by the README's step, outputs by the table in the docs."""

import re
import subprocess
from pathlib import Path

import pytest

from attune.privacy import guard
from tests.pipeline import structure

STEP = re.compile(r"4\. Put the recordings.*?```sh\n(.*?)```", re.DOTALL)


@pytest.fixture
def tracked(tmp_path: Path) -> Path:
    """A raw folder that is tracked as the README says."""
    (tmp_path / "data/raw/video").mkdir(parents=True)
    (tmp_path / "data/raw/video/a.mp4").write_bytes(b"pixels")
    (tmp_path / "params.yaml").write_text("engagement: {raw: data/raw}\n")
    run(tmp_path, "git init -q && git config user.name a && git config user.email a@b && dvc init -q")
    run(tmp_path, "dvc remote add restricted ../restricted -q && dvc remote add -d team ../team -q")
    found = STEP.search((structure.ROOT / "README.md").read_text(encoding="utf-8"))
    assert found
    run(tmp_path, found[1])
    return tmp_path


def run(folder: Path, script: str) -> None:
    subprocess.run(["sh", "-ec", script], cwd=folder, check=True, capture_output=True)


@pytest.mark.slow
def test_the_step_of_the_readme_sends_recordings_to_the_restricted_remote_alone(tracked: Path) -> None:
    (tracked / "data/raw/video/b.mp4").write_bytes(b"more pixels")
    run(tracked, "dvc add -q data/raw && dvc push -q")
    held = [path.read_bytes() for path in (tracked.parent / "restricted").rglob("*") if path.is_file()]
    assert {b"pixels", b"more pixels"} <= set(held)
    assert not [path for path in (tracked.parent / "team").rglob("*") if path.is_file()]


def test_recordings_without_a_remote_of_their_own_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, "git init -q")
    (tmp_path / "data/raw/video").mkdir(parents=True)
    (tmp_path / "params.yaml").write_text("engagement: {raw: data/raw}\n")
    outs = {"data/raw.dvc": "raw", "data.dvc": "data", "data/raw/video/a.mp4.dvc": "a.mp4"}
    for name, path in outs.items():
        (tmp_path / name).write_text(f"outs:\n- md5: 0\n  path: {path}\n")
        for how in ([], ["--staged"], ["--recordings"]):
            assert guard.main([*how, "--folder", str(tmp_path)]) == 1
            assert f"{name}: tracks recordings without a line `remote: restricted`" in capsys.readouterr().err
        (tmp_path / name).write_text(f"outs:\n- md5: 0\n  path: {path}\n  remote: restricted\n")
        assert guard.main(["--recordings", "--folder", str(tmp_path)]) == 0
    (tmp_path / "data/other.dvc").write_text("outs:\n- md5: 0\n  path: other\n")
    assert guard.main(["--folder", str(tmp_path)]) == 0


def test_a_recording_that_is_a_link_into_the_cache_is_one(tmp_path: Path) -> None:
    run(tmp_path, "git init -q && mkdir -p data/raw/video cache && echo pixels > cache/0")
    (tmp_path / "params.yaml").write_text("engagement: {raw: data/raw}\n")
    (tmp_path / "data/raw/video/a.mp4").symlink_to(tmp_path / "cache/0")
    (tmp_path / "data/raw/video/a.mp4.dvc").write_text("outs:\n- md5: 0\n  path: a.mp4\n")
    assert guard.main(["--recordings", "--folder", str(tmp_path)]) == 1


def test_a_push_asks_the_guard_first() -> None:
    makefile = (structure.ROOT / "Makefile").read_text(encoding="utf-8")
    target = makefile.partition("\npush:")[2].partition("\n\n")[0]
    assert target.index("attune.privacy.guard --recordings") < target.index("dvc push")


def outputs() -> dict[str, bool]:
    """Every output of every stage, and whether it goes to the restricted remote; paths begin as they are resolved."""
    found = {}
    for pipeline in structure.pipelines():
        document = structure.read_yaml(pipeline)
        names = {
            key: value for entry in document.get("vars", []) if isinstance(entry, dict) for key, value in entry.items()
        }
        for body in document["stages"].values():
            for out in body.get("do", body).get("outs", []):
                path, settings = next(iter(out.items())) if isinstance(out, dict) else (out, {})
                resolved = re.sub(r"\$\{(\w+)\}", lambda found, names=names: str(names[found[1]]), path)
                found[resolved] = settings.get("remote") == "restricted"
    return found


def classified() -> dict[str, bool]:
    """Every path in the table of docs/privacy.md, and whether it is restricted."""
    text = (structure.ROOT / "docs/privacy.md").read_text(encoding="utf-8").partition("## Where data lives")[2]
    rows = [line.split("|") for line in text.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    return {path: "restricted" in row[4] for row in rows for path in re.findall(r"`([\w./]+)`", row[2])}


@pytest.mark.parametrize(("path", "restricted"), outputs().items())
def test_every_output_is_classified_and_goes_where_the_table_says(path: str, restricted: bool) -> None:
    table = classified()
    rows = [name for name in table if path == name or path.startswith(f"{name}/")]
    assert len(rows) == 1, f"docs/privacy.md, where data lives: {path} is in {len(rows)} rows"
    assert table[rows[0]] == restricted
