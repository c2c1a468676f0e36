import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from attune import console
from attune.problems import InputError, Problem

def main(kind: str) -> None:
    if kind == "input":
        raise InputError([Problem("b.eaf", "tier x", "1", "2", "Mend it."), Problem("a.eaf", "", "3", "4", "Mend it.")])
    if kind == "disk":
        raise OSError(28, "No space left on device", "out.csv")
    if kind == "warning":
        console.warn([Problem("a", "", "b", "c", "d", "warning"), Problem("e", "", "f", "g", "h")])

console.run(main)
"""


def run(tmp_path: Path, kind: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "script.py").write_text(SCRIPT)
    return subprocess.run([sys.executable, tmp_path / "script.py", kind], capture_output=True, text=True, check=False)


def test_an_input_error_is_told_in_full_and_in_order(tmp_path: Path) -> None:
    result = run(tmp_path, "input")
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "error: a.eaf: expected 4, found 3. Mend it.",
        "error: b.eaf, tier x: expected 2, found 1. Mend it.",
        "2 error(s); nothing was written.",
    ]


def test_a_full_disk_is_told_without_traceback(tmp_path: Path) -> None:
    result = run(tmp_path, "disk")
    assert result.returncode == 1
    assert "out.csv: No space left on device" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("kind", "printed"), [("warning", "warning: a: expected c, found b. d\n"), ("none", "")])
def test_only_warnings_are_printed_as_warnings(tmp_path: Path, kind: str, printed: str) -> None:
    result = run(tmp_path, kind)
    assert (result.returncode, result.stderr) == (0, printed)
