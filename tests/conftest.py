"""Fixtures that several test files share."""

import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

# One thread per process, here and in the processes that tests start: results are the same to the last bit only with
# the same number of threads, and the tests themselves run side by side.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings and published tables that others made."""
    folder = os.environ.get("ATTUNE_REAL_DATA")
    if not folder:
        pytest.skip("ATTUNE_REAL_DATA does not name the folder of real material")
    if not Path(folder).is_dir():
        pytest.fail(f"ATTUNE_REAL_DATA names {folder}, which is no folder")
    return Path(folder)


@pytest.fixture(scope="session")
def run_stage() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a stage script as a process: ``run_stage("engagement/fill_spans", *arguments, cwd=folder)``."""

    def run(script: str, *arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "stages" / f"{script}.py"), *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)

    return run


@dataclass
class Ended:
    """How a stage ended."""

    code: object
    stderr: str


@pytest.fixture
def run_stage_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Iterator[Callable[..., Ended]]:
    """As ``run_stage``, in this process, which saves its start; what a process would show as a traceback raises."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(script: str, *arguments: object, cwd: Path) -> Ended:
        path = str(ROOT / "stages" / f"{script}.py")
        monkeypatch.chdir(cwd)
        monkeypatch.setattr("sys.argv", [path, *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(path, run_name="__main__")
        return Ended(ended.value.code, capsys.readouterr().err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)
