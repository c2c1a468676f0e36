"""The commands of learning: ``attune predict`` and ``attune queue``."""

from pathlib import Path
from typing import Annotated

import typer

from attune import params


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
