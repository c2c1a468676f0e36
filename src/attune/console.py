"""What stage scripts and the command line share: running, warning and failing in one manner."""

import sys
from collections.abc import Callable, Iterable
from typing import Any

import typer

from attune.problems import InputError, Problem


def run(main: Callable[..., Any]) -> None:
    """Run a stage script: arguments from the command line; a user error prints its problems and exits with code 1."""
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
