"""Measure how good the explanations of the snippets are: faithful, sane and, where the truth is known, in place."""

from pathlib import Path

from tqdm import tqdm

from attune import artifacts, console, params
from attune.attention import localisation, machine, quality, quality_work
from attune.attention.quality_work import Truth
from attune.demo import behaviour, canvas, truth
from attune.video.store import frame_index, frame_time_ms

PARTS = {"head": canvas.HEAD, "hands": canvas.HANDS}


def main(snippets: Path, attention: Path, frames: Path, models: Path, raw: Path, out: Path, work: Path) -> None:
    """Write the tables; snippets that an earlier run finished are taken from the work folder."""
    config = params.load("engagement.attention_quality", quality.QualityConfig)
    explaining = params.load("engagement.attribution", machine.MachineConfig)
    folder = raw / "truth" / "masks"
    known = _truth(folder, config) if folder.is_dir() else None
    bench = quality_work.Bench(machine.read_snippets(snippets), attention, frames, models, config, explaining, known)
    missing = bench.missing(work)
    with tqdm(total=len(missing), desc="score attention", unit="snippet", disable=None) as bar:
        bench.make(missing, work, bar.update)
    measures, curves = bench.read(work)
    with artifacts.replacing_folder(out) as folder:
        artifacts.write_table(folder / "measures.csv", measures)
        artifacts.write_table(folder / "curves.csv", curves)
        artifacts.write_table(folder / "summary.csv", quality.summarise(measures, config))
    bench.tidy(work)


def _truth(folder: Path, config: quality.QualityConfig) -> Truth:
    """Where the demo's evidence of a snippet is, as its model sees the frames."""

    def evidence(snippet: machine.Snippet, seen: machine.Machine) -> quality_work.Evidence | None:
        path, parts = folder / f"{snippet.session}.npz", config.evidence.get(snippet.variable)
        if not parts or not path.is_file():
            return None
        rate, length = seen.configuration.video.frame_rate, seen.reader.num_frames
        first = frame_index(snippet.start_ms, rate)
        times = [frame_time_ms(first + step, rate) for step in range(length)]
        shown = localisation.visible(truth.read_masks(path), behaviour.FRAME_RATE, times)
        mask = sum((shown == PARTS[part] for part in parts), start=shown < 0)
        size = seen.network.encoder.input_size
        return localisation.to_input(mask > 0, seen.pixels(snippet).shape[1:3], seen.configuration.view, size)

    return evidence


if __name__ == "__main__":
    console.run(main)
