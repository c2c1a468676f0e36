"""Anonymised copies: nothing of the names remains in any byte, and what is measured stays the same."""

import json
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from ruamel.yaml import YAML

from attune.annotation import eaf, extraction
from attune.annotation.protocol import Protocol
from attune.privacy import anonymising, names, scrubbing
from attune.problems import InputError
from attune.video.transcode import ffmpeg

KEY = bytes(range(32))
SESSIONS, ANNOTATORS = ("kimhollis", "juno-k"), ("zqx", "wvb")
PARAMS = """engagement:
  protocol:
    first_date: 2022-01-01
    last_date: 2022-12-31
    sessions: [kimhollis, juno-k]
    annotators: [zqx, wvb]
    assigned: {juno-k: [wvb, zqx]}
    min_annotators: 1
    tasks: [people]
    variables:
      attending: {values: [attending, excited]}
  folds:
    groups: {second: [juno-k]}
"""
EAF = """<?xml version="1.0" encoding="UTF-8"?>
<!-- by zqx -->
<@root AUTHOR="zqx" DATE="2022-03-01T12:00:00+01:00" FORMAT="3.0" VERSION="3.0">
  <LICENSE LICENSE_URL="http://kimhollis.org">zqx</LICENSE>
  <HEADER MEDIA_FILE="kimhollis" TIME_UNITS="milliseconds">
    <MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/data/kimhollis.mp4" MIME_TYPE="video/mp4" TIME_ORIGIN="500"/>
    <MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/data/kimhollis.wav" MIME_TYPE="audio/x-wav" EXTRACTED_FROM="kimhollis"/>
    <LINKED_FILE_DESCRIPTOR LINK_URL="file:///C:/zqx/gaze.txt" MIME_TYPE="text/plain"/>
    <PROPERTY NAME="URN">urn:kimhollis</PROPERTY><PROPERTY NAME="zqx">1</PROPERTY>
    <PROPERTY NAME="lastUsedAnnotationId">4</PROPERTY>
  </HEADER>
  <TIME_ORDER>
    <TIME_SLOT TIME_SLOT_ID="t1" TIME_VALUE="0"/><TIME_SLOT TIME_SLOT_ID="t2" TIME_VALUE="900"/>
    <TIME_SLOT TIME_SLOT_ID="t3" TIME_VALUE="300"/><TIME_SLOT TIME_SLOT_ID="t4" TIME_VALUE="600"/>
  </TIME_ORDER>
  <TIER TIER_ID="task" PARTICIPANT="kimhollis" ANNOTATOR="zqx" LINGUISTIC_TYPE_REF="zqx"><ANNOTATION>
    <ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="t1" TIME_SLOT_REF2="t2">
    <ANNOTATION_VALUE>people</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
  <TIER TIER_ID="Attending" LINGUISTIC_TYPE_REF="zqx"><ANNOTATION>
    <ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="t3" TIME_SLOT_REF2="t4">
    <ANNOTATION_VALUE>@@</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
  <TIER TIER_ID="ignore" LINGUISTIC_TYPE_REF="zqx"><ANNOTATION>
    <ALIGNABLE_ANNOTATION ANNOTATION_ID="a3" TIME_SLOT_REF1="t3" TIME_SLOT_REF2="t4">
    <ANNOTATION_VALUE>kimhollis cries</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
  <TIER TIER_ID="zqx says" LINGUISTIC_TYPE_REF="zqx"/>
  <LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="zqx" TIME_ALIGNABLE="true"/>
</ANNOTATION_DOCUMENT>
""".replace("@root", "ANNOTATION_DOCUMENT")  # so that the guard does not take this file for annotations


def _film(path: Path, codec: str = "libx264", sound_first: bool = False) -> None:
    delay = ["-itsoffset", "0.7"] if sound_first else []
    subprocess.run(
        [ffmpeg(), "-v", "error", "-y", *delay, "-f", "lavfi", "-i", "testsrc=d=1.5:s=64x48:r=10", "-f", "lavfi", "-i",
         "sine=d=1.5", "-c:v", codec, "-metadata", "title=kimhollis", "-metadata", "location=+48.1+011.5/", "-metadata",
         "creation_time=2022-03-01T10:00:00Z", "-metadata:s:v", "handler_name=kimhollis", str(path)],
        check=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lab") / "raw"
    for name in ("engagement", "video", "truth"):
        (folder / name).mkdir(parents=True)
    for session in SESSIONS:
        _film(folder / "video" / f"{session}.mp4")
        for annotator in ANNOTATORS:
            text = EAF.replace("@@", "excited").replace("kimhollis", session)
            (folder / "engagement" / f"{session}_{annotator}_20220301.eaf").write_text(text)
    painting = folder / "attention" / "zqx" / "juno-k-people-attending-0000500_again"
    (painting / "versions").mkdir(parents=True)
    np.savez(painting / "map.npz", map=np.ones((2, 3, 4), np.float32))
    info = {"annotator": "zqx", "snippet": "juno-k-people-attending-0000500", "saved": "2022-03-01T10:00:00Z",
            "labels": {"attending": 1}, "comment": "kimhollis waves"}  # fmt: skip
    (painting / "info.json").write_text(json.dumps(info))
    (painting / "versions" / "0001.json").write_text(json.dumps({"info": info, "strokes": []}))
    (folder / "engagement" / "kimhollis.pfsx").write_text("/home/" + "zqx")
    return folder


@pytest.fixture(scope="module")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> Protocol:
    return _protocol(PARAMS)


def _protocol(text: str) -> Protocol:
    return Protocol.model_validate(YAML(typ="safe", pure=True).load(text)["engagement"]["protocol"])


@pytest.fixture(scope="module")
def copied(raw: Path, protocol: Protocol) -> tuple[Path, anonymising.Codes]:
    codes = anonymising.plan(raw, protocol, {"second": ["juno-k"]}, KEY, 100)
    target = raw.parent / "copy"
    assert anonymising.copy(raw, target, protocol, codes) == ["engagement/kimhollis.pfsx", "truth"]
    return target, codes


def test_no_name_remains_in_any_byte(copied: tuple[Path, anonymising.Codes]) -> None:
    paths = sorted(copied[0].rglob("*"))
    assert len([path for path in paths if path.is_file()]) == 2 + 4 + 3
    for path in paths:
        content = str(path.relative_to(copied[0])).encode() + (path.read_bytes() if path.is_file() else b"")
        for word in (b"kimhollis", b"juno", b"zqx", b"wvb", b"20220301", b"2022-03-01", b"cries", b"waves", b"gaze"):
            assert word not in content.lower(), (path, word)


def test_what_is_measured_stays_the_same(raw: Path, copied: tuple[Path, anonymising.Codes], protocol: Protocol) -> None:
    target, codes = copied
    new = _protocol(anonymising.parameters(PARAMS, protocol, codes))
    reports = [
        extraction.validate(folder / "engagement", each, {}) for folder, each in ((raw, protocol), (target, new))
    ]
    assert [(one.files, one.sessions, one.annotators) for one in reports] == [(4, 2, 2)] * 2
    assert [p for p in reports[1].problems if p.severity == "error"] == []
    for path in (raw / "engagement").glob("*.eaf"):
        parts = protocol.parse_name(path.stem)
        assert parts is not None
        document = eaf.read(target / "engagement" / f"{codes.file_name(parts, protocol)}.eaf")
        spans = {tier.name: [(a.start_ms, a.end_ms, a.value) for a in tier.annotations] for tier in document.tiers}
        assert spans == {"task": [(500, 1400, "people")], "attending": [(800, 1100, "excited")],
                         "ignore": [(800, 1100, "ignore")]}  # fmt: skip
        assert [medium.name for medium in document.media] == [f"{codes.sessions[parts.session]}.mp4"]


def _pixels(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_the_picture_is_the_same_and_all_else_is_gone(raw: Path, copied: tuple[Path, anonymising.Codes]) -> None:
    target, codes = copied
    for session in SESSIONS:
        source, copy = raw / "video" / f"{session}.mp4", target / "video" / f"{codes.sessions[session]}.mp4"
        np.testing.assert_array_equal(_pixels(source), _pixels(copy))
        assert b"x264" in source.read_bytes()
        for word in (b"x264", b"Lavf", b"Lavc", b"+48.1", b"creation"):
            assert word not in copy.read_bytes(), word
        with av.open(str(copy)) as container:
            assert [stream.type for stream in container.streams] == ["video"]
            assert set(container.metadata) <= {"major_brand", "minor_version", "compatible_brands"}


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libx264"), ("a.avi", "libx264"), ("a.mov", "libx265")])
def test_other_containers(tmp_path: Path, name: str, codec: str) -> None:
    _film(tmp_path / name, codec)
    scrubbing.video(tmp_path / name, tmp_path / f"copy-{name}")
    content = (tmp_path / f"copy-{name}").read_bytes()
    assert not [word for word in (b"kimhollis", b"+48.1", b"2022-03") if word in content]
    np.testing.assert_array_equal(_pixels(tmp_path / name), _pixels(tmp_path / f"copy-{name}"))


@pytest.mark.parametrize("codec", ["mjpeg", "mpeg4"])
def test_codecs_that_cannot_be_cleaned_are_refused(tmp_path: Path, codec: str) -> None:
    _film(tmp_path / "a.avi", codec)
    with pytest.raises(InputError, match=f"found the codec {codec}"):
        scrubbing.video(tmp_path / "a.avi", tmp_path / "copy.avi")


def test_a_picture_that_starts_late_is_refused(tmp_path: Path) -> None:
    _film(tmp_path / "late.mp4", sound_first=True)
    with pytest.raises(InputError, match="after the sound"):
        scrubbing.video(tmp_path / "late.mp4", tmp_path / "copy.mp4")


def test_painted_maps_keep_their_maps(raw: Path, copied: tuple[Path, anonymising.Codes]) -> None:
    target, codes = copied
    folder = target / "attention" / codes.annotators["zqx"]
    (painting,) = folder.iterdir()
    assert painting.name == f"{codes.sessions['juno-k']}-people-attending-0000500_again"
    np.testing.assert_array_equal(np.load(painting / "map.npz")["map"], np.ones((2, 3, 4)))
    info = json.loads((painting / "info.json").read_text())
    assert info["annotator"] == codes.annotators["zqx"]
    assert (info["labels"], info["comment"]) == ({"attending": 1}, "")


def test_parameters_are_mapped(raw: Path, protocol: Protocol, copied: tuple[Path, anonymising.Codes]) -> None:
    codes = copied[1]
    text = anonymising.parameters(PARAMS, protocol, codes)
    document = YAML(typ="safe", pure=True).load(text)["engagement"]
    assert document["folds"]["groups"] == {"second": [codes.sessions["juno-k"]]}
    assert document["protocol"]["assigned"] == {
        codes.sessions["juno-k"]: sorted(codes.annotators[name] for name in ANNOTATORS)
    }
    for comment in ("ask zqx", "see zqx_old", "ZQX knows"):
        with pytest.raises(InputError, match="comment"):
            anonymising.parameters(f"{PARAMS}# {comment}\n", protocol, codes)


def test_a_value_that_could_be_a_name_is_refused(tmp_path: Path, protocol: Protocol) -> None:
    (tmp_path / "a.eaf").write_text(EAF.replace("@@", "Kim smiles"))
    with pytest.raises(InputError, match="Kim smiles"):
        scrubbing.annotations(tmp_path / "a.eaf", tmp_path / "new/b.eaf", "kimhollis", "s1.mp4", protocol)


def test_a_name_that_remains_is_found_and_nothing_is_written(raw: Path, protocol: Protocol, tmp_path: Path) -> None:
    codes = anonymising.plan(raw, protocol, {}, KEY, 0)
    hostile = anonymising.Codes(KEY, codes.sessions | {"people": "s1"}, codes.annotators, 0)
    with pytest.raises(InputError, match="the name people"):
        anonymising.copy(raw, tmp_path / "copy", protocol, hostile)
    assert list(tmp_path.iterdir()) == []


def test_codes_depend_on_name_kind_and_key_alone() -> None:
    first = names.codes(["a", "b"], "session", KEY)
    assert names.codes(["b", "c"], "session", KEY)["b"] == first["b"]
    assert names.codes(["a"], "annotator", KEY)["a"] != first["a"]
    assert names.codes(["a"], "session", KEY[::-1])["a"] != first["a"]
    assert len(set(names.codes(map(str, range(10_000)), "session", KEY).values())) == 10_000
    with pytest.raises(InputError, match="the code of"):
        names.codes(map(str, range(11)), "session", KEY, digits=1)


def test_keys(tmp_path: Path) -> None:
    key = names.read_key(tmp_path / "new" / "key")
    assert len(key) == 32
    assert (tmp_path / "new" / "key").stat().st_mode & 0o777 == 0o600
    assert names.read_key(tmp_path / "new" / "key") == key
    (tmp_path / "new" / "key").chmod(0o640)
    with pytest.raises(InputError, match="permissions"):
        names.read_key(tmp_path / "new" / "key")
    (tmp_path / "short").write_text("abcd")
    (tmp_path / "short").chmod(0o600)
    with pytest.raises(InputError, match="hexadecimal"):
        names.read_key(tmp_path / "short")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    with pytest.raises(InputError, match="git repository"):
        names.read_key(tmp_path / "other" / "key")
    (tmp_path / ".gitignore").write_text("other\n")
    assert len(names.read_key(tmp_path / "other" / "key")) == 32
