"""Bake: clips per second from the frame store against the encoder's own forward pass on ready tensors.

Both are measured in the same run, in turns, on random frames of the demo's size; the ratio is that of the best rounds.
"""

import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from attune.learning.encoders import Encoder, EncoderConfig, build
from attune.learning.pieces import ClipChunk, FrameSpan, Look, Piece, PieceStore
from attune.video import draws
from attune.video.recipes import Augmentation

RATE = Fraction(25, 8)
NUM_FRAMES = 15
ROUNDS = 4
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
    print(f"clips of {NUM_FRAMES} frames per second, {torch.get_num_threads()} threads, best of {ROUNDS} rounds")
    print(f"{'encoder':32}{'clips':12}{'forward':>10}{'bake':>10}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as folder:
        frames = Path(folder)
        pixels = np.random.default_rng(0).integers(0, 256, (NUM_FRAMES * max(CLIPS.values()), 160, 208, 3), np.uint8)
        np.save(frames / "session.npy", pixels)
        for name, config in ENCODERS.items():
            encoder = build(config)
            for way in WAYS:
                forward, bake = compare(encoder, frames, CLIPS[name], way == "augmented")
                verdict = "" if bake / forward >= AIM else f"  below {AIM}"
                print(f"{name:32}{way:12}{forward:10.2f}{bake:10.2f}{bake / forward:8.2f}{verdict}", flush=True)


def compare(encoder: Encoder, frames: Path, count: int, augmented: bool) -> tuple[float, float]:
    """Clips per second of the forward pass alone and of bake."""
    look = Look(NUM_FRAMES, "square", encoder.mean, encoder.std, Augmentation() if augmented else None)
    by_frame = encoder.per_frame and not augmented
    piece: Piece
    if by_frame:
        piece = FrameSpan("session", 0, count * NUM_FRAMES)
    else:
        start_ms = np.array([int(index * NUM_FRAMES * 1000 / RATE) + 1 for index in range(count)], dtype=np.int64)
        piece = ClipChunk("session", start_ms, draws.combine(np.arange(count)) if augmented else None, NUM_FRAMES)
    clips = torch.randn(max(1, BATCH_FRAMES // NUM_FRAMES), 3, NUM_FRAMES, encoder.input_size, encoder.input_size)

    def forward() -> None:
        with torch.inference_mode():
            for _ in range(0, count, len(clips)):
                encoder(clips)

    def bake() -> None:
        with tempfile.TemporaryDirectory() as work:
            PieceStore(encoder, frames, RATE, look, Path(work), BATCH_FRAMES).make([piece])

    # The store puts the encoder's weights into the order in memory that is fastest; the forward pass has that too.
    PieceStore(encoder, frames, RATE, look, frames, BATCH_FRAMES)
    seconds: dict[Callable[[], None], list[float]] = {forward: [], bake: []}
    forward()
    for _ in range(ROUNDS):
        for work, times in seconds.items():
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
    return count / min(seconds[forward]), count / min(seconds[bake])


if __name__ == "__main__":
    main()
