"""From raw videos to processed videos and frame stores, in parallel and resumable.

Each source becomes a piece in the work folder, ``<key>/`` with ``video.mp4``, ``frames.npy`` and ``report.json``,
where the key is a hash of the source's content and of everything that shapes the result: both ffmpeg commands and
ffmpeg's version. A piece appears whole or not at all, so a run that was killed, or that met one broken video, has to
do only what is missing when it is repeated. The outputs are hard links to the pieces (copies where links fail).

A source is refused if its pictures end early, go on past the stated end, or are damaged for longer than the
tolerance: one second, or a tenth of a shorter video. Less damage is a warning.
"""

import errno
import hashlib
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from threading import Lock

from attune import artifacts
from attune.problems import InputError, Problem
from attune.video import store
from attune.video.files import VideoConfig
from attune.video.probe import VideoInfo, probe
from attune.video.transcode import Outcome, Runner, decode_command, ffmpeg_version, output_width, transcode_command

_ANY = VideoInfo(0, 16, 16, Fraction(1), 0, Fraction(25), 0, "", Fraction(0))
_REPAIR = "Copy it again from the camera, or repair it with a video tool and check what is lost."


@dataclass(frozen=True)
class Piece:
    """A processed video in the work folder.

    Attributes:
        video: the small video.
        frames: its frame store.
        count: number of frames.
        warnings: what was wrong with the source, yet not wrong enough to refuse it.
    """

    video: Path
    frames: Path
    count: int
    warnings: list[Problem]


def process(
    videos: dict[str, Path],
    work: Path,
    config: VideoConfig,
    on_done: Callable[[str], object] = lambda session: None,
    workers: int | None = None,
) -> dict[str, Piece]:
    """Process every video, or find the piece that an earlier run has left.

    Args:
        videos: source of each session.
        work: folder of the pieces.
        config: form of the result.
        on_done: called with the session after each video, whether good or bad.
        workers: videos at a time; the number of processors unless given.

    Raises:
        InputError: some videos cannot be used; all others were processed all the same.
        OSError: the disk is full or cannot be written.
    """
    processors = cpus()
    workers = min(workers or processors, len(videos))
    runner = Runner()
    job = _Job(work, config, max(1, processors // workers), runner)
    largest_first = sorted(videos, key=lambda session: (-_size(videos[session]), session))
    with ThreadPoolExecutor(workers) as pool:
        futures: dict[Future[Piece], str] = {}
        try:
            for session in largest_first:
                futures[pool.submit(job.run, videos[session])] = session
            for future in as_completed(futures):
                if not isinstance(future.exception(), InputError | None):
                    future.result()
                on_done(futures[future])
        except BaseException:  # also an interrupt: no ffmpeg may outlive this process
            runner.stop()
            pool.shutdown(cancel_futures=True)
            raise
    if problems := [p for f in futures if isinstance(e := f.exception(), InputError) for p in e.problems]:
        raise InputError(problems)
    return _name_twins(videos, {session: future.result() for future, session in futures.items()})


def _name_twins(videos: dict[str, Path], pieces: dict[str, Piece]) -> dict[str, Piece]:
    """Sort the pieces by session and add a warning to each whose source equals that of a session before it."""
    first: dict[Path, str] = {}
    named: dict[str, Piece] = {}
    for session, piece in sorted(pieces.items()):
        twin = first.setdefault(piece.video, session)
        if twin != session:
            found = f"the same content as {videos[twin].name}"
            cure = "It was processed all the same; check which session it is."
            warning = Problem(str(videos[session]), "", found, "a video of its own for every session", cure, "warning")
            piece = replace(piece, warnings=[*piece.warnings, warning])
        named[session] = piece
    return named


def write_outputs(pieces: dict[str, Piece], videos: Path, frames: Path, work: Path) -> None:
    """Fill both output folders with links to the pieces and remove the pieces that were not used."""
    with artifacts.replacing_folder(videos) as video_folder, artifacts.replacing_folder(frames) as frame_folder:
        for session, piece in pieces.items():
            _link(piece.video, video_folder / f"{session}.mp4")
            _link(piece.frames, frame_folder / f"{session}.npy")
    used = {piece.video.parent.name for piece in pieces.values()}
    for folder in work.iterdir():
        if folder.name not in used:
            artifacts.remove(folder)


def check_apart(source: Path, outputs: list[Path]) -> None:
    """Refuse output folders that would replace the sources.

    Raises:
        InputError: an output folder is the source folder, lies in it or around it.
    """
    raw = source.resolve()
    for folder in (output.resolve() for output in outputs):
        if raw == folder or raw in folder.parents or folder in raw.parents:
            expected = "an output folder apart from the source videos"
            raise InputError(Problem(str(folder), "", f"the sources in {source}", expected, "Choose another folder."))


class _Job:
    """What is equal for all sources of a run; turns one source into its piece."""

    def __init__(self, work: Path, config: VideoConfig, threads: int, runner: Runner) -> None:
        self.work, self.config, self.threads, self.runner = work, config, threads, runner
        self._locks: dict[str, Lock] = defaultdict(Lock)

    def run(self, source: Path) -> Piece:
        try:
            folder = self.work / self._key(source)
        except OSError:  # missing, a folder, not allowed: the probe finds the words
            probe(source)
            raise
        with self._locks[folder.name]:  # two sources may be equal
            if not _finished(folder):
                self._build(source, folder)
        report = artifacts.read_json(folder / "report.json")
        warnings = [_damage(source, report["damage"], "warning")] if report["damage"] else []
        return Piece(folder / "video.mp4", folder / "frames.npy", report["frames"], warnings)

    def _key(self, source: Path) -> str:
        with source.open("rb") as file:
            content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        size = (self.config.height, self.config.width_multiple)
        first = transcode_command(Path("source"), Path("target"), _ANY, size, self.config.frame_rate, 0, 1)[1:]
        recipe = json.dumps([content, first, decode_command(Path("target"))[1:], ffmpeg_version()])
        return hashlib.blake2b(recipe.encode(), digest_size=16).hexdigest()

    def _build(self, source: Path, folder: Path) -> None:
        info = probe(source)
        with artifacts.replacing_folder(folder) as building:
            video, frames = building / "video.mp4", building / "frames.npy"
            size = (self.config.height, output_width(info, self.config.height, self.config.width_multiple))
            limit = _latest_count(info, self.config.frame_rate) + 1
            command = transcode_command(source, video, info, size, self.config.frame_rate, limit, self.threads)
            outcome = self.runner.run(command)
            _check_run(source, folder, outcome)
            count = _decode(video, frames, size, self.runner)
            damage = check_result(source, info, outcome, count, self.config.frame_rate)
            # not by artifacts: the folder is renamed as a whole, and flushing would wait for the frames
            (building / "report.json").write_text(json.dumps({"frames": count, "damage": damage}), encoding="utf-8")


def _finished(folder: Path) -> bool:
    """Whether a piece is there and whole, also after a loss of power."""
    try:
        report = artifacts.read_json(folder / "report.json")
        frames = store.open_frames(folder / "frames.npy")
    except InputError:
        return False
    return len(frames) == report["frames"] and (folder / "video.mp4").is_file()


def tolerance_ms(info: VideoInfo) -> Fraction:
    """Time that may be missing or damaged: one second, or a tenth of a shorter video."""
    return min(Fraction(1000), Fraction(info.duration_ms, 10))


def _latest_count(info: VideoInfo, rate: Fraction) -> int:
    return store.num_frames(info.duration_ms + tolerance_ms(info), rate) + 1


def _check_run(source: Path, piece: Path, outcome: Outcome) -> None:
    if outcome.disk_full:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(piece))
    if not artifacts.partial(piece).is_dir():  # removed under the run: no fault of the source
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(piece))
    if outcome.code:
        found = f"ffmpeg stopping with '{outcome.error}'" if outcome.error else f"ffmpeg's exit code {outcome.code}"
        raise InputError(Problem(str(source), "", found, "a video that can be decoded to its end", _REPAIR))


def _decode(video: Path, frames: Path, size: tuple[int, int], runner: Runner) -> int:
    """Decode the small video straight into the frame store; the number of frames is known, and written, last."""
    height, width = size
    if not video.is_file() or not video.stat().st_size:
        return 0
    with frames.open("w+b") as file:
        start = store.write_header(file, 0, height, width)
        outcome = runner.run(decode_command(video), stdout=file)
        count, rest = divmod(os.fstat(file.fileno()).st_size - start, height * width * 3)
        if outcome.disk_full or outcome.code or rest:
            code = errno.ENOSPC if outcome.disk_full else errno.EIO
            raise OSError(
                code, os.strerror(code) if outcome.disk_full else outcome.error or "cannot write", str(frames)
            )
        store.write_header(file, count, height, width)
    return count


def check_result(source: Path, info: VideoInfo, outcome: Outcome, count: int, rate: Fraction) -> str:
    """Hold the decoded length and damage against what the container states.

    Returns:
        Words for a small damage, empty if there is none.

    Raises:
        InputError: too much is missing, damaged or too long.
    """
    stated = f"{info.duration_ms / 1000:.1f} s"
    expected = f"pictures for the {stated} that the file states"
    decoded = f"{float(count / rate):.1f} s"
    if count < store.num_frames(info.duration_ms - tolerance_ms(info), rate):
        raise InputError(Problem(str(source), "", f"pictures for {decoded} only", expected, _REPAIR))
    if count > _latest_count(info, rate):
        cure = "Its time stamps are broken; export it again as MP4 (H.264)."
        raise InputError(Problem(str(source), "", "pictures beyond the end", expected, cure))
    if not outcome.error and not outcome.damaged:
        return ""
    damage = f"{outcome.damaged} damaged pictures" if outcome.damaged else f"damage ('{outcome.error}')"
    if outcome.damaged * 1000 / info.frame_rate > tolerance_ms(info):
        raise InputError(_damage(source, damage, "error"))
    return damage


def _damage(source: Path, damage: str, severity: str) -> Problem:
    if severity == "error":
        return Problem(str(source), "", damage, "an undamaged video", _REPAIR)
    cure = "They were replaced by their neighbours; look at the video."
    return Problem(str(source), "", damage, "an undamaged video", cure, "warning")


def _link(piece: Path, target: Path) -> None:
    try:
        os.link(piece, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(piece, target)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def cpus() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
