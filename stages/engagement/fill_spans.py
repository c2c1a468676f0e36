"""Cut spans to the tasks and fill every gap with ``no``."""

from pathlib import Path

from attune import artifacts, console, params
from attune.annotation import spans
from attune.annotation.protocol import Protocol


def main(source: Path, tasks: Path, filled: Path) -> None:
    """Write the task spans and the filled spans of every session and annotator."""
    protocol = params.load("engagement.protocol", Protocol)
    result = spans.fill(spans.read(source, spans.ORIGINAL), protocol, str(source))
    console.warn(result.problems)
    artifacts.write_table(tasks, result.tasks)
    artifacts.write_table(filled, result.spans)


if __name__ == "__main__":
    console.run(main)
