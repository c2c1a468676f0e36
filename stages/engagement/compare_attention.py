"""Compare painted attention with the machine's, and people's with each other's."""

from pathlib import Path

from tqdm import tqdm

from attune import artifacts, console, params
from attune.attention import comparison, comparison_inputs
from attune.video.files import VideoConfig


def main(paintings: Path, machine: Path, snippets: Path, out: Path) -> None:
    """Write similarities.csv, one row per comparison, and coverage.json, what was painted and what was left out."""
    config = params.load("engagement.attention_similarity", comparison.ComparisonConfig)
    view = params.load("engagement.pixels", comparison.PixelView).view
    rate = params.load("engagement.video", VideoConfig).frame_rate
    candidates = artifacts.read_table(snippets, comparison_inputs.SNIPPETS)
    found = comparison_inputs.collect(paintings, machine, candidates)
    setting = comparison.Setting(view, float(rate))
    with tqdm(total=len(found.pairings), desc="compare", unit="painting", disable=None) as bar:
        table, problems = comparison.compare_all(found.pairings, config, setting, finished=bar.update)
    with artifacts.replacing_folder(out) as folder:
        artifacts.write_table(folder / "similarities.csv", table)
        artifacts.write_json(folder / "coverage.json", {**found.counts, "gone": found.gone})
    console.warn([*found.problems, *problems])


if __name__ == "__main__":
    console.run(main)
