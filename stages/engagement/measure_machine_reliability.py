"""Measure how far the final models agree with the annotators, beside how far these agree with each other."""

from pathlib import Path

from attune import artifacts, console, params
from attune.annotation import clip_ratings
from attune.annotation.protocol import Protocol
from attune.annotation.reliability import ReliabilityConfig


def main(ratings: Path, metrics: Path, plots: Path) -> None:
    """Write the headline numbers, and the tables and figures with initials and with letters."""
    protocol = params.load("engagement.protocol", Protocol)
    config = params.load("engagement.reliability", ReliabilityConfig)
    table = clip_ratings.read(ratings, protocol)
    tables = clip_ratings.measure(table, protocol, config)
    from attune.annotation import reliability_figures  # matplotlib loads after the input is known good

    agreement, raters = tables["agreement"], tables["annotators"]
    with artifacts.replacing_folder(plots) as folder:
        artifacts.write_table(folder / "difference.csv", tables["difference"])
        reliability_figures.write(folder / "comparison.png", reliability_figures.draw_kinds(agreement))
        for names, anonymous in (("initials", False), ("anonymised", True)):
            shown = clip_ratings.anonymised(agreement, raters) if anonymous else agreement
            artifacts.write_table(folder / names / "agreement.csv", shown)
            figure = reliability_figures.draw(agreement, raters, clip_ratings.LABELS, anonymous)
            reliability_figures.write(folder / names / "kappa.png", figure)
    artifacts.write_json(metrics, clip_ratings.headline(tables, table))


if __name__ == "__main__":
    console.run(main)
