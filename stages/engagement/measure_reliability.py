"""Measure how far the annotators agree, per task, variable and pair, with intervals over sessions."""

from pathlib import Path

from attune import artifacts, console, params
from attune.annotation import reliability, spans
from attune.annotation.protocol import Protocol
from attune.annotation.reliability import ReliabilityConfig


def main(tasks: Path, filled: Path, out: Path) -> None:
    """Write agreement.csv, tolerance.csv, events.csv, span_lengths.csv, coverage.csv, annotators.csv and two figures.

    All of them name the annotators by their initials; git never holds them (see the stage summarise).
    """
    protocol = params.load("engagement.protocol", Protocol)
    config = params.load("engagement.reliability", ReliabilityConfig)
    sources = spans.read_parts(tasks, spans.TASKS), spans.read_parts(filled, spans.FILLED)
    tables = reliability.measure(*sources, protocol, config)
    from attune.annotation import reliability_figures  # matplotlib loads after the input is known good

    with artifacts.replacing_folder(out) as folder:
        for name, table in tables.items():
            artifacts.write_table(folder / f"{name}.csv", table)
        reliability_figures.write_all(folder / "initials", tables)
    console.warn(reliability.warnings(tables))


if __name__ == "__main__":
    console.run(main)
