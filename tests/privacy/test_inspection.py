"""What may be in git and what not, by content: real encoders and writers make the files, names play no part."""

import base64
import bz2
import gzip
import hashlib
import io
import json
import lzma
import pickle
import tarfile
import zipfile
import zlib
from pathlib import Path

import av
import cv2
import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageCms
from safetensors.numpy import save

from attune.privacy import inspection

ROOT = Path(__file__).parents[2]
FACE = Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg").read_bytes()
EAF = (ROOT / "tests/annotation/data/new_3.0.eaf").read_bytes()
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
CHART = (ROOT / "docs/images/scores.png").read_bytes()


def _png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


PHOTOGRAPH = _png(cv2.imdecode(np.frombuffer(FACE, np.uint8), cv2.IMREAD_COLOR)[:200, :200])


def _video(container: str, codec: str, folder: Path) -> bytes:
    path = folder / f"video.{container}"
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number * 20, np.uint8))
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path.read_bytes()


def _sound(container: str, codec: str, folder: Path) -> bytes:
    path = folder / f"sound.{container}"
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=44100, layout="mono")
        layout = {"mp3": "s16p", "adts": "fltp"}.get(container, "s16")
        kind = {"s16": np.int16, "s16p": np.int16, "fltp": np.float32}[layout]
        for _ in range(4):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152), kind), format=layout, layout="mono")
            frame.sample_rate = 44100
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path.read_bytes()


def _saved(function: object, *arguments: object, **settings: object) -> bytes:
    file = io.BytesIO()
    function(file, *arguments, **settings)  # type: ignore[operator]
    return file.getvalue()


def _zipped(**files: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def _tar(data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo("a")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def _found(data: bytes) -> str:
    return "; ".join(inspection.inspect(data))


@pytest.mark.parametrize(
    ("container", "codec", "says"),
    [("mp4", "mpeg4", "MP4"), ("mov", "mpeg4", "QuickTime"), ("avi", "mpeg4", "AVI"), ("webm", "vp8", "WebM"),
     ("matroska", "mpeg4", "Matroska"), ("mpeg", "mpeg2video", "MPEG"), ("mpegts", "mpeg2video", "transport"),
     ("flv", "flv1", "Flash"), ("3gp", "mpeg4", "MP4")],
)  # fmt: skip
def test_videos(tmp_path: Path, container: str, codec: str, says: str) -> None:
    data = _video(container, codec, tmp_path)
    assert says in _found(data)
    assert f"{says}" in _found(gzip.compress(data))


@pytest.mark.parametrize(
    ("container", "codec"),
    [("wav", "pcm_s16le"), ("flac", "flac"), ("mp3", "libmp3lame"), ("adts", "aac"), ("aiff", "pcm_s16be")],
)
def test_sounds(tmp_path: Path, container: str, codec: str) -> None:
    data = _sound(container, codec, tmp_path)
    assert "sound" in _found(data)
    assert _found(data[10:]), "a sound without its beginning is still no text"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (FACE, "JPEG"),
        (_saved(Image.open(io.BytesIO(FACE)).save, format="WEBP"), "WebP"),
        (_saved(Image.open(io.BytesIO(FACE)).save, format="GIF"), "GIF"),
        (_saved(Image.open(io.BytesIO(FACE)).save, format="TIFF"), "TIFF"),
        (_saved(Image.open(io.BytesIO(FACE)).save, format="BMP"), "BMP"),
        (PHOTOGRAPH, "photograph"),
        (CHART + b"more", "behind its end"),
        (CHART[:-20], "cut short"),
        (_saved(np.save, np.zeros(3)), "NumPy"),
        (_saved(np.savez, map=np.zeros(3)), "ZIP archive that holds a NumPy array"),
        (save({"a": np.zeros(3)}), "safetensors"),
        *((pickle.dumps({"a": [1, 2]}, protocol), "pickle") for protocol in (2, 3, 4, 5)),
        (_zipped(a=b"text", b=EAF), "ZIP archive that holds an ELAN annotation file"),
        (_zipped(a=_zipped(b=gzip.compress(FACE))), "JPEG"),
        (gzip.compress(EAF), "ELAN"),
        (bz2.compress(EAF), "ELAN"),
        (lzma.compress(EAF), "ELAN"),
        (_tar(EAF), "ELAN"),
        (_zipped(a=b"text"), "a ZIP archive"),
        (b"%PDF-1.7 looks like text", "PDF"),
        (bytes(range(256)), "unknown kind"),
        (b"text" * 6_000_000, "24 MB"),
    ],
)
def test_pictures_arrays_and_archives(data: bytes, says: str) -> None:
    assert says in _found(data)


@pytest.mark.parametrize(
    "data",
    [
        EAF,
        b"\xef\xbb\xbf" + EAF,
        b"<!-- x --> \n" + EAF.split(b"?>", 1)[1],
        EAF.decode().replace("UTF-8", "UTF-16").encode("utf-16"),
        EAF.decode().replace("UTF-8", "ISO-8859-1").replace("tower", "Türme").encode("latin-1"),
        EAF.replace(b"<ANNOTATION_DOCUMENT", b"<!DOCTYPE x [<!ENTITY y 'z'>]><ANNOTATION_DOCUMENT"),
    ],
)
def test_elan_files_whatever_their_encoding(data: bytes) -> None:
    assert "ELAN" in _found(data)


def test_an_elan_file_behind_something_else() -> None:
    for start in (b"log: saved\n", b"<files><name>a</name>\n", b"x" * 70 + b"\n"):
        assert "ELAN" in _found(start + EAF)
    assert _found(b"text = '<ANNOTATION_DOCUMENT AUTHOR=\"{name}\">' + slots\n") == ""


def _chunk(name: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("chunk", "says"),
    [
        (_chunk(b"tEXt", b"thumbnail\x00" + FACE), "JPEG"),
        (_chunk(b"zTXt", b"thumbnail\x00\x00" + zlib.compress(FACE)), "JPEG"),
        (_chunk(b"tEXt", b"thumbnail\x00" + base64.b64encode(FACE)), "JPEG"),
        (_chunk(b"iCCP", b"profile\x00\x00" + zlib.compress(FACE)), "colour profile"),
        (_chunk(b"prVW", FACE), "unknown data ('prVW')"),
        (_chunk(b"iCCP", b"sRGB\x00\x00" + zlib.compress(PROFILE)), ""),
    ],
)  # fmt: skip
def test_what_is_hidden_in_a_drawing(chunk: bytes, says: str) -> None:
    found = _found(CHART[:33] + chunk + CHART[33:])
    assert says in found and bool(says) == bool(found)


def test_a_painted_map_is_refused_and_a_program_about_it_is_not() -> None:
    strokes = {"strokes": [{"frame": 0, "add": True, "radius": 5.0, "points": [[1, 2]]}]}
    assert "painted map" in _found(json.dumps(strokes).encode())
    assert _found(b'value = {"strokes": [], "points": []}\n') == ""


def _embedded(data: bytes, form: str) -> bytes:
    code = base64.b64encode(data).decode()
    lines = [code[start : start + 76] for start in range(0, len(code), 76)]
    forms = {
        "html": f'<p>hello</p><img src="data:image/x;base64,{code}">',
        "svg": f'<svg><image xlink:href="data:image/png;base64,{chr(10).join(lines)}"/></svg>',
        "notebook": json.dumps({"data": {"image/png": code}, "metadata": {}}),
        "notebook of lines": json.dumps({"image/png": [line + "\n" for line in lines]}, indent=1),
        "notebook of one string": json.dumps({"image/png": "\n".join(lines)}),
        "narrow lines": "\n".join(code[start : start + 40] for start in range(0, len(code), 40)),
        "wide lines": "\n".join(code[start : start + 100] for start in range(0, len(code), 100)),
        "table": f"sha256,content\n{hashlib.sha256(data).hexdigest()},{code}\n",
        "second of a list": json.dumps([base64.b64encode(bytes(range(1, 121)) * 3).decode(), code]),
        "url-safe": base64.urlsafe_b64encode(data).decode(),
    }
    return forms[form].encode()


@pytest.mark.parametrize("form", ["html", "svg", "notebook", "notebook of lines", "notebook of one string", "url-safe",
                                  "narrow lines", "wide lines", "table", "second of a list"])  # fmt: skip
def test_what_is_embedded_in_text(form: str, tmp_path: Path) -> None:
    for data, says in ((FACE, "JPEG"), (PHOTOGRAPH, "photograph"), (EAF, "ELAN"), (_zipped(b=EAF), "ELAN")):
        assert f"{says}" in _found(_embedded(data, form)), says
    assert "MP4" in _found(_embedded(_video("mp4", "mpeg4", tmp_path), form))
    assert _found(_embedded(CHART, form)) == ""


@pytest.mark.parametrize(
    "start",
    ["/home/" + "anna", "/Users/" + "anna", "C:\\" + "Users\\anna", "C:/" + "Users/anna", "/root" + "/work",
     "file:///home/" + "anna", "C:\\\\" + "Users\\\\anna", "/Volumes/" + "STUDY", "/media/" + "anna", "/mnt/" + "lab",
     "/scratch/" + "anna", "D:\\" + "videos\\fp01", "\\" * 2 + "server" + "\\study", "/home/" + "éva"],
)  # fmt: skip
def test_machine_paths(start: str) -> None:
    for text in (f"see {start}/data", f'"{start}"', f"x={start}/y", f"data: {start}"):
        assert "machine path" in _found(text.encode()), text
    chunk = b"tEXt" + b"Comment\x00" + start.encode()
    texts = (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    assert "machine path" in _found(CHART[:33] + texts + CHART[33:])


@pytest.mark.parametrize(
    "text",
    ["/home/<name>/data", "~/data", "/home/you/data", "HOME=/home/attune", "https://x.org/home/page", "/home/$USER/x",
     "src/home/page.py", "ID3 is a tag", "BM", "the moov atom", "file:///video/fp01.mp4", "sha512-" + "Qx9z" * 22,
     "<html>ANNOTATION_DOCUMENT</html>", "\n".join(["d41d8cd98f00b204e9800998ecf8427e"] * 50), ""],
)  # fmt: skip
def test_harmless_texts(text: str) -> None:
    assert _found(text.encode()) == ""


def test_every_archive_that_cannot_be_opened_is_refused() -> None:
    assert _found(gzip.compress(EAF)[:40]) == "a gzip archive"
    assert "a ZIP archive" in _found(_zipped(b=EAF)[:100])
    bomb = gzip.compress(bytes(300_000_000), 1)
    assert "gzip" in _found(bomb)
