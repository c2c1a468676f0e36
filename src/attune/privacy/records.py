"""What DVC has on record: objects in caches and remotes, and which version of which file each of them is.

A store is the folder of a cache or of a remote. Versions are named by dvc.lock and .dvc files of all revisions, by the
run-cache, which remembers runs that nobody committed, and by the lists of folders that lie in a store.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from attune.privacy import guard
from attune.problems import InputError, Problem

Entries = dict[str, str]  # path to MD5
UNNAMED = "(a folder that no revision names)"


@dataclass(frozen=True)
class Version:
    """One version of a dvc.lock or .dvc file, or one record of the run-cache.

    Attributes:
        stages: what each stage read and what it wrote.
    """

    stages: tuple[tuple[Entries, Entries], ...]

    @property
    def entries(self) -> Entries:
        """All that it names."""
        return {path: md5 for stage in self.stages for side in stage for path, md5 in side.items()}


def stores(folder: Path) -> tuple[Path, list[tuple[str, str]]]:
    """The folder of DVC's cache, and name and address of every remote, from all levels of its configuration.

    Raises:
        InputError: it is no DVC repository.
    """
    from dvc.exceptions import DvcException  # takes a second
    from dvc.repo import Repo

    try:
        with Repo(str(folder)) as repo:
            remotes = [(name, str(settings["url"])) for name, settings in repo.config["remote"].items()]
            return Path(repo.cache.local_cache_dir), remotes
    except DvcException as error:
        found = str(error).splitlines()[0]
        cure = "Run it in the project's root folder."
        raise InputError(Problem(str(folder), "", found, "a DVC repository", cure)) from None


def versions(folder: Path, stores: Iterable[Path]) -> Iterator[Version]:
    """All that commits, experiments, stashes, the index, the workspace and the run-caches of some stores name."""
    names = {blob.name for blob in guard.history(folder) if blob.path.endswith((".lock", ".dvc"))}
    texts = [data for _, kind, data in guard.contents(folder, names) if kind == "blob"]
    files = [*folder.glob("**/dvc.lock"), *folder.glob("**/*.dvc"), *(run for store in stores for run in _runs(store))]
    for text in [*texts, *(path.read_bytes() for path in files if path.is_file())]:
        try:
            document = YAML(typ="safe").load(text)
        except (YAMLError, UnicodeDecodeError):
            continue  # not DVC's
        if found := tuple(_stages(document)):
            yield Version(found)


def _stages(value: Any) -> Iterator[tuple[Entries, Entries]]:
    if isinstance(value, dict):
        if "outs" in value or "deps" in value:
            yield _entries(value.get("deps")), _entries(value.get("outs"))
        else:
            for inner in value.values():
                yield from _stages(inner)


def _entries(value: Any) -> Entries:
    found = [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
    return {
        entry["path"]: entry["md5"]
        for entry in found
        if isinstance(entry.get("path"), str) and isinstance(entry.get("md5"), str)
    }


def uses(versions: list[Version], stores: list[Path]) -> tuple[dict[str, set[str]], set[str]]:
    """For every object, the paths under which anything uses it; and the lists of folders that no store has any more."""
    found: dict[str, set[str]] = {}
    lost = set()
    named = {entry for version in versions for entry in version.entries.items()}
    known = {md5 for _, md5 in named}
    lists = {f"{path.parent.name}{path.name}" for store in stores for path in _lists(store)}
    for path, md5 in named | {(UNNAMED, md5) for md5 in lists - known}:
        found.setdefault(md5, set()).add(path)
        if md5.endswith(".dir"):
            entries = listing(md5, stores)
            lost |= set() if entries is not None else {md5}
            for entry in entries or []:
                found.setdefault(entry["md5"], set()).add(f"{path}/{entry['relpath']}")
    return found, lost


def listing(md5: str, stores: Iterable[Path]) -> list[dict[str, str]] | None:
    """The files of a folder; None if no store has the list."""
    for store in stores:
        for path in stored(store, [md5]):
            try:
                return list(json.loads(path.read_bytes()))
            except (OSError, ValueError):
                continue
    return None


def object_path(md5: str) -> str:
    """Where a store of DVC 3 keeps an object."""
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def stored(store: Path, objects: Iterable[str]) -> list[Path]:
    """The files of a store that hold some objects (DVC 3's layout, and DVC 2's)."""
    places = (store / prefix / md5[:2] / md5[2:] for md5 in objects for prefix in ("files/md5", ""))
    return [path for path in places if store.is_absolute() and path.is_file()]


def runs(store: Path, objects: Iterable[str]) -> list[Path]:
    """The run-cache's records of runs that read or wrote one of these objects."""
    wanted = {md5.encode() for md5 in objects}
    return [path for path in _runs(store) if wanted & set(re.findall(rb"[0-9a-f]{32}(?:\.dir)?", path.read_bytes()))]


def _runs(store: Path) -> list[Path]:
    return [path for path in (store / "runs").glob("*/*/*") if store.is_absolute() and path.is_file()]


def _lists(store: Path) -> list[Path]:
    return [path for top in ("files/md5", ".") for path in (store / top).glob("??/*.dir") if store.is_absolute()]
