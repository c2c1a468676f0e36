"""The best scores that ignore the input."""

from pathlib import Path

from attune import artifacts, console
from attune.annotation import chance, spans


def main(stratified: Path, out: Path) -> None:
    """Write the chance baseline of every task and variable."""
    artifacts.write_json(out, chance.score_chance(spans.read_parts(stratified, spans.STRATIFIED)))


if __name__ == "__main__":
    console.run(main)
