"""Features in pieces: encoded once, kept on the disk, found again by whoever needs the same.

A piece is a NumPy file, ``<key>.npy``, where the key is a hash of everything that shapes its numbers: the encoder with
its weights, the frames, which clips are cut from them, how they are transformed, and the code and libraries that do
it. It appears whole or not at all, so a run that was killed has only the missing pieces to do. Batches never reach
from one piece into another: what is in a piece does not depend on which others had to be made.

There are two kinds. A :class:`FrameSpan` is the frames of one task of a session, each encoded once, from which the
features of all its clips are pooled. A :class:`ClipChunk` is some clips of one task of a session, each encoded whole.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from attune import artifacts
from attune.learning import threads
from attune.learning.encoders import Encoder, FrameEncoder
from attune.problems import InputError, Problem
from attune.video import draws, reading, recipes, store, transforms

Features = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

LIBRARIES = ("torch", "torchvision", "timm")
POOLED_CLIPS = 64  # pooled at a time


@dataclass(frozen=True)
class Look:
    """How clips are shown to an encoder.

    Attributes:
        num_frames: T, frames of a clip.
        view: part of the picture in an evaluation.
        mean: per channel, in the units 0 to 1, that normalised pixels have lost.
        std: per channel, likewise.
        augmentation: what training clips go through; None where nothing is augmented.
    """

    num_frames: int
    view: transforms.View
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    augmentation: recipes.Augmentation | None = None


@dataclass(frozen=True)
class FrameSpan:
    """Frames ``first`` to ``first + count - 1`` of a session."""

    session: str
    first: int
    count: int

    @property
    def frames(self) -> int:
        """Frames to encode."""
        return self.count


@dataclass(frozen=True)
class ClipChunk:
    """Clips of one task of a session: their starts (n,) and the keys of their augmentation, if they have one."""

    session: str
    start_ms: Integers
    keys: draws.Keys | None
    num_frames: int

    @property
    def frames(self) -> int:
        """Frames to encode."""
        return len(self.start_ms) * self.num_frames


Piece = FrameSpan | ClipChunk


@dataclass(frozen=True)
class _Batch:
    piece: Piece
    start: int
    stop: int
    last: bool
    frames: int


class PieceStore:
    """Makes pieces and finds them again.

    Args of the constructor:
        encoder: in evaluation mode, on the device where it is to run.
        frames: folder of frame stores.
        rate: their frames per second.
        look: how clips are shown.
        work: folder of the pieces.
        batch_frames: frames that are encoded at a time.
        memory_cure: what to do where the graphics memory is too small for them.
    """

    def __init__(
        self,
        encoder: Encoder,
        frames: Path,
        rate: Fraction,
        look: Look,
        work: Path,
        batch_frames: int,
        memory_cure: str = "Lower batch_frames (engagement.bake in params.yaml).",
    ) -> None:
        self.encoder = encoder
        self._device = next((p.device for p in encoder.parameters()), torch.device("cpu"))
        if self._device.type == "cpu":  # measured: 1.5 times as fast with EfficientNet-Lite0, 1.2 with mc3_18
            encoder.to(memory_format=torch.channels_last if encoder.per_frame else torch.channels_last_3d)
        self.look = look
        self.work = work
        self.batch_frames = batch_frames
        self.memory_cure = memory_cure
        self.reader = reading.ClipReader(frames, rate, look.num_frames)
        self._stores: dict[str, tuple[str, int]] = {}

    def path(self, piece: Piece) -> Path:
        """Where a piece is, or will be."""
        parts: dict[str, Any] = {"recipe": self._recipe, "frames": self._store(piece.session)[0]}
        if isinstance(piece, FrameSpan):
            parts |= {"first": piece.first, "count": piece.count}
        else:
            parts |= {"start_ms": piece.start_ms.tolist()}
            if piece.keys is not None and self.look.augmentation is not None:
                parts |= {"keys": piece.keys.tolist(), "augmentation": self.look.augmentation.model_dump(mode="json")}
        return self.work / f"{_hash(json.dumps(parts, sort_keys=True).encode())}.npy"

    def read(self, piece: Piece) -> Features:
        """Features of a piece that was made, (n, F) of clips or (n, D) of frames, mapped into memory."""
        features: Features = np.load(self.path(piece), mmap_mode="r", allow_pickle=False)
        return features

    def missing(self, pieces: list[Piece]) -> list[Piece]:
        """The pieces that no earlier run has left."""
        return [piece for piece in pieces if not self.path(piece).is_file()]

    def make(self, pieces: list[Piece], on_frames: Callable[[int], object] = lambda count: None) -> None:
        """Encode pieces, several batches at a time.

        Args:
            pieces: what to encode.
            on_frames: called with the number of frames after each batch.

        Raises:
            InputError: frames are missing, the features are no numbers, or the graphics memory is too small.
        """
        done: list[Features] = []
        for batch, features in self._results(self._batches(pieces)):
            done.append(features)
            on_frames(batch.frames)
            if batch.last:
                with artifacts.replacing(self.path(batch.piece)) as temporary, temporary.open("wb") as file:
                    np.save(file, np.concatenate(done), allow_pickle=False)
                done = []

    def pooled(self, piece: FrameSpan, start_ms: Integers) -> Iterator[Features]:
        """Features of clips from those of their frames, blocks (n, F); ``piece`` holds all frames of the clips.

        Where a video ends early its last frame is shown on, as :class:`attune.video.reading.ClipReader` does.
        """
        assert isinstance(self.encoder, FrameEncoder)  # noqa: S101 - others have no spans of frames
        frames = self.read(piece)
        first = np.array([store.frame_index(int(start), self.reader.rate) - piece.first for start in start_ms])
        shown = np.minimum(first[:, None] + np.arange(self.look.num_frames), piece.count - 1)
        for start in range(0, len(shown), POOLED_CLIPS):
            with torch.inference_mode():
                block = torch.from_numpy(frames[shown[start : start + POOLED_CLIPS]]).to(self._device)
                pooled: Features = self.encoder.pool(block).float().cpu().numpy()
            yield pooled

    def count(self, session: str) -> int:
        """Number of frames of a session."""
        return self._store(session)[1]

    def remove_others(self, pieces: list[Piece]) -> None:
        """Delete the pieces that are not among the given ones."""
        used = {self.path(piece) for piece in pieces}
        for path in self.work.iterdir():
            if path not in used:
                artifacts.remove(path)

    def _results(self, batches: Iterator[_Batch]) -> Iterator[tuple[_Batch, Features]]:
        if self._device.type == "cpu":
            yield from threads.in_order(
                lambda batch: self._encode(batch, self._prepare(batch)), batches, threads.workers()
            )
        else:  # the graphics processor takes one batch after the other, and never waits for the next
            for batch, pixels in threads.in_order(self._prepare, batches, threads.workers()):
                yield batch, self._encode(batch, pixels)

    def _batches(self, pieces: list[Piece]) -> Iterator[_Batch]:
        for piece in pieces:
            if isinstance(piece, FrameSpan):
                total, each = piece.count, 1
            else:
                total, each = len(piece.start_ms), self.look.num_frames
            size = max(1, self.batch_frames // each)
            for start in range(0, total, size):
                stop = min(start + size, total)
                yield _Batch(piece, start, stop, stop == total, (stop - start) * each)

    def _prepare(self, batch: _Batch) -> torch.Tensor:
        """Normalised pixels: (n, C, S, S) of frames, (B, C, T, S, S) of clips."""
        piece, size, look = batch.piece, self.encoder.input_size, self.look
        if isinstance(piece, FrameSpan):
            path = self.reader.folder / f"{piece.session}.npy"
            first = piece.first + batch.start
            pixels = np.array(store.open_frames(path)[first : first + batch.stop - batch.start])[None]
        else:
            starts = piece.start_ms[batch.start : batch.stop]
            pixels = np.stack([self.reader.read(piece.session, int(start)) for start in starts])
        clips = torch.from_numpy(pixels).to(self._device, non_blocking=True)
        if isinstance(piece, ClipChunk) and piece.keys is not None and look.augmentation is not None:
            shown = transforms.augment(clips, look.augmentation, size, piece.keys[batch.start : batch.stop])
        else:
            shown = transforms.evaluate(clips, size, look.view)
        normal = transforms.normalise(shown, look.mean, look.std)
        return normal[0].transpose(0, 1).contiguous() if isinstance(piece, FrameSpan) else normal

    def _encode(self, batch: _Batch, pixels: torch.Tensor) -> Features:
        piece = batch.piece
        try:
            with torch.inference_mode():
                if isinstance(piece, FrameSpan) and isinstance(self.encoder, FrameEncoder):
                    tensor = self.encoder.encode_frames(pixels)
                else:
                    tensor = self.encoder(pixels)
                features: Features = tensor.float().cpu().numpy()
        except torch.cuda.OutOfMemoryError:
            found = f"too little graphics memory for {self.batch_frames} frames at a time"
            raise InputError(Problem("encoder", piece.session, found, "room for a batch", self.memory_cure)) from None
        if not np.isfinite(features).all():
            cure = "Check the encoder's weights."
            raise InputError(Problem("encoder", piece.session, "features that are NaN or infinite", "numbers", cure))
        return features

    @cached_property
    def _recipe(self) -> str:
        """A hash of what shapes every piece: encoder, weights, look, code and libraries."""
        look = self.look
        parts = [self.encoder.input_size, look.num_frames, str(look.view), look.mean, look.std, self.batch_frames]
        return _hash(json.dumps([parts, fingerprint(self.encoder)]).encode())

    def _store(self, session: str) -> tuple[str, int]:
        """Hash of a session's frame store and its number of frames, looked up once."""
        if session not in self._stores:
            path = self.reader.folder / f"{session}.npy"
            count = len(store.open_frames(path))
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
            self._stores[session] = digest.hexdigest(), count
        return self._stores[session]


def fingerprint(encoder: Encoder) -> str:
    """A hash of an encoder's architecture and weights, of the code that computes features, and of its libraries."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{[version(library) for library in LIBRARIES]} {encoder}".encode())
    own = {type(module).__module__ for module in encoder.modules()}
    own |= {module.__name__ for module in (draws, reading, recipes, store, transforms)} | {__name__}
    for name in sorted(module for module in own if module.partition(".")[0] == "attune"):
        digest.update(Path(str(sys.modules[name].__file__)).read_bytes())
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
