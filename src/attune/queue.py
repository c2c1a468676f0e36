"""Variants of the whole pipeline in DVC's queue of experiments.

DVC sweeps over lists of values alone, so settings are drawn here and each is queued with explicit values, as an
experiment of its own name: the target, the index of the setting and a hash of its values. The same parameters give the
same names, and what counts is the hash, so that queueing again adds only what is not there.
"""

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from attune.learning import search
from attune.learning.finetune_search import FinetuneSearchConfig
from attune.params import Params
from attune.problems import InputError, Problem

Scalar = search.Scalar
DRAWS = 50  # for each setting that is wanted


class QueueConfig(Params):
    """What is varied.

    Attributes:
        seed: of the draws.
        space: full key of a value in params.yaml: the distribution that it is drawn from.
    """

    seed: int = Field(default=0, ge=0)
    space: search.Space = Field(min_length=1)


@dataclass(frozen=True)
class Target:
    """What can be varied.

    Attributes:
        stage: the last one that an experiment runs; None runs the whole pipeline.
        file: the metrics file that its experiments are compared by.
        metric: the number in it, always one of the validation, never of the test fold.
    """

    stage: str | None
    file: str
    metric: str


TARGETS = {
    "head": Target("head_search", "data/processed/head_search/validation.json", "head_search_f1"),
    "finetune": Target("finetune_search", "data/processed/finetune_search/validation.json", "finetune_search_f1"),
    "train": Target(None, "metrics/engagement/summary.json", "validation_f1"),
}


@dataclass(frozen=True)
class Variant:
    """One setting.

    Attributes:
        name: of the experiment.
        settings: full key in params.yaml to value.
    """

    name: str
    settings: dict[str, Scalar]


def draw(target: str, config: QueueConfig, count: int) -> list[Variant]:
    """The first ``count`` different settings of a space; each is the same whatever their number.

    They are fewer where the space, of listed values alone, holds no more (or hardly ever draws them).
    """
    found: dict[str, Variant] = {}
    for index in range(DRAWS * count):
        settings = search.draw(config.space, index, config.seed)
        found.setdefault(json.dumps(settings, sort_keys=True), Variant(_name(target, index, settings), settings))
        if len(found) == count:
            break
    return list(found.values())


def draw_parts(config: FinetuneSearchConfig, count: int) -> list[Variant]:
    """The search for the settings of fine-tuning, one setting for each experiment.

    They are the very settings that the stage finetune_search would draw; :func:`attune.learning.finetune_search.gather`
    brings the results together.
    """
    section = "engagement.finetune_search"
    variants = []
    for index in range(count):
        drawn = search.draw(config.space, index, config.seed)
        part: dict[str, Scalar] = {f"{section}.first": index, f"{section}.settings": 1}
        variants.append(Variant(_name("finetune", index, drawn), part))
    return variants


def _name(target: str, index: int, settings: dict[str, Scalar]) -> str:
    content = json.dumps(settings, sort_keys=True).encode()
    return f"{target}-{index:03d}-{hashlib.sha256(content).hexdigest()[:8]}"


def same(name: str, names: set[str]) -> str | None:
    """The experiment among some that has the settings of the one of this name, whatever its index."""
    target, _, digest = name.partition("-")[0], *name.rpartition("-")[1:]
    return next(
        (other for other in sorted(names) if other.startswith(f"{target}-") and other.endswith(f"-{digest}")), None
    )


def names(folder: Path) -> set[str]:
    """Names of the experiments that are queued in a project or were made from its current commit.

    Raises:
        InputError: DVC cannot tell.
    """
    from dvc.exceptions import DvcException  # takes a second
    from dvc.repo import Repo

    try:
        with Repo(str(folder)) as repo:  # the table that `dvc queue status` prints is for people
            queued = {str(task["name"]) for task in repo.experiments.celery_queue.status() if task["name"]}
    except DvcException as error:
        found = str(error).splitlines()[0]
        cure = "Run in the project's folder, with a first commit."
        raise InputError(Problem("dvc queue status", "", found, "success", cure)) from None
    return queued | set(run_dvc(folder, "exp", "list", "--name-only").split())


def enqueue(variant: Variant, folder: Path, stage: str | None = None) -> None:
    """Queue a variant of a project, up to a stage if one is given.

    Raises:
        InputError: DVC refuses it.
    """
    overrides = [part for key, value in variant.settings.items() for part in ("-S", f"{key}={_literal(value)}")]
    stages = [stage] if stage else []
    run_dvc(folder, "exp", "run", "--queue", "--name", variant.name, *overrides, *stages)


def _literal(value: Scalar) -> str:
    """A value in the grammar of Hydra, which reads DVC's overrides."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return repr(value)


def run_dvc(folder: Path, *arguments: str) -> str:
    """What a DVC command prints.

    Raises:
        InputError: it fails.
    """
    command = [sys.executable, "-m", "dvc", *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        found = " ".join(line.removeprefix("ERROR: ").strip() for line in lines[:2]) or f"code {result.returncode}"
        cure = "Run in the project's folder, with a first commit, and check the keys of the space in params.yaml."
        raise InputError(Problem(f"dvc {' '.join(arguments[:2])}", "", found, "success", cure))
    return result.stdout
