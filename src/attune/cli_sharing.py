"""The command of sharing: ``attune verify``."""

from pathlib import Path
from typing import Annotated

import typer


def verify(
    remote: Annotated[str | None, typer.Argument(help="The remote's name; the default one unless given.")] = None,
    repair: Annotated[bool, typer.Option(help="Remove damaged objects, so that a push brings them back.")] = False,
) -> None:
    """Read every object of a remote and name those that were damaged where they lie."""
    from tqdm import tqdm

    from attune import sharing  # imported here so that the other commands start fast

    with tqdm(desc="verify", unit="object", disable=None) as bar:
        inspection = sharing.inspect(Path.cwd(), remote, repair, bar.update)
    for item in inspection.damaged:
        needed = ", ".join(item.files) or "another version than the one checked out"
        print(f"damaged: {item.path} ({item.size} bytes), part of {needed}")
    print(f"{inspection.objects} object(s), {inspection.size / 1e6:.1f} MB: {len(inspection.damaged)} damaged.")
    if inspection.damaged and repair:
        print("They were removed. Whoever has the data: `dvc push` (of the version that needs them) brings them back.")
    elif inspection.damaged:
        print("`attune verify --repair` removes them; a `dvc push` by whoever has the data brings them back.")
        raise typer.Exit(1)
