"""Which code, data, models and parameters a page was made from.

The revision is that of the folder at the moment of building, with a word on whether files were changed since. It is
no dependency of the stage, or every commit would make the page stale: after a commit that changes no result, the page
still names the revision it was built at. Hashes come from the lock files that DVC writes after each stage; the page's
own entry is left out, for it is from the time before.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from attune.annotation.protocol import Protocol
from attune.report.blocks import Missing, Section, Table, Text, number

OWN = "report"
RAW, PROCESSED, MODELS, SHOWN = "raw data", "processed data", "models", "metrics and plots"
REVISION = 12  # digits


@dataclass(frozen=True)
class Entry:
    """A file or folder as a lock file knows it; ``size`` in bytes."""

    kind: str
    path: str
    digest: str
    size: int
    files: int


def section(root: Path, protocol: Protocol | None) -> Section:
    """The section about versions.

    Args:
        root: the project's folder.
        protocol: names the annotators, for whom letters stand; None if they shall be named.
    """
    part = Section("versions", "Data, code and parameters")
    part.blocks.append(Text(_revision(root)))
    entries = locked(root)
    if entries:
        rows = [[each.kind, each.path, each.digest, _size(each.size), number(each.files)] for each in entries]
        caption = (
            "Versions of everything that DVC tracks. Two pages with equal hashes were made from equal data; "
            "“git checkout” of the revision and “dvc checkout” bring all of it back."
        )
        head = ["Kind", "Path", "Hash (MD5)", "Size", "Files"]
        part.blocks.append(Table(caption, head, rows, headers=2, numeric=False))
    else:
        part.blocks.append(Missing("hashes of data and models", "dvc.lock", "“dvc repro” writes it."))
    values = parameters(root / "params.yaml", protocol)
    if values:
        caption = "Every parameter (params.yaml) at the time of building."
        part.blocks.append(Table(caption, ["Parameter", "Value"], [list(pair) for pair in values], numeric=False))
    else:
        part.blocks.append(Missing("parameters", "params.yaml", "Build the page from the project's root folder."))
    return part


def locked(root: Path) -> list[Entry]:
    """What the lock files of all pipelines know of data, models, metrics and plots, sorted."""
    made: dict[str, Any] = {}
    read: dict[str, Any] = {}
    for path in [root / "dvc.lock", *sorted(root.glob("stages/*/dvc.lock"))]:
        if not path.is_file():
            continue
        for name, stage in (_yaml(path).get("stages") or {}).items():
            if name.partition("@")[0] == OWN:
                continue
            made |= {out["path"]: out for out in stage.get("outs", [])}
            read |= {dep["path"]: dep for dep in stage.get("deps", []) if dep["path"].startswith("data/")}
    raw = {path: item for path, item in read.items() if not path.startswith("data/processed/") and path not in made}
    entries = [_entry(RAW, item) for item in raw.values()] + [_entry(_kind(path), item) for path, item in made.items()]
    order = [RAW, MODELS, PROCESSED, SHOWN]
    return sorted(entries, key=lambda entry: (order.index(entry.kind), entry.path))


def parameters(path: Path, protocol: Protocol | None) -> list[tuple[str, str]]:
    """Dotted keys and values of a parameter file; letters stand for annotators if ``protocol`` names them."""
    if not path.is_file():
        return []
    people = {name: f"annotator {place}" for place, name in enumerate(protocol.annotators, 1)} if protocol else {}
    return [(key, _written(value, people if "protocol" in key else {})) for key, value in _leaves(_yaml(path), "")]


def _leaves(value: Any, key: str) -> list[tuple[str, Any]]:
    if not isinstance(value, dict) or not value:
        return [(key, value)]
    return [leaf for name, part in value.items() for leaf in _leaves(part, f"{key}.{name}" if key else str(name))]


def _written(value: Any, people: dict[str, str]) -> str:
    if isinstance(value, list):
        return ", ".join(_written(each, people) for each in value) or "none"
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_written(each, people)}" for name, each in value.items()) or "none"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return people.get(str(value), str(value))


def _revision(root: Path) -> str:
    """A sentence about the revision in git."""
    commit = _git(root, "log", "-1", f"--abbrev={REVISION}", "--format=%h of %cs")
    if not commit:
        return "The folder is no git repository, so the code has no revision."
    changed = [line for line in _git(root, "status", "--porcelain", "--untracked-files=no").splitlines() if line]
    code = [line[3:] for line in changed if line[3:].startswith(("src/", "stages/", "params.yaml", "dvc.yaml"))]
    state = f"{len(code)} file(s) of code or parameters were changed since" if code else "no code was changed since"
    return (
        f"Built at git revision {commit}; {state}. The revision is noted when the page is built and does not by itself "
        "make the page out of date; the hashes below say exactly which data it shows."
    )


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.rstrip("\n") if done.returncode == 0 else ""


def _entry(kind: str, item: Any) -> Entry:
    return Entry(kind, item["path"], str(item.get("md5", "")), int(item.get("size", 0)), int(item.get("nfiles", 1)))


def _kind(path: str) -> str:
    if path.startswith("models"):
        return MODELS
    if path.startswith(("metrics", "plots")):
        return SHOWN
    return PROCESSED if path.startswith("data/processed/") else RAW


def _size(count: int) -> str:
    """Bytes in a unit that reads well."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"


def _yaml(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8")) or {}
