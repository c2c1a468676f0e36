"""Gather what people compare into metrics/ and plots/."""

from pathlib import Path

from attune import artifacts, console
from attune.annotation import folds, reliability, reliability_tables


def main(fold_statistics: Path, measured: Path, metrics: Path, plots: Path) -> None:
    """Write the headline numbers, the figures and the tables of the folds and of the annotators' reliability.

    Annotators have letters in them, unless ``engagement.reliability.names`` says otherwise.
    """
    balance, tables = folds.read_statistics(fold_statistics), reliability.read(measured)
    from attune.annotation import fold_figures, reliability_figures  # matplotlib loads after the input is known good

    with artifacts.replacing_folder(plots / "folds") as folder:
        artifacts.write_table(folder / "balance.csv", fold_figures.balance_table(balance))
        reliability_figures.write(folder / "balance.png", fold_figures.draw(balance))
    with artifacts.replacing_folder(plots / "reliability") as folder:
        for name, table in reliability.compared(measured, tables["annotators"]).items():
            artifacts.write_table(folder / f"{name}.csv", table)
        shown = {name: reliability_tables.shown(table, tables["annotators"]) for name, table in tables.items()}
        reliability_figures.write_all(folder, shown)
        reliability_figures.write(folder / "tolerance.png", reliability_figures.draw_tolerance(tables["tolerance"]))
    artifacts.write_json(metrics / "folds.json", fold_figures.headline(balance))
    artifacts.write_json(metrics / "reliability.json", reliability.headline(tables["agreement"]))


if __name__ == "__main__":
    console.run(main)
