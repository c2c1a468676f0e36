"""Choose the clips on which each annotator paints attention."""

from pathlib import Path

from attune import artifacts, console, params
from attune.annotation import spans
from attune.annotation.protocol import Protocol
from attune.attention import candidates, snippets
from attune.video.clips import ClipConfig


def main(source: Path, out: Path, report: Path) -> None:
    """Write the table of snippets and the report of what could and could not be found."""
    protocol = params.load("engagement.protocol", Protocol)
    clip_config = params.load("engagement.clips", ClipConfig)
    config = params.load("engagement.snippets", snippets.SnippetConfig)
    coding = candidates.Coding(protocol.annotators, protocol.tasks, list(protocol.variables))
    chosen = snippets.choose(spans.read_parts(source, spans.STRATIFIED), coding, config, clip_config)
    console.warn(chosen.problems)
    artifacts.write_table(out, chosen.table)
    artifacts.write_table(report, chosen.report)


if __name__ == "__main__":
    console.run(main)
