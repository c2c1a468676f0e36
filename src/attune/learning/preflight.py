"""Whether the sections of params.yaml that learning reads agree with each other, told before hours of work.

What one section can tell by itself its model has refused already.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from attune.annotation.folds import FoldConfig
from attune.annotation.protocol import Protocol
from attune.learning.baking import BakeConfig
from attune.learning.final_training import TrainConfig
from attune.learning.finetune_search import FinetuneSearchConfig
from attune.learning.head_config import HeadSearchConfig
from attune.learning.training_config import TrainingConfig
from attune.params import FILE
from attune.problems import Problem


@dataclass(frozen=True)
class Sections:
    """The sections below ``engagement``, by their names there."""

    protocol: Protocol
    folds: FoldConfig
    bake: BakeConfig
    head_search: HeadSearchConfig
    finetune_search: FinetuneSearchConfig
    train: TrainConfig


def check(sections: Sections, parts: int) -> list[Problem]:
    """Every contradiction.

    Args:
        sections: the parameters.
        parts: how many parts the encoder has, to which the freeze schedules refer.
    """
    courses = {
        "finetune_search.training": sections.finetune_search.training,
        "train.finetuning": sections.train.finetuning,
    }
    return [
        *_folds(sections),
        *_epochs(sections),
        *_targets(sections),
        *(problem for key, course in courses.items() for problem in _freeze(key, course, parts)),
    ]


def _folds(sections: Sections) -> Iterator[Problem]:
    training, fold = sections.folds.num_folds - 1, sections.train.validation_fold
    if training < 2:
        expected = "at least 3: the test fold, one that validates and one to learn from"
        yield _problem("folds.num_folds", sections.folds.num_folds, expected)
    elif not -training <= fold < training:
        expected = f"a training fold, 0 to {training - 1}, or counted from the last one, -1 to {-training}"
        yield _problem("train.validation_fold", fold, expected)


def _epochs(sections: Sections) -> Iterator[Problem]:
    baked = {"plain": sections.bake.plain_epochs, "train": sections.bake.train_epochs}
    wanted = sections.head_search.augmentation
    if not baked[wanted]:
        there = " or ".join(name for name, epochs in baked.items() if epochs)
        more = f"at least 1, because engagement.head_search.augmentation is {wanted}"
        yield _problem(f"bake.{wanted}_epochs", 0, f"{more}{f' (only {there} is baked)' if there else ''}")


def _targets(sections: Sections) -> Iterator[Problem]:
    known = {"task": sections.protocol.tasks, "variable": tuple(sections.protocol.variables)}
    for place, target in enumerate(sections.finetune_search.targets):
        for kind, names in known.items():
            if (name := getattr(target, kind)) not in names:
                yield _problem(f"finetune_search.targets.{place}.{kind}", name, f"one of {', '.join(names)}")


def _freeze(key: str, course: TrainingConfig, parts: int) -> Iterator[Problem]:
    for epoch, part in course.freeze.items():
        if not -parts <= part <= parts:
            expected = f"from {-parts} to {parts}, the number of the encoder's parts"
            yield _problem(f"{key}.freeze.{epoch}", part, expected)


def _problem(key: str, found: object, expected: str) -> Problem:
    return Problem(str(FILE), f"engagement.{key}", str(found), expected, "Change the value.")
