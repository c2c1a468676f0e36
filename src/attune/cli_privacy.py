"""The commands that keep children's data safe: ``attune anonymise`` and ``attune forget``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from attune import artifacts, params
from attune.problems import InputError, Problem


def anonymise(
    source: Annotated[Path, typer.Argument(help="A raw folder: engagement/, video/, attention/.")],
    out: Annotated[Path, typer.Argument(help="The copy, a new folder.")],
    key: Annotated[Path, typer.Option(help="The secret key, outside git; made if missing.")] = Path(
        "~/.config/attune/key"
    ),
    shift_days: Annotated[int, typer.Option(min=0, max=3650, help="Dates move by up to so many days.")] = 180,
    parameters: Annotated[Path, typer.Option("--params", help="The file whose protocol holds.")] = params.FILE,
    params_out: Annotated[Path | None, typer.Option(help="Where to write it with the codes.")] = None,
) -> None:
    """Copy a raw folder with codes in place of sessions and annotators, without sound and metadata.

    The same key gives the same codes every time; without it nobody finds the names. What the pictures show remains.
    """
    from ruamel.yaml import YAML

    from attune.annotation.protocol import Protocol  # imported here so that the other commands start fast
    from attune.privacy import anonymising, names

    protocol = params.load("engagement.protocol", Protocol, parameters)
    if not (source / "engagement").is_dir() and not (source / "video").is_dir():
        cure = "Name the folder that holds them."
        raise InputError(Problem(str(source), "", "neither", "a folder with engagement/ or video/", cure))
    text = parameters.read_text(encoding="utf-8")
    document = YAML(typ="safe", pure=True).load(text)
    groups = (document["engagement"].get("folds") or {}).get("groups") or {}
    codes = anonymising.plan(source, protocol, groups, names.read_key(key), shift_days)
    mapped = anonymising.parameters(text, protocol, codes) if params_out else ""
    for path in anonymising.copy(source, out, protocol, codes):
        print(f"not copied: {path}", file=sys.stderr)
    print(f"{len(codes.sessions)} session(s) and {len(codes.annotators)} annotator(s) have codes in {out}.")
    if params_out:
        artifacts.write_text(params_out, mapped)
        print(f"{params_out} has the protocol of the copy.")
    else:
        print("The protocol of the copy, in params.yaml (or --params-out writes it):")
        writer = YAML()
        writer.dump({"engagement": anonymising.fragment(document, protocol, codes)}, sys.stdout)
