"""Experiments ranked by what they reached on the validation folds, from DVC's own records.

Every target of the queue (:data:`attune.queue.TARGETS`) has one number that its experiments are compared by. None comes
from the test fold: who chooses by the test fold can no longer say how well a model does on what it has not seen.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attune import queue
from attune.problems import InputError, Problem


@dataclass(frozen=True)
class Entry:
    """One experiment.

    Attributes:
        name: its name.
        revision: its commit, which every DVC command takes in place of the name.
        state: success, failed, running or queued.
        score: the target's validation metric, None unless it has succeeded.
        settings: what it varies: full key in params.yaml to value, and what the metrics file says of its winner.
    """

    name: str
    revision: str
    state: str
    score: float | None
    settings: dict[str, Any]


def read(folder: Path, target: str, *, all_commits: bool = False) -> list[Entry]:
    """The experiments of a target, the best first, those without a score last.

    Args:
        folder: of the project.
        target: a key of :data:`attune.queue.TARGETS`.
        all_commits: also those made from older commits than the present one, which takes DVC long to read.

    Raises:
        InputError: there is no such target, or DVC cannot tell.
    """
    if target not in queue.TARGETS:
        raise InputError(Problem("attune leaderboard", "", target, " or ".join(queue.TARGETS), "Name one of them."))
    older = ["--all-commits"] if all_commits else []
    shown = json.loads(queue.run_dvc(folder, "exp", "show", "--json", *older))
    entries = [
        _entry(experiment, baseline.get("data") or {}, queue.TARGETS[target])
        for baseline in shown
        for experiment in baseline.get("experiments") or []
        if str(experiment.get("name")).startswith(f"{target}-")
    ]
    return sorted(entries, key=lambda entry: (entry.score is None, -(entry.score or 0), entry.name))


def _entry(experiment: dict[str, Any], baseline: dict[str, Any], target: queue.Target) -> Entry:
    revision = experiment["revs"][0]
    data = revision.get("data") or {}
    state = (experiment.get("executor") or {}).get("state") or ("failed" if revision.get("error") else "success")
    metrics = (data.get("metrics", {}).get(target.file) or {}).get("data") or {}
    settings = _changed(_parameters(data), _parameters(baseline))
    settings |= {name: value for name, value in metrics.items() if target.stage and name != target.metric}
    score = metrics.get(target.metric) if state == "success" else None
    return Entry(experiment["name"], revision["rev"], state, score, settings)


def _parameters(data: dict[str, Any]) -> dict[str, Any]:
    files = (data.get("params") or {}).values()
    return {key: value for file in files for key, value in _flat(file.get("data") or {}, "").items()}


def _flat(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {path: value}
    parts = [_flat(inner, f"{path}.{key}" if path else str(key)) for key, inner in value.items()]
    return {key: leaf for part in parts for key, leaf in part.items()}


def _changed(parameters: dict[str, Any], baseline: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in sorted(parameters.items()) if baseline.get(key) != value}
