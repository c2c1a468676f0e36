"""Writing tiers into ELAN annotation files, new ones or copies of files that people made.

A copy keeps all elements of its original (XML comments are lost): the tree is extended, not written anew from what was
understood of it. Times are integer milliseconds, spans half-open, as in :mod:`attune.annotation.eaf`, which also checks
an original before this module touches it.
"""

import io
import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as Tree  # building and writing; parsing is defusedxml's

from defusedxml import ElementTree

from attune import artifacts
from attune.annotation import eaf
from attune.annotation.eaf import Annotation
from attune.problems import Problem, raise_errors

_SCHEMA = "http://www.w3.org/2001/XMLSchema-instance"
_DATE = "2000-01-01T00:00:00+00:00"  # required by the format; fixed, so that equal content gives equal bytes
_MIME_TYPES = {".mp4": "video/mp4", ".mov": "video/quicktime", ".mpg": "video/mpeg", ".m4v": "video/x-m4v"}
_KIND = "attune"  # the linguistic type of the added tiers
# What the format allows in front of a tier and in front of a linguistic type, in its order.
_BEFORE_TIERS = ("LICENSE", "HEADER", "TIME_ORDER", "TIER")
_BEFORE_KINDS = (*_BEFORE_TIERS, "LINGUISTIC_TYPE")


@dataclass(frozen=True)
class NewTier:
    """A tier to be added: its name and its spans, which do not overlap."""

    name: str
    spans: Sequence[Annotation]


def write(path: Path, video: Path, tiers: Iterable[NewTier]) -> None:
    """Write a new file that links a video.

    Args:
        path: the new file.
        video: the medium; its place is written relative to the new file too, so that both can be moved together.
        tiers: what it holds.
    """
    root = Tree.Element(
        eaf.ROOT,
        {
            "AUTHOR": "attune",
            "DATE": _DATE,
            "FORMAT": "3.0",
            "VERSION": "3.0",
            f"{{{_SCHEMA}}}noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
        },
    )
    header = Tree.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    medium = {"MEDIA_URL": _own_path(video).as_uri(), "MIME_TYPE": _MIME_TYPES.get(video.suffix.lower(), "unknown")}
    if (relative := _relative(video, path.parent)) is not None:
        medium["RELATIVE_MEDIA_URL"] = relative
    Tree.SubElement(header, "MEDIA_DESCRIPTOR", medium)
    Tree.SubElement(root, "TIME_ORDER")
    _add(root, tiers)
    _save(path, root)


def check_copy(path: Path, original: Path, names: Collection[str]) -> eaf.Document:
    """Hold a file against what a copy with more tiers needs.

    Args:
        path: the copy.
        original: an ELAN file.
        names: of the tiers that are to be added.

    Raises:
        InputError: the original cannot be read, counts time in video frames, has a tier of one of the names, or is
            where the copy is to be.
    """
    document = eaf.read(original)
    problems = []
    header = _root(original).find("HEADER")
    unit = "milliseconds" if header is None else header.get("TIME_UNITS") or "milliseconds"
    if unit != "milliseconds":
        cure = "Save it with a newer ELAN."
        problems.append(Problem(original.name, "HEADER", f"TIME_UNITS '{unit}'", "milliseconds", cure))
    for name in sorted({*names} & {tier.name for tier in document.tiers}):
        cure = "Rename or delete that tier, or give a file without it."
        problems.append(Problem(original.name, f"tier {name}", "a tier of this name", "none yet", cure))
    if path.exists() and path.samefile(original):
        cure = "Choose another folder for the results."
        problems.append(Problem(original.name, "", "the place where its copy would be written", "another", cure))
    raise_errors(problems)
    return document


def write_copy(path: Path, original: Path, video_name: str, tiers: Iterable[NewTier]) -> None:
    """Write a copy of a file with more tiers; the original stays as it is.

    Args:
        path: the copy.
        original: an ELAN file.
        video_name: file name of the medium in whose time the new spans are; if the original links it with an offset
            (``TIME_ORIGIN``), they are moved to the file's own time line.
        tiers: what is added.

    Raises:
        InputError: see :func:`check_copy`.
    """
    tiers = list(tiers)
    document = check_copy(path, original, {tier.name for tier in tiers})
    root = _root(original)
    origin = next((medium.origin_ms for medium in document.media if medium.name == video_name), 0)
    _add(root, [_moved(tier, -origin) for tier in tiers])
    _save(path, root)


def _root(path: Path) -> Tree.Element:
    root = ElementTree.parse(path).getroot()
    assert root is not None  # noqa: S101 - eaf.read has refused such a file
    return root


def _moved(tier: NewTier, by_ms: int) -> NewTier:
    """A tier on another time line; what would lie before its start is cut off."""
    spans = [Annotation(max(0, s.start_ms + by_ms), s.end_ms + by_ms, s.value) for s in tier.spans]
    return NewTier(tier.name, [span for span in spans if span.end_ms > span.start_ms])


def _add(root: Tree.Element, tiers: Iterable[NewTier]) -> None:
    order = root.find("TIME_ORDER")
    if order is None:
        order = Tree.Element("TIME_ORDER")
        root.insert(_place(root, ("LICENSE", "HEADER")), order)
    slot = _last_number(order.iter("TIME_SLOT"), "TIME_SLOT_ID")
    noted = _note_of_last_annotation(root)
    number = max(
        _last_number(root.iter(), "ANNOTATION_ID"),
        int(found.group()) if (found := re.fullmatch("[0-9]{1,15}", noted.text or "")) else 0,
    )
    kinds = {kind.get("LINGUISTIC_TYPE_ID") for kind in root.iterfind("LINGUISTIC_TYPE")}
    for tier in tiers:
        element = Tree.Element("TIER", LINGUISTIC_TYPE_REF=_KIND, TIER_ID=tier.name)
        root.insert(_place(root, _BEFORE_TIERS), element)
        for span in tier.spans:
            for time_ms in (span.start_ms, span.end_ms):
                slot += 1
                Tree.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=f"ts{slot}", TIME_VALUE=str(time_ms))
            number += 1
            annotation = Tree.SubElement(
                Tree.SubElement(element, "ANNOTATION"),
                "ALIGNABLE_ANNOTATION",
                ANNOTATION_ID=f"a{number}",
                TIME_SLOT_REF1=f"ts{slot - 1}",
                TIME_SLOT_REF2=f"ts{slot}",
            )
            Tree.SubElement(annotation, "ANNOTATION_VALUE").text = span.value
    if _KIND not in kinds:
        kind = {"GRAPHIC_REFERENCES": "false", "LINGUISTIC_TYPE_ID": _KIND, "TIME_ALIGNABLE": "true"}
        root.insert(_place(root, _BEFORE_KINDS), Tree.Element("LINGUISTIC_TYPE", kind))
    noted.text = str(number)


def _place(root: Tree.Element, before: Sequence[str]) -> int:
    """Index behind the last child that has one of the names."""
    return max((index + 1 for index, child in enumerate(root) if child.tag in before), default=0)


def _last_number(elements: Iterable[Tree.Element], attribute: str) -> int:
    """The largest number in which an id ends."""
    ids = (re.search(r"[0-9]{1,15}$", element.get(attribute, "")) for element in elements)
    return max((int(found.group()) for found in ids if found), default=0)


def _note_of_last_annotation(root: Tree.Element) -> Tree.Element:
    """Where ELAN notes the last number that it gave to an annotation; it gives none twice."""
    header = root.find("HEADER")
    if header is None:
        header = Tree.Element("HEADER", TIME_UNITS="milliseconds")
        root.insert(_place(root, ("LICENSE",)), header)
    for entry in header.iterfind("PROPERTY"):
        if entry.get("NAME") == "lastUsedAnnotationId":
            return entry
    return Tree.SubElement(header, "PROPERTY", NAME="lastUsedAnnotationId")


def _save(path: Path, root: Tree.Element) -> None:
    Tree.register_namespace("xsi", _SCHEMA)
    Tree.indent(root, "    ")
    buffer = io.BytesIO()
    Tree.ElementTree(root).write(buffer, encoding="UTF-8", xml_declaration=True)
    with artifacts.replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue() + b"\n")


def _own_path(video: Path) -> Path:
    """Where the video is, under its own name, which is a link where DVC keeps the content elsewhere."""
    return video.parent.resolve() / video.name


def _relative(video: Path, folder: Path) -> str | None:
    """The video's place as ELAN writes it, seen from a folder; None across drives."""
    try:
        return f"./{Path(os.path.relpath(_own_path(video), folder.resolve())).as_posix()}"
    except ValueError:
        return None
