"""Measure how far the final models agree with the annotators, beside how far these agree with each other."""

from pathlib import Path

from attune import artifacts, console, params
from attune.annotation import clip_ratings
from attune.annotation.protocol import Protocol
from attune.annotation.reliability import ReliabilityConfig


def main(ratings: Path, out: Path, metrics: Path, plots: Path) -> None:
    """Write tables and figures, with initials into the data, and with the names that are shown for git."""
    protocol = params.load("engagement.protocol", Protocol)
    config = params.load("engagement.reliability", ReliabilityConfig)
    table = clip_ratings.read(ratings, protocol)
    measured = clip_ratings.measure(table, protocol, config)
    from attune.annotation import reliability_figures  # matplotlib loads after the input is known good

    for target, tables in ((out, measured), (plots, clip_ratings.shown(measured))):
        with artifacts.replacing_folder(target) as folder:
            for name in ("agreement", "difference"):
                artifacts.write_table(folder / f"{name}.csv", tables[name])
            reliability_figures.write(folder / "comparison.png", reliability_figures.draw_kinds(tables["agreement"]))
            figure = reliability_figures.draw(tables["agreement"], tables["annotators"], clip_ratings.LABELS)
            reliability_figures.write(folder / "kappa.png", figure)
    artifacts.write_json(metrics, clip_ratings.headline(measured, table))


if __name__ == "__main__":
    console.run(main)
