"""Train the final model of one task and variable: head, fine-tuning, and one look at the test fold."""

import shutil
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from dvclive import Live
from tqdm import tqdm

from attune import artifacts, console, params
from attune.learning import (
    distributed,
    encoders,
    final_training,
    finetune_inputs,
    finetune_search,
    finetuning,
    models,
    pixels,
    scoring,
    training_figures,
)
from attune.learning.checkpoints import Checkpoint
from attune.learning.final_training import TrainConfig
from attune.learning.fold_heads import FoldHead, HeadCourse
from attune.learning.head_config import HeadSearchConfig
from attune.learning.training import Fitted
from attune.video import clips, files, recipes


def main(
    task: str,
    variable: str,
    source: Path,
    tasks: Path,
    statistics: Path,
    frames: Path,
    baked: Path,
    head_search: Path,
    finetune_winner: Path,
    chance: Path,
    reliability: Path,
    model: Path,
    out: Path,
    work: Path,
    fit_only: Annotated[
        bool,
        typer.Option("--fit-only", help="Stop before the test fold; a run without this option goes on from there."),
    ] = False,
) -> None:
    """Write the model file and the folder with curves, scores and predictions.

    Started by ``torchrun``, its processes share every batch of the fine-tuning, and the first one writes.
    """
    config = params.load("engagement.train", TrainConfig)
    heads = params.load("engagement.head_search", HeadSearchConfig)
    forms, inputs = _load(finetune_inputs.Paths(source, tasks, statistics, frames, baked, head_search))
    name, corpus = f"{task}-{variable}", inputs.corpus(task, variable)
    split = final_training.Split.of(inputs.statistics, config.validation_fold)
    settings = finetune_inputs.read_winner(finetune_winner, finetune_search.Winner).settings()
    course = HeadCourse(
        inputs.winner(name).settings(), config.head_epochs, heads.batch_size, heads.augmentation, config.seed, 0
    )
    head, head_curve = final_training.train_head(baked, corpus, split, config, course)

    sessions = [*split.learned, *split.judged]
    told = final_training.told(course, settings, config, split)
    with distributed.joined() as group:
        workshop = finetuning.Workshop(forms, corpus, config.finetuning)
        with (
            group.one_after_the_first(),
            tqdm(total=workshop.source.frames_of(sessions), desc=f"{name} frames", unit="frame", disable=None) as bar,
        ):
            workshop.prepare(sessions, work.parent / "activations", bar.update)
        content = [workshop.configuration.model_dump(mode="json"), told, head.told()]
        checkpoint = Checkpoint(
            work / name / "checkpoint.safetensors", finetune_inputs.key_of_training(corpus, sessions, content)
        )
        live = work / name / "live" if group.first else None
        fitted = _finetune(workshop, head, settings, config, split, checkpoint, live)
    if group.first:
        console.warn(fitted.problems)
    if fit_only or not group.first:
        return

    predicted = final_training.test(workshop, split.tested, config.finetuning, work.parent / "activations")
    scores = {
        "task": task,
        "variable": variable,
        "validation": final_training.headline(head_curve, fitted, head.chance),
        "test": scoring.score(predicted, config.bootstrap),
        "chance_of_all_sessions": artifacts.read_json(chance).get(task, {}).get(variable),
        "reliability_of_all_sessions": scoring.reliability(reliability, task, variable),
    }
    told |= {"epoch": fitted.best_epoch, "head_epochs": scores["validation"]["head_epochs"]}
    models.save(model, workshop.network, forms.configuration(task, variable, workshop.network, told))
    curves = final_training.curves(head_curve, fitted)
    with artifacts.replacing_folder(out) as folder:
        artifacts.write_table(folder / "curves.csv", curves)
        artifacts.write_table(folder / "predictions.csv", predicted.samples())
        artifacts.write_json(folder / "scores.json", scores)
        figure = training_figures.draw(curves, head.chance, name)
        figure.savefig(folder / "curves.png", format="png", dpi=110, metadata={"Software": None})
        shutil.copytree(work / name / "live", folder / "live")
    checkpoint.remove()


def _load(paths: finetune_inputs.Paths) -> tuple[finetuning.Forms, finetune_inputs.Inputs]:
    video = params.load("engagement.video", files.VideoConfig)
    inputs = finetune_inputs.read(paths, params.load("engagement.clips", clips.ClipConfig), video)
    forms = finetuning.Forms(
        params.load("engagement.encoder", encoders.EncoderConfig),
        inputs.clips,
        video,
        params.load("engagement.pixels", pixels.PixelConfig),
        params.load("engagement.augmentation", recipes.Augmentation),
        inputs.statistics,
    )
    return forms, inputs


def _finetune(
    workshop: finetuning.Workshop,
    head: FoldHead,
    settings: finetune_search.FinetuneSettings,
    config: TrainConfig,
    split: final_training.Split,
    checkpoint: Checkpoint,
    live_folder: Path | None,
) -> Fitted:
    """Fine-tune with curves that can be watched; a resumed run writes those of its earlier epochs again."""
    if live_folder is None:
        return final_training.finetune(workshop, head, settings, config, split, checkpoint, lambda _: None)
    epochs = config.finetuning.epochs
    with (
        Live(str(live_folder), dvcyaml=None, save_dvc_exp=False) as live,
        tqdm(
            total=epochs, desc=f"{workshop.corpus.task}-{workshop.corpus.variable}", unit="epoch", disable=None
        ) as bar,
    ):

        def on_epoch(row: dict[str, Any]) -> None:
            for metric, value in row.items():
                if metric != "epoch" and value is not None and pd.notna(value):
                    live.log_metric(metric, value)
            live.next_step()
            bar.update(row["epoch"] > 0)
            bar.set_postfix(validation_f1=f"{row['validation_f1']:.3f}")

        return final_training.finetune(workshop, head, settings, config, split, checkpoint, on_epoch)


if __name__ == "__main__":
    console.run(main)
