"""Refuse parameters of learning that contradict each other, before anything is encoded."""

from pathlib import Path

from attune import artifacts, console, params
from attune.annotation.folds import FoldConfig
from attune.annotation.protocol import Protocol
from attune.learning import encoders, preflight
from attune.learning.baking import BakeConfig
from attune.learning.final_training import TrainConfig
from attune.learning.finetune_search import FinetuneSearchConfig
from attune.learning.head_config import HeadSearchConfig
from attune.problems import raise_errors


def main(out: Path) -> None:
    """Write a file that is always the same, so that what depends on it runs again only for reasons of its own."""
    sections = preflight.Sections(
        params.load("engagement.protocol", Protocol),
        params.load("engagement.folds", FoldConfig),
        params.load("engagement.bake", BakeConfig),
        params.load("engagement.head_search", HeadSearchConfig),
        params.load("engagement.finetune_search", FinetuneSearchConfig),
        params.load("engagement.train", TrainConfig),
    )
    config = params.load("engagement.encoder", encoders.EncoderConfig)
    encoder = encoders.build(config.model_copy(update={"weights": "none"}))  # for the number of its parts
    raise_errors(preflight.check(sections, len(encoders.stages_of(encoder))))
    artifacts.write_text(out, "The parameters of learning agree with each other.\n")


if __name__ == "__main__":
    console.run(main)
