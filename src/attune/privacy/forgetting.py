"""Everything that holds one child's data: found by name, by content and through DVC's records of all revisions.

What belongs to a session: files with the session in their name (its own), and files of several sessions that mention
it (tables, folds, features with names). DVC's cache holds both under the MD5 of their content, in every version that
any commit's dvc.lock or .dvc file names, those of experiments and stashes included. An object that another session's
file uses too (equal content) stays. The lists of folders (``.dir`` objects) that name the session go as well, so old
revisions of these folders cannot be checked out any more: that is what erasing means.

Models are only named: whether a model that has learned from a child may stay is a decision for people.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from attune import artifacts
from attune.privacy import guard
from attune.problems import InputError, Problem

SKIPPED = {".git", ".venv", "node_modules"}
LARGEST = 500_000_000  # bytes of a mixed file that is searched
MODELS = "models/"


class Name:
    """A session's name, told from longer names of other sessions (``child`` from ``child_01``)."""

    def __init__(self, session: str, others: Iterable[str]) -> None:
        self.session, self.others = session, sorted(set(others) - {session}, key=len, reverse=True)
        longer = [re.escape(name) for name in self.others if session in name]
        whole = rf"(?<![^\W_]){re.escape(session)}(?![^\W_])"
        self._path = re.compile("|".join([*longer, f"(?P<own>{whole})"]))
        self._bytes = re.compile(self._path.pattern.replace(r"[^\W_]", "[A-Za-z0-9]").encode())

    def in_path(self, path: str) -> bool:
        """Whether a path names the session."""
        return any(match["own"] is not None for match in self._path.finditer(path))

    def in_bytes(self, data: bytes) -> bool:
        """Whether a content does."""
        return any(match["own"] is not None for match in self._bytes.finditer(data))


@dataclass
class Traces:
    """What was found.

    Attributes:
        workspace: files and folders of the workspace that are the session's own, and scratch folders.
        mixed: files of the workspace that mention it; the pipeline writes them anew.
        objects: MD5 of objects to be erased, and what each was.
        shared: objects of the session that another file uses too.
        caches: files of the caches that hold these objects or refer to them.
        remotes: name, address and files of every remote; no files where it is not a folder of this machine.
        models: models that used the session, and in which revisions.
        in_git: files of the last commit that mention it.
        lines: lines of params.yaml that mention it.
    """

    workspace: list[Path] = field(default_factory=list)
    mixed: list[Path] = field(default_factory=list)
    objects: dict[str, str] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)
    caches: list[Path] = field(default_factory=list)
    remotes: list[tuple[str, str, list[Path]]] = field(default_factory=list)
    models: dict[str, int] = field(default_factory=dict)
    in_git: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def find(folder: Path, session: str) -> Traces:
    """Look for a session's data; changes nothing.

    Args:
        folder: the project, a git and DVC repository.
        session: its name.

    Raises:
        InputError: it is no such repository, or the name is too short to be told from other words.
    """
    if not re.fullmatch(r"[\w.-]{2,}", session):
        raise InputError(Problem("attune forget", "", repr(session), "a session's name", "Name one session."))
    cache, remotes = _stores(folder)
    stores = [cache, *(Path(url) for _, url in remotes if Path(url).is_absolute())]
    locks = list(_locks(folder))
    uses = _uses(locks, stores)
    name = Name(session, _sessions(uses, folder))
    traces = Traces()
    traces.objects, traces.shared = _objects(uses, stores, name)
    traces.caches = [*_stored(cache, traces.objects), *_runs(cache, traces.objects)]
    traces.remotes = [
        (remote, url, [*_stored(Path(url), traces.objects), *_runs(Path(url), traces.objects)])
        for remote, url in remotes
    ]
    traces.models = _models(locks, uses, stores, name)
    traces.workspace, traces.mixed = _workspace(folder, cache, name)
    tracked = [blob.path for blob in guard.tracked(folder)]
    traces.in_git = [path for path in tracked if name.in_path(path) or _mentions(folder / path, name)]
    text = (folder / "params.yaml").read_text(encoding="utf-8") if (folder / "params.yaml").is_file() else ""
    lines = enumerate(text.splitlines(), start=1)
    traces.lines = [f"{number}: {line.strip()}" for number, line in lines if name.in_path(line)]
    return traces


def erase(traces: Traces, remotes: bool) -> int:
    """Delete what was found in workspace and cache, and on demand in remotes that are folders; returns the number."""
    chosen = [*traces.workspace, *traces.caches]
    if remotes:
        chosen += [path for _, _, files in traces.remotes for path in files]
    for path in chosen:
        artifacts.remove(path)
    return len(chosen)


def object_path(md5: str) -> str:
    """Where a store of DVC 3 keeps an object."""
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def _stores(folder: Path) -> tuple[Path, list[tuple[str, str]]]:
    """DVC's cache, and name and address of every remote, from all levels of its configuration."""
    from dvc.exceptions import DvcException  # takes a second
    from dvc.repo import Repo

    try:
        with Repo(str(folder)) as repo:
            remotes = [(name, str(settings["url"])) for name, settings in repo.config["remote"].items()]
            return Path(repo.cache.local.path), remotes
    except DvcException as error:
        found = str(error).splitlines()[0]
        cure = "Run it in the project's root folder."
        raise InputError(Problem(str(folder), "", found, "a DVC repository", cure)) from None


def _locks(folder: Path) -> Iterator[dict[str, str]]:
    """Path and MD5 of everything that a version of a dvc.lock or .dvc file names: all commits, index and workspace."""
    blobs = [*guard.history(folder), *guard.history(folder, "--reflog")]
    names = {blob.name for blob in blobs if blob.path.endswith((".lock", ".dvc"))}
    texts = [data for _, kind, data in guard.contents(folder, names) if kind == "blob"]
    files = [*folder.glob("**/dvc.lock"), *folder.glob("**/*.dvc")]
    for text in [*texts, *(path.read_bytes() for path in files if path.is_file())]:
        try:
            document = YAML(typ="safe").load(text)
        except (YAMLError, UnicodeDecodeError):
            continue  # not DVC's
        if isinstance(document, dict):
            yield dict(_entries(document))


def _entries(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        if isinstance(value.get("path"), str) and isinstance(value.get("md5"), str):
            yield value["path"], value["md5"]
        for inner in value.values():
            yield from _entries(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _entries(inner)


def _uses(locks: list[dict[str, str]], stores: list[Path]) -> dict[str, set[str]]:
    """For every object, the paths under which any revision uses it."""
    uses: dict[str, set[str]] = {}
    for path, md5 in {entry for lock in locks for entry in lock.items()}:
        uses.setdefault(md5, set()).add(path)
        if md5.endswith(".dir"):
            for entry in _listing(md5, stores):
                uses.setdefault(entry["md5"], set()).add(f"{path}/{entry['relpath']}")
    return uses


def _listing(md5: str, stores: list[Path]) -> list[dict[str, str]]:
    for store in stores:
        for path in _stored(store, [md5]):
            try:
                return list(json.loads(path.read_bytes()))
            except (OSError, ValueError):
                continue
    return []


def _stored(store: Path, objects: Iterable[str]) -> list[Path]:
    """The files of a cache or a remote that hold some objects (DVC 3's layout, and DVC 2's)."""
    places = (store / prefix / md5[:2] / md5[2:] for md5 in objects for prefix in ("files/md5", ""))
    return [path for path in places if store.is_absolute() and path.is_file()]


def _runs(store: Path, objects: Iterable[str]) -> list[Path]:
    """The run-cache's records of results among which these objects are."""
    wanted = {md5.encode() for md5 in objects}
    records = (path for path in (store / "runs").glob("*/*/*") if store.is_absolute() and path.is_file())
    return [path for path in records if wanted & set(re.findall(rb"[0-9a-f]{32}(?:\.dir)?", path.read_bytes()))]


def _sessions(uses: dict[str, set[str]], folder: Path) -> set[str]:
    """Names of sessions: every video and frame store that is or was there."""
    paths = {path for each in uses.values() for path in each}
    paths |= {path.as_posix() for top in ("video", "frames") for path in folder.glob(f"data/*/{top}/*")}
    return {Path(path).stem for path in paths if Path(path).parent.name in ("video", "frames")}


def _objects(uses: dict[str, set[str]], stores: list[Path], name: Name) -> tuple[dict[str, str], dict[str, str]]:
    """Objects to be erased, and those of the session that other files use too."""
    erased, shared = {}, {}
    others = set(name.others)
    for md5, paths in sorted(uses.items()):
        own = sorted(path for path in paths if name.in_path(path))
        if own and len(own) == len(paths):
            erased[md5] = own[0]
        elif own:
            shared[md5] = own[0]
        elif md5.endswith(".dir"):
            if any(name.in_path(entry["relpath"]) for entry in _listing(md5, stores)):
                erased[md5] = f"{min(paths)}/ (its list of files)"
        elif not all(path.startswith(MODELS) or Path(path).stem in others for path in paths) and any(
            _mentions(path, name) for path in _stored_anywhere(stores, md5)
        ):
            erased[md5] = f"{min(paths)} (mentions it)"
    return erased, shared


def _stored_anywhere(stores: list[Path], md5: str) -> list[Path]:
    return next((found for store in stores if (found := _stored(store, [md5]))), [])


def _mentions(path: Path, name: Name) -> bool:
    return path.is_file() and path.stat().st_size <= LARGEST and name.in_bytes(path.read_bytes())


def _models(locks: list[dict[str, str]], uses: dict[str, set[str]], stores: list[Path], name: Name) -> dict[str, int]:
    """Models of revisions whose other files mention the session: path, and the number of different versions."""
    holds = {md5 for md5, paths in uses.items() if any(name.in_path(path) for path in paths)}
    found: dict[str, set[str]] = {}
    for lock in locks:
        models = {path: md5 for path, md5 in lock.items() if path.startswith(MODELS)}
        inputs = [md5 for path, md5 in lock.items() if not path.startswith(MODELS)]
        if models and any(
            entry["md5"] in holds for md5 in inputs if md5.endswith(".dir") for entry in _listing(md5, stores)
        ):
            for path, md5 in models.items():
                found.setdefault(path, set()).add(md5)
    return {path: len(versions) for path, versions in sorted(found.items())}


def _workspace(folder: Path, cache: Path, name: Name) -> tuple[list[Path], list[Path]]:
    """The session's own files and the scratch folder; and files of several sessions that mention it."""
    own, mixed = [], []
    work = folder / "data" / "work"  # unfinished work under names that do not tell whose it is
    queue = [folder]
    while queue:
        for path in sorted(queue.pop().iterdir()):
            if path.name in SKIPPED or path.resolve() == cache.resolve():
                continue
            if path == work or name.in_path(path.name):
                own.append(path)
            elif path.is_dir() and not path.is_symlink():
                queue.append(path)
            elif path.relative_to(folder).parts[0] in ("data", "metrics", "plots") and _mentions(path, name):
                mixed.append(path)
    return own, mixed
