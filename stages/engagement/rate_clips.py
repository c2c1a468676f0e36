"""Let the final models rate back-to-back clips of the test sessions, beside the annotators."""

from pathlib import Path

import pandas as pd
from tqdm import tqdm

from attune import artifacts, console
from attune.annotation import compact, folds, spans
from attune.learning import machine_rater, models
from attune.learning.device import device
from attune.learning.machine_rater import Material


def main(source: Path, tasks: Path, statistics: Path, frames: Path, model_folder: Path, out: Path, work: Path) -> None:
    """Write the table of ratings."""
    balance = folds.read_statistics(statistics)
    tested = balance.folds[balance.test_fold].sessions
    stratified, task_spans = (
        compact.read(path, columns, lambda part: part[part["session"].isin(tested)])
        for path, columns in ((source, spans.STRATIFIED), (tasks, spans.TASKS))
    )
    material = Material(stratified, task_spans, tested, frames)
    features = work / "features"  # may be larger than /tmp; a killed run's are used again
    tables = []
    for path in machine_rater.find(model_folder):
        network, configuration = models.load(path)
        network = network.to(device())
        total = machine_rater.frames_to_encode(network, configuration, material)
        with tqdm(total=total, desc=f"{path.stem} frames", unit="frame", disable=None) as bar:
            tables.append(machine_rater.rate(path, network, configuration, material, features, bar.update))
    ratings = pd.concat(tables, ignore_index=True).sort_values(machine_rater.SORTED, ignore_index=True)
    artifacts.write_table(out, ratings)
    artifacts.remove(features)


if __name__ == "__main__":
    console.run(main)
