"""Synthetic projects for bench_scale.py: what the stages need, with few real bytes.

A session has three tasks of 400 s, about 30 spans per annotator and variable, and two of the three annotators, so that
three sessions make an hour. Frame stores are black: a file system keeps almost nothing of them. Where a stage's
tables are of interest and not its encoder, frames are 8 x 8 pixels and the features of the frames are laid out as an
earlier run of the stage would have left them, zeros.

Run as a program, ``scale_world.py WORK FOLDER [NUMBER]``, it does one of :data:`WORKS`, so that what it holds in memory
is not taken for a stage's.
"""

import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import bench_extract_spans as eaf
import numpy as np
from ruamel.yaml import YAML

from attune.video.store import write_header

PROJECT = Path(__file__).resolve().parents[1]
RATE = Fraction(25, 8)
TASKS, VARIABLES = eaf.PROTOCOL.tasks, tuple(eaf.PROTOCOL.variables)
SESSION_MS = 3 * (eaf.TASK_MS + 5000)
HOUR_S = 3600
SESSIONS_PER_HOUR = HOUR_S * 1000 / SESSION_MS
SIZE = (160, 208)  # of the demo's processed frames


def write_params(folder: Path, changes: dict[str, Any]) -> None:
    """The project's params.yaml with the protocol of the synthetic sessions, no groups of them, and other changes."""
    yaml = YAML(typ="safe", pure=True)
    document = yaml.load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    engagement = document["engagement"]
    engagement["protocol"]["sessions"] = eaf.PROTOCOL.sessions
    engagement["folds"]["groups"] = {}
    for key, value in changes.items():
        section = engagement
        *path, last = key.split(".")
        for name in path:
            section = section[name]
        section[last] = value
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(document, file)


def write_frames(path: Path, seconds: float, size: tuple[int, int]) -> None:
    """A store of black frames."""
    count = int(seconds * RATE) + 1
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w+b") as file:
        file.truncate(write_header(file, count, *size) + count * size[0] * size[1] * 3)


def recordings(folder: Path, sessions: int) -> None:
    """The annotations of some sessions, and their frame stores of 8 x 8 pixels."""
    write_params(folder, {})
    eaf.write(folder / "engagement", sessions)
    for number in range(sessions):
        write_frames(folder / "frames" / f"s{number:05}.npy", SESSION_MS / 1000, (8, 8))


def pieces(folder: Path, _: int) -> None:
    """The features of frames of a bake of the synthetic sessions, as if an earlier run of it had made them."""
    from attune import params
    from attune.annotation import folds, spans
    from attune.learning import baking, encoders, pixels
    from attune.learning.pieces import FrameSpan, Look, PieceStore
    from attune.video.clips import ClipConfig

    tasks, file = spans.read(folder / "tasks.csv", spans.TASKS), folder / "params.yaml"
    split = folds.read_statistics(folder / "folds.json")
    fold_of = {session: number for number, fold in enumerate(split.folds) for session in fold.sessions}
    config, clips = params.load("engagement.bake", baking.BakeConfig, file), ClipConfig()
    encoder = encoders.build(params.load("engagement.encoder", encoders.EncoderConfig, file))
    view = params.load("engagement.pixels", pixels.PixelConfig, file)
    look = Look(15, view.view, *pixels.normalisation(view, encoder, split))
    store = PieceStore(encoder, folder / "frames", RATE, look, folder / "work" / "bake", config.batch_frames)
    samples = baking.draw_clips(tasks, fold_of, split.test_fold, config, clips)
    for piece in baking.Bakery(samples, tasks, store, config.seed).pieces:
        assert isinstance(piece, FrameSpan)
        path = store.path(piece)
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (piece.count, encoder.feature_size // 3)  # three moments of each number are a clip's
        np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)


def learning_tables(folder: Path, _: int) -> None:
    """Read the tables as fine-tuning does: what there is in all of them, then the spans of one task and variable."""
    from attune import params
    from attune.learning import finetune_inputs
    from attune.video.clips import ClipConfig
    from attune.video.files import VideoConfig

    paths = (folder / name for name in ("stratified.csv", "tasks.csv", "folds.json", "frames", "baked", "heads"))
    video = params.load("engagement.video", VideoConfig, folder / "params.yaml")
    inputs = finetune_inputs.read(finetune_inputs.Paths(*paths), ClipConfig(), video)
    inputs.corpus(TASKS[0], VARIABLES[0])


def explained(folder: Path, snippets: int) -> None:
    """Untrained models, some snippets of one session, and a painted map of each."""
    import torch

    from attune import params
    from attune.attention import painting
    from attune.attention.strokes import Stroke
    from attune.learning import encoders, models
    from attune.video.clips import ClipConfig
    from attune.video.files import VideoConfig

    write_params(folder, {"encoder.weights": "none", "attention_quality.faithful_snippets": 0})
    write_frames(folder / "frames" / "s00000.npy", 10 * snippets, SIZE)
    encoder = encoders.build(params.load("engagement.encoder", encoders.EncoderConfig, folder / "params.yaml"))
    network = models.Network(encoder, torch.nn.Linear(encoder.feature_size, 2)).eval()
    video = params.load("engagement.video", VideoConfig, folder / "params.yaml")
    half = (0.5, 0.5, 0.5)
    configuration = models.Configuration(
        task=TASKS[0],
        variable=VARIABLES[0],
        encoder=params.load("engagement.encoder", encoders.EncoderConfig, folder / "params.yaml"),
        clips=ClipConfig(),
        video=video,
        view="square",
        mean=half,
        std=half,
        training={},
    )
    (folder / "models").mkdir()
    models.save(folder / "models" / f"{TASKS[0]}-{VARIABLES[0]}.safetensors", network, configuration)
    lines = ["snippet,session,annotator,task,variable,start_ms,label,kind,again"]
    for number in range(snippets):
        name = f"s00000-{TASKS[0]}-{VARIABLES[0]}-{number * 5000:07d}"
        strokes = [
            Stroke(frame=frame, add=True, radius=8, strength=1, points=[(90 + frame, 80), (120, 60 + frame)])
            for frame in range(15)
        ]
        made = painting.Painting(annotator="mt", painting=name, snippet=name, strokes=strokes)
        painting.save(folder / "attention", made, (15, *SIZE))
        lines.append(f"{name},s00000,mt,{TASKS[0]},{VARIABLES[0]},{number * 5000},{number % 2},own,0")
    (folder / "snippets.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


WORKS: dict[str, Callable[[Path, int], None]] = {
    "recordings": recordings,
    "pieces": pieces,
    "learning_tables": learning_tables,
    "explained": explained,
}

if __name__ == "__main__":
    WORKS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
