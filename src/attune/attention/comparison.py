"""Human against machine and human against human maps: the table of all similarities.

One row per reference painting, opponent (:mod:`attune.attention.comparison_inputs`), measure and mode. All maps lie on
the part of the frame that the model sees, at ``size`` x ``size`` cells.
"""

import os
from collections.abc import Callable, Generator
from concurrent.futures import as_completed
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from attune import processes
from attune.attention import map_files, maps, painting, similarity
from attune.attention.comparison_inputs import CENTRE, HUMAN, PERMUTED, REPEAT, Pairing
from attune.attention.emd import Geometry, UnconvergedError
from attune.attention.map_files import Explanation
from attune.attention.similarity import MEASURES, MODES, MeasureName, Mode, SimilarityConfig
from attune.params import Params
from attune.problems import InputError, Problem

COLUMNS = {
    "snippet": "str",
    "session": "str",
    "task": "str",
    "variable": "str",
    "start_ms": "int64",
    "annotator": "str",
    "label": "int64",
    "own_label": "float64",
    "kind": "str",
    "method": "str",
    "condition": "str",
    "other": "str",
    "probability": "float64",
    "prediction": "int64",
    "measure": "str",
    "mode": "str",
    "value": "float64",
    "low": "float64",
    "high": "float64",
    "defined": "int64",
    "frames": "int64",
}
KINDS = {HUMAN: "ceiling", REPEAT: "repeat", CENTRE: "floor", PERMUTED: "floor"}
ALL: tuple[MeasureName, ...] = tuple(MEASURES)
DIGITS = 9
Array = npt.NDArray[np.float64]
Size = Field(default=maps.SIZE, ge=2, le=64)


class ModeConfig(Params):
    """What is measured in one mode.

    Attributes:
        measures: keys of :data:`attune.attention.similarity.MEASURES`.
        emd_size: cells in each direction for the earth mover's distance, the only costly measure.
    """

    measures: tuple[MeasureName, ...] = ALL
    emd_size: int = Size


class BootstrapConfig(Params):
    """Intervals over sessions.

    Attributes:
        draws: how many times sessions are drawn.
        confidence: share of the draws that an interval holds.
        seed: of the draws.
    """

    draws: int = Field(default=2000, ge=100)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)


class ComparisonConfig(SimilarityConfig):
    """How maps are compared; see also :class:`attune.attention.similarity.SimilarityConfig`.

    Attributes:
        size: cells in each direction for all measures but the earth mover's distance.
        frame: what is measured frame by frame.
        volume: what is measured over the whole clip.
        centre_sigma: width of the centre prior, in sides of the map.
        bootstrap: intervals of the summary.
    """

    size: int = Size
    frame: ModeConfig = ModeConfig()
    volume: ModeConfig = ModeConfig()
    centre_sigma: float = Field(default=maps.CENTRE_SIGMA, gt=0)
    bootstrap: BootstrapConfig = BootstrapConfig()


class PixelView(Params):
    """The section engagement.pixels, of which ``view`` concerns maps.

    Its own model, :class:`attune.learning.pixels.PixelConfig`, stands beside code that imports torch.
    """

    view: Literal["square", "crop"]
    normalise: Literal["encoder", "folds"] = "encoder"


@dataclass(frozen=True)
class Setting:
    """What all comparisons share besides their configuration.

    Attributes:
        view: the part of the frame that the model sees.
        frame_rate: frames per second of the clips.
    """

    view: Literal["square", "crop"]
    frame_rate: float


@dataclass(frozen=True)
class _Candidate:
    """A map that is held against a reference, and what its rows say about it."""

    pixels: Array
    method: str
    condition: str
    other: str


def compare_all(
    pairings: list[Pairing],
    config: ComparisonConfig,
    setting: Setting,
    workers: int | None = None,
    finished: Callable[[int], object] = lambda count: None,
) -> tuple[pd.DataFrame, list[Problem]]:
    """All similarities.

    Args:
        pairings: from :func:`attune.attention.comparison_inputs.collect`.
        config: how maps are compared.
        setting: the model's view and the clips' rate.
        workers: processes, as many as cores by default; 1 works in this process.
        finished: called with 1 after each pairing.

    Returns:
        columns :data:`COLUMNS`, in the order of the pairings; and warnings about distances that could not be found.

    Raises:
        InputError: a file is damaged, or maps do not fit each other; all problems are listed.
        OSError: a working process died.
    """
    rows: list[list[dict[str, Any]]] = [[] for _ in pairings]
    problems: list[Problem] = []
    with closing(_run(pairings, config, setting, workers or _cores())) as run:
        for index, found, wrong in run:
            rows[index] = found
            problems += wrong
            finished(1)
    if errors := [problem for problem in problems if problem.severity == "error"]:
        raise InputError(errors)
    table = pd.DataFrame([row for found in rows for row in found], columns=list(COLUMNS))
    return table.astype({name: kind for name, kind in COLUMNS.items() if kind != "str"}), problems


def compare_one(
    pairing: Pairing, config: ComparisonConfig, setting: Setting
) -> tuple[list[dict[str, Any]], list[Problem]]:
    """The rows of one reference, and warnings; an unusable file is an error among them."""
    try:
        machine = map_files.read(pairing.machine)
        reference, candidates, side_px = _gather(pairing, machine, config, setting)
    except InputError as error:
        return [], error.problems
    rows, problems = [], []
    tasks = _tasks(config)
    sizes = {size for _, _, size in tasks}
    grids = {size: maps.to_grid(reference, size) for size in sizes}
    for candidate in candidates:
        others = {size: maps.to_grid(candidate.pixels, size) for size in sizes}
        for mode, measure, size in tasks:
            geometry = Geometry(side_px / size, 1 / setting.frame_rate, config.px_per_s)
            try:
                found = similarity.compare(grids[size], others[size], measure, mode, config, geometry)
            except UnconvergedError as error:
                problems.append(_unconverged(pairing, candidate, mode, error))
                found = similarity.Similarity(np.nan, 0, len(reference) if mode == "frame" else 1, np.nan, np.nan)
            rows.append(_row(pairing, machine, candidate, measure, mode, found))
    return rows, problems


def _gather(
    pairing: Pairing, machine: Explanation, config: ComparisonConfig, setting: Setting
) -> tuple[Array, list[_Candidate], int]:
    """The reference, what is held against it, and the width in pixels of the frame of the part that they lie on."""
    if not machine.attributions:
        expected, cure = "at least one method's map", "Run the stage attribute again."
        raise InputError(Problem(str(pairing.machine), "", "no maps", expected, cure))
    length, _, size = next(iter(machine.attributions.values())).shape
    reference = _painted(pairing.reference.folder, setting, size, length)
    found = [
        _Candidate(maps.rectify(values, machine.rules[method]), method, target, "")
        for (method, target), values in machine.attributions.items()
    ]
    for opponent in pairing.opponents:
        pixels = _painted(opponent.folder, setting, size, length)
        name = opponent.snippet if opponent.method == PERMUTED else opponent.annotator
        found.append(_Candidate(pixels, opponent.method, "", name))
    prior = maps.centre_prior((length, *reference.shape[1:]), config.centre_sigma)
    return reference, [*found, _Candidate(prior, CENTRE, "", "")], reference.shape[2]


def _painted(folder: Path, setting: Setting, size: int, length: int) -> Array:
    painted = painting.read_map(folder)
    if len(painted) != length:
        cure = "Compare maps of the same clips: run the stage attribute again, or paint again."
        expected = f"as many frames as the machine's map, {length}"
        raise InputError(Problem(str(folder), "map.npz", f"{len(painted)} frames", expected, cure))
    return maps.to_view(painted, setting.view, size)


def _tasks(config: ComparisonConfig) -> list[tuple[Mode, MeasureName, int]]:
    """Every mode and measure with the number of cells."""
    chosen = [(mode, config.frame if mode == "frame" else config.volume) for mode in MODES]
    return [
        (mode, measure, part.emd_size if measure == "emd" else config.size)
        for mode, part in chosen
        for measure in part.measures
    ]


def _row(
    pairing: Pairing,
    machine: Explanation,
    candidate: _Candidate,
    measure: MeasureName,
    mode: Mode,
    found: similarity.Similarity,
) -> dict[str, Any]:
    of = pairing.reference
    return {
        "snippet": of.snippet,
        "session": of.session,
        "task": of.task,
        "variable": of.variable,
        "start_ms": of.start_ms,
        "annotator": of.annotator,
        "label": of.label,
        "own_label": np.nan if of.own_label is None else of.own_label,
        "kind": KINDS.get(candidate.method, "machine") if not candidate.condition else "machine",
        "method": candidate.method,
        "condition": candidate.condition,
        "other": candidate.other,
        "probability": round(machine.probability, DIGITS),
        "prediction": int(machine.probability > 0.5),
        "measure": measure,
        "mode": mode,
        "value": round(found.value, DIGITS),
        "low": round(found.low, DIGITS),
        "high": round(found.high, DIGITS),
        "defined": found.defined,
        "frames": found.frames,
    }


def _unconverged(pairing: Pairing, candidate: _Candidate, mode: Mode, error: UnconvergedError) -> Problem:
    where = f"earth mover's distance to {candidate.method} {candidate.condition}{candidate.other}, {mode}"
    cure = "The value is left empty and counted as undefined."
    return Problem(str(pairing.reference.folder), where, str(error), "a distance", cure, "warning")


def _run(
    pairings: list[Pairing], config: ComparisonConfig, setting: Setting, workers: int
) -> Generator[tuple[int, list[dict[str, Any]], list[Problem]], None, None]:
    """Every pairing's number, rows and problems, as they are done."""
    if min(workers, len(pairings)) <= 1:
        for index, pairing in enumerate(pairings):
            yield index, *compare_one(pairing, config, setting)
        return
    with processes.pool(min(workers, len(pairings))) as pool:
        jobs = {pool.submit(compare_one, pairing, config, setting): index for index, pairing in enumerate(pairings)}
        for job in as_completed(jobs):
            yield jobs[job], *job.result()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
