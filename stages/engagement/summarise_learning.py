"""Gather the searches, curves and scores that people compare into metrics/ and plots/."""

import shutil
from pathlib import Path

from attune import artifacts, console
from attune.learning import summary
from attune.learning.finetune_search import RESULTS


def main(head_search: Path, finetune_search: Path, training: Path, metrics: Path, plots: Path) -> None:
    """Write the headline numbers, and copy the tables and figures of which git shows every change."""
    scores = summary.read(training)
    table = summary.tabulate(scores)
    from attune.learning import summary_figures  # matplotlib loads after the input is known good

    for name, source in (("head_search", head_search), ("finetune_search", finetune_search)):
        with artifacts.replacing_folder(plots / name) as folder:
            # What only takes part of a search to another copy of the project is no result to compare.
            shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(RESULTS))
    with artifacts.replacing_folder(plots / "training") as folder:
        artifacts.write_table(folder / "scores.csv", table)
        summary_figures.draw(table).savefig(folder / "scores.png", format="png", metadata={"Software": None})
        for model in scores:
            name = f"{model['task']}-{model['variable']}"
            for kind in ("csv", "png"):
                shutil.copyfile(training / name / f"curves.{kind}", folder / f"{name}.{kind}")
    artifacts.write_json(metrics, summary.headline(scores))


if __name__ == "__main__":
    console.run(main)
