"""Gather the quality of the explanations into metrics/ and plots/."""

import shutil
from pathlib import Path

from attune import artifacts, console
from attune.attention import quality_tables


def main(scored: Path, metrics: Path, plots: Path) -> None:
    """Write the headline numbers and the figures, and copy the table of which git shows every change."""
    summary = artifacts.read_table(scored / "summary.csv", quality_tables.SUMMARY)
    curves = artifacts.read_table(scored / "curves.csv", quality_tables.CURVES)
    from attune.attention import quality_figures  # matplotlib loads after the input is known good

    with artifacts.replacing_folder(plots) as folder:
        shutil.copyfile(scored / "summary.csv", folder / "summary.csv")
        quality_figures.write(folder / "measures.png", quality_figures.draw(summary))
        quality_figures.write(folder / "curves.png", quality_figures.draw_curves(curves))
    artifacts.write_json(metrics, quality_tables.headline(summary))


if __name__ == "__main__":
    console.run(main)
