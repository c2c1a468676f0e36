"""Gather the rows of the fine-tuning search: statistics, the best settings, figures, the winner."""

from pathlib import Path
from typing import Annotated

import typer

from attune import artifacts, console
from attune.learning import finetune_search, search_report


def main(
    plan: Path,
    work: Path,
    out: Path,
    allow_missing: Annotated[bool, typer.Option(help="Leave out settings of which a row is missing.")] = False,
) -> None:
    """Write the results of a search whose rows have been run."""
    found = finetune_search.unify(finetune_search.read_plan(plan), work, allow_missing=allow_missing)
    console.warn(found.problems)
    with artifacts.replacing_folder(out) as folder:
        artifacts.write_json(folder / finetune_search.RESULTS, found.sources)
        artifacts.write_table(folder / "rows.csv", found.runs)
        artifacts.write_table(folder / "curves.csv", found.curves)
        chance = float(found.runs["chance"].mean())
        search_report.write(folder, found.results, found.winner, finetune_search.NAMES, chance)
        best = {name: found.winner[name] for name in finetune_search.NAMES}
        search_report.write_validation(folder, "finetune_search", [float(found.winner["score"])], best)


if __name__ == "__main__":
    console.run(main)
