"""Gather what people compare into metrics/ and plots/."""

import shutil
from pathlib import Path

from attune import artifacts, console
from attune.annotation import folds, reliability
from attune.annotation.reliability_tables import LABELS

COMPARED = ("agreement", "tolerance", "events", "span_lengths", "coverage")  # tables of which git shows every change


def main(fold_statistics: Path, measured: Path, metrics: Path, plots: Path) -> None:
    """Write the headline numbers, the figures and the tables of the folds and of the annotators' reliability."""
    balance, tables = folds.read_statistics(fold_statistics), reliability.read(measured)
    from attune.annotation import fold_figures, reliability_figures  # matplotlib loads after the input is known good

    with artifacts.replacing_folder(plots / "folds") as folder:
        artifacts.write_table(folder / "balance.csv", fold_figures.balance_table(balance))
        reliability_figures.write(folder / "balance.png", fold_figures.draw(balance))
    with artifacts.replacing_folder(plots / "reliability") as folder:
        for name in COMPARED:
            shutil.copyfile(measured / f"{name}.csv", folder / f"{name}.csv")
        reliability_figures.write(folder / "tolerance.png", reliability_figures.draw_tolerance(tables["tolerance"]))
        for names, anonymous in (("initials", False), ("anonymised", True)):
            for labels in LABELS:
                figure = reliability_figures.draw(tables["agreement"], tables["annotators"], labels, anonymous)
                reliability_figures.write(folder / names / f"kappa_{labels}.png", figure)
    artifacts.write_json(metrics / "folds.json", fold_figures.headline(balance))
    artifacts.write_json(metrics / "reliability.json", reliability.headline(tables["agreement"]))


if __name__ == "__main__":
    console.run(main)
