"""Activations of an encoder's frozen parts: computed once per frame, kept on the disk, read instead of pixels.

While the first parts of an encoder of single frames stand still and no augmentation is drawn, a frame gives the same
activations in every epoch, every run and every fold. They are kept as memory-mapped files, one per session and task,
in a work folder that may be deleted; memory does not grow with the sessions. An encoder is cut where a frozen part
ends: in front of the cut runs the encoder itself up to the first part that trains (:func:`run_up_to`); behind it run
the same modules with everything in front of the cut passed over (:func:`passed_over`). Whether an encoder can be cut
like this (its parts follow each other without side paths) is tried out on real frames.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from attune import artifacts
from attune.learning import encoders, provenance
from attune.learning.encoders import FrameEncoder
from attune.video.store import frame_index, open_frames

Integers = npt.NDArray[np.int64]
Compute = Callable[[np.ndarray], torch.Tensor]
CHUNK = 32  # frames at once


class _CutError(Exception):
    """Ends a forward pass at the cut."""


@dataclass(frozen=True)
class Cut:
    """Where an encoder is cut: the modules in front, in the order of the library, and the first one behind.

    Attributes:
        encoder: the encoder.
        before: name of each module in front of the cut, inside ``encoder.model``.
        after: name of the first module behind it.
    """

    encoder: FrameEncoder
    before: tuple[str, ...]
    after: str


def cut(encoder: nn.Module, first: int) -> Cut | None:
    """Cut an encoder in front of its part ``first``; None if it has nothing in front or nothing behind."""
    parts = encoders.stages_of(encoder) if isinstance(encoder, FrameEncoder) else []
    if not isinstance(encoder, FrameEncoder) or not 0 < first < len(parts):
        return None
    inside = {id(module) for module in parts[first].modules()}
    names = list(_sequence(encoder.model))
    at = next((index for index, name in enumerate(names) if id(encoder.model.get_submodule(name)) in inside), 0)
    return Cut(encoder, tuple(names[:at]), names[at]) if at else None


def _sequence(model: nn.Module) -> Iterator[str]:
    for name, child in model.named_children():
        if name in encoders.CONTAINERS:
            yield from (f"{name}.{inner}" for inner, _ in child.named_children())
        else:
            yield name


@torch.no_grad()
def run_up_to(cut: Cut, frames: torch.Tensor) -> torch.Tensor:
    """Activations (N, ...) in front of the cut, of normalised frames (N, 3, H, W)."""
    seen: list[torch.Tensor] = []

    def stop(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen.append(inputs[0])
        raise _CutError

    hook = cut.encoder.model.get_submodule(cut.after).register_forward_pre_hook(stop)
    try:
        cut.encoder.encode_frames(frames)
    except _CutError:
        return seen[0]
    finally:
        hook.remove()
    raise RuntimeError("the encoder never reached the cut")


@contextmanager
def passed_over(cut: Cut) -> Iterator[None]:
    """Let an encoder take activations for frames: the modules in front of the cut do nothing meanwhile."""
    kept = {name: cut.encoder.model.get_submodule(name) for name in cut.before}
    try:
        for name in kept:
            _replace(cut.encoder.model, name, nn.Identity())
        yield
    finally:
        for name, module in kept.items():
            _replace(cut.encoder.model, name, module)


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)


@torch.no_grad()
def fits(cut: Cut, frames: torch.Tensor) -> bool:
    """Whether the two sides of the cut give together what the whole encoder gives for frames (N, 3, H, W)."""
    whole = cut.encoder.encode_frames(frames)
    try:
        inside = run_up_to(cut, frames)
        with passed_over(cut):
            parts = cut.encoder.encode_frames(inside)
    except torch.cuda.OutOfMemoryError:  # a RuntimeError as well, yet it says nothing about the cut
        raise
    except (RuntimeError, TypeError, ValueError, IndexError):  # shapes that do not fit: a side path
        return False
    return parts.shape == whole.shape and bool(torch.allclose(parts, whole, rtol=1e-4, atol=1e-5))


@dataclass(frozen=True)
class Stretch:
    """The frames of one session and task: indices ``[first, end)`` in the session's store."""

    session: str
    task: str
    first: int
    end: int


class Activations:
    """Reads activations of clips from the files of one cut.

    Attributes:
        folder: work folder of this cut, named by what determines the numbers.
    """

    def __init__(self, folder: Path, frames: Path, rate: Fraction, num_frames: int) -> None:
        self.folder = folder
        self.frames = frames
        self.rate = rate
        self.num_frames = num_frames
        self._open: dict[tuple[str, str], tuple[Stretch, Path]] = {}

    def prepare(self, stretches: Sequence[Stretch], compute: Compute, on_frames: Callable[[int], object]) -> None:
        """Compute what is missing.

        Processes that begin at the same time go through the files each in an order of its own, so that they share the
        work instead of doing all of it twice.

        Args:
            stretches: sessions and their frames.
            compute: from frames uint8 (N, H, W, 3) to activations, a tensor (N, ...).
            on_frames: called with the number of frames done.
        """
        for index in np.random.default_rng().permutation(len(stretches)):
            stretch = stretches[index]
            store = open_frames(self.frames / f"{stretch.session}.npy")
            end = min(stretch.end, len(store))
            pixels = store[stretch.first : end]
            path = self.folder / f"{_digest(pixels)}.npy"
            if not path.is_file():
                self._write(path, pixels, compute, on_frames)
            self._open[stretch.session, stretch.task] = Stretch(stretch.session, stretch.task, stretch.first, end), path

    def _write(self, path: Path, pixels: np.ndarray, compute: Compute, on_frames: Callable[[int], object]) -> None:
        with artifacts.replacing(path, shared=True) as temporary, temporary.open("wb") as file:
            for start in range(0, len(pixels), CHUNK):
                block = compute(pixels[start : start + CHUNK]).cpu().numpy().astype(np.float32, copy=False)
                if start == 0:
                    shape = (len(pixels), *block.shape[1:])
                    head = {"descr": "<f4", "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(file, head)
                file.write(np.ascontiguousarray(block).data)
                on_frames(len(block))

    def read(self, sessions: Sequence[str], task: str, start_ms: Integers) -> tuple[torch.Tensor, torch.Tensor]:
        """Activations of the distinct frames of B clips, (N, ...), and the place of each clip's frames in them, (B, T).

        A video that ends early shows its last frame on, as in :class:`attune.video.reading.ClipReader`.
        """
        wanted: dict[tuple[str, int], int] = {}
        places = np.empty((len(start_ms), self.num_frames), dtype=np.int64)
        for row, (session, start) in enumerate(zip(sessions, start_ms, strict=True)):
            stretch, _ = self._open[session, task]
            first = frame_index(int(start), self.rate)
            for step in range(self.num_frames):
                frame = min(first + step, stretch.end - 1)
                places[row, step] = wanted.setdefault((session, frame), len(wanted))
        blocks = [np.empty(0)] * len(wanted)
        maps: dict[str, np.ndarray] = {}
        for (session, frame), place in wanted.items():
            stretch, path = self._open[session, task]
            if session not in maps:
                maps[session] = np.load(path, mmap_mode="r", allow_pickle=False)
            blocks[place] = maps[session][frame - stretch.first]
        return torch.from_numpy(np.stack(blocks)), torch.from_numpy(places)


def key_of(cut: Cut, preparation: dict[str, Any]) -> str:
    """Names all but the pixels that determines activations: code, weights in front of the cut and preparation."""
    code = provenance.made_by(__name__, "attune.learning.models")
    text = json.dumps([preparation, cut.before, torch.__version__, code], sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name in cut.before:
        for key, tensor in cut.encoder.model.get_submodule(name).state_dict().items():
            digest.update(f"{name}.{key}".encode())
            digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).data)
    return digest.hexdigest()


def _digest(pixels: np.ndarray) -> str:
    digest = hashlib.blake2b(str(pixels.shape).encode(), digest_size=16)
    for start in range(0, len(pixels), CHUNK):
        digest.update(np.ascontiguousarray(pixels[start : start + CHUNK]).data)
    return digest.hexdigest()
