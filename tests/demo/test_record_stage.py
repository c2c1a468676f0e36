"""The stage as a process: parameters in, folders out, and what happens if it is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT
from tests.demo.test_recordings import contents

Stage = Callable[..., subprocess.CompletedProcess[str]]


def write_params(folder: Path, **changes: object) -> None:
    document = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
    tiny = {"sessions": 3, "task_seconds": [2, 3], "pause_seconds": [1, 1], "simulated_sessions": 20}
    document["demo"].update(tiny | changes)
    with (folder / "params.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(document, file)


def test_a_bad_parameter_is_one_clear_message(tmp_path: Path, run_stage: Stage) -> None:
    write_params(tmp_path, sessions=0)
    result = run_stage("demo/record", "out", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.splitlines()[0].startswith("error: params.yaml, demo.sessions: expected")
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_killed_run_leaves_nothing_that_the_next_one_keeps(tmp_path: Path, run_stage: Stage) -> None:
    write_params(tmp_path)
    assert run_stage("demo/record", "whole", cwd=tmp_path).stderr == ""  # no progress bar off a terminal
    command = [sys.executable, str(ROOT / "stages" / "demo" / "record.py"), "killed"]
    process = subprocess.Popen(command, cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("killed/.video.partial/*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not [name for name in ("engagement", "video", "truth") if (tmp_path / "killed" / name).exists()]
    assert run_stage("demo/record", "killed", cwd=tmp_path).returncode == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
