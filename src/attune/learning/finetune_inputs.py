"""What the rows of a fine-tuning search depend on, gathered without torch: plan and run must agree on it.

Only the training folds are opened: their sessions' frames and spans, and their baked files.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from attune import artifacts
from attune.annotation import compact, folds, spans
from attune.annotation.folds import FoldStatistics
from attune.learning import provenance
from attune.learning.corpus import Corpus, digest_of, training_folds
from attune.learning.finetune_search import FinetuneSearchConfig, Untyped, plan
from attune.learning.head_config import HeadSearchConfig, Winner
from attune.params import Model
from attune.problems import InputError, Problem
from attune.video.clips import ClipConfig
from attune.video.files import VideoConfig


@dataclass(frozen=True)
class Paths:
    """Where the stages before have left their results.

    Attributes:
        source: stratified spans.
        tasks: task spans.
        statistics: of the folds.
        frames: folder of the frame stores.
        baked: folder of the baked samples.
        head_search: folder with the winners of the head search.
    """

    source: Path
    tasks: Path
    statistics: Path
    frames: Path
    baked: Path
    head_search: Path


@dataclass(frozen=True)
class Inputs:
    """What is known of the tables of :class:`Paths`.

    Attributes:
        paths: where they are; the stratified spans of a task and variable are read when they are asked for.
        annotators: names in the stratified spans, sorted.
        pairs: tasks and variables in the stratified spans, sorted.
        task_spans: columns ``spans.TASKS``, names as categories.
        statistics: of the folds.
        clips: length and number of clips.
        video: how videos were processed.
    """

    paths: Paths
    annotators: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    task_spans: pd.DataFrame
    statistics: FoldStatistics
    clips: ClipConfig
    video: VideoConfig

    @property
    def folds(self) -> dict[int, tuple[str, ...]]:
        """Sessions of every training fold."""
        return training_folds(self.statistics)

    def corpus(self, task: str, variable: str) -> Corpus:
        """The clips of a task and variable.

        Raises:
            InputError: nothing of it was annotated.
        """
        if (task, variable) not in self.pairs:
            known = ", ".join(f"{a}-{b}" for a, b in self.pairs)
            cure = "Correct the names in params.yaml or dvc.yaml."
            raise InputError(Problem(str(self.paths.source), "", f"nothing of {task}-{variable}", known, cure))
        return Corpus(
            task,
            variable,
            self.annotators,
            self.task_spans,
            compact.read(
                self.paths.source,
                spans.STRATIFIED,
                lambda part: part[(part["task"] == task) & (part["variable"] == variable)],
            ),
            self.paths.frames,
            self.video.frame_rate,
            self.clips,
        )

    def winner(self, name: str) -> Winner:
        """The winner of the head search of a task and variable."""
        return read_winner(self.paths.head_search / name / "winner.json", Winner)


def read(paths: Paths, clips: ClipConfig, video: VideoConfig) -> Inputs:
    """Read the tables.

    Raises:
        InputError: one of them is missing or breaks its contract.
    """
    annotators: set[str] = set()
    pairs: set[tuple[str, str]] = set()
    for part in spans.read_parts(paths.source, spans.STRATIFIED):
        annotators |= set(part["annotator"])
        pairs |= set(part[["task", "variable"]].drop_duplicates().itertuples(index=False, name=None))
    tasks = compact.read(paths.tasks, spans.TASKS)
    statistics = folds.read_statistics(paths.statistics)
    return Inputs(paths, tuple(sorted(annotators)), tuple(sorted(pairs)), tasks, statistics, clips, video)


def read_winner(path: Path, model: type[Model]) -> Model:
    """Read what a search has chosen.

    Raises:
        InputError: the file is missing or something else.
    """
    try:
        return model.model_validate(artifacts.read_json(path))
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(map(str, detail["loc"]))
        raise InputError(Problem(str(path), where, detail["msg"], "a winner", "Run the search again.")) from None


def plan_rows(
    inputs: Inputs, config: FinetuneSearchConfig, heads: HeadSearchConfig, forms: Mapping[str, Untyped]
) -> pd.DataFrame:
    """The plan of a search, see :func:`attune.learning.finetune_search.plan`.

    Args:
        inputs: the data.
        config: the search.
        heads: how heads are trained.
        forms: the sections that say how clips and encoder are made, by name.
    """
    sessions = [name for names in inputs.folds.values() for name in names]
    common = {
        "made by": provenance.made_by("attune.learning.finetune_run"),
        "heads": heads.model_dump(mode="json", include={"batch_size", "augmentation", "seed"}),
        "forms": {name: section.model_dump(mode="json") for name, section in sorted(forms.items())},
        "folds": {str(fold): list(names) for fold, names in inputs.folds.items()},
    }
    data = {
        str(target): {
            "spans and frames": inputs.corpus(target.task, target.variable).key(sessions),
            "baked": _baked(inputs.paths.baked / target.task, inputs.folds, heads.augmentation),
            "head": inputs.winner(str(target)).model_dump(mode="json"),
        }
        for target in config.targets
    }
    return plan(config, sorted(inputs.folds), common, data)


def _baked(folder: Path, folds: Collection[int], augmentation: str) -> dict[str, Any]:
    """Digests of the files of some folds, as :func:`attune.learning.baked.path_of` names them."""
    names = [f"{fold}/{kind}.safetensors" for fold in sorted(folds) for kind in (augmentation, "test")]
    return {name: digest_of(folder / name) for name in names}


def key_of_training(corpus: Corpus, sessions: Collection[str], content: Any) -> str:
    """Names a final training by its data, its code and everything else that it depends on, given as JSON."""
    code = provenance.made_by("attune.learning.final_training")
    text = json.dumps([version("torch"), code, corpus.key(sessions), content], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
