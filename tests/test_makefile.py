"""What the Makefile's commands may not do."""

import shutil
import subprocess
from pathlib import Path

from tests.conftest import ROOT


def test_clean_removes_what_can_be_made_again_and_no_recording(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("raw", "demo", "processed", "report", "work"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "S-01.mp4").touch()
    (tmp_path / "data" / "raw.dvc").touch()
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)
    assert sorted(path.name for path in (tmp_path / "data").rglob("*")) == ["S-01.mp4", "raw", "raw.dvc"]
