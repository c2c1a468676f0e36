"""What a file is by its first bytes, whatever its name says.

Only kinds that people mistake for something harmless have a name here; :mod:`attune.privacy.inspection` refuses any
other binary file too. Signatures are those of the formats' own specifications.
"""

import re

# Offset, bytes, kind; the first that fits counts.
SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "a JPEG photograph"),
    (4, b"ftypavif", "an AVIF photograph"),
    (4, b"ftyphei", "a HEIC photograph"),
    (4, b"ftypmif1", "a HEIC photograph"),
    (4, b"ftyp", "an MP4 or QuickTime video"),
    (4, b"moov", "an MP4 or QuickTime video"),
    (4, b"mdat", "an MP4 or QuickTime video"),
    (4, b"moof", "an MP4 or QuickTime video"),
    (4, b"wide", "an MP4 or QuickTime video"),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
    (0, b"\x00\x00\x01\xba", "an MPEG video"),
    (0, b"\x00\x00\x01\xb3", "an MPEG video"),
    (0, b"\x00\x00\x00\x01\x67", "an H.264 video"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a Windows Media file"),
    (0, b"FLV\x01", "a Flash video"),
    (0, b"\x06\x0e\x2b\x34", "an MXF video"),
    (0, b"ID3", "MP3 sound"),
    (0, b"fLaC", "FLAC sound"),
    (0, b"OggS", "an Ogg file"),
    (0, b"#!AMR", "AMR sound"),
    (0, b"caff", "CAF sound"),
    (0, b".snd", "AU sound"),
    (0, b"GIF87a", "a GIF picture"),
    (0, b"GIF89a", "a GIF picture"),
    (0, b"II*\x00", "a TIFF picture"),
    (0, b"MM\x00*", "a TIFF picture"),
    (0, b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
    (0, b"8BPS", "a Photoshop picture"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"MATLAB 5.0 MAT-file", "a MATLAB file"),
    (0, b"PAR1", "a Parquet table"),
    (0, b"ARROW1", "an Arrow table"),
    (0, b"SQLite format 3\x00", "an SQLite database"),
    (0, b"%PDF-", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"PK\x05\x06", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\xfd7zXZ\x00", "an xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
)
MPEG_AUDIO = "MP3 or AAC sound"
PICKLE = "a Python pickle"
_RIFF = {b"AVI ": "an AVI video", b"WAVE": "WAV sound", b"WEBP": "a WebP photograph"}
_SYNC = re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xfd\xf0\xf1\xf8\xf9][\x10-\xef]")
_PICKLE = re.compile(rb"\x80[\x02-\x05][\x95\]}(cXK\x8c\x58q]")
_SAFETENSORS = re.compile(rb".{3}\x00\x00\x00\x00\x00\{\s*\"", re.DOTALL)


def kind(data: bytes) -> str | None:
    """The kind of a binary file by its first bytes, ``PNG`` or a name with its article; None if it is none of them."""
    for offset, signature, name in SIGNATURES:
        if data.startswith(signature, offset):
            return name
    if data[:4] in (b"RIFF", b"RF64") and data[8:12] in _RIFF:
        return _RIFF[data[8:12]]
    if data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        return "AIFF sound"
    if _transport_stream(data):
        return "an MPEG transport stream"
    if data[:2] == b"BM" and int.from_bytes(data[2:6], "little") == len(data):
        return "a BMP picture"
    if _SAFETENSORS.match(data):
        return "a safetensors file"
    if _PICKLE.match(data):
        return PICKLE
    if _SYNC.match(data):
        return MPEG_AUDIO
    return None


def text(data: bytes) -> str | None:
    """The text that a file holds, None if it is none: UTF-8, UTF-16 or -32 with a mark, or XML in another encoding."""
    for mark, encoding in ((b"\xff\xfe\x00\x00", "utf-32"), (b"\x00\x00\xfe\xff", "utf-32"), (b"\xff\xfe", "utf-16"),
                           (b"\xfe\xff", "utf-16")):  # fmt: skip
        if data.startswith(mark):
            return _decoded(data, encoding)
    found = _decoded(data, "utf-8-sig")
    if found is None and data.lstrip()[:5] == b"<?xml":
        return data.decode("latin-1")
    return found


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        found = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if "\x00" in found else found


def _transport_stream(data: bytes) -> bool:
    """Packets of 188 bytes that start with 0x47, in cameras' files (MTS) after a time stamp of 4 bytes."""
    return any(
        len(data) > first + 3 * size and all(data[first + place * size] == 0x47 for place in range(4))
        for first, size in ((0, 188), (4, 192))
    )
