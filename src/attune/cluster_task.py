"""What runs on a node: one command in the frozen copy of the project, with nothing of DVC and little of this package.

Submitit sends a task a signal before its time is over or when it is pre-empted, asks :meth:`Task.checkpoint` what is
to be run next and puts it into the queue again. The command itself goes on after its last checkpoint, so a task is
its own successor.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

POLL_S = 0.1
SIGNAL_S = 3.0
PATIENCE_S = 10.0
PR_SET_PDEATHSIG = 1  # of linux/prctl.h
ENDED = "ended"  # folder of the marks
PYTHON = "python"  # in a command: the interpreter of the node, which a container may bring


def program(command: Sequence[str]) -> list[str]:
    """A command of dvc.yaml for the present interpreter."""
    return [sys.executable if part == PYTHON else part for part in command]


def environment(code: Path) -> dict[str, str]:
    """What commands in a frozen project see: its package comes before an installed one."""
    return {**os.environ, "PYTHONPATH": str(code / "src"), "PYTHONDONTWRITEBYTECODE": "1"}


class Task:
    """A command in a folder; leaves a mark for each of its items when it has succeeded.

    Args of the constructor:
        command: program and arguments; ``python`` stands for the interpreter that runs the task.
        run: folder of the run, with the frozen project in ``code``.
        items: what the command works off.
    """

    def __init__(self, command: Sequence[str], run: Path, items: Sequence[str]) -> None:
        self.command = tuple(command)
        self.run = run
        self.items = tuple(items)
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> None:
        """Run the command.

        Raises:
            RuntimeError: it failed; its own message is in the log.
        """
        code = self.run / "code"
        self._process = process = subprocess.Popen(
            program(self.command), cwd=code, env=environment(code), preexec_fn=_end_with_parent
        )
        try:
            while process.poll() is None:
                time.sleep(POLL_S)
            if process.returncode < 0:  # a signal, which may be for this process as well and decides then
                time.sleep(SIGNAL_S)
        finally:
            self._stop()
        if process.returncode:
            raise RuntimeError(f"code {process.returncode} from {' '.join(self.command)}")
        for item in self.items:
            mark = self.run / ENDED / item
            mark.parent.mkdir(exist_ok=True)
            mark.touch()

    def checkpoint(self) -> Any:
        """What submitit puts into the queue again: the same task, after its command has been stopped."""
        from submitit.helpers import DelayedSubmission  # only here, on a node

        self._stop()
        return DelayedSubmission(Task(self.command, self.run, self.items))

    def _stop(self) -> None:
        """End the command if it is still there; its files are whole at any moment.

        This also runs inside of a signal's handler, which may have interrupted ``Popen.poll`` and its lock.
        """
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + PATIENCE_S
            if self._process is not None and not _ended(self._process.pid):
                os.kill(self._process.pid, number)
                while not _ended(self._process.pid) and time.monotonic() < deadline:
                    time.sleep(POLL_S)
        self._process = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_process": None}


def _end_with_parent() -> None:
    """Let the kernel end this process when its parent is killed, so that nobody else finds it at the same work."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _ended(pid: int) -> bool:
    """Whether a child has ended; its code is left to be asked for."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True
