"""The commands that keep children's data safe: ``attune anonymise`` and ``attune forget``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attune import artifacts, params
from attune.problems import InputError, Problem

if TYPE_CHECKING:
    from attune.privacy.forgetting import Traces


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


def forget(
    session: Annotated[str, typer.Argument(help="The session's name.")],
    yes: Annotated[bool, typer.Option("--yes", help="Erase; without it nothing is changed.")] = False,
    remotes: Annotated[bool, typer.Option("--remotes", help="Also in remotes that are folders here.")] = False,
) -> None:
    """Find all data of one session, in the workspace and in every version that DVC keeps, and erase it on demand."""
    from attune.privacy import forgetting  # imported here so that the other commands start fast

    traces = forgetting.find(Path.cwd(), session)
    _tell(session, traces, remotes)
    if not yes:
        print("Nothing was changed; --yes erases what stands under workspace and cache, --remotes also the remotes'.")
        return
    print(f"Erased: {forgetting.erase(traces, remotes)} file(s) and folder(s).")
    print("Next: take the session out of params.yaml, `dvc add` a raw folder that is tracked so, `dvc repro`, commit,")
    print("`dvc push`; then the same command in every other clone, and in backups (docs/privacy.md). Keep the list of")
    print("models and outputs above: nobody can make it again.")


def _tell(session: str, traces: "Traces", remotes: bool) -> None:
    from attune.privacy import records

    print(f"Workspace: {len(traces.workspace)} file(s) and folder(s) to erase")
    for path in traces.workspace:
        print(f"  {path}")
    print(f"Workspace: {len(traces.mixed)} file(s) that mention {session}; `dvc repro` writes them anew without it")
    for path in traces.mixed:
        print(f"  {path}")
    print(f"DVC, all revisions: {len(traces.objects)} object(s), {len(traces.caches)} file(s) of the cache")
    for md5, what in traces.objects.items():
        print(f"  {md5}  {what}")
    for md5, what in traces.shared.items():
        print(f"  {md5}  {what}: stays, another file has the same content")
    for name, url, files in traces.remotes:
        print(f"Remote {name} ({url}): {len(files)} file(s) here" if files else f"Remote {name} ({url}):")
        if not (files and remotes):
            for md5 in traces.objects:
                print(f"  {_removal(url, records.object_path(md5))}")
    _tell_derived(session, traces)
    print(f"Git: {len(traces.in_git)} file(s) of the last commit mention it, and older commits may")
    for name in traces.in_git:
        print(f"  {name}")
    for line in traces.lines:
        print(f"params.yaml, line {line}")


def _tell_derived(session: str, traces: "Traces") -> None:
    print(f"Models that used {session}; whether they may stay is yours to decide: {len(traces.models) or 'none found'}")
    for name, versions in traces.models.items():
        print(f"  {name} in {versions} version(s)")
    print(f"Other outputs made from it, which do not name it and are not erased: {len(traces.derived) or 'none found'}")
    for name, versions in traces.derived.items():
        print(f"  {name} in {versions} version(s)")
    if traces.lost:
        print(
            f"Unknown: {traces.lost} version(s) of folders whose list of files is in no store here: erased before, or"
        )
        print(
            "never fetched. What models and outputs come from them stands in what an earlier `attune forget` printed."
        )


def _removal(url: str, name: str) -> str:
    """The command that deletes an object from a remote."""
    if url.startswith("s3://"):
        return f"aws s3 rm {url.rstrip('/')}/{name}"
    if url.startswith("ssh://"):
        host, _, folder = url.removeprefix("ssh://").partition("/")
        return f"ssh {host} rm /{folder.rstrip('/')}/{name}"
    return f"rm {url.rstrip('/')}/{name}"
