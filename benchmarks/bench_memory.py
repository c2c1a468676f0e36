"""Peak memory of bake, of the head search and of fine-tuning as sessions become more and longer.

Every point is a process of its own, of which the peak after the start (everything imported, the encoder built and used
once) is taken; needs Linux. Frames are 64 x 80 pixels and the encoder is tiny, so that the whole takes minutes; heads
learn from features of the demo's size, more than are held. What would be held if the frames, or the features of a
task, were read into memory is told beside the peak.
"""

import itertools
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from attune.annotation import spans
from attune.annotation.folds import FoldStatistics
from attune.learning import baked, baking, encoders, finetuning, head_search
from attune.learning.corpus import Corpus
from attune.learning.encoders import EncoderConfig
from attune.learning.fold_heads import FoldHead
from attune.learning.head_config import HeadSearchConfig
from attune.learning.pieces import Look, PieceStore
from attune.learning.pixels import PixelConfig
from attune.learning.training_config import FinetuneSettings, TrainingConfig
from attune.video.clips import ClipConfig
from attune.video.files import VideoConfig
from attune.video.recipes import Augmentation
from attune.video.store import write_header

RATE = Fraction(25, 8)
HEIGHT, WIDTH = 64, 80
TASKS, ANNOTATORS, VARIABLES = ("people", "eggs", "drums"), ("ew", "kb"), ("attending", "participating")
CLIPS = ClipConfig(duration_s=5.0, per_session=2)
ENCODER = EncoderConfig(name="timm/test_efficientnet", weights="none", input_size=32)
VIDEO = VideoConfig(height=HEIGHT, width_multiple=8, frame_rate=RATE)
EPOCH_CLIPS = 300  # of fine-tuning, however many the sessions: as many batches at every point
POINTS = ((5, 2), (50, 2), (5, 20))
MANY = ((1000, 2), (4000, 2))  # baked clips do not become more with longer sessions
WORKS = {"bake": POINTS, "head search": MANY, "fine-tuning, pixels": POINTS, "fine-tuning, activations": POINTS}
FEATURES, BAKED_CLIPS = 3840, 20  # per session, to learn from, and as many to score on


def main() -> None:
    """Print the table, or measure one point."""
    if len(sys.argv) > 1:
        print(*measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
        return
    print(f"{'work':26}{'sessions':>9}{'minutes':>9}{'data, MB':>12}{'peak, MB':>10}{'above start, MB':>17}")
    for work, points in WORKS.items():
        added = []
        for sessions, minutes in points:
            command = [sys.executable, __file__, work, str(sessions), str(minutes)]
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            peak, above = map(float, told.split())
            added.append(above)
            data = float(sessions * minutes * 60 * RATE * HEIGHT * WIDTH * 3 / 1e6)
            if work == "head search":
                data = sessions * 2 * BAKED_CLIPS * FEATURES * 4 / 1e6
            print(f"{work:26}{sessions:9}{minutes:9}{data:12.0f}{peak:10.0f}{above:17.1f}", flush=True)
        more = [f"{points[1][0] // points[0][0]} times the sessions", "ten times their length"][: len(points) - 1]
        ratios = ", ".join(f"{above / added[0]:.2f}" for above in added[1:])
        print(f"  {', '.join(more)}: {ratios} times the memory above the start")


def measure(work: str, sessions: int, minutes: int) -> tuple[float, float]:
    """Peak memory of this process in MB, and how much of it came after the start."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if work == "head search":
            run = prepare_heads(folder, sessions)
        else:
            tasks, stratified = record(folder / "frames", sessions, minutes * 60_000)
            if work == "bake":
                run = prepare_bake(folder, tasks, stratified)
            else:
                run = prepare_finetuning(folder, tasks, stratified, "activations" in work)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak counts from here on
        start = memory_mb("VmRSS")
        run()
        return memory_mb("VmHWM"), memory_mb("VmHWM") - start


def memory_mb(kind: str) -> float:
    """Memory of this process: VmRSS what it has now, VmHWM the most it has had."""
    found = re.search(rf"{kind}:\s+([0-9]+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found
    return int(found.group(1)) * 1024 / 1e6


def record(frames: Path, sessions: int, duration_ms: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write stores of black frames, which take no room on most disks, and return the tables of the spans."""
    frames.mkdir()
    tasks, stratified = [], []
    count = int(duration_ms * RATE / 1000)
    for number in range(sessions):
        session = f"s{number:02d}"
        with (frames / f"{session}.npy").open("w+b") as file:
            file.truncate(write_header(file, count, HEIGHT, WIDTH) + count * HEIGHT * WIDTH * 3)
        for index, task in enumerate(TASKS):
            start, end = duration_ms * index // 3 + 1000, duration_ms * (index + 1) // 3 - 1000
            tasks += [(session, annotator, task, start, end) for annotator in ANNOTATORS]
            edges = [*range(start, end, 10_000), end]
            for annotator in ANNOTATORS:
                for variable in VARIABLES:
                    owner = (session, annotator, task, variable, number % 5)
                    pairs = itertools.pairwise(edges)
                    stratified += [(*owner, part % 2, *pair) for part, pair in enumerate(pairs)]
    return pd.DataFrame(tasks, columns=list(spans.TASKS)), pd.DataFrame(stratified, columns=list(spans.STRATIFIED))


def prepare_bake(folder: Path, tasks: pd.DataFrame, stratified: pd.DataFrame) -> Callable[[], None]:
    """Everything up to the first batch."""
    config = baking.BakeConfig(test_clips=10, plain_epochs=10, train_epochs=1)
    folds = stratified.groupby("session")["fold"].first().to_dict()
    encoder = encoders.build(ENCODER)

    def run() -> None:
        samples = baking.draw_clips(tasks, folds, 4, config, CLIPS)
        look = Look(15, "square", encoder.mean, encoder.std, Augmentation())
        store = PieceStore(encoder, folder / "frames", RATE, look, folder / "work", config.batch_frames)
        labels = baking.label(samples, lambda: [stratified], CLIPS)
        bakery = baking.Bakery(samples, tasks, store, config.seed)
        store.make(store.missing(bakery.pieces))
        baking.pack(bakery, labels, {}, folder / "out", 4)

    with torch.inference_mode():
        encoder(torch.zeros(1, 3, 15, 32, 32))
    return run


def prepare_heads(folder: Path, sessions: int) -> Callable[[], None]:
    """Baked samples of one task in three folds: as many clips to learn from as to score on, one epoch of them."""
    rng = np.random.default_rng(0)
    count = sessions * BAKED_CLIPS // 3
    zeros = np.zeros((1000, FEATURES), dtype=np.float32)
    for fold in range(3):
        for kind in ("plain", "test"):
            sample = baked.Baked(
                features=zeros,
                labels=rng.integers(0, 2, (count, len(VARIABLES), len(ANNOTATORS))).astype(np.int8),
                session=np.zeros(count, dtype=np.int32),
                start_ms=np.zeros(count, dtype=np.int64),
                epoch=np.zeros(count, dtype=np.int32),
                sessions=("all",),
                variables=VARIABLES,
                annotators=ANNOTATORS,
                config={},
            )
            blocks = (zeros[: count - first] for first in range(0, count, len(zeros)))
            baked.write(baked.path_of(folder, "people", fold, kind), sample, blocks)
    space = {"learning_rate": {"value": 0.01}, "decay": {"value": 0}, "weight_decay": {"value": 0}}
    space |= {"class_weights": {"value": False}}
    sizes = {"settings": 4, "repetitions": 1, "epochs": 1, "window": 1, "batch_size": 32}
    config = HeadSearchConfig.model_validate(sizes | {"augmentation": "plain", "seed": 0, "space": space})

    def run() -> None:
        for name, folds in head_search.read_pairs(folder, 3, config.augmentation):
            head_search.search_heads(folds, config, name=name)

    return run


def prepare_finetuning(folder: Path, tasks: pd.DataFrame, stratified: pd.DataFrame, cached: bool) -> Callable[[], None]:
    """Everything up to the first batch; ``cached`` freezes the first parts of the encoder."""
    sessions = sorted(set(tasks["session"]))
    config = TrainingConfig(
        epochs=1,
        batch_size=16,
        clips_per_session=EPOCH_CLIPS // len(sessions),
        freeze={1: -2 if cached else 0},
        augment=not cached,
        window=1,
        patience=1,
    )
    forms = finetuning.Forms(
        ENCODER, CLIPS, VIDEO, PixelConfig(view="square"), Augmentation(), FoldStatistics.model_construct()
    )
    corpus = Corpus("people", "attending", ANNOTATORS, tasks, stratified, folder / "frames", RATE, CLIPS)
    workshop = finetuning.Workshop(forms, corpus, config)
    size = workshop.network.encoder.feature_size
    head = FoldHead(torch.zeros(2, size), torch.zeros(2), np.zeros(1), (1.0, 1.0), 0.5)
    settings = FinetuneSettings(learning_rate=1e-4, decay=0, weight_decay=0)

    def run() -> None:
        workshop.prepare(sessions, folder / "work", lambda _: None)
        workshop.finetune(head, finetuning.Course(settings, config, sessions[1:], sessions[:1], 0))

    with torch.inference_mode():
        workshop.network(torch.zeros(1, 3, 15, 32, 32))
    return run


if __name__ == "__main__":
    main()
