"""The command line: ``attune <command>``."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from attune import cli_cluster, cli_learning, cli_paint, cli_privacy, cli_sharing, console, params
from attune.problems import InputError, Problem, errors

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
REPORT = Path("data/report/index.html")


@app.command()
def where() -> None:
    """Say where to look after `dvc repro`."""
    print("metrics/engagement/  the numbers that people compare: `dvc metrics show`, `dvc metrics diff`")
    print("plots/engagement/    figures and tables: `dvc plots show` makes a page of them")
    print("data/processed/      spans, folds, small videos and their frames, in the versions that dvc.lock names")
    print("models/engagement/   the final models: `attune predict` applies one to a video")
    print("All results on one page, for a browser, without a network:")
    there = REPORT.is_file()
    print(f"  {REPORT.resolve()}" if there else f"  {REPORT} is not there yet; `dvc repro` makes it")


@app.command()
def validate(
    folder: Annotated[Path, typer.Argument(help="A raw folder (with engagement/ and video/), or one of EAF files.")],
    parameters: Annotated[
        Path, typer.Option("--params", help="The file whose engagement.protocol holds.")
    ] = params.FILE,
) -> None:
    """Hold a folder of ELAN files against the protocol and list everything that is wrong; changes nothing."""
    from attune.annotation import extraction  # imported here so that the other commands start fast
    from attune.annotation.protocol import Protocol
    from attune.video import files

    protocol = params.load("engagement.protocol", Protocol, parameters)
    raw = (folder / "engagement").is_dir()
    durations_ms, problems = extraction.durations(folder / "video", files.find_videos, files.probe) if raw else ({}, [])
    report = extraction.validate(folder / "engagement" if raw else folder, protocol, durations_ms)
    problems = sorted([*problems, *report.problems])
    if problems:
        _print_table(problems)
    wrong = len(errors(problems))
    print(
        f"{report.files} file(s) of {report.sessions} session(s) by {report.annotators} annotator(s): "
        f"{wrong} error(s), {len(problems) - wrong} warning(s)."
    )
    if wrong:
        raise typer.Exit(1)


app.command()(cli_learning.predict)
app.command()(cli_learning.queue)
app.command()(cli_learning.leaderboard)
app.command()(cli_learning.gather)
app.command()(cli_sharing.verify)
app.command()(cli_privacy.anonymise)
app.command()(cli_privacy.forget)
app.add_typer(cli_cluster.app, name="cluster")
app.command()(cli_paint.paint)


@app.command()
def scale(
    name: Annotated[str, typer.Argument(help="demo or published.")],
    parameters: Annotated[Path, typer.Option("--params", help="The file to change.")] = params.FILE,
) -> None:
    """Write the demo's scale or the published study's into params.yaml; `git diff params.yaml` shows the change."""
    from attune import scales  # imported here so that the other commands start fast

    if name not in scales.NAMES:
        raise InputError(Problem("attune scale", "", name, " or ".join(scales.NAMES), "Name one of them."))
    changed = scales.switch(name, parameters)
    print(f"{parameters} has the {name} scale now; {len(changed)} value(s) changed.")


def _print_table(problems: list[Problem]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("", "File", "Place", "Found", "Expected", "Cure", show_lines=True)
    for problem in problems:
        cells = (problem.severity, problem.file, problem.where, problem.found, problem.expected, problem.cure)
        table.add_row(
            *(Text(cell, overflow="fold") for cell in cells), style="" if problem.severity == "error" else "dim"
        )
    Console(width=shutil.get_terminal_size((120, 24)).columns).print(table)


def main() -> None:
    """Entry point of the console command."""
    console.run_app(app)
