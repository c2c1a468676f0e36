"""Objects of a remote, held against their names.

DVC names an object by the MD5 hash of its content and from then on trusts the name: `dvc push` passes over whatever
is there already. So an object that was cut short or changed where it lies is neither noticed nor replaced by a push.
Here every object is read and hashed; what does not match is named and, on request, removed, so that the next
`dvc push` of anyone who has the data brings it back.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attune.problems import InputError, Problem

NAME = re.compile(r"[0-9a-f]{32}(\.dir)?")  # anything else is the temporary file of a push, under way or killed
LISTING = ".dir"
BLOCK = 1 << 20
THREADS = 8  # reading from a remote waits more than it computes


@dataclass(frozen=True)
class Damaged:
    """An object whose content does not give its name.

    Attributes:
        name: the hash that it is stored under; a listing of a folder ends in ``.dir``.
        path: where it lies on the remote.
        size: in bytes, as it is there.
        files: paths in the workspace that need it, none if only other versions do.
    """

    name: str
    path: str
    size: int
    files: tuple[str, ...]


@dataclass(frozen=True)
class Inspection:
    """What :func:`inspect` found: how many objects and bytes it read, and which are damaged."""

    objects: int
    size: int
    damaged: tuple[Damaged, ...]


def inspect(
    folder: Path, remote: str | None, repair: bool, on_object: Callable[[], object] = lambda: None
) -> Inspection:
    """Read and hash every object of a remote.

    Args:
        folder: of the project.
        remote: its name, the default one unless given.
        repair: remove what is damaged, and let DVC forget that it was there.
        on_object: called after each object.

    Raises:
        InputError: there is no such remote, or it cannot be reached.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(folder)) as repo:
            store = repo.cloud.get_remote_odb(remote, "verify")
            with ThreadPoolExecutor(THREADS) as pool:
                names = sorted(filter(NAME.fullmatch, store.all()))
                found = list(pool.map(lambda name: _read(store, name, on_object), names))
            wrong = [(name, size) for name, size, digest in found if digest != name.removesuffix(LISTING)]
            files = _users(repo) if wrong else {}
            damaged = tuple(Damaged(name, store.oid_to_path(name), size, files.get(name, ())) for name, size in wrong)
            if repair and damaged:
                _remove(store, names, {name for name, _ in wrong})
                repo.drop_data_index()  # else `dvc push` believes what it remembers of the remote
    except (DvcException, OSError) as error:
        cure = "Check `dvc remote list` and the connection."
        raise InputError(Problem(f"remote {remote or '(default)'}", "", str(error), "a remote", cure)) from None
    return Inspection(len(found), sum(size for _, size, _ in found), damaged)


def _read(store: Any, name: str, on_object: Callable[[], object]) -> tuple[str, int, str]:
    digest, size = hashlib.md5(usedforsecurity=False), 0
    with store.fs.open(store.oid_to_path(name), "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            size += len(block)
    on_object()
    return name, size, digest.hexdigest()


def _remove(store: Any, names: list[str], damaged: set[str]) -> None:
    """Remove damaged objects, and the listings of folders that hold one.

    Where a folder's listing is on the remote, `dvc push` takes it that all of the folder is.
    """
    for name in names:
        if name.endswith(LISTING) and name not in damaged:
            with store.fs.open(store.oid_to_path(name), "rb") as file:
                if damaged.isdisjoint(entry.get("md5") for entry in json.load(file)):
                    continue
            store.fs.remove(store.oid_to_path(name))
    store.fs.remove([store.oid_to_path(name) for name in sorted(damaged)])


def _users(repo: Any) -> dict[str, tuple[str, ...]]:
    """Hash to the tracked files and folders of the workspace that need it."""
    found: dict[str, list[str]] = {}
    for key, entry in _entries(repo):
        found.setdefault(entry.hash_info.value, []).append("/".join(key))
    return {name: tuple(sorted(paths)) for name, paths in found.items()}


def _entries(repo: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, entry in repo.index.data["repo"].iteritems():
        if entry.hash_info and entry.hash_info.value:
            yield key, entry
