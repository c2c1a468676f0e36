"""Assign every session to one stratified fold."""

from pathlib import Path

from attune import artifacts, console, params
from attune.annotation import folds, spans
from attune.video import statistics


def main(filled: Path, frames: Path, out: Path, report: Path) -> None:
    """Write the spans with their folds, and the balance and pixel statistics of the folds."""
    config = params.load("engagement.folds", folds.FoldConfig)
    stores = statistics.find_stores(frames)
    split = folds.stratify(folds.tally(spans.read_parts(filled, spans.FILLED)), stores, config, str(filled))
    console.warn(split.problems)
    paths = {fold: map(stores.__getitem__, names) for fold, names in enumerate(split.folds)}
    pixels = {}
    for fold, histogram in statistics.pixel_histograms(paths).items():
        pooled = statistics.pool([histogram])
        pixels[fold] = folds.PixelValues(count=pooled.count, mean=pooled.mean, std=pooled.std)
    with artifacts.writing_table(out, spans.STRATIFIED) as add:
        for part in spans.read_parts(filled, spans.FILLED):
            add(folds.assign(part, split.folds))
    artifacts.write_json(report, folds.statistics(split, pixels, config).model_dump())


if __name__ == "__main__":
    console.run(main)
