"""Copies of single files without what names people: ELAN files, videos, painted maps.

An ELAN file is not cleaned but written anew from the protocol's tiers, so nothing else can remain: no author, dates,
media paths, participants, other tiers, vocabularies, comments or links. Times become those of the video (its
``TIME_ORIGIN`` is added), whose new name is linked.

A video's picture is copied bit by bit, without sound, subtitles, data streams, attachments, chapters, metadata and, in
H.264 and H.265, without the "supplemental enhancement information" in which cameras store places and serial numbers.
What the picture itself shows remains. Other codecs are refused: Motion JPEG, for one, has comments in every frame.
"""

import datetime
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Tree  # building and writing; parsing is defusedxml's

from defusedxml import ElementTree

from attune import artifacts
from attune.annotation import eaf, elan_writer
from attune.annotation.eaf import Annotation
from attune.annotation.elan_writer import NewTier
from attune.annotation.protocol import Protocol, fold, normalise
from attune.problems import InputError, Problem, raise_errors
from attune.video.probe import FORMATS, PROTOCOLS, VideoInfo, probe
from attune.video.transcode import ffmpeg

DATE = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)  # in place of every date of making
FREE_TEXT = ("note", "notes", "comment", "remark", "computer", "browser", "user_agent")  # keys of JSON that are emptied
TIMES = ("created", "saved", "started", "time_saved")
LATEST_START_S = 0.04  # by which the picture may start after the sound
_UNITS = {"h264": "6", "hevc": "39-40"}  # kinds of network units that hold supplemental information


def annotations(source: Path, target: Path, session: str, video: str, protocol: Protocol) -> None:
    """Write an ELAN file anew.

    Args:
        source: the original.
        target: the copy, in a folder beside that of the videos.
        session: the session's original name; the medium of this name defines the times.
        video: file name of the new video.
        protocol: names the tiers and the vocabularies that are kept.

    Raises:
        InputError: the original cannot be read, or a value is none of the protocol's.
    """
    document = eaf.read(source)
    origins = [medium.origin_ms for medium in document.media if fold(Path(medium.name).stem) == fold(session)]
    origin = (origins or [medium.origin_ms for medium in document.media] or [0])[0]
    known = {fold(name): name for name in protocol.tiers}
    tiers, problems = [], []
    for tier in document.tiers:
        if (name := known.get(fold(tier.name))) is None:
            continue
        vocabulary = protocol.lookup(name)
        spans = []
        for span in tier.annotations:
            if vocabulary is not None and fold(normalise(span.value)) not in vocabulary:
                found, place = repr(span.value), f"tier {name}, {span.start_ms} ms"
                cure = "Correct it (`attune validate` lists all such values); it could be anybody's name."
                problems.append(Problem(source.name, place, found, "a value of the protocol", cure))
            start_ms, end_ms = max(0, span.start_ms + origin), span.end_ms + origin
            if end_ms > start_ms:
                spans.append(Annotation(start_ms, end_ms, span.value if vocabulary is not None else name))
        tiers.append(NewTier(name, spans))
    raise_errors(problems)
    elan_writer.write(target, target.parent.parent / "video" / video, tiers)
    root = ElementTree.fromstring(target.read_bytes())
    root.set("AUTHOR", "")
    for medium in root.iter("MEDIA_DESCRIPTOR"):
        medium.set("MEDIA_URL", f"file:///video/{video}")
        medium.set("RELATIVE_MEDIA_URL", f"../video/{video}")
    artifacts.write_text(target, '<?xml version="1.0" encoding="UTF-8"?>\n' + Tree.tostring(root, "unicode") + "\n")


def video(source: Path, target: Path) -> None:
    """Copy a video's picture alone.

    Raises:
        InputError: its codec is another one, it cannot be read or copied, its picture starts after its sound (time zero
            would move), or the copy differs from it in size, direction or length.
    """
    info = probe(source)
    if info.codec not in _UNITS:
        expected = "H.264 or H.265, whose frames can be cleaned of what cameras write into them"
        cure = "Convert it first, such as with `ffmpeg -i OLD -c:v libx264 -crf 16 NEW.mp4`."
        raise InputError(Problem(source.name, "", f"the codec {info.codec}", expected, cure))
    _check_start(source, info)
    result = subprocess.run(
        _copy_command(source, target, info), capture_output=True, text=True, errors="replace", check=False
    )
    if result.returncode:
        message = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(Problem(source.name, "", message, "a video that can be copied", "Convert it to MP4 first."))
    copy = probe(target)
    before, after = ((one.width, one.height, one.rotation, one.codec) for one in (info, copy))
    if before != after or abs(info.duration_ms - copy.duration_ms) > 1000:
        found = f"{after} of {copy.duration_ms} ms"
        cure = "Convert it to MP4 first."
        raise InputError(Problem(source.name, "its copy", found, f"{before} of {info.duration_ms} ms", cure))


def _copy_command(source: Path, target: Path, info: VideoInfo) -> list[str]:
    """The picture alone, bit by bit; formats and protocols are limited as in :mod:`attune.video.probe`."""
    limits = ["-protocol_whitelist", PROTOCOLS, "-format_whitelist", FORMATS]
    chosen = ["-map", f"0:{info.stream}", "-c", "copy", "-an", "-sn", "-dn"]
    bare = ["-map_metadata", "-1", "-map_metadata:s:v", "-1", "-map_chapters", "-1"]
    for name in ("handler_name", "vendor_id", "encoder"):  # which ffmpeg itself would write
        bare += ["-metadata:s:v", f"{name}="]
    bare += ["-fflags", "+bitexact", "-flags:v", "+bitexact"]
    filters = ["-bsf:v", f"filter_units=remove_types={_UNITS[info.codec]}"]
    start = [ffmpeg(), "-nostdin", "-v", "error", "-y", *limits, "-i", f"file:{source}"]
    return [*start, *chosen, *bare, *filters, f"file:{target}"]


def _check_start(source: Path, info: VideoInfo) -> None:
    import av  # takes 0.1 s, which callers without videos should not pay

    with av.open(str(source)) as container:
        stream = container.streams[info.stream]
        start_s = float((stream.start_time or 0) * stream.time_base) if stream.time_base else 0.0
        late_s = start_s - (container.start_time or 0) / 1_000_000
    if late_s > LATEST_START_S:
        cure = "Convert it so that both start together; without its sound, its times would move."
        raise InputError(Problem(source.name, "", f"a picture {late_s:.2f} s after the sound", "one start", cure))


def painting(source: Path, target: Path, rename: Callable[[str], str]) -> None:
    """Copy the folder of one painted map; names in its JSON files are replaced, times of making and notes dropped.

    Args:
        source: the folder.
        target: the copy.
        rename: gives the new form of a text that may be or begin with a name.

    Raises:
        InputError: a JSON file cannot be read, or another kind of file is among them.
    """
    for path in sorted(source.rglob("*")):
        new = target / path.relative_to(source)
        if path.is_dir():
            new.mkdir(parents=True, exist_ok=True)
        elif path.suffix == ".json":
            artifacts.write_json(new, _renamed(artifacts.read_json(path), rename))
        elif path.suffix == ".npz":
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, new)
        else:
            raise InputError(Problem(str(path), "", "another kind of file", ".json or .npz", "Move it away."))


def _renamed(value: Any, rename: Callable[[str], str], key: str = "") -> Any:
    if isinstance(value, dict):
        return {rename(name): _renamed(inner, rename, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_renamed(inner, rename, key) for inner in value]
    if key in TIMES and value is not None:
        return DATE.isoformat() if isinstance(value, str) else 0
    if key in FREE_TEXT:
        return "" if isinstance(value, str) else None
    return rename(value) if isinstance(value, str) else value


def set_times(folder: Path) -> None:
    """Give every file and folder the same time of change."""
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (DATE.timestamp(), DATE.timestamp()))


def readable(path: Path) -> str:
    """The text of a file's content and, where it is JSON, of its values without escapes; empty if it is binary."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""
    return text + (json.dumps(json.loads(text), ensure_ascii=False) if path.suffix == ".json" else "")
