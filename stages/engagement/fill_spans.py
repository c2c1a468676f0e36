"""Cut spans to the tasks and fill every gap with ``no``."""

from pathlib import Path

from attune import artifacts, console, params
from attune.annotation import filling, spans
from attune.annotation.protocol import Protocol
from attune.problems import Problem


def main(source: Path, tasks: Path, filled: Path) -> None:
    """Write the task spans and the filled spans of every session and annotator."""
    protocol = params.load("engagement.protocol", Protocol)
    problems: list[Problem] = []
    with (
        artifacts.writing_table(tasks, spans.TASKS) as add_tasks,
        artifacts.writing_table(filled, spans.FILLED) as add_spans,
    ):
        for part in filling.fill_parts(spans.read_parts(source, spans.ORIGINAL), protocol, str(source)):
            add_tasks(part.tasks)
            add_spans(part.spans)
            problems += part.problems
    console.warn(problems)


if __name__ == "__main__":
    console.run(main)
