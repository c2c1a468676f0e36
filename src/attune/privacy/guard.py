"""The guard: refuses what must not be in git, in the files at hand, the staged ones or the whole history.

``python -m attune.privacy.guard`` looks at the index (all that the next commit would hold), ``--staged`` at what the
next commit changes, ``--history`` at every file of every commit of every branch, tag, stash and experiment, and at the
commits' messages. What is refused is said in :mod:`attune.privacy.inspection`.

All but ``--history`` also look at the .dvc files that track the raw recordings (``engagement.raw`` of params.yaml):
without a ``remote:`` of their own, the next push would send the videos to the team's default remote. ``--recordings``
looks at nothing else; ``make push`` begins with it.

``.guard-allow`` names exceptions, such as a drawn figure that looks like a photograph: a line per file with the SHA-256
of its content, its path and, after ``#``, the reason. The content counts, so a changed file has to be judged anew.
"""

import argparse
import hashlib
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from attune.privacy import inspection
from attune.problems import InputError, Problem

ALLOWED = ".guard-allow"
FILE, LINK = ("100644", "100755"), "120000"


@dataclass(frozen=True)
class Blob:
    """A file's content as git holds it."""

    name: str
    path: str


@dataclass(frozen=True, order=True)
class Finding:
    """What was found in one content."""

    path: str
    what: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


def check(folder: Path, blobs: Iterable[Blob], allowed: dict[str, str]) -> list[Finding]:
    """Inspect contents of a repository.

    Args:
        folder: the repository.
        blobs: what to look at; a content that comes twice is inspected once.
        allowed: SHA-256 of what is allowed anyway.
    """
    paths: dict[str, str] = {}
    for blob in blobs:
        paths.setdefault(blob.name, blob.path)
    found = []
    for name, kind, data in contents(folder, paths):
        if kind == "tree" or (sha256 := hashlib.sha256(data).hexdigest()) in allowed:
            continue
        if kind in ("commit", "tag"):  # the message; the header holds people's own names and addresses
            path, data = f"message of {kind} {name[:10]}", data.partition(b"\n\n")[2]
        else:
            path = paths[name]
        found += [Finding(path, what, sha256) for what in dict.fromkeys(inspection.inspect(data))]
    return sorted(found)


def tracked(folder: Path) -> Iterator[Blob]:
    """All files of the index."""
    for entry in _git(folder, "ls-files", "--stage", "-z").split("\0"):
        head, _, path = entry.partition("\t")
        if head and head.split()[0] in (*FILE, LINK):
            yield Blob(head.split()[1], path)


def staged(folder: Path) -> Iterator[Blob]:
    """The files that the index adds or changes."""
    changed = set(_git(folder, "diff", "--cached", "--name-only", "--diff-filter=d", "--no-renames", "-z").split("\0"))
    return (blob for blob in tracked(folder) if blob.path in changed)


def history(folder: Path, revision: str | None = None) -> Iterator[Blob]:
    """Everything that any branch, tag, stash or experiment reaches or reached: files, and commits for their messages.

    Args:
        folder: the repository.
        revision: a branch or commit to look at its history alone.
    """
    # Only the reflog has stashes but the newest.
    chosen = [revision] if revision else ["--all", "--reflog"]
    for line in _git(folder, "rev-list", "--objects", *chosen).splitlines():
        name, _, path = line.partition(" ")
        yield Blob(name, path)
    yield from tracked(folder)


def recordings(folder: Path) -> list[Finding]:
    """The .dvc files of the workspace that track raw recordings, or some of them, without a remote of their own."""
    section = _read(folder / "params.yaml").get("engagement")
    named = section.get("raw") if isinstance(section, dict) else None
    raw = (folder / str(named or "data/raw")).resolve()
    above = [parent for parent in raw.parents if parent.is_relative_to(folder.resolve())]
    files = {*(file for parent in above for file in parent.glob("*.dvc")), *raw.rglob("*.dvc")}
    found = []
    for file in sorted(file for file in files if file.is_file()):
        document = _read(file)
        base = file.parent / str(document.get("wdir") or ".")
        for out in document.get("outs") or []:
            path = base / str(out.get("path"))
            places = {path.resolve(), path.parent.resolve() / path.name}  # DVC may have made it a link into its cache
            concerned = any(place.is_relative_to(raw) or raw.is_relative_to(place) for place in places)
            if concerned and not out.get("remote"):
                what = "tracks recordings without a line `remote: restricted` below `path:` (docs/privacy.md)"
                name = file.relative_to(folder.resolve()).as_posix()
                found.append(Finding(name, what, hashlib.sha256(file.read_bytes()).hexdigest()))
    return found


def _read(file: Path) -> dict[str, Any]:
    try:
        document = YAML(typ="safe").load(file.read_bytes()) if file.is_file() else {}
    except YAMLError as error:
        found = str(error).splitlines()[0]
        raise InputError(Problem(file.name, "", found, "YAML that can be read", "Mend the file.")) from None
    return document if isinstance(document, dict) else {}


def read_allowed(folder: Path) -> dict[str, str]:
    """The exceptions: SHA-256 and reason.

    Raises:
        InputError: a line is not of the form ``<sha256> <path> # <reason>``.
    """
    file = folder / ALLOWED
    allowed = {}
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    for number, line in enumerate(lines, start=1):
        entry, _, reason = line.partition("#")
        words = entry.split()
        if words and (len(words) != 2 or len(words[0]) != 64 or not reason.strip()):
            expected = "<sha256> <path> # <reason>"
            raise InputError(Problem(ALLOWED, f"line {number}", repr(line), expected, "Write the reason down."))
        if words:
            allowed[words[0]] = reason.strip()
    return allowed


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    result = subprocess.run(command, capture_output=True, check=False)
    if result.returncode:
        message = result.stderr.decode(errors="replace").strip()
        raise InputError(Problem(str(folder), "", message, "a git repository", "Run it inside the project."))
    return result.stdout.decode("utf-8", "surrogateescape")


def contents(folder: Path, names: Iterable[str]) -> Iterator[tuple[str, str, bytes]]:
    """Name, kind and content of git's objects, through one process."""
    command = ["git", "-C", str(folder), "cat-file", "--batch"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("git cat-file without pipes")
        for name in names:
            process.stdin.write(f"{name}\n".encode())
            process.stdin.flush()
            head = process.stdout.readline().decode().split()
            if head[-1] == "missing":  # a partial clone, or an entry of the index that is only intended
                continue
            data = process.stdout.read(int(head[2]))
            process.stdout.read(1)
            yield name, head[1], data


def main(arguments: list[str] | None = None) -> int:
    """Print what is refused; returns 1 if there is anything."""
    parser = argparse.ArgumentParser(prog="python -m attune.privacy.guard", description=__doc__.splitlines()[0])
    parser.add_argument("--staged", action="store_true", help="what the next commit changes")
    parser.add_argument("--history", action="store_true", help="every file of every commit")
    parser.add_argument("--recordings", action="store_true", help="only whether recordings have a remote of their own")
    parser.add_argument("--folder", type=Path, default=Path(), help="the repository")
    options = parser.parse_args(arguments)
    try:
        look = history if options.history else staged if options.staged else tracked
        findings = [] if options.history else recordings(options.folder)
        if not options.recordings:
            findings += check(options.folder, look(options.folder), read_allowed(options.folder))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for finding in findings:
        print(f"refused: {ascii(str(finding))[1:-1]}", file=sys.stderr)
    if findings and not options.recordings:
        print(
            f"{len(findings)} refused. Take them out of git (`git rm --cached`) and keep them in DVC; what is in a "
            "commit already must leave the history too (docs/privacy.md). What certainly shows nobody and no machine "
            f"may be listed in {ALLOWED} with the reason:",
            file=sys.stderr,
        )
        for sha256, path in sorted({(finding.sha256, finding.path) for finding in findings}):
            print(f"{sha256}  {ascii(path)[1:-1]}  # ", file=sys.stderr)
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
