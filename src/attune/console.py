"""What stage scripts and the command line share: running, warning and failing in one manner.

A stage that is asked to end (SIGTERM, Ctrl-C) unwinds: unfinished outputs are removed, its processes end, and the exit
code is 128 plus the signal's number. Work in threads is waited for, but not for long.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

import psutil
import typer

from attune.problems import InputError, Problem

GRACE_S = 10.0  # after this a stage ends without waiting; what it was writing lies under a .partial name
SIGNALS = (signal.SIGINT, signal.SIGTERM)
FOLLOW_S = 0.5


def run(main: Callable[..., Any]) -> None:
    """Run a stage script: arguments from the command line; a user error prints its problems and exits with code 1."""
    for number in SIGNALS:
        signal.signal(number, _end)
    _end_with_dvc()
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(main)
    run_app(app)


def run_app(app: typer.Typer) -> None:
    """Run a typer application with the same manner of failing as :func:`run`."""
    try:
        app()
    except InputError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        print(f"{len(error.problems)} error(s); nothing was written.", file=sys.stderr)
        sys.exit(1)
    except OSError as error:  # disk full, read-only folder, folder removed under the run
        print(
            f"error: {error.filename or 'output'}: {error.strerror or error}. Check the disk and its permissions.",
            file=sys.stderr,
        )
        sys.exit(1)


def warn(problems: Iterable[Problem]) -> None:
    """Print the warnings among the problems to standard error, sorted."""
    for problem in sorted(problem for problem in problems if problem.severity == "warning"):
        print(f"warning: {problem}", file=sys.stderr)


def _end(number: int, frame: FrameType | None) -> None:
    """Leave through every ``finally``; a second signal changes nothing."""
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    timer = threading.Timer(GRACE_S, os._exit, [128 + number])
    timer.daemon = True
    timer.start()
    sys.exit(128 + number)


def _end_with_dvc() -> None:
    """End as on SIGTERM when ``dvc`` dies: it cannot end its stage, which would write on unseen."""
    if "DVC_STAGE" in os.environ and (dvc := _dvc()):
        threading.Thread(target=_follow, args=[dvc], daemon=True).start()


def _dvc() -> psutil.Process | None:
    """The process that set DVC_STAGE: the nearest ancestor without it, for shells in between inherit it."""
    for ancestor in psutil.Process().parents():
        try:
            if ancestor.environ().get("DVC_STAGE") != os.environ["DVC_STAGE"]:
                return ancestor
        except psutil.Error:  # not ours to look into, so no shell of this stage
            return ancestor
    return None


def _follow(leader: psutil.Process) -> None:
    try:
        while leader.is_running() and leader.status() != psutil.STATUS_ZOMBIE:
            time.sleep(FOLLOW_S)
    except psutil.Error:  # gone between the two questions
        pass
    os.kill(os.getpid(), signal.SIGTERM)
