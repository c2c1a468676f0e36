"""What can be chosen about the demo recordings."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from attune.params import Params

Seconds = Annotated[float, Field(ge=1, le=600)]


class Style(Params):
    """How one annotator codes.

    Attributes:
        lag_ms: mean delay between a change of behaviour and the border that the annotator sets.
        lag_jitter_ms: standard deviation of that delay, which is never negative.
        min_span_ms: a behaviour that lasts shorter goes unnoticed.
        missed: share of the remaining engaged spans that are left uncoded.
        excited_threshold: intensity in [0, 1] from which bouncing is coded as excited.
    """

    lag_ms: float = Field(ge=0, le=5000)
    lag_jitter_ms: float = Field(ge=0, le=2000)
    min_span_ms: int = Field(ge=100, le=10000)
    missed: float = Field(ge=0, lt=1)
    excited_threshold: float = Field(ge=0, le=1)


STYLES = (
    Style(lag_ms=300, lag_jitter_ms=120, min_span_ms=500, missed=0.04, excited_threshold=0.25),
    Style(lag_ms=350, lag_jitter_ms=130, min_span_ms=600, missed=0.05, excited_threshold=0.30),
    Style(lag_ms=700, lag_jitter_ms=250, min_span_ms=1000, missed=0.10, excited_threshold=0.65),
)


class DemoConfig(Params):
    """The section ``demo`` of params.yaml.

    Attributes:
        seed: everything random follows from it.
        sessions: how many sessions are recorded, named fp01, fp02 and so on.
        task_seconds: shortest and longest task.
        pause_seconds: shortest and longest pause before, between and after the tasks.
        styles: one per annotator, in the order of the protocol's annotators; used again from the start if they are
            more. Two of the three default styles are alike.
        simulated_sessions: how many sessions the implied agreement is computed from; they are not rendered.
    """

    seed: int = Field(default=2022, ge=0)
    sessions: int = Field(default=24, ge=1, le=99)
    task_seconds: tuple[Seconds, Seconds] = (20.0, 40.0)
    pause_seconds: tuple[Seconds, Seconds] = (3.0, 6.0)
    styles: tuple[Style, ...] = Field(default=STYLES, min_length=1)
    simulated_sessions: int = Field(default=1500, ge=20, le=100000)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in ("task_seconds", "pause_seconds"):
            shortest, longest = getattr(self, name)
            if shortest > longest:
                raise ValueError(f"{name} with the shortest first, got {shortest} > {longest}")
        return self
