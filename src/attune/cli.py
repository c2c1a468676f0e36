"""The command line: ``attune <command>``."""

import typer

from attune import console

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def where() -> None:
    """Say where to look after `dvc repro`."""
    print("Results are in metrics/ and plots/; compare them with `dvc metrics show` and `dvc plots show`.")


def main() -> None:
    """Entry point of the console command."""
    console.run_app(app)
