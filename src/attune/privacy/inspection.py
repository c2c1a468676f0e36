"""What of a file's content must not be in git: media, ELAN files, painted maps, photographs, machine paths.

Git may hold text and drawn figures (PNG). Everything else that is binary is refused, whatever its name, because it
cannot be read in a review; so a format that is missing in :mod:`attune.privacy.content` is refused all the same. Text
is searched for what is embedded in it (base64 in HTML, JSON, SVG and notebooks, decoded and inspected in the same way).
"""

import base64
import bz2
import io
import itertools
import json
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator

from attune.privacy import content, pictures

LARGEST = 20_000_000  # bytes of one file
DEPTH = 4  # archives and embedded data inside each other
HEAD = 1 << 20  # bytes of an archive's member that are looked at
MEMBERS = 200
# Names that documentation and container images use; they are nobody's.
NOBODY = r"(?:you|user|username|me|name|attune|runner|<[^>]*>|\$\{?\w+\}?|\{\w*\}|\.\.\.)"
_PERSON = rf"(?!{NOBODY}(?![\w.-]))\w[\w.-]*"
MACHINE_PATH = re.compile(
    rf"(?<![\w.~$}}/])(?:/(?:home|Users|Volumes|media|mnt|scratch)/{_PERSON}|/root/[\w.-]+|/var/folders/\w+)"
    r"|(?<!\w)[D-Z]:\\{1,2}[A-Za-z][\w -]{2,}\\{1,2}\w"  # a drive of Windows
    r"|(?<![\w\\:/])\\{2}(?:\\{2})?[A-Za-z][\w.-]{2,}\\{1,2}[A-Za-z][\w$-]{2,}"  # a server's folder
    rf"|(?<!\w)[A-Za-z]:(?:\\{{1,2}}|/)(?:Users|Documents and Settings)(?:\\{{1,2}}|/){_PERSON}"
    rf"|file://(?:localhost)?(?:/(?:home|Users)/{_PERSON}|/root/[\w.-]+)"
)
# A run of base64, also over the lines of a JSON list, as notebooks store pictures.
_BETWEEN = r"(?:\\n|\\r|[\s\"',])*"
_BASE64 = re.compile(rf"[A-Za-z0-9+/_-]{{32,}}(?:{_BETWEEN}[A-Za-z0-9+/_-]{{20,}})*(?:{_BETWEEN}[A-Za-z0-9+/_-]+)?")
_SEPARATOR = re.compile(r"(?:\\n|\\r|[\s\"',])+")
_PEEK = 512  # characters that tell what a run begins with
_SMALLEST = 200  # bytes; nothing smaller shows anyone, and hashes are shorter
_MEDIA_URI = re.compile(r"data:(?:video|audio)/", re.IGNORECASE)
_LONG_RUN = re.compile(r"[A-Za-z0-9+/_-]{60,}")
_PROLOGUE = re.compile(r"(?:\s|\ufeff|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>[]*(?:\[.*?\])?\s*>)*<(?:\w+:)?(\w+)", re.DOTALL)
_EAF = "ANNOTATION_DOCUMENT"
# ELAN's root element anywhere, behind a log line perhaps, with a time that no template fills in.
_EAF_INSIDE = re.compile(
    rf"<(?:\w+:)?{_EAF}\s[^<{{]*>.*?<(?:\w+:)?TIME_SLOT\s[^<>{{]*TIME_VALUE=.?\"\d+.?\"", re.DOTALL
)
# Chunks of a PNG that hold the drawing or a few numbers about it; texts, profiles and cameras' data are looked at.
_DRAWING = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"sBIT", b"bKGD", b"hIST",
            b"tIME", b"acTL", b"fcTL", b"fdAT", b"cICP"}  # fmt: skip


def inspect(data: bytes, depth: int = 0) -> Iterator[str]:
    """Yield what is wrong with a file's content, each as a phrase (``an AVI video``); nothing if git may hold it."""
    if len(data) > LARGEST:
        yield f"a file of {len(data) // 1_000_000} MB"
    elif depth > DEPTH:
        yield "data embedded too deep to be inspected"
    elif not data:
        return
    elif (kind := content.kind(data)) == "PNG":
        yield from _png(data, depth)
    elif kind and not (kind.endswith("archive")) and not _plain(data):
        yield kind
    elif kind and not _plain(data):
        yield from _archive(kind, data, depth)
    elif (text := content.text(data)) is None:
        yield "a binary file of an unknown kind"
    else:
        yield from _text(text, depth)


def _plain(data: bytes) -> bool:
    """Whether it reads as text without control characters; a text may begin with "ID3" or "BM"."""
    text = content.text(data)
    return (
        text is not None and not re.search(r"[\x01-\x08\x0e-\x1a\x7f]", text[:4096]) and not data.startswith(b"%PDF-")
    )


def _text(text: str, depth: int) -> Iterator[str]:
    root = _PROLOGUE.match(text)
    if (root and root[1] == _EAF) or (_EAF in text and _EAF_INSIDE.search(text)):
        yield "an ELAN annotation file"
    if text.startswith(('File type = "ooTextFile', "File type = 'ooTextFile")):
        yield "a Praat file of annotations"
    if _painted(text):
        yield "the strokes of a painted map"
    if found := MACHINE_PATH.search(text):
        yield f"the machine path {found[0]}"
    if _MEDIA_URI.search(text) and _LONG_RUN.search(text):
        yield "embedded video or sound"
    yield from dict.fromkeys(_embedded(text, depth))


def _painted(text: str) -> bool:
    """Whether it is JSON as the painting window saves it: strokes with their points."""
    if '"strokes"' not in text or not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except ValueError:
        return False
    return '"points"' in text or '"radius"' in text


def _embedded(text: str, depth: int) -> Iterator[str]:
    """What base64 runs decode to, as far as it has a known kind; hashes and keys decode to nothing known."""
    for run in _runs(text):
        whole = len(run) - (len(run) % 4 == 1)  # a character alone encodes nothing
        data = base64.b64decode(run[:whole] + "=" * (-whole % 4))
        if len(data) < _SMALLEST:
            continue
        kind = content.kind(data[:512])
        if kind and kind != content.MPEG_AUDIO:  # a signature of two bytes, which chance finds
            yield from (f"{what}, embedded as base64" for what in inspect(data, depth + 1))
        elif (inner := content.text(data[: len(data) // 8 * 8])) is not None:
            yield from (f"{what}, embedded as base64" for what in _text(inner, depth + 1))


def _runs(text: str) -> Iterator[str]:
    """Runs of base64, cut where a line or a value begins as a file does: behind a hash, or one picture of several."""
    for found in _BASE64.finditer(text):
        parts = [part.translate(str.maketrans("-_", "+/")) for part in _SEPARATOR.split(found[0])]
        starts = [0, *(place for place, part in enumerate(parts) if place and _begins(part)), len(parts)]
        yield from ("".join(parts[start:end]) for start, end in itertools.pairwise(starts))


def _begins(part: str) -> bool:
    """Whether a part is the beginning of a file, by a signature that chance does not find in every picture."""
    head = part[: min(_PEEK, len(part) // 4 * 4)]
    data = base64.b64decode(head)
    if data.startswith((b"<?xml", b"\xef\xbb\xbf<?xml", b"<ANNOTATION_DOCUMENT")):
        return True
    kind = content.kind(data) if len(data) >= 12 else None
    weak = kind in (content.MPEG_AUDIO, content.PICKLE) or (data[:2] == b"\x1f\x8b" and data[2:3] != b"\x08")
    return kind is not None and not weak


def _png(data: bytes, depth: int) -> Iterator[str]:
    end = None
    for name, start, body in _chunks(data):
        end = start + len(body) + 12
        if name == b"acTL":
            yield "an animated PNG"
        elif name == b"eXIf":
            yield "a PNG with a camera's data (EXIF)"
        elif name in (b"tEXt", b"iTXt", b"zTXt"):
            yield from (f"{what} in a PNG's texts" for what in _png_text(name, body, depth))
        elif name == b"iCCP" and _inflated(body.partition(b"\x00")[2][1:])[36:40] != b"acsp":
            yield "a PNG whose colour profile is none"
        elif name not in _DRAWING and name != b"iCCP" and len(body) >= _SMALLEST:
            yield f"a PNG with unknown data ({name.decode('latin-1')!r})"
        if name == b"IEND":
            break
    if end != len(data) and depth == 0:  # the end of an embedded one is not known exactly
        yield "a PNG with other data behind its end, or cut short"
    shows = pictures.photograph(data)
    if shows is None:
        yield "a PNG that cannot be decoded"
    elif shows:
        yield "a photograph (or a drawing that looks like one)"


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    place = 8
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        yield data[place + 4 : place + 8], place, data[place + 8 : place + 8 + length]
        place += 12 + length


def _png_text(name: bytes, body: bytes, depth: int) -> Iterator[str]:
    value = body.partition(b"\x00")[2]
    if name == b"zTXt":
        body = value = _inflated(value[1:])
    elif name == b"iTXt":
        compressed, value = value[:1] == b"\x01", value.split(b"\x00", 3)[-1]
        body = value = _inflated(value) if compressed else value
    if len(value) >= _SMALLEST and (kind := content.kind(value)) and not _plain(value):
        yield kind
    yield from _text(body.replace(b"\x00", b" ").decode("latin-1"), depth + 1)


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, HEAD)
    except zlib.error:
        return b""


def _archive(kind: str, data: bytes, depth: int) -> Iterator[str]:
    """An archive is refused as such; what it holds is named as far as it can be opened."""
    inside = sorted({what for member in _members(kind, data) for what in inspect(member, depth + 1)})
    yield f"{kind} that holds {', '.join(inside)}" if inside else kind


def _members(kind: str, data: bytes) -> list[bytes]:
    try:
        if kind == "a ZIP archive":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                return [archive.open(name).read(HEAD) for name in archive.infolist()[:MEMBERS] if not name.is_dir()]
        if kind == "a tar archive":
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                files = [tar.extractfile(member) for member in tar.getmembers()[:MEMBERS] if member.isfile()]
                return [file.read(HEAD) for file in files if file]
        if kind == "a gzip archive":
            return [zlib.decompressobj(wbits=31).decompress(data, HEAD)]
        if kind == "a bzip2 archive":
            return [bz2.BZ2Decompressor().decompress(data, HEAD)]
        if kind == "an xz archive":
            return [lzma.LZMADecompressor().decompress(data, HEAD)]
    except Exception:  # noqa: S110 - a damaged, encrypted or unknown archive is refused without names
        pass
    return []
