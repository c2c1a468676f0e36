"""Gather how human each method's attention is into metrics/ and plots/."""

from pathlib import Path

from attune import artifacts, console, params
from attune.attention import comparison, comparison_summary
from attune.attention.similarity import MODES


def main(similarities: Path, metrics: Path, plots: Path) -> None:
    """Write the headline METRICS, and the summary as a table and one figure per mode into the folder PLOTS."""
    config = params.load("engagement.attention_similarity", comparison.ComparisonConfig)
    table = artifacts.read_table(similarities / "similarities.csv", comparison.COLUMNS)
    coverage = artifacts.read_json(similarities / "coverage.json")
    counts = {name: count for name, count in coverage.items() if isinstance(count, int)}
    summary = comparison_summary.summarise(table, config.bootstrap)
    from attune.annotation import reliability_figures  # matplotlib loads after the input is known good
    from attune.attention import comparison_figures

    with artifacts.replacing_folder(plots) as folder:
        artifacts.write_table(folder / "similarity.csv", summary)
        for mode in MODES:
            cells = (config.frame if mode == "frame" else config.volume).emd_size
            figure = comparison_figures.draw(summary, mode, config.bootstrap.confidence, cells)
            reliability_figures.write(folder / f"similarity_{mode}.png", figure)
    artifacts.write_json(metrics, comparison_summary.headline(summary, counts))


if __name__ == "__main__":
    console.run(main)
