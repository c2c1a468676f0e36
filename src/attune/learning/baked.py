"""Baked samples: the features of clips and their labels, one packed file per task, fold and augmentation.

``<folder>/<task>/<fold>/<augmentation>.safetensors`` holds N clips in the order of session, epoch and index. A session
is a number that points into the names in the file's metadata. The augmentations are

- ``test``: the fixed clips of an evaluation, nothing random, of every fold; their epoch is 0;
- ``plain``: clips drawn anew for each epoch and shown as in an evaluation, of the training folds;
- ``train``: clips drawn anew for each epoch and augmented, of the training folds.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from attune import artifacts
from attune.learning.features import Features, Stored
from attune.problems import InputError, Problem

AUGMENTATIONS = ("test", "plain", "train")
FORMAT = "attune baked samples 1"
_CURE = "Run the stage bake again."
_KINDS = {"<f4": "F32", "|i1": "I8", "<i4": "I32", "<i8": "I64"}


@dataclass(frozen=True)
class Baked:
    """Features and labels of N clips.

    Attributes:
        features: float32 (N, F); of a file that was loaded, they are still there.
        labels: 1 engaged, 0 not, -1 absent, int8 (N, V, A).
        session: index into ``sessions``, int32 (N,).
        start_ms: start of the clip in its session, int64 (N,).
        epoch: in which the clip was drawn, int32 (N,).
        sessions: names, sorted.
        variables: V names.
        annotators: A names.
        config: how the features came about.
    """

    features: Features
    labels: npt.NDArray[np.int8]
    session: npt.NDArray[np.int32]
    start_ms: npt.NDArray[np.int64]
    epoch: npt.NDArray[np.int32]
    sessions: tuple[str, ...]
    variables: tuple[str, ...]
    annotators: tuple[str, ...]
    config: dict[str, Any]

    def __len__(self) -> int:
        return len(self.start_ms)


def path_of(folder: Path, task: str, fold: int, augmentation: str) -> Path:
    """Where the clips of a task and fold are."""
    return folder / task / str(fold) / f"{augmentation}.safetensors"


def write(path: Path, baked: Baked, features: Iterable[npt.NDArray[np.float32]]) -> None:
    """Write a packed file, features block by block, so that they need never be in memory together.

    Args:
        path: the file.
        baked: everything but the features, of which only F counts.
        features: blocks (n, F) that make up (N, F).

    Raises:
        ValueError: the blocks do not make up (N, F).
    """
    count, feature_size = len(baked.start_ms), baked.features.shape[1]
    # Wide types first: each tensor then starts at a multiple of its width.
    before: dict[str, npt.NDArray[Any]] = {"start_ms": baked.start_ms, "session": baked.session, "epoch": baked.epoch}
    shapes = {name: _entry(array.dtype, array.shape) for name, array in before.items()}
    shapes["features"] = _entry(np.dtype("<f4"), (count, feature_size))
    shapes["labels"] = _entry(baked.labels.dtype, baked.labels.shape)
    with artifacts.replacing(path) as temporary, temporary.open("wb") as file:
        file.write(_head(shapes, baked))
        for array in before.values():
            file.write(np.ascontiguousarray(array).data)
        rows = 0
        for block in features:
            if block.dtype != np.float32 or block.shape[1:] != (feature_size,):
                raise ValueError(f"expected blocks float32 (n, {feature_size}), got {block.dtype} {block.shape}")
            rows += len(block)
            file.write(np.ascontiguousarray(block).data)
        if rows != count:
            raise ValueError(f"expected {count} features, got {rows}")
        file.write(np.ascontiguousarray(baked.labels).data)


def load(path: Path) -> Baked:
    """Read a packed file, but for its features, which it is kept open for.

    Raises:
        InputError: the file is missing, damaged or of another kind.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                found = f"the format {metadata.get('format')!r}"
                raise InputError(Problem(str(path), "", found, repr(FORMAT), _CURE))
            tensors = {name: file.get_tensor(name) for name in ("labels", "session", "start_ms", "epoch")}
        features = _features(path)
    except FileNotFoundError:
        raise InputError(Problem(str(path), "", "no such file", "baked samples", _CURE)) from None
    except (SafetensorError, OSError) as error:
        raise InputError(Problem(str(path), "", str(error), "baked samples", _CURE)) from None
    told = {name: json.loads(metadata[name]) for name in ("sessions", "variables", "annotators", "config")}
    return Baked(
        features,
        tensors["labels"],
        tensors["session"],
        tensors["start_ms"],
        tensors["epoch"],
        tuple(told["sessions"]),
        tuple(told["variables"]),
        tuple(told["annotators"]),
        told["config"],
    )


def _features(path: Path) -> Stored:
    """Where the head of a file says that its features are; that all of them are there has been checked."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(length))["features"]
    count, size = entry["shape"]
    return Stored(path, 8 + length + entry["data_offsets"][0], (count, size))


def _entry(kind: np.dtype[Any], shape: tuple[int, ...]) -> dict[str, Any]:
    return {"dtype": _KINDS[kind.str], "shape": list(shape), "size": kind.itemsize * int(np.prod(shape))}


def _head(shapes: dict[str, dict[str, Any]], baked: Baked) -> bytes:
    """The head of a safetensors file: its length in 8 bytes, then JSON, padded to a multiple of 8."""
    head: dict[str, Any] = {
        "__metadata__": {
            "format": FORMAT,
            "sessions": json.dumps(baked.sessions),
            "variables": json.dumps(baked.variables),
            "annotators": json.dumps(baked.annotators),
            "config": json.dumps(baked.config, sort_keys=True),
        }
    }
    end = 0
    for name, entry in shapes.items():
        start, end = end, end + entry["size"]
        head[name] = {"dtype": entry["dtype"], "shape": entry["shape"], "data_offsets": [start, end]}
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
