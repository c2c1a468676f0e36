"""Bake: clips per second from the frame store against the encoder's own forward pass on ready tensors.

Both are measured in the same run, in turns, on random frames of the demo's size. The ratio is the median over rounds
that measure one right after the other, since a machine's speed changes from minute to minute; clips per second are
those of the best. Clips are drawn for some epochs from the same frames, as bake does (10 at demo scale, 100 published),
because a session's frames are hashed once; where each frame is encoded once, they make one epoch.
The forward pass is given what bake has: one batch per core at a time. "Divided" is the usual way, one batch at a time
with every operation divided between the cores. The verdict goes by the clock; the ratio of processor times beside it is
disturbed less by other work on the machine.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from attune.learning import threads
from attune.learning.encoders import Encoder, EncoderConfig, build
from attune.learning.pieces import ClipChunk, FrameSpan, Look, Piece, PieceStore
from attune.video import draws
from attune.video.recipes import Augmentation

RATE = Fraction(25, 8)
NUM_FRAMES = 15
ROUNDS = 5
EPOCHS = 4
BATCH_FRAMES = 16  # of the demo's bake; the forward pass gets as many
ENCODERS = {
    "EfficientNet-Lite0, demo scale": EncoderConfig(name="timm/tf_efficientnet_lite0", weights="none", input_size=112),
    "mc3_18, published scale": EncoderConfig(name="mc3_18", weights="none", input_size=112),
}
CLIPS = {"EfficientNet-Lite0, demo scale": 32, "mc3_18, published scale": 8}
WAYS = ("plain", "augmented")
AIM = 0.85


def main() -> None:
    """Print the table."""
    print(f"clips of {NUM_FRAMES} frames per second, {threads.workers()} cores, {ROUNDS} rounds")
    print(f"{'encoder':32}{'clips':12}{'divided':>10}{'forward':>10}{'bake':>10}{'ratio':>8}{'processor':>11}")
    with tempfile.TemporaryDirectory() as folder:
        frames = Path(folder)
        pixels = np.random.default_rng(0).integers(0, 256, (NUM_FRAMES * max(CLIPS.values()), 160, 208, 3), np.uint8)
        np.save(frames / "session.npy", pixels)
        for name, config in ENCODERS.items():
            encoder = build(config)
            for way in WAYS:
                speeds, ratio, processor = compare(encoder, frames, CLIPS[name], way == "augmented")
                told = "".join(f"{speed:10.2f}" for speed in speeds)
                verdict = "" if ratio >= AIM else f"  below {AIM}"
                print(f"{name:32}{way:12}{told}{ratio:8.2f}{processor:11.2f}{verdict}", flush=True)


def compare(encoder: Encoder, frames: Path, count: int, augmented: bool) -> tuple[tuple[float, ...], float, float]:
    """Clips per second of the forward pass, divided and not, and of bake; ratios of the clock and the processor."""
    look = Look(NUM_FRAMES, "square", encoder.mean, encoder.std, Augmentation() if augmented else None)
    piece = piece_of(encoder, count, augmented)
    count *= 1 if isinstance(piece, FrameSpan) else EPOCHS
    batch = max(1, BATCH_FRAMES // NUM_FRAMES)
    clips = torch.randn(batch, 3, NUM_FRAMES, encoder.input_size, encoder.input_size)

    def encode(_: int) -> None:
        with torch.inference_mode():
            encoder(clips)

    def divided() -> None:
        for start in range(0, count, batch):
            encode(start)

    def forward() -> None:
        for _ in threads.in_order(encode, range(0, count, batch), threads.workers()):
            pass

    def bake() -> None:
        with tempfile.TemporaryDirectory() as work:
            PieceStore(encoder, frames, RATE, look, Path(work), BATCH_FRAMES).make([piece])

    # The store puts the encoder's weights into the order in memory that is fastest; the forward pass has that too.
    PieceStore(encoder, frames, RATE, look, frames, BATCH_FRAMES)
    encode(0)
    divided_s = measure(divided)[0]
    rounds = [(*measure(forward), *measure(bake)) for _ in range(ROUNDS)]
    forward_s, _, bake_s, _ = (min(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(one / other for one, _, other, _ in rounds)
    processor = statistics.median(one / other for _, one, _, other in rounds)
    return (count / divided_s, count / forward_s, count / bake_s), ratio, processor


def piece_of(encoder: Encoder, count: int, augmented: bool) -> Piece:
    """Clips that follow each other in a session, as bake asks for them; some epochs where it encodes clips."""
    if encoder.per_frame and not augmented:
        return FrameSpan("session", 0, count * NUM_FRAMES)
    epoch = np.array([int(index * NUM_FRAMES * 1000 / RATE) + 1 for index in range(count)], dtype=np.int64)
    start_ms = np.tile(epoch, EPOCHS)
    return ClipChunk("session", start_ms, draws.combine(np.arange(len(start_ms))) if augmented else None, NUM_FRAMES)


def measure(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds that it takes, and seconds of all processors."""
    start, cpu_start = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - cpu_start


if __name__ == "__main__":
    main()
