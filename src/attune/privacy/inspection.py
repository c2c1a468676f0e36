"""What of a file's content must not be in git: media, ELAN files, painted maps, photographs, machine paths.

Git may hold text and drawn figures (PNG). Everything else that is binary is refused, whatever its name, because it
cannot be read in a review; so a format that is missing in :mod:`attune.privacy.content` is refused all the same. Text
is searched for what is embedded in it (base64 in HTML, JSON, SVG and notebooks, decoded and inspected in the same way).
"""

import base64
import bz2
import io
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
_PERSON = rf"(?!{NOBODY}(?![\w.-]))[A-Za-z0-9_][\w.-]*"
MACHINE_PATH = re.compile(
    rf"(?<![\w.~$}}/])(?:/(?:home|Users)/{_PERSON}|/root/[\w.-]+|/var/folders/\w+)"
    rf"|(?<!\w)[A-Za-z]:(?:\\{{1,2}}|/)(?:Users|Documents and Settings)(?:\\{{1,2}}|/){_PERSON}"
    rf"|file://(?:localhost)?(?:/(?:home|Users)/{_PERSON}|/root/[\w.-]+)"
)
# A run of base64, also over the lines of a JSON list, as notebooks store pictures.
_BETWEEN = r"(?:\\n|\\r|[\s\"',])*"
_BASE64 = re.compile(rf"[A-Za-z0-9+/_-]{{60,}}(?:{_BETWEEN}[A-Za-z0-9+/_-]{{20,}})*(?:{_BETWEEN}[A-Za-z0-9+/_-]+)?")
_SMALLEST = 200  # bytes; nothing smaller shows anyone, and hashes are shorter
_MEDIA_URI = re.compile(r"data:(?:video|audio)/", re.IGNORECASE)
_PROLOGUE = re.compile(r"(?:\s|\ufeff|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>[]*(?:\[.*?\])?\s*>)*<(?:\w+:)?(\w+)", re.DOTALL)
_XML_ROOTS = {"ANNOTATION_DOCUMENT": "an ELAN annotation file"}


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
    if (root := _PROLOGUE.match(text)) and root[1] in _XML_ROOTS:
        yield _XML_ROOTS[root[1]]
    if text.startswith(('File type = "ooTextFile', "File type = 'ooTextFile")):
        yield "a Praat file of annotations"
    if _painted(text):
        yield "the strokes of a painted map"
    if found := MACHINE_PATH.search(text):
        yield f"the machine path {found[0]}"
    if _MEDIA_URI.search(text) and _BASE64.search(text):
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
    for found in _BASE64.finditer(text):
        run = re.sub(r"\\[nr]|[\s\"',]", "", found[0]).translate(str.maketrans("-_", "+/"))
        whole = len(run) - (len(run) % 4 == 1)  # a character alone encodes nothing
        data = base64.b64decode(run[:whole] + "=" * (-whole % 4))
        if len(data) < _SMALLEST:
            continue
        kind = content.kind(data[:512])
        if kind and kind != content.MPEG_AUDIO:  # a signature of two bytes, which chance finds
            yield from (f"{what}, embedded as base64" for what in inspect(data, depth + 1))
        elif (inner := content.text(data[: len(data) // 8 * 8])) is not None:
            yield from (f"{what}, embedded as base64" for what in _text(inner, depth + 1))


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
    if name == b"zTXt":
        body = _inflated(body.partition(b"\x00")[2][1:])
    elif name == b"iTXt" and body.partition(b"\x00")[2][:1] == b"\x01":
        body = _inflated(body.partition(b"\x00")[2].split(b"\x00", 3)[-1])
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
