"""A copy of a raw folder in which codes stand for sessions and annotators.

The copy has the same layout (engagement/, video/, attention/). Its own last check searches every byte of it for the
original names: in file names and texts as words, in videos and arrays as bytes (names of four characters or more,
since shorter ones occur by chance).
"""

import datetime
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from attune import artifacts
from attune.annotation.protocol import NameParts, Protocol
from attune.privacy import names, scrubbing
from attune.problems import InputError, Problem, raise_errors
from attune.video import files

SHORTEST = 4  # characters of a name that is searched for in binary files
CODES = "s[0-9]{10}"


@dataclass(frozen=True)
class Codes:
    """What stands for every name, and how far dates are moved at most."""

    key: bytes
    sessions: dict[str, str]
    annotators: dict[str, str]
    most_days: int

    def rename(self, text: str) -> str:
        """A text that is an annotator's name, or is or begins with a session's (a snippet), with the code instead."""
        if text in self.annotators:
            return self.annotators[text]
        session, dash, rest = text.partition("-")
        for start, end in ((session, dash + rest), (text, "")):
            if start in self.sessions:
                return self.sessions[start] + end
        longer = [name for name in self.sessions if text.startswith(f"{name}-")]  # a name with a dash in it
        return self.sessions[max(longer, key=len)] + text[len(max(longer, key=len)) :] if longer else text

    def file_name(self, parts: NameParts, protocol: Protocol) -> str:
        """The new name of an ELAN file, without its ending."""
        date = protocol.parse_date(parts.date)
        moved = names.shifted(date, parts.session, self.key, self.most_days) if date else None
        written = moved.strftime(protocol.date_format) if moved else ""
        codes = {"session": self.sessions[parts.session], "annotator": self.annotators[parts.annotator]}
        return protocol.file_name.format(**codes, date=written)


def plan(source: Path, protocol: Protocol, groups: dict[str, list[str]], key: bytes, most_days: int) -> Codes:
    """Give every session and annotator of a raw folder and of the protocol a code.

    Raises:
        InputError: an ELAN file's name does not follow the protocol, or two names have the same code.
    """
    parts = [_parts(path, protocol) for path in _elan_files(source)]
    listed = [] if isinstance(protocol.sessions, str) else protocol.sessions
    videos = files.find_videos(source / "video")[0] if (source / "video").is_dir() else {}
    sessions = {*(part.session for part in parts), *videos, *listed, *protocol.assigned}
    sessions |= {name for members in groups.values() for name in members}
    annotators = {*(part.annotator for part in parts), *protocol.annotators}
    if (source / "attention").is_dir():
        annotators |= {path.name for path in (source / "attention").iterdir() if path.is_dir()}
    codes = names.codes(sessions, "session", key), names.codes(annotators, "annotator", key)
    return Codes(key, *codes, most_days)


def copy(source: Path, target: Path, protocol: Protocol, codes: Codes) -> list[str]:
    """Write the copy, whole or not at all.

    Returns:
        What of the source was not copied.

    Raises:
        InputError: the target is there already, a file cannot be copied, or a name remains in the copy.
    """
    if target.exists():
        raise InputError(Problem(str(target), "", "a file or folder", "nothing yet", "Name a new folder."))
    with artifacts.replacing_folder(target) as folder:
        videos = files.find_videos(source / "video")[0] if (source / "video").is_dir() else {}
        (folder / "video").mkdir()
        for session, path in videos.items():
            scrubbing.video(path, folder / "video" / f"{codes.sessions[session]}{path.suffix.lower()}")
        for path in _elan_files(source):
            parts = _parts(path, protocol)
            suffix = videos[parts.session].suffix.lower() if parts.session in videos else ".mp4"
            new = folder / "engagement" / f"{codes.file_name(parts, protocol)}.eaf"
            if new.exists():
                raise InputError(
                    Problem(path.name, "", f"the new name {new.name} twice", "one file each", "Rename it.")
                )
            video = f"{codes.sessions[parts.session]}{suffix}"
            scrubbing.annotations(path, new, parts.session, video, protocol)
        for annotator, code in codes.annotators.items():
            for path in sorted((source / "attention" / annotator).glob("[!.]*/")):
                scrubbing.painting(path, folder / "attention" / code / codes.rename(path.name), codes.rename)
        raise_errors(remaining(folder, codes))
        scrubbing.set_times(folder)
    return sorted(path.relative_to(source).as_posix() for path in _others(source, videos))


def remaining(folder: Path, codes: Codes) -> list[Problem]:
    """Where an original name is still to be found."""
    originals = [*codes.sessions, *codes.annotators]
    words = _words(codes)
    long = [name.encode() for name in originals if len(name) >= SHORTEST]
    problems = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        found = [match[0] for match in words.finditer(name)]
        if path.is_file():
            found += [match[0] for match in words.finditer(scrubbing.readable(path))]
            for data in _bytes(path):
                found += [one.decode() for one in long if one.lower() in data.lower()]
        for one in dict.fromkeys(found):
            cure = "Remove it from the original, or report it."
            problems.append(Problem(name, "", f"the name {one}", "no original name", cure))
    return problems


def _words(codes: Codes) -> re.Pattern[str]:
    """Every original name as a word, whatever its case; an underscore ends a word."""
    originals = map(re.escape, [*codes.sessions, *codes.annotators])
    return re.compile(r"(?<![^\W_])(?:" + "|".join(originals) + r")(?![^\W_])", re.IGNORECASE)


def parameters(text: str, protocol: Protocol, codes: Codes) -> str:
    """The text of params.yaml with the codes and the wider range of dates.

    Raises:
        InputError: a name remains, in a comment perhaps.
    """
    yaml = YAML()
    yaml.width, yaml.preserve_quotes = 120, True
    yaml.indent(mapping=2, sequence=4, offset=2)
    document = yaml.load(text)
    for section, values in fragment(document, protocol, codes).items():
        document["engagement"][section].update(values)
    buffer = _Text()
    yaml.dump(document, buffer)
    if found := _words(codes).search(buffer.text):
        cure = "It stands in a comment or in another section; remove it there."
        raise InputError(Problem("params.yaml", "", f"the name {found[0]}", "no original name", cure))
    return buffer.text


def fragment(document: Any, protocol: Protocol, codes: Codes) -> dict[str, dict[str, Any]]:
    """What params.yaml must say for the copy: keys of ``engagement.protocol`` and ``engagement.folds``."""
    days = datetime.timedelta(days=codes.most_days)
    changed: dict[str, Any] = {
        "sessions": CODES
        if isinstance(protocol.sessions, str)
        else sorted(codes.sessions[s] for s in protocol.sessions),
        "annotators": sorted(codes.annotators[name] for name in protocol.annotators),
        "assigned": {
            codes.sessions[session]: sorted(codes.annotators[name] for name in members)
            for session, members in protocol.assigned.items()
        },
        "first_date": (protocol.first_date - days).isoformat(),
        "last_date": (protocol.last_date + days).isoformat(),
    }
    groups = document["engagement"].get("folds", {}).get("groups", {})
    mapped = {name: sorted(codes.sessions[str(one)] for one in members) for name, members in groups.items()}
    return {"protocol": changed} | ({"folds": {"groups": mapped}} if groups else {})


class _Text:
    """Something that ruamel can write to."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, part: str | bytes) -> None:
        self.text += part.decode() if isinstance(part, bytes) else part


def _elan_files(source: Path) -> list[Path]:
    folder = source / "engagement"
    return sorted(path for path in folder.glob("*.eaf") if not path.name.startswith("."))


def _parts(path: Path, protocol: Protocol) -> NameParts:
    parts = protocol.parse_name(path.stem)
    if parts is None or (parts.date and protocol.parse_date(parts.date) is None):
        cure = "Rename it; what a name means must be known before it can be replaced."
        raise InputError(Problem(path.name, "", "another name", f"{protocol.file_name}.eaf", cure))
    return parts


def _bytes(path: Path) -> Iterator[bytes]:
    """A file's content in overlapping pieces, and the members of an array archive."""
    before = b""
    with path.open("rb") as file:
        while piece := file.read(1 << 22):
            yield before + piece
            before = piece[-256:]
    if path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            yield from (name.filename.encode() + archive.read(name) + name.comment for name in archive.infolist())


def _others(source: Path, videos: dict[str, Path]) -> Iterator[Path]:
    known = {*_elan_files(source), *videos.values(), source / "attention", source / "engagement", source / "video"}
    for folder in (source, source / "engagement", source / "video"):
        if folder.is_dir():
            yield from (path for path in folder.iterdir() if path not in known)
