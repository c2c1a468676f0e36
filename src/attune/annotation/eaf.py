"""ELAN annotation files (EAF 2.x and 3.x): the only place that reads their XML.

Times are integer milliseconds on ELAN's common time line, which starts at 0; a span is half-open,
``[start_ms, end_ms)``. The position inside a medium is that time plus the medium's ``TIME_ORIGIN`` (ELAN's own
players seek to ``time + origin``), see :attr:`Medium.origin_ms`.

What ELAN computes when it shows a file is computed here in the same way: time slots without a value divide the stretch
between their neighbours with one into equal steps of whole milliseconds, an annotation that refers to another one
takes its span (symbolic association) or an equal part of it (symbolic subdivision), and an empty value takes the entry
of the controlled vocabulary that it names. Tier names, values and media names are in Unicode form NFC.

Whether the content follows a protocol is not decided here, see :mod:`attune.annotation.checks`.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote
from xml.etree.ElementTree import Element, ParseError  # types only, parsing is defusedxml's

from defusedxml import DefusedXmlException, ElementTree

from attune.annotation.times import TimeLine
from attune.problems import InputError, Problem, raise_errors

ROOT = "ANNOTATION_DOCUMENT"
RESAVE = "Open the file in ELAN, mend it there and save it."
LFS = b"version https://git-lfs"
# Milliseconds of each unit that the format knows, as a fraction: 25 and 30/1.001 frames per second.
UNITS = {"milliseconds": (1, 1), "PAL-frames": (40, 1), "NTSC-frames": (1001, 30)}
SOUNDS = (".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".aif", ".aiff", ".wma")
INTEGER = re.compile(r"-?[0-9]{1,15}")


@dataclass(frozen=True, slots=True, order=True)
class Annotation:
    """A span of a tier and its value, as ELAN shows them."""

    start_ms: int
    end_ms: int
    value: str


@dataclass(frozen=True, slots=True)
class Tier:
    """A layer of annotations, sorted by time."""

    name: str
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True, slots=True)
class Medium:
    """A linked video or sound file.

    Attributes:
        name: the file's name without its folder.
        origin_ms: time of the medium at which the common time line starts.
        sound: whether its type or its extension says that it has no picture.
    """

    name: str
    origin_ms: int
    sound: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """The content of one file; ``warnings`` tell where a rule had to be applied to read it."""

    file: str
    media: tuple[Medium, ...]
    tiers: tuple[Tier, ...]
    warnings: tuple[Problem, ...]


def read(path: Path) -> Document:
    """Read one ELAN file.

    Raises:
        InputError: the file cannot be read, is not EAF, or contradicts itself; all contradictions are listed.
    """
    return _Reader(path.name).document(_parse(path))


def _parse(path: Path) -> Element:
    """The root of the XML tree; entities and external references are refused, so no file can blow up or reach out."""

    def refuse(found: str, cure: str) -> InputError:
        return InputError(Problem(path.name, "", found, "an ELAN annotation file (EAF)", cure))

    try:
        with path.open("rb") as file:
            head = file.read(len(LFS))
            if not head:
                raise refuse("an empty file", "Restore it from a backup or remove it.")
            if head == LFS:
                raise refuse("a Git LFS pointer", "Fetch the real file with `git lfs pull`.")
            file.seek(0)
            root = ElementTree.parse(file).getroot()
    except ParseError as error:
        raise refuse(f"broken XML ({error})", "Save it again in ELAN or restore it from a backup.") from None
    except DefusedXmlException as error:
        raise refuse(f"a forbidden XML entity ({type(error).__name__})", "Remove the file's DOCTYPE.") from None
    except (ValueError, LookupError) as error:  # an encoding that Python or expat does not know, bad bytes in it
        raise refuse(f"unreadable text ({error})", "Save it again in ELAN, which writes UTF-8.") from None
    except OSError as error:
        raise refuse(f"{error.strerror or error}", "Check the file and its permissions.") from None
    if root is None or root.tag != ROOT:
        raise refuse(f"the root element {'none' if root is None else root.tag}", f"Its root must be {ROOT}.")
    return root


@dataclass(slots=True)
class _Found:
    """An annotation as the file states it: either two time slots, or a parent annotation."""

    tier: int
    value: str
    slots: tuple[str, str] | None = None
    parent: str = ""
    previous: str = ""
    id: str = ""


@dataclass(slots=True)
class _TierHead:
    name: str
    parent: str
    subdivided: bool
    vocabulary: str


@dataclass
class _Reader:
    """Reads one document and collects every contradiction in it."""

    file: str
    problems: list[Problem] = field(default_factory=list)

    def document(self, root: Element) -> Document:
        header = root.find("HEADER")
        unit = self._unit(header)
        media = tuple(self._media(header))
        line = self._time_line(root, unit)
        heads = self._tier_heads(root)
        found = list(self._annotations(root, heads))
        depths = self._depths(heads)
        slots: list[list[tuple[str, str]]] = [[] for _ in heads]
        for annotation in found:
            if annotation.slots:
                slots[annotation.tier].append(annotation.slots)
        line.interpolate(slots[tier] for tier in sorted(range(len(heads)), key=lambda i: (depths[i], heads[i].name)))
        spans = self._spans(found, heads, line)
        raise_errors(self.problems)
        tiers: list[list[Annotation]] = [[] for _ in heads]
        for annotation, span in zip(found, spans, strict=True):
            tiers[annotation.tier].append(Annotation(*span, annotation.value))
        return Document(
            self.file,
            media,
            tuple(Tier(head.name, tuple(sorted(rows))) for head, rows in zip(heads, tiers, strict=True)),
            tuple(sorted(self.problems)),
        )

    def _report(self, where: str, found: str, expected: str, cure: str = RESAVE, *, warn: bool = False) -> None:
        self.problems.append(Problem(self.file, where, found, expected, cure, "warning" if warn else "error"))

    def _unit(self, header: Element | None) -> tuple[int, int]:
        unit = None if header is None else header.get("TIME_UNITS")
        if not unit:
            self._report("HEADER", "no TIME_UNITS", "TIME_UNITS", "Its times are taken as milliseconds.", warn=True)
            return UNITS["milliseconds"]
        if unit not in UNITS:
            self._report("HEADER", f"TIME_UNITS '{unit}'", f"one of {', '.join(UNITS)}")
        return UNITS.get(unit, (1, 1))

    def _media(self, header: Element | None) -> Iterator[Medium]:
        for medium in [] if header is None else header.iter("MEDIA_DESCRIPTOR"):
            url = (medium.get("MEDIA_URL") or medium.get("RELATIVE_MEDIA_URL") or "").replace("\\", "/")
            name = _nfc(PurePosixPath(unquote(url)).name)
            origin = (medium.get("TIME_ORIGIN") or "0").strip()
            if not INTEGER.fullmatch(origin):
                self._report(f"medium {name}", f"TIME_ORIGIN '{origin}'", "a whole number of milliseconds")
                origin = "0"
            sound = (medium.get("MIME_TYPE") or "").startswith("audio/") or name.lower().endswith(SOUNDS)
            yield Medium(name, int(origin), sound)

    def _time_line(self, root: Element, unit: tuple[int, int]) -> TimeLine:
        line = TimeLine()
        above, below = unit
        for slot in root.iterfind("TIME_ORDER/TIME_SLOT"):
            name, text = slot.get("TIME_SLOT_ID", ""), slot.get("TIME_VALUE", "").strip()
            if not name or name in line.times:
                self._report(f"time slot {name or '(no name)'}", "it twice" if name else "no id", "a unique id")
                continue
            if text and not (INTEGER.fullmatch(text) and int(text) >= -1):
                self._report(f"time slot {name}", f"TIME_VALUE '{text}'", "a whole number, not negative")
                text = ""
            # ELAN marks a slot without a time by leaving the value out or by -1.
            line.times[name] = None if text in ("", "-1") else (2 * above * int(text) + below) // (2 * below)
        return line

    def _tier_heads(self, root: Element) -> list[_TierHead]:
        types = {kind.get("LINGUISTIC_TYPE_ID", ""): kind for kind in root.iterfind("LINGUISTIC_TYPE")}
        heads = []
        for tier in root.iterfind("TIER"):
            kind = types.get(tier.get("LINGUISTIC_TYPE_REF", ""))
            constraint = "" if kind is None else kind.get("CONSTRAINTS", "")
            vocabulary = "" if kind is None else kind.get("CONTROLLED_VOCABULARY_REF", "")
            name, parent = _nfc(tier.get("TIER_ID", "")), _nfc(tier.get("PARENT_REF", ""))
            if not name:
                self._report("TIER", "no TIER_ID", "a name")
            subdivided = constraint.replace(" ", "_").casefold() == "symbolic_subdivision"
            heads.append(_TierHead(name, parent, subdivided, vocabulary))
        names = {head.name for head in heads}
        for head in heads:
            if head.parent and head.parent not in names:
                self._report(f"tier {head.name}", f"the parent tier '{head.parent}'", "a tier of this file", warn=True)
        return heads

    def _depths(self, heads: list[_TierHead]) -> list[int]:
        """How many tiers stand above each tier; a tier that is its own ancestor is reported."""
        parents = {head.name: head.parent for head in heads}
        depths: dict[str, int] = {}
        for head in heads:
            name, path = head.name, dict[str, None]()
            while name and name in parents and name not in depths and name not in path:
                path[name] = None
                name = parents[name]
            if name in path:
                self._report(f"tier {head.name}", f"a cycle through the tier '{name}'", "a parent tier above it")
            for above, tier in enumerate(reversed(path), start=depths.get(name, 0) + 1):
                depths[tier] = above
        return [depths.get(head.name, 0) for head in heads]

    def _annotations(self, root: Element, heads: list[_TierHead]) -> Iterator[_Found]:
        entries = _vocabularies(root)
        for index, (tier, head) in enumerate(zip(root.iterfind("TIER"), heads, strict=True)):
            for element in tier.iter():  # at any depth: some converters nest one ANNOTATION in another
                if element.tag not in ("ALIGNABLE_ANNOTATION", "REF_ANNOTATION"):
                    continue
                value = _nfc(element.findtext("ANNOTATION_VALUE") or "")
                if not value.strip() and (entry := element.get("CVE_REF")):
                    value = entries.get((head.vocabulary, entry)) or entries.get(("", entry), "")
                name = element.get("ANNOTATION_ID", "")
                if element.tag == "ALIGNABLE_ANNOTATION":
                    slots = element.get("TIME_SLOT_REF1", ""), element.get("TIME_SLOT_REF2", "")
                    yield _Found(index, value, slots=slots, id=name)
                else:
                    previous = element.get("PREVIOUS_ANNOTATION", "")
                    yield _Found(index, value, parent=element.get("ANNOTATION_REF", ""), previous=previous, id=name)

    def _spans(self, found: list[_Found], heads: list[_TierHead], line: TimeLine) -> list[tuple[int, int]]:
        """The span of every annotation, in the given order; one that cannot be had is reported and given as (0, 0)."""
        uses = Counter(annotation.id for annotation in found if annotation.id)
        ids = {annotation.id: index for index, annotation in enumerate(found) if uses[annotation.id] == 1}
        shares = _shares(found, heads)
        spans: dict[int, tuple[int, int]] = {}
        for index, annotation in enumerate(found):
            path = {index: annotation}  # from here up to an annotation whose span is known
            while annotation.slots is None and index not in spans:
                parent = ids.get(annotation.parent, -1)
                if parent < 0 or parent in path:
                    self._report_reference(heads[annotation.tier].name, annotation, uses[annotation.parent])
                    spans[index] = (0, 0)
                else:
                    index, annotation = parent, found[parent]
                    path[index] = annotation
            if index not in spans:
                spans[index] = self._slot_span(heads[annotation.tier].name, annotation, line)
            start, end = spans[index]
            for child in list(path)[-2::-1]:
                part, parts = shares.get(child, (0, 1))
                start, end = start + (end - start) * part // parts, start + (end - start) * (part + 1) // parts
                spans[child] = start, end
        return [spans[index] for index in range(len(found))]

    def _report_reference(self, tier: str, annotation: _Found, uses: int) -> None:
        if uses == 0:
            found = f"a reference to '{annotation.parent}', which is not in the file"
        elif uses > 1:
            found = f"a reference to '{annotation.parent}', which is {uses} times in the file"
        else:
            found = f"a cycle of references through '{annotation.parent}'"
        self._report(f"tier {tier}, annotation {annotation.id or '(no id)'}", found, "one annotation that it refers to")

    def _slot_span(self, tier: str, annotation: _Found, line: TimeLine) -> tuple[int, int]:
        times = []
        for slot in annotation.slots or ():
            where = f"tier {tier}, annotation {annotation.id or '(no id)'}"
            time = line.times.get(slot)
            if slot not in line.times:
                self._report(where, f"the time slot '{slot}'", "a time slot of this file")
            elif time is None:
                self._report(where, f"the time slot '{slot}' without a time around it", "times to interpolate between")
            times.append(time or 0)
        return times[0], times[1]


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _vocabularies(root: Element) -> dict[tuple[str, str], str]:
    """The value of every vocabulary entry, by vocabulary and entry; also by entry alone (the first one)."""
    entries: dict[tuple[str, str], str] = {}
    for vocabulary in root.iterfind("CONTROLLED_VOCABULARY"):
        for entry in vocabulary.iterfind("CV_ENTRY_ML"):
            name, value = entry.get("CVE_ID", ""), _nfc(entry.findtext("CVE_VALUE") or "")
            entries[vocabulary.get("CV_ID", ""), name] = value
            entries.setdefault(("", name), value)
    return entries


def _shares(found: list[_Found], heads: list[_TierHead]) -> dict[int, tuple[int, int]]:
    """Which part of how many of its parent's span an annotation of a subdivided tier covers."""
    families: dict[tuple[int, str], list[int]] = {}
    for index, annotation in enumerate(found):
        if annotation.slots is None and heads[annotation.tier].subdivided:
            families.setdefault((annotation.tier, annotation.parent), []).append(index)
    return {
        child: (part, len(family))
        for family in families.values()
        for part, child in enumerate(_in_order(family, found))
    }


def _in_order(family: list[int], found: list[_Found]) -> list[int]:
    """Siblings in the order that their PREVIOUS_ANNOTATION states, else in that of the file."""
    members = {found[index].id for index in family if found[index].id}
    followers: dict[str, list[int]] = {}
    for index in family:
        previous = found[index].previous
        followers.setdefault(previous if previous in members else "", []).append(index)
    ordered: list[int] = []
    todo = followers.pop("", [])[::-1]
    while todo:
        ordered.append(todo.pop())
        todo += followers.pop(found[ordered[-1]].id, [])[::-1]
    return ordered + sorted(index for rest in followers.values() for index in rest)
