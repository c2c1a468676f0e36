"""Compute the features of every task, fold and augmentation once, with their labels."""

from functools import partial
from pathlib import Path

from tqdm import tqdm

from attune import console, params
from attune.annotation import folds, spans
from attune.learning import baking, device, encoders, pixels
from attune.learning.pieces import Look, PieceStore
from attune.video import clips, files, recipes


def main(source: Path, tasks: Path, statistics: Path, frames: Path, out: Path, work: Path) -> None:
    """Bake; pieces that an earlier run finished are taken from the work folder."""
    video = params.load("engagement.video", files.VideoConfig)
    clip_config = params.load("engagement.clips", clips.ClipConfig)
    augmentation = params.load("engagement.augmentation", recipes.Augmentation)
    encoder_config = params.load("engagement.encoder", encoders.EncoderConfig)
    pixel_config = params.load("engagement.pixels", pixels.PixelConfig)
    config = params.load("engagement.bake", baking.BakeConfig)
    task_spans = spans.read(tasks, spans.TASKS)
    console.warn(clips.check(task_spans, clip_config))

    split = folds.read_statistics(statistics)
    fold_of = {session: number for number, fold in enumerate(split.folds) for session in fold.sessions}
    samples = baking.draw_clips(task_spans, fold_of, split.test_fold, config, clip_config)
    labels = baking.label(samples, partial(spans.read_parts, source, spans.STRATIFIED), clip_config)
    encoder = encoders.build(encoder_config).to(device.device())
    num_frames = clips.num_frames(clip_config, video.frame_rate)
    look = Look(num_frames, pixel_config.view, *pixels.normalisation(pixel_config, encoder, split), augmentation)
    store = PieceStore(encoder, frames, video.frame_rate, look, work, config.batch_frames)
    bakery = baking.Bakery(samples, task_spans, store, config.seed)

    missing = store.missing(bakery.pieces)
    with tqdm(total=sum(piece.frames for piece in missing), desc="bake", unit="frame", disable=None) as bar:
        store.make(missing, bar.update)
    settings = {"encoder": encoder_config, "clips": clip_config, "pixels": pixel_config, "bake": config}
    told = {name: value.model_dump(mode="json") for name, value in settings.items()}
    baking.pack(bakery, labels, told, out, split.test_fold)
    store.remove_others(bakery.pieces)


if __name__ == "__main__":
    console.run(main)
