"""Everything that holds one child's data: found by name, by content and through DVC's records of all revisions.

What belongs to a session: files with the session in their name (its own), and files of several sessions that mention
it (tables, folds, features with names). DVC's cache holds both under the MD5 of their content, in every version that
any commit's dvc.lock or .dvc file names, those of experiments and stashes included. An object that another session's
file uses too (equal content) stays. The lists of folders (``.dir`` objects) that name the session go as well, so old
revisions of these folders cannot be checked out any more: that is what erasing means.

Models are only named: whether a model that has learned from a child may stay is a decision for people.
"""

import mmap
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from attune import artifacts
from attune.privacy import guard, records
from attune.problems import InputError, Problem

SKIPPED = {".git", ".venv", "node_modules"}
MODELS = "models/"
PIECE, MARGIN = 1 << 24, 1 << 10  # bytes of a file that are searched at once, and what is seen of its neighbours


class Name:
    """A session's name, told from longer names of other sessions (``child`` from ``child_01``).

    Names are the same whatever their case and however their accents are encoded; in contents, case counts for letters
    beyond ASCII.
    """

    def __init__(self, session: str, others: Iterable[str]) -> None:
        own = folded(session)
        self.others = {name for other in others if (name := folded(other)) != own}
        longer = sorted((re.escape(name) for name in self.others if own in name), key=len, reverse=True)
        whole = rf"(?<![^\W_]){re.escape(own)}(?![^\W_])"
        self._path = re.compile("|".join([*longer, f"(?P<own>{whole})"]))
        ascii_whole = r"(?<![A-Za-z0-9])(?:{})(?![A-Za-z0-9])".format("|".join(map(re.escape, _spellings(session))))
        self._plain = {spelling.encode().lower() for spelling in _spellings(session)}
        self._bytes = re.compile("|".join([*longer, f"(?P<own>{ascii_whole})"]).encode(), re.IGNORECASE)

    def in_path(self, path: str) -> bool:
        """Whether a path names the session."""
        return any(match["own"] is not None for match in self._path.finditer(folded(path)))

    def in_bytes(self, data: bytes | mmap.mmap) -> bool:
        """Whether a content does."""
        for start in range(0, len(data), PIECE):
            first = max(0, start - MARGIN)
            piece = data[first : start + PIECE + MARGIN]
            lower = piece.lower()
            if any(plain in lower for plain in self._plain):  # a pattern is slow on gigabytes
                for match in self._bytes.finditer(piece):
                    if match["own"] is not None and start <= first + match.start() < start + PIECE:
                        return True
        return False


def folded(name: str) -> str:
    """The form in which names are compared."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _spellings(session: str) -> list[str]:
    forms = [unicodedata.normalize(form, session) for form in ("NFC", "NFD")]
    return sorted({*forms, *(form.casefold() for form in forms)})


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
        models: models that used the session, and in how many versions.
        derived: other outputs that were made from its data and do not name it, and in how many versions.
        lost: how many lists of folders are in no store any more; whose data these versions held, nobody can tell.
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
    derived: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    in_git: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def find(folder: Path, session: str) -> Traces:
    """Look for a session's data; changes nothing.

    Args:
        folder: the project, a git and DVC repository.
        session: its name.

    Raises:
        InputError: it is no such repository, the name is too short to be told from other words, or nothing knows it.
    """
    if not re.fullmatch(r"[\w.-]{2,}", session):
        raise InputError(Problem("attune forget", "", repr(session), "a session's name", "Name one session."))
    cache, remotes = records.stores(folder)
    stores = [cache, *(Path(url) for _, url in remotes if Path(url).is_absolute())]
    versions = list(records.versions(folder, stores))
    uses, lost = records.uses(versions, stores)
    sessions = _sessions(uses, folder)
    name = Name(session, sessions)
    traces = Traces(lost=len(lost))
    traces.objects, traces.shared = _objects(uses, stores, name)
    traces.caches = _files(cache, traces.objects)
    traces.remotes = [(remote, url, _files(Path(url), traces.objects)) for remote, url in remotes]
    derived = _derived(versions, {*traces.objects, *traces.shared})
    traces.models = {path: number for path, number in derived.items() if path.startswith(MODELS)}
    traces.derived = {path: number for path, number in derived.items() if not path.startswith(MODELS)}
    tracked = [blob.path for blob in guard.tracked(folder)]
    traces.workspace, traces.mixed = _workspace(folder, cache, name, {folder / path for path in tracked})
    traces.in_git = [path for path in tracked if name.in_path(path) or _mentions(folder / path, name)]
    text = (folder / "params.yaml").read_text(encoding="utf-8") if (folder / "params.yaml").is_file() else ""
    lines = enumerate(text.splitlines(), start=1)
    traces.lines = [f"{number}: {line.strip()}" for number, line in lines if name.in_path(line)]
    _check_known(session, sessions, traces)
    return traces


def _check_known(session: str, sessions: set[str], traces: Traces) -> None:
    """Refuse a name of which there is no trace at all: mistyped, or erased before."""
    scratch = [path for path in traces.workspace if path.name != "work"]
    found = (scratch, traces.mixed, traces.objects, traces.shared, traces.in_git, traces.lines)
    if any(found) or folded(session) in map(folded, sessions):
        return
    before = f" (or it was erased before: {traces.lost} list(s) of older folders are gone)" if traces.lost else ""
    expected = ", ".join(sorted(sessions)) or "a session of this project"
    cure = f"Check the spelling{before}."
    raise InputError(Problem("attune forget", "", f"no trace of {session!r}", expected, cure))


def erase(traces: Traces, remotes: bool) -> int:
    """Delete what was found in workspace and cache, and on demand in remotes that are folders; returns the number."""
    chosen = [*traces.workspace, *traces.caches]
    if remotes:
        chosen += [path for _, _, files in traces.remotes for path in files]
    for path in chosen:
        artifacts.remove(path)
    return len(chosen)


def _sessions(uses: dict[str, set[str]], folder: Path) -> set[str]:
    """Names of sessions: every video and frame store that is or was there."""
    paths = {path for each in uses.values() for path in each}
    paths |= {path.as_posix() for top in ("video", "frames") for path in folder.glob(f"data/*/{top}/*")}
    return {Path(path).stem for path in paths if Path(path).parent.name in ("video", "frames")}


def _files(store: Path, objects: Iterable[str]) -> list[Path]:
    """The files of a store that hold these objects or are records of runs with them."""
    return [*records.stored(store, objects), *records.runs(store, objects)]


def _objects(uses: dict[str, set[str]], stores: list[Path], name: Name) -> tuple[dict[str, str], dict[str, str]]:
    """Objects to be erased, and those of the session that other files use too."""
    erased, shared = {}, {}
    for md5, paths in sorted(uses.items()):
        own = sorted(path for path in paths if name.in_path(path))
        if own and len(own) == len(paths):
            erased[md5] = own[0]
        elif own:
            shared[md5] = own[0]
        elif md5.endswith(".dir"):
            if any(name.in_path(entry["relpath"]) for entry in records.listing(md5, stores) or []):
                erased[md5] = f"{min(paths)}/ (its list of files)"
        elif not all(path.startswith(MODELS) or folded(Path(path).stem) in name.others for path in paths) and any(
            _mentions(path, name) for path in _stored_anywhere(stores, md5)
        ):
            erased[md5] = f"{min(paths)} (mentions it)"
    return erased, shared


def _stored_anywhere(stores: list[Path], md5: str) -> list[Path]:
    return next((found for store in stores if (found := records.stored(store, [md5]))), [])


def _mentions(path: Path, name: Name) -> bool:
    if not path.is_file() or not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:  # of any size
        return name.in_bytes(data)


def _derived(versions: list[records.Version], session: set[str]) -> dict[str, int]:
    """What was made from some objects, directly or not, and is none of them: path, and the number of versions."""
    found: dict[str, set[str]] = {}
    for version in versions:
        reached, before = set(session), 0
        while len(reached) > before:
            before = len(reached)
            for read, written in version.stages:
                if reached & set(read.values()):
                    reached |= set(written.values())
        for _, written in version.stages:
            for path, md5 in written.items():
                if md5 in reached - session:
                    found.setdefault(path, set()).add(md5)
    return {path: len(each) for path, each in sorted(found.items())}


def _workspace(folder: Path, cache: Path, name: Name, tracked: set[Path]) -> tuple[list[Path], list[Path]]:
    """The session's own files and scratch; and files of several sessions that mention it and git does not track."""
    own, mixed = [], []
    work = folder / "data" / "work"  # unfinished work under names that do not tell whose it is
    tried = folder / ".dvc" / "tmp" / "exps"  # copies of the project in which experiments ran
    queue = [folder]
    while queue:
        for path in sorted(queue.pop().iterdir()):
            if path.name in SKIPPED or path.resolve() == cache.resolve():
                continue
            if path == work or name.in_path(path.name):
                own.append(path)
            elif path.is_dir() and not path.is_symlink():
                queue.append(path)
            elif path.is_relative_to(folder / MODELS) or folded(path.stem) in name.others or not _mentions(path, name):
                continue
            elif path.is_relative_to(tried):
                own.append(path)
            elif path not in tracked and not path.is_relative_to(folder / ".dvc"):
                mixed.append(path)
    return own, mixed
