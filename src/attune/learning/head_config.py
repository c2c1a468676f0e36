"""What a head is trained with, how it is searched for, and what the search found.

Nothing here needs torch, so that a winner can be read and a search be checked without it.
"""

from functools import partial
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from attune.learning import search
from attune.params import Params


class HeadSettings(Params):
    """How a head is trained.

    Attributes:
        learning_rate: of Adam, in the first epoch.
        decay: share of the learning rate that is lost after every epoch.
        weight_decay: weight of the squared weights that Adam adds to the loss (L2, not decoupled).
        class_weights: whether both classes count alike in the loss, however rare one is.
    """

    learning_rate: float = Field(gt=0)
    decay: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    class_weights: bool


NAMES = tuple(HeadSettings.model_fields)


class HeadSearchConfig(Params):
    """How heads are searched for.

    Attributes:
        settings: how many settings are drawn.
        repetitions: how often each is trained on every split.
        epochs: epochs per run.
        batch_size: samples per step.
        window: epochs of the trailing mean that chooses a run's best epoch.
        augmentation: the baked clips that are learned from; validation is always on ``test`` clips.
        memory_mb: memory for the weights that one worker trains at once; what fits a core's cache is fastest.
        seed: of the settings, the first weights and the order of samples.
        space: the distribution of each setting.
    """

    settings: int = Field(ge=1)
    repetitions: int = Field(ge=1)
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    window: int = Field(ge=1)
    augmentation: Literal["train", "plain"] = "train"
    memory_mb: float = Field(default=8.0, gt=0)
    seed: int = Field(ge=0)
    space: Annotated[search.Space, AfterValidator(partial(search.check, model=HeadSettings))]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.window > self.epochs:
            raise ValueError(f"a window of at most {self.epochs}, the number of epochs")
        return self


class Winner(Params):
    """The settings that the final training begins with, and how they were found.

    Attributes:
        learning_rate: see :class:`HeadSettings`, as the three that follow.
        decay: see there.
        weight_decay: see there.
        class_weights: see there.
        epochs: median of the runs' best epochs.
        score: mean validation F1 over folds and repetitions.
        score_std: its spread.
        chance: validation F1 of always answering "engaged", the best that ignores the input; mean over folds.
        setting: index of the drawn setting.
        runs: how many runs the score is the mean of.
        diverged: how many of them lost their weights to infinity.
    """

    learning_rate: float
    decay: float
    weight_decay: float
    class_weights: bool
    epochs: int
    score: float
    score_std: float
    chance: float
    setting: int
    runs: int
    diverged: int

    def settings(self) -> HeadSettings:
        """What a head is trained with."""
        return HeadSettings(**{name: getattr(self, name) for name in NAMES})
