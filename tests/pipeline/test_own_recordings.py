"""The README's section "Your own recordings", followed on a lab that shares nothing with the demo but the software."""

import re
import subprocess
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pympi
import pytest
from ruamel.yaml import YAML

from tests.pipeline.conftest import Project, make_project
from tests.pipeline.structure import ROOT

pytestmark = pytest.mark.endurance  # minutes

RAW = "data/my raw"  # spaces, which the README's example has not
TASKS = ("warm-up", "free play")
SESSIONS = [f"S-{number:02d}" for number in range(1, 7)]


def test_a_lab_follows_the_readme(tmp_path: Path) -> None:
    project = make_project(tmp_path / "lab")
    settings = example_in_readme()
    settings["raw"] = RAW
    settings["protocol"]["tasks"] = list(TASKS)
    settings["finetune_search"]["targets"] = [{"task": TASKS[1], "variable": "gaze"}]
    record_lab(project.folder / RAW)
    apply(project, settings)
    project.set_params({"engagement.folds.tries": 500, "engagement.reliability.bootstrap": 100})

    checked = project.run("attune", "validate", RAW)
    assert "0 error(s)" in checked.stdout
    project.run("dvc", "add", RAW)
    project.run("sh", "-c", f'echo "  remote: restricted" >> "{RAW}.dvc"')
    project.run("git", "add", f"{RAW}.dvc", "params.yaml")
    ran = project.run("dvc", "repro").stdout
    assert "dvc.yaml:record'" not in ran  # the demo is not part of a lab's pipeline

    spans = (project.folder / "data/processed/engagement/filled_annotation_spans.csv").read_text(encoding="utf-8")
    assert "S-01,björn,warm-up,gaze,partner" in spans
    assert "touch" in (project.folder / "metrics/engagement/chance.json").read_text(encoding="utf-8")
    models = {path.stem for path in (project.folder / "models/engagement").iterdir()}
    assert models == {"warm-up-gaze", "warm-up-touch", "free play-gaze", "free play-touch"}
    assert project.run("git", "status", "--porcelain", "data").stdout.strip() == f'A  "{RAW}.dvc"'


def example_in_readme() -> dict[str, Any]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- own-recordings -->\s*```yaml\n(.*?)```", text, re.DOTALL)
    assert block
    settings: dict[str, Any] = YAML(typ="safe", pure=True).load(block.group(1))
    return settings["engagement"]


def apply(project: Project, settings: dict[str, Any]) -> None:
    project.set_params(
        {
            "engagement.raw": settings["raw"],
            "engagement.protocol": settings["protocol"],
            "engagement.folds.groups": settings["folds"]["groups"],
            "engagement.finetune_search.targets": settings["finetune_search"]["targets"],
        }
    )


def record_lab(raw: Path) -> None:
    (raw / "engagement").mkdir(parents=True)
    (raw / "video").mkdir()
    (raw / "attention").mkdir()
    (raw / "attention/about.txt").write_text("Painted maps: one folder per annotator and snippet.\n")
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    for number, session in enumerate(SESSIONS):
        size = ["320x180", "192x144"][number % 2]
        source = f"testsrc2=size={size}:rate=30:duration=27"
        command = [
            ffmpeg,
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            source,
            "-preset",
            "ultrafast",
            str(raw / "video" / f"{session}.mp4"),
        ]
        subprocess.run(command, check=True)
        for annotator, lag in (("anna", 0), ("björn", 300)):
            elan_file(session, lag, number).to_file(raw / "engagement" / f"2023-05-17 {session} {annotator}.eaf")


def elan_file(session: str, lag: int, number: int) -> pympi.Elan.Eaf:
    file = pympi.Elan.Eaf()
    file.remove_tier("default")
    file.add_linked_file(f"../video/{session}.mp4", mimetype="video/mp4")
    for tier in ("activity", "gaze", "touch", "comments"):
        file.add_tier(tier)
    file.add_annotation("activity", 500 + lag, 12500, "warmup")
    file.add_annotation("activity", 13500, 25500, "Free  Play")
    file.add_annotation("gaze", 1000 + lag, 5500 + 100 * number, "partner")
    file.add_annotation("gaze", 14000, 18500 + lag, " Both ")
    file.add_annotation("touch", 2000 + lag, 6500, "touch")
    file.add_annotation("touch", 20000, 24500, "touch")
    return file
