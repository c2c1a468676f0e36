"""Machine attention: attributions of the trained models on the snippets that people paint.

A snippet is explained once, whoever paints it; its file is that of :mod:`attune.attention.map_files`. The target
``matching`` is the label's class, ``opposite`` the other.

Each snippet becomes two pieces in the work folder, named by a hash of everything that shapes them (model, pixels,
label, settings, code and libraries); a piece appears whole or not at all, so a run that was killed has only the missing
ones to do.
"""

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from attune import artifacts
from attune.attention import (
    attribution,
    attribution_config,
    cams,
    gradients,
    hires_cam,
    map_files,
    occlusion,
    overlay,
    rollout,
)
from attune.attention.attribution_config import AttributionConfig
from attune.attention.map_files import Attribution, Explanation
from attune.learning import device, models, threads
from attune.learning.models import Configuration, Network
from attune.learning.pieces import fingerprint
from attune.problems import InputError, Problem
from attune.video import clips, transforms
from attune.video.reading import ClipReader

TARGETS = ("matching", "opposite")
COLUMNS = {"snippet": "str", "session": "str", "task": "str", "variable": "str", "start_ms": "int64", "label": "int64"}
LIBRARIES = ("captum", "numpy", "av", "opencv-python-headless", "matplotlib")
CODE = (
    attribution,
    attribution_config,
    cams,
    gradients,
    hires_cam,
    map_files,
    occlusion,
    rollout,
    overlay,
    models,
)
MAPS, VIDEO = ".npz", ".mp4"


class MachineConfig(AttributionConfig):
    """What is computed for each snippet.

    Attributes:
        methods: keys of :data:`attune.attention.attribution.METHODS`.
        cell: height and width in pixels of each picture in an overlay.
    """

    methods: tuple[str, ...] = Field(min_length=1)
    cell: int = Field(default=160, ge=32, le=640)


@dataclass(frozen=True)
class Snippet:
    """A clip that is explained: ``name`` is its stable id, ``label`` the consensus."""

    name: str
    session: str
    task: str
    variable: str
    start_ms: int
    label: int

    @property
    def model(self) -> str:
        """Name of the model that decides about it."""
        return f"{self.task}-{self.variable}"


def read_snippets(path: Path) -> list[Snippet]:
    """The distinct snippets of a table with :data:`COLUMNS` (and others), sorted by name.

    Raises:
        InputError: the table is missing or damaged, a name is none for a file, or rows of one snippet differ.
    """
    table = artifacts.read_table(path, COLUMNS).drop_duplicates().sort_values("snippet", ignore_index=True)
    problems = []
    for row in table[table["snippet"].duplicated()]["snippet"].unique():
        expected = "one session, task, variable, start and label of each snippet"
        problems.append(
            Problem(str(path), f"snippet {row}", "rows that differ", expected, "Choose the snippets again.")
        )
    for row in table.itertuples():
        if not re.fullmatch(r"[\w-][\w .+-]*", str(row.snippet)):
            found, expected = repr(str(row.snippet)), "letters, digits, spaces and . _ + -"
            problems.append(Problem(str(path), "column snippet", found, expected, "Choose the snippets again."))
        if row.label not in (0, 1):
            where = f"snippet {row.snippet}, column label"
            problems.append(Problem(str(path), where, str(row.label), "0 or 1", "Choose the snippets again."))
    if problems:
        raise InputError(problems)
    columns = (table[name] for name in COLUMNS)
    return [
        Snippet(str(name), str(session), str(task), str(variable), int(start_ms), int(label))
        for name, session, task, variable, start_ms, label in zip(*columns, strict=True)
    ]


class Machine:
    """A trained model with what it needs to explain snippets."""

    def __init__(self, path: Path, frames: Path, config: MachineConfig) -> None:
        network, self.configuration = models.load(path)
        attribution.check(network.encoder, list(config.methods))
        self.network: Network = attribution.prepared(network.to(device.device()))
        self.config = config
        rate = self.configuration.video.frame_rate
        self.reader = ClipReader(frames, rate, clips.num_frames(self.configuration.clips, rate))

    def explain(self, snippet: Snippet) -> Explanation:
        """Attributions of all methods for both targets.

        Raises:
            InputError: the snippet's frames are missing, or an attribution is no number.
        """
        size = self.network.encoder.input_size
        pixels = models.prepare(self.pixels(snippet)[None], size, self.configuration).to(device.device())
        with torch.inference_mode():
            probability = float(self.network(pixels).softmax(dim=1)[0, 1])
        targets = torch.tensor([[snippet.label, 1 - snippet.label]], device=pixels.device)
        found: dict[tuple[str, str], Attribution] = {}
        for method in self.config.methods:
            both = attribution.attribute_each(self.network, pixels, targets, method, self.config)[0].float().cpu()
            if not both.isfinite().all():
                cure = f"Check the model, or leave {method} out (engagement.attribution in params.yaml)."
                raise InputError(Problem(snippet.name, method, "NaN or infinity", "numbers", cure))
            found |= {(method, target): both[index].numpy() for index, target in enumerate(TARGETS)}
        rules = {method: attribution.METHODS[method].kind for method in self.config.methods}
        return Explanation(found, rules, probability, snippet.label)

    def overlay(self, snippet: Snippet, explanation: Explanation) -> overlay.Images:
        """The frames of a snippet's overlay video."""
        seen = transforms.evaluate(self.pixels(snippet)[None], self.network.encoder.input_size, self.configuration.view)
        maps = {
            (method, target): attribution.attention_map(part, method)
            for (method, target), part in explanation.attributions.items()
        }
        return overlay.grid(seen[0].permute(1, 2, 3, 0).numpy(), maps, TARGETS, self.config.cell)

    def pixels(self, snippet: Snippet) -> npt.NDArray[np.uint8]:
        """Pixels of a snippet, (T, H, W, 3)."""
        return self.reader.read(snippet.session, snippet.start_ms)

    def key(self, snippet: Snippet) -> str:
        """A hash of everything that shapes the pieces of a snippet."""
        digest = hashlib.blake2b(f"{self._recipe} {snippet.name} {snippet.label} ".encode(), digest_size=16)
        digest.update(np.ascontiguousarray(self.pixels(snippet)).data)
        return digest.hexdigest()

    @cached_property
    def _recipe(self) -> str:
        shown: Configuration = self.configuration.model_copy(update={"training": {}})
        parts = [shown.model_dump(mode="json"), self.config.model_dump(mode="json"), fingerprint(self.network.encoder)]
        parts += [version(library) for library in LIBRARIES]
        digest = hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16)
        for module in (*CODE, sys.modules[__name__]):
            digest.update(Path(str(module.__file__)).read_bytes())
        for tensor in self.network.head.state_dict().values():
            digest.update(tensor.detach().cpu().numpy().tobytes())
        return digest.hexdigest()


class Gallery:
    """Explains snippets, several at a time, and keeps what is done in a work folder.

    Args of the constructor:
        snippets: from :func:`read_snippets`.
        frames: folder of frame stores.
        model_folder: holds ``<task>-<variable>.safetensors``.
        config: what is computed.
        work: folder of the pieces.

    Raises:
        InputError: a model or a snippet's frames are missing, or a method cannot explain a model.
    """

    def __init__(
        self, snippets: list[Snippet], frames: Path, model_folder: Path, config: MachineConfig, work: Path
    ) -> None:
        self.work = work
        self._machines: dict[str, Machine] = {}
        problems: list[Problem] = []
        for name in sorted({snippet.model for snippet in snippets}):
            try:
                self._machines[name] = Machine(model_folder / f"{name}{models.SUFFIX}", frames, config)
            except InputError as error:
                problems += error.problems
        if problems:
            raise InputError(problems)
        self._keys = {snippet: self._machines[snippet.model].key(snippet) for snippet in snippets}

    @property
    def missing(self) -> list[Snippet]:
        """The snippets that no earlier run has explained."""
        return [snippet for snippet in self._keys if not all(path.is_file() for path in self._pieces(snippet))]

    def make(self, snippets: Iterable[Snippet], on_done: Callable[[int], object] = lambda count: None) -> None:
        """Explain snippets; ``on_done`` is called with 1 after each."""
        count = threads.workers() if device.device().type == "cpu" else 1
        for _ in threads.in_order(self._make, snippets, count):
            on_done(1)

    def write(self, maps: Path, overlays: Path) -> None:
        """Fill both output folders and remove the pieces that no snippet uses."""
        with artifacts.replacing_folder(maps) as map_folder, artifacts.replacing_folder(overlays) as video_folder:
            for snippet in self._keys:
                explained, video = self._pieces(snippet)
                shutil.copyfile(explained, map_folder / f"{snippet.name}{MAPS}")
                shutil.copyfile(video, video_folder / f"{snippet.name}{VIDEO}")
        used = {path for snippet in self._keys for path in self._pieces(snippet)}
        for path in self.work.iterdir() if self.work.is_dir() else ():
            if path not in used:
                artifacts.remove(path)

    def _make(self, snippet: Snippet) -> None:
        machine = self._machines[snippet.model]
        explained, video = self._pieces(snippet)
        explanation = machine.explain(snippet)
        map_files.save(explained, explanation)
        overlay.write(video, machine.overlay(snippet, explanation), machine.configuration.video.frame_rate)

    def _pieces(self, snippet: Snippet) -> tuple[Path, Path]:
        key = self._keys[snippet]
        return self.work / f"{key}{MAPS}", self.work / f"{key}{VIDEO}"
