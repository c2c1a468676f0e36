"""The commands of learning: ``attune predict``, ``queue``, ``leaderboard`` and ``gather``."""

import math
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from attune import artifacts, params
from attune.problems import InputError, Problem


def queue(
    target: Annotated[str, typer.Argument(help="What is varied: head, finetune or train.")],
    settings: Annotated[int, typer.Option(min=1, max=1000, help="How many settings are drawn.")],
) -> None:
    """Draw settings and queue each as an experiment; the same ones are never queued twice.

    head and train vary what their section of engagement.queue names; finetune spreads the settings of
    engagement.finetune_search over experiments, one for each.
    """
    from attune import queue  # imported here so that the other commands start fast
    from attune.learning.finetune_search import FinetuneSearchConfig

    folder = Path.cwd()
    if target not in queue.TARGETS:
        raise InputError(Problem("attune queue", "", target, " or ".join(queue.TARGETS), "Name one of them."))
    if target == "finetune":
        variants = queue.draw_parts(params.load("engagement.finetune_search", FinetuneSearchConfig), settings)
    else:
        variants = queue.draw(target, params.load(f"engagement.queue.{target}", queue.QueueConfig), settings)
    if len(variants) < settings:
        print(f"engagement.queue.{target}.space holds only {len(variants)} different settings.", file=sys.stderr)
    known = queue.names(folder)
    added = 0
    for variant in variants:
        if there := queue.same(variant.name, known):
            print(f"{there}: there already")
            continue
        queue.enqueue(variant, folder, queue.TARGETS[target].stage)
        added += 1
        print(f"{variant.name}: " + ", ".join(f"{key}={value}" for key, value in variant.settings.items()))
    print(f"{added} queued, {len(variants) - added} there already. Next:")
    print("  dvc queue start -j 2         works them off, two at a time")
    print("  dvc queue status             shows how far it is; dvc queue logs NAME what one printed")
    print(f"  attune leaderboard {target:<9} ranks what has finished, by the validation")
    if target == "finetune":
        print("  attune gather                takes over the rows, so that dvc repro need not run them")
    else:
        print("  dvc exp apply NAME           takes one into the workspace")


def leaderboard(
    target: Annotated[str, typer.Argument(help="What was varied: head, finetune or train.")] = "train",
    top: Annotated[int, typer.Option(min=1, help="How many are shown.")] = 10,
    all_commits: Annotated[bool, typer.Option(help="Also experiments made from older commits; slow.")] = False,
) -> None:
    """Rank the experiments of the queue by their validation metric; the test fold has no part in it."""
    from attune import leaderboard, queue  # imported here so that the other commands start fast

    entries = leaderboard.read(Path.cwd(), target, all_commits=all_commits)
    print(f"{queue.TARGETS[target].metric}, of {sum(entry.score is not None for entry in entries)} experiment(s)")
    for rank, entry in enumerate((entry for entry in entries if entry.score is not None), start=1):
        if rank <= top:
            values = ", ".join(f"{key}={value}" for key, value in entry.settings.items())
            print(f"{rank:3}. {entry.score:.4f}  {entry.name}  {values}")
    for entry in entries:
        if entry.score is None:
            print(
                f"     {entry.state}  {entry.name}" + (f"  (dvc queue logs {entry.name})" * (entry.state == "failed"))
            )


def gather(
    work: Annotated[Path, typer.Option(help="The folder with one folder per row.")] = Path("data/work/finetune_search"),
) -> None:
    """Take over the rows that queued experiments have run, so that `dvc repro finetune_search` has only to unify."""
    from dvc.api import DVCFileSystem
    from tqdm import tqdm

    from attune import leaderboard
    from attune.learning import finetune_search

    entries = [entry for entry in leaderboard.read(Path.cwd(), "finetune") if entry.score is not None]
    new = 0
    for entry in tqdm(entries, desc="gather", unit="experiment", disable=None):
        files = DVCFileSystem(".", rev=entry.revision)
        new += finetune_search.gather(
            files.read_bytes(f"data/processed/finetune_search/{finetune_search.RESULTS}"), work
        )
    print(f"{new} row(s) of {len(entries)} experiment(s) are new in {work}.")
    print("`dvc repro finetune_search`, with engagement.finetune_search.settings as many as were queued, unifies them.")


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

    if not math.isfinite(step):
        raise InputError(Problem("--step", "", str(step), "a number of seconds", "Change it."))
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
