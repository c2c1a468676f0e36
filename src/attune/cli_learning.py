"""The commands of learning: ``attune predict`` and ``attune queue``."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from attune import artifacts, params


def queue(
    target: Annotated[str, typer.Argument(help="What is varied: a section of engagement.queue in params.yaml.")],
    settings: Annotated[int, typer.Option(min=1, max=1000, help="How many settings are drawn.")],
) -> None:
    """Draw settings and queue each as an experiment of the whole pipeline; the same ones are never queued twice."""
    from attune import queue  # imported here so that the other commands start fast

    folder = Path.cwd()
    config = params.load(f"engagement.queue.{target}", queue.QueueConfig)
    known = queue.names(folder)
    added = 0
    for variant in queue.draw(target, config, settings):
        if variant.name in known:
            print(f"{variant.name}: there already")
            continue
        queue.enqueue(variant, folder)
        added += 1
        print(f"{variant.name}: " + ", ".join(f"{key}={value}" for key, value in variant.settings.items()))
    keep = "|".join([*config.space, "summary"]).replace(".", r"\.")
    print(f"{added} queued, {settings - added} there already. Next:")
    print("  dvc queue start -j 2    works them off, two at a time")
    print("  dvc queue status        shows how far it is")
    print(f"  dvc exp show --no-pager --keep '{keep}'")
    print("  dvc exp apply NAME      takes one into the workspace")


def predict(
    video: Annotated[Path, typer.Argument(help="A video as a camera made it; any length from that of a clip.")],
    model: Annotated[Path, typer.Option(help="A file of models/engagement.")],
    out: Annotated[Path, typer.Option(help="The folder of the results.")] = Path(),
    step: Annotated[float, typer.Option(help="Seconds from one clip to the next.")] = 1.0,
    eaf: Annotated[Path | None, typer.Option(help="An ELAN file; the tiers are added to a copy of it.")] = None,
) -> None:
    """Write how probable a model finds engagement over time: a table (CSV) and an ELAN file.

    Clips slide over the video; each moment gets the probability of the clip whose centre is nearest.
    """
    from tqdm import tqdm

    from attune.annotation import elan_writer  # imported here so that the other commands start fast
    from attune.learning import models, prediction
    from attune.learning.device import device
    from attune.video import files, processing

    network, configuration = models.load(model)
    network = network.to(device())
    variable = configuration.variable
    annotated = out / f"{(eaf or video).stem}.{variable}.eaf"
    if eaf:
        elan_writer.check_copy(annotated, eaf, prediction.tier_names(variable))
    duration_ms = files.probe(video).duration_ms
    start_ms = prediction.clip_starts(duration_ms, configuration, round(step * 1000), str(video))
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".predict-") as folder:  # may be larger than /tmp
        work = Path(folder)
        piece = processing.process({video.stem: video}, work / "video", configuration.video)[video.stem]
        total = prediction.frames_to_encode(network, configuration, piece.frames, start_ms)
        with tqdm(total=total, desc="predict", unit="frame", disable=None) as bar:
            table = prediction.predict(
                network, configuration, piece.frames, duration_ms, start_ms, work / "features", bar.update
            )
    for warning in piece.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    numbers = out / f"{video.stem}.{variable}.csv"
    artifacts.write_table(numbers, table)
    tiers = prediction.tiers(table, variable)
    if eaf:
        elan_writer.write_copy(annotated, eaf, video.name, tiers)
    else:
        elan_writer.write(annotated, video, tiers)
    seconds = sum(span.end_ms - span.start_ms for span in tiers[0].spans) / 1000
    print(f"{variable} in {seconds:.0f} of {duration_ms / 1000:.0f} s; see {numbers} and {annotated}")
