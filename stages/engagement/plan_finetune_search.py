"""List the rows of the search for the settings of fine-tuning."""

from pathlib import Path

from attune import artifacts, console, params
from attune.learning import finetune_inputs
from attune.learning.finetune_search import FinetuneSearchConfig, Untyped
from attune.learning.head_config import HeadSearchConfig
from attune.video import clips, files


def main(source: Path, tasks: Path, statistics: Path, frames: Path, baked: Path, head_search: Path, plan: Path) -> None:
    """Write the plan: one row per setting, task and variable, fold and repetition."""
    config = params.load("engagement.finetune_search", FinetuneSearchConfig)
    heads = params.load("engagement.head_search", HeadSearchConfig)
    clip_config = params.load("engagement.clips", clips.ClipConfig)
    video = params.load("engagement.video", files.VideoConfig)
    forms = {
        "augmentation": params.load("engagement.augmentation", Untyped),
        "encoder": params.load("engagement.encoder", Untyped),
        "pixels": params.load("engagement.pixels", Untyped),
        "clips": params.load("engagement.clips", Untyped),
        "video": params.load("engagement.video", Untyped),
    }
    paths = finetune_inputs.Paths(source, tasks, statistics, frames, baked, head_search)
    inputs = finetune_inputs.read(paths, clip_config, video)
    artifacts.write_table(plan, finetune_inputs.plan_rows(inputs, config, heads, forms))


if __name__ == "__main__":
    console.run(main)
