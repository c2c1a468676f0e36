"""Work off rows of the fine-tuning search's plan; any subset, on any machine that sees the same data."""

from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from attune import console, params
from attune.learning import encoders, finetune_inputs, finetune_run, finetune_search, finetuning, pixels
from attune.learning.finetune_search import FinetuneSearchConfig, Untyped
from attune.learning.head_config import HeadSearchConfig
from attune.problems import InputError, Problem
from attune.video import clips, files, recipes


def main(
    plan: Path,
    source: Path,
    tasks: Path,
    statistics: Path,
    frames: Path,
    baked: Path,
    head_search: Path,
    work: Path,
    rows: Annotated[str | None, typer.Option(help="Numbers of rows, such as 3,7; all unless given.")] = None,
    shard: Annotated[str | None, typer.Option(help="A part of the rows, such as 2/8.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Rows at once; as many as cores unless given.")] = None,
) -> None:
    """Run rows; those that are finished are passed over, those that were killed go on."""
    config = params.load("engagement.finetune_search", FinetuneSearchConfig)
    heads = params.load("engagement.head_search", HeadSearchConfig)
    paths = finetune_inputs.Paths(source, tasks, statistics, frames, baked, head_search)
    video = params.load("engagement.video", files.VideoConfig)
    inputs = finetune_inputs.read(paths, params.load("engagement.clips", clips.ClipConfig), video)
    sections = {
        "augmentation": params.load("engagement.augmentation", Untyped),
        "encoder": params.load("engagement.encoder", Untyped),
        "pixels": params.load("engagement.pixels", Untyped),
        "clips": params.load("engagement.clips", Untyped),
        "video": params.load("engagement.video", Untyped),
    }
    table = finetune_search.read_plan(plan)
    if table["hash"].tolist() != finetune_inputs.plan_rows(inputs, config, heads, sections)["hash"].tolist():
        cure = "Run the stage plan_finetune_search again."
        raise InputError(Problem(str(plan), "", "a plan of other data or parameters", "the present ones", cure))
    chosen = finetune_search.select(table, rows, shard)
    forms = finetuning.Forms(
        params.load("engagement.encoder", encoders.EncoderConfig),
        inputs.clips,
        video,
        params.load("engagement.pixels", pixels.PixelConfig),
        params.load("engagement.augmentation", recipes.Augmentation),
        inputs.statistics,
    )
    ingredients = finetune_run.Ingredients(
        config,
        forms,
        {str(target): inputs.corpus(target.task, target.variable) for target in config.targets},
        {str(target): inputs.winner(str(target)) for target in config.targets},
        heads,
        baked,
        inputs.folds,
        work,
    )
    with (
        tqdm(desc="frames", unit="frame", disable=None) as encoded,
        tqdm(total=len(chosen), desc="fine-tuning", unit="row", disable=None) as bar,
    ):
        runner = finetune_run.Runner(ingredients, encoded.update)
        console.warn(runner.run_all(chosen.to_dict("records"), workers, bar.update))


if __name__ == "__main__":
    console.run(main)
