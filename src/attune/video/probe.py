"""What a video file says of itself, and whether it can be read at all.

Time zero of a video is the start of its container (the earliest of its streams), as players and ELAN show it; a
picture that starts later than the sound keeps that delay. All sizes are those of the displayed picture, after the
rotation that the file asks for. Of several video streams the one marked as default counts, then the largest, then the
first; cover pictures never count.

Only container formats that hold their own data are opened, and only from local files: a playlist that carries a
video's name could refer to any other file or address.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attune.problems import InputError, Problem

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,mpeg,mpegts,gif"
PROTOCOLS = "file"
READABLE = "an MP4, MOV, AVI, Matroska, WebM, MPEG or GIF video"
_COPY_AGAIN = "Copy it again from the camera, or leave it out."


@dataclass(frozen=True)
class VideoInfo:
    """A video stream as it is displayed.

    Attributes:
        duration_ms: end of the last picture after the container's start, as the container states it; only where it
            states nothing, the end of the last packet in the file.
        width: displayed width in pixels of the file.
        height: displayed height in pixels of the file.
        pixel_aspect: displayed width of a pixel divided by its height.
        rotation: degrees by which the stored picture is turned clockwise for display: 0, 90, 180 or 270.
        frame_rate: average number of frames per second.
        stream: index of the stream in its container.
        codec: name of the stream's coding.
        late_start: seconds from the container's start to this stream's start, in the formats (MPEG program and
            transport streams) where ffmpeg would drop this delay; 0 elsewhere.
    """

    duration_ms: int
    width: int
    height: int
    pixel_aspect: Fraction
    rotation: int
    frame_rate: Fraction
    stream: int
    codec: str
    late_start: Fraction


def probe(path: Path) -> VideoInfo:
    """Read the properties of a video; decodes one picture, so that a file which passes is a video.

    Raises:
        InputError: the file is missing, empty, not a video, cut short before its index, without pictures, without
            duration or in an unknown coding; the message names the cure.
    """
    _check_file(path)
    import av  # takes 0.1 s, which callers without videos should not pay

    try:
        with av.open(
            f"file:{path}", options={"format_whitelist": FORMATS, "protocol_whitelist": PROTOCOLS}
        ) as container:
            return _describe(path, container)
    except (av.FFmpegError, UnicodeEncodeError):
        raise InputError(_unreadable(path)) from None


def _check_file(path: Path) -> None:
    def refuse(found: str, cure: str) -> None:
        raise InputError(Problem(str(path), "", found, READABLE, cure))

    try:
        if path.is_dir():
            refuse("a folder", "Move the folder away, or rename it.")
        with path.open("rb") as file:
            start = file.read(64)
    except FileNotFoundError:
        refuse("no such file", "Put the video there; if it is a link, check what it points to.")
    except OSError as error:
        refuse(f"{error.strerror}", "Check the file's permissions and the disk.")
    if not start:
        refuse("an empty file", _COPY_AGAIN)
    if start.startswith(b"version https://git-lfs"):
        refuse("a Git LFS pointer in place of the video", "Fetch the video with `git lfs pull`.")


def _unreadable(path: Path) -> Problem:
    with path.open("rb") as file:
        start = file.read(12)
    if start[4:8] in (b"ftyp", b"wide", b"mdat"):
        return Problem(
            str(path), "", "an MP4 or MOV file without its index (moov), so it is cut short", READABLE, _COPY_AGAIN
        )
    return Problem(str(path), "", "something else or a damaged file", READABLE, "Export it again as MP4 (H.264).")


def _describe(path: Path, container: "InputContainer") -> VideoInfo:
    stream = _best_stream(path, container)
    rotation = _rotation(path, container, stream)
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    upright = rotation % 180 == 0
    offset = _late_start(container, stream)
    duration = _claimed_duration(container, stream, offset)
    if duration is None:
        duration = _last_packet_end(path, stream.index)
    duration_ms = round(duration * 1000)
    if duration_ms <= 0:
        raise InputError(Problem(str(path), "", "a duration of zero", "a video with a duration", _COPY_AGAIN))
    drops_delay = container.format.name in ("mpeg", "mpegts")
    return VideoInfo(
        duration_ms=duration_ms,
        width=stream.width if upright else stream.height,
        height=stream.height if upright else stream.width,
        pixel_aspect=aspect if upright else 1 / aspect,
        rotation=rotation,
        frame_rate=Fraction(stream.average_rate or stream.guessed_rate or stream.base_rate or 25),
        stream=stream.index,
        codec=stream.codec_context.name,
        late_start=offset if drops_delay else Fraction(0),
    )


def _best_stream(path: Path, container: "InputContainer") -> "VideoStream":
    def refuse(found: str, cure: str) -> InputError:
        return InputError(Problem(str(path), "", found, "a video with pictures", cure))

    pictures = [stream for stream in container.streams.video if not _flag(stream, "attached_pic")]
    if not pictures:
        raise refuse("no video stream", "Export it again with its pictures; a sound recording cannot be used.")
    known: list[VideoStream] = [stream for stream in pictures if stream.codec_context is not None]
    if not known:
        raise refuse("pictures in an unknown coding", "Export it again as MP4 (H.264).")
    best = min(known, key=lambda one: (not _flag(one, "default"), -one.width * one.height, one.index))
    if not best.width or not best.height:
        raise refuse("pictures without a size", _COPY_AGAIN)
    return best


def _flag(stream: Any, name: str) -> bool:
    import av.stream

    return bool(stream.disposition & av.stream.Disposition[name])


def _rotation(path: Path, container: "InputContainer", stream: "VideoStream") -> int:
    """Clockwise rotation, from the first picture that can be decoded."""
    import av

    for packet in container.demux(stream):
        try:
            for frame in packet.decode():
                return round(-frame.rotation / 90) % 4 * 90
        except av.FFmpegError:  # a damaged start: the next key frame may be sound
            continue
    raise InputError(
        Problem(str(path), "", "no picture that can be decoded", "a video with pictures", "Export it again.")
    )


def _late_start(container: "InputContainer", stream: "VideoStream") -> Fraction:
    if stream.start_time is None or container.start_time is None:
        return Fraction(0)
    offset = stream.start_time * Fraction(stream.time_base or 0) - Fraction(container.start_time, 1_000_000)
    return max(offset, Fraction(0)) if abs(offset) > Fraction(1, 1_000_000) else Fraction(0)


def _claimed_duration(container: "InputContainer", stream: "VideoStream", offset: Fraction) -> Fraction | None:
    """Seconds from the container's start to the end of the stream, or None where the container does not say."""
    if container.format.name == "avi" and stream.frames and stream.average_rate:
        # libavformat corrects an AVI file's duration by its size; the header's count still tells of a cut
        return offset + stream.frames / Fraction(stream.average_rate)
    if stream.duration is not None:
        return offset + stream.duration * Fraction(stream.time_base or 0)
    if tag := stream.metadata.get("DURATION"):  # Matroska, per stream: 00:00:05.000000000, from the container's start
        hours, minutes, seconds = tag.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
    alone = len(container.streams) == 1
    return Fraction(container.duration, 1_000_000) if container.duration is not None and alone else None


def _last_packet_end(path: Path, index: int) -> Fraction:
    """End of the last packet of a stream in seconds, by reading the whole file without decoding it."""
    import av

    end = Fraction(0)
    with av.open(f"file:{path}", options={"format_whitelist": FORMATS, "protocol_whitelist": PROTOCOLS}) as container:
        start = Fraction(container.start_time or 0, 1_000_000)
        for packet in container.demux(container.streams[index]):
            if packet.pts is not None and packet.time_base is not None:
                end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base - start)
    return end
