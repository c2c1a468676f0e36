"""Measures many snippets, several at a time, and keeps what is done in a work folder.

A snippet's two tables are two files in it, named by a hash of everything that shapes them: the model, the pixels, the
attributions, the evidence, the settings and the code. A file appears whole or not at all, the table of measures last,
so a run that was killed has only the missing snippets to do.
"""

import copy
import hashlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from attune import artifacts
from attune.attention import faithfulness, localisation, machine, map_files, maps, quality, sanity
from attune.attention.machine import Machine, MachineConfig, Snippet
from attune.attention.quality import QualityConfig, Subject
from attune.attention.quality_tables import CURVES, MEASURES, SNIPPET
from attune.learning import device, models, threads
from attune.problems import InputError, Problem

Evidence = npt.NDArray[np.float32]
Truth = Callable[[Snippet, Machine], Evidence | None]

CODE = (faithfulness, localisation, maps, quality, sanity)
PARTS = {"measures": MEASURES, "curves": CURVES}


class Bench:
    """The snippets with their models and explanations.

    Args of the constructor:
        snippets: from :func:`attune.attention.machine.read_snippets`.
        attention: folder of the machine attention of the snippets.
        frames: folder of frame stores.
        model_folder: holds ``<task>-<variable>.safetensors``.
        config: what is measured.
        explaining: how the snippets were explained, and the randomised models are.
        truth: gives the evidence of a snippet, (T, H, W); None where no truth is known.

    Raises:
        InputError: a model, a snippet's frames or its attention is missing, or a method was not applied.
    """

    def __init__(
        self,
        snippets: list[Snippet],
        attention: Path,
        frames: Path,
        model_folder: Path,
        config: QualityConfig,
        explaining: MachineConfig,
        truth: Truth | None,
    ) -> None:
        self.config, self.explaining = config, explaining
        self._attention, self._truth = attention, truth or (lambda snippet, seen: None)
        _check(config, explaining)
        self._machines = {
            name: Machine(model_folder / f"{name}{models.SUFFIX}", frames, explaining)
            for name in sorted({snippet.model for snippet in snippets})
        }
        rows = pd.DataFrame([_row(snippet) for snippet in snippets], columns=list(SNIPPET))
        self._faithful = quality.choose(rows, config.faithful_snippets)
        self._sane = quality.choose(rows, config.sane_snippets)
        self._smooth = quality.choose(rows, config.smooth_snippets)
        self._keys = {snippet: self._key(snippet) for snippet in snippets}

    def missing(self, work: Path) -> list[Snippet]:
        """The snippets that no earlier run has measured, those that take longest first."""
        found = [one for one in self._keys if not self._path(work, one, "measures").is_file()]
        return sorted(found, key=lambda one: -(one.name in self._faithful) - (one.name in self._sane))

    def make(self, snippets: Iterable[Snippet], work: Path, on_done: Callable[[int], object] = lambda n: None) -> None:
        """Measure snippets; ``on_done`` is called with 1 after each."""
        count = threads.workers() if device.device().type == "cpu" else 1
        for _, tables in threads.in_order(self._measure, snippets, count):
            snippet, parts = tables
            for name in ("curves", "measures"):
                artifacts.write_table(self._path(work, snippet, name), parts[name])
            on_done(1)

    def read(self, work: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The tables of all snippets, measures and curves, sorted by snippet."""
        measures, curves = (
            pd.concat(
                [artifacts.read_table(self._path(work, one, name), columns) for one in self._keys]
                or [pd.DataFrame(columns=list(columns))],
                ignore_index=True,
            )
            for name, columns in PARTS.items()
        )
        return measures, curves

    def tidy(self, work: Path) -> None:
        """Remove what no snippet uses from the work folder."""
        used = {self._path(work, one, name) for one in self._keys for name in PARTS}
        for path in work.iterdir() if work.is_dir() else ():
            if path not in used:
                artifacts.remove(path)

    def subject(self, snippet: Snippet) -> Subject:
        """A snippet with everything that measuring it takes."""
        seen = self._machines[snippet.model]
        explanation = map_files.read(self._attention / f"{snippet.name}{machine.MAPS}")
        matching = {method: part for (method, target), part in explanation.attributions.items() if target == "matching"}
        network = copy.deepcopy(seen.network)  # each thread lays out its own
        clip = models.prepare(seen.pixels(snippet)[None], network.encoder.input_size, seen.configuration)[0]
        return Subject(
            _row(snippet),
            network,
            clip.to(device.device()),
            matching,
            self._truth(snippet, seen),
            snippet.name in self._faithful,
            snippet.name in self._sane,
            snippet.name in self._smooth,
        )

    def _measure(self, snippet: Snippet) -> tuple[Snippet, dict[str, pd.DataFrame]]:
        measures, curves = quality.measure(self.subject(snippet), self.config, self.explaining)
        return snippet, {"measures": measures, "curves": curves}

    def _key(self, snippet: Snippet) -> str:
        seen, evidence = self._machines[snippet.model], None
        digest = hashlib.blake2b(seen.key(snippet).encode(), digest_size=16)
        try:
            digest.update((self._attention / f"{snippet.name}{machine.MAPS}").read_bytes())
        except FileNotFoundError as error:
            cure = "Run the stage attribute again."
            found = "no such file"
            raise InputError(Problem(str(error.filename), "", found, "a snippet's attention", cure)) from None
        if (evidence := self._truth(snippet, seen)) is not None:
            digest.update(np.ascontiguousarray(evidence).data)
        chosen = [snippet.name in part for part in (self._faithful, self._sane, self._smooth)]
        digest.update(f"{self.config.model_dump_json()} {chosen}".encode())
        for module in (*CODE, sys.modules[__name__]):
            digest.update(Path(str(module.__file__)).read_bytes())
        return digest.hexdigest()

    def _path(self, work: Path, snippet: Snippet, name: str) -> Path:
        return work / f"{self._keys[snippet]}.{name}.csv"


def _row(snippet: Snippet) -> dict[str, str | int]:
    return {
        "snippet": snippet.name,
        "session": snippet.session,
        "task": snippet.task,
        "variable": snippet.variable,
        "label": snippet.label,
    }


def _check(config: QualityConfig, explaining: MachineConfig) -> None:
    """Hold the methods that are to be measured against those that were applied."""
    problems = [
        Problem(
            "params.yaml",
            f"engagement.attention_quality.{key}",
            name,
            f"one of engagement.attribution.methods: {', '.join(explaining.methods)}",
            "Correct its spelling, or add the method there.",
        )
        for key in ("sane_methods", "smooth_methods")
        for name in getattr(config, key)
        if name not in explaining.methods
    ]
    if problems:
        raise InputError(problems)
