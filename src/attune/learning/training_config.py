"""How encoder and head are fine-tuned: settings that a search draws, and what is fixed around them.

Nothing here needs torch, so that a search can be planned and gathered without it.
"""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from attune.params import Params


class FinetuneSettings(Params):
    """What a fine-tuning search draws.

    Attributes:
        learning_rate: of Adam, in the first epoch.
        decay: share of the learning rate that is lost after every epoch.
        weight_decay: weight of the squared weights that Adam adds to the loss (L2, not decoupled).
    """

    learning_rate: float = Field(gt=0)
    decay: float = Field(ge=0, le=1)
    weight_decay: float = Field(ge=0)


class TrainingConfig(Params):
    """The course of a fine-tuning.

    Attributes:
        epochs: at most this many.
        batch_size: clips per step; a clip carries the labels of all its annotators.
        clips_per_session: clips per session and epoch.
        freeze: the freeze schedule: from an epoch (counted from 1) on, the first of the encoder's parts that trains;
            negative numbers count from the end, 0 trains all parts. Parts before it, and everything before the
            first epoch of the schedule, stand still. The head always trains.
        augment: whether training clips are augmented.
        window: epochs over which the validation F1 is averaged, backwards, before the best epoch is chosen.
        patience: stop when that mean has not risen for so many epochs.
        precision: ``bfloat16`` (mixed precision) only where the processor has instructions for it.
        channels_last: order of the activations in memory; numbers differ in their last digits.
    """

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    clips_per_session: int = Field(ge=1, le=10_000)
    freeze: dict[int, int] = Field(min_length=1)
    augment: bool
    window: int = Field(ge=1)
    patience: int = Field(ge=1)
    precision: Literal["float32", "bfloat16"] = "float32"
    channels_last: bool = False

    @field_validator("freeze")
    @classmethod
    def _starts_with_the_first_epoch(cls, value: dict[int, int]) -> dict[int, int]:
        if min(value) != 1:
            raise ValueError("a schedule whose first epoch is 1, such as {1: -2}")
        return dict(sorted(value.items()))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.window > self.epochs:
            raise ValueError(f"a window of at most {self.epochs}, the number of epochs")
        if late := [epoch for epoch in self.freeze if epoch > self.epochs]:
            raise ValueError(f"freeze with epochs up to {self.epochs} (not: {', '.join(map(str, late))})")
        return self

    def first_part(self, epoch: int) -> int:
        """The first part that trains in an epoch, as it is written in the schedule."""
        return next(part for start, part in reversed(self.freeze.items()) if start <= epoch)
