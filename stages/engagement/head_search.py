"""Search for the settings of the heads of every task and variable on the training folds."""

from pathlib import Path

from tqdm import tqdm

from attune import artifacts, console, params
from attune.annotation.folds import FoldConfig
from attune.learning import head_search, search_report
from attune.learning.device import device
from attune.learning.head_config import NAMES, HeadSearchConfig


def main(baked: Path, out: Path) -> None:
    """Write a folder per task and variable with the results of all settings, figures and the winner."""
    config = params.load("engagement.head_search", HeadSearchConfig)
    training_folds = params.load("engagement.folds", FoldConfig).num_folds - 1  # the last is the test fold
    problems, scores = [], []
    with artifacts.replacing_folder(out) as folder:
        for name, folds in head_search.read_pairs(baked, training_folds, config.augmentation):
            with tqdm(total=head_search.total_runs(config, len(folds)), desc=name, unit="run", disable=None) as bar:
                found = head_search.search_heads(folds, config, name=name, device=device(), on_done=bar.update)
            winner = found.winner.model_dump()
            search_report.write(folder / name, found.results, winner, NAMES, found.winner.chance)
            problems += found.problems
            scores.append(found.winner.score)
        search_report.write_validation(folder, "head_search", scores)
    console.warn(problems)


if __name__ == "__main__":
    console.run(main)
