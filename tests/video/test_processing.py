"""Many videos at once: resumption, damage, interrupts, and the stage as users run it."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from attune.problems import InputError
from attune.video import processing, transcode
from attune.video.files import VideoConfig, VideoInfo, open_frames
from tests.video.making import BAD, ffmpeg

ROOT = Path(__file__).parents[2]
STAGE = ROOT / "stages/engagement/process_videos.py"
Stage = Callable[..., subprocess.CompletedProcess[str]]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def outputs(folder: Path) -> list[Path]:
    return [folder / "video", folder / "frames", folder / "work"]


def clip(play: Path, path: Path, start: float, seconds: float = 2) -> Path:
    ffmpeg("-ss", start, "-i", play, "-t", seconds, "-c", "copy", path)
    return path


@pytest.fixture
def raw(play: Path, tmp_path: Path) -> Path:
    """Three sessions, one of them with a difficult name."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for number, name in enumerate(["fp01.mp4", '-o it\'s "100%d" śnieg.mp4', "fp03.MOV"]):
        clip(play, folder / name, number)
    return folder


def test_stage_writes_one_video_and_one_store_per_session(run_stage: Stage, raw: Path, tmp_path: Path) -> None:
    done = run_stage("engagement/process_videos", raw, *outputs(tmp_path))
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
    stems = sorted(path.stem for path in raw.iterdir())
    assert sorted(path.name for path in (tmp_path / "video").iterdir()) == [f"{stem}.mp4" for stem in stems]
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == [f"{stem}.npy" for stem in stems]
    for stem in stems:
        frames = open_frames(tmp_path / "frames" / f"{stem}.npy")
        assert frames.shape == (7, 160, 208, 3)
        np.testing.assert_array_equal(frames, np.load(tmp_path / "frames" / f"{stem}.npy"))
    assert len(list((tmp_path / "work").iterdir())) == 3


def test_bytes_depend_neither_on_workers_nor_on_the_run(raw: Path, tmp_path: Path, config: VideoConfig) -> None:
    found = {path.stem: path for path in raw.iterdir()}
    one = processing.process(found, tmp_path / "one", config, workers=1)
    many = processing.process(dict(reversed(found.items())), tmp_path / "many", config, workers=3)
    assert list(one) == list(many) == sorted(found)
    assert contents(tmp_path / "one") == contents(tmp_path / "many")


def test_a_repeated_run_redoes_only_what_changed(
    play: Path, raw: Path, tmp_path: Path, config: VideoConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []
    run = transcode.Runner.run

    def counting(self: transcode.Runner, command: list[str], **rest: object) -> transcode.Outcome:
        if "libx264" in command:
            built.append(Path(command[command.index("-i") + 1].removeprefix("file:")).name)
        return run(self, command, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(transcode.Runner, "run", counting)
    video, frames, work = outputs(tmp_path)

    def process(settings: VideoConfig = config) -> list[str]:
        built.clear()
        pieces = processing.process({path.stem: path for path in raw.iterdir()}, work, settings)
        processing.write_outputs(pieces, video, frames, work)
        return sorted(built)

    assert len(process()) == 3
    before = contents(video) | contents(frames)
    shutil.rmtree(video)  # as DVC does before a run
    shutil.rmtree(frames)
    assert process() == []
    assert contents(video) | contents(frames) == before
    clip(play, raw / "fp01.mp4", 5)
    assert process() == ["fp01.mp4"]
    (raw / "fp01.mp4").rename(raw / "fp07.mp4")
    assert process() == []
    assert sorted(path.stem for path in video.iterdir()) == sorted(path.stem for path in raw.iterdir())
    assert len(process(VideoConfig(height=80, width_multiple=16, frame_rate=Fraction(25, 8)))) == 3
    assert len(list(work.iterdir())) == 3  # the pieces of earlier settings and sources are gone


def test_bad_videos_are_all_named_and_the_good_ones_kept(
    run_stage: Stage, bad_videos: Path, play: Path, tmp_path: Path
) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(bad_videos, raw, symlinks=True)
    clip(play, raw / "fp01.mp4", 1)
    done = run_stage("engagement/process_videos", raw, *outputs(tmp_path))
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert len(lines) == len(BAD) + 1
    for number, (name, (_, found, cure)) in enumerate(BAD.items()):
        (line,) = [line for line in lines if f"/{number}-{name}:" in line]
        assert line.startswith("error: ")
        assert found in line
        assert cure in line
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "video").exists()
    assert not (tmp_path / "frames").exists()
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []
    (piece,) = (tmp_path / "work").iterdir()
    assert len(open_frames(piece / "frames.npy")) == 7


def test_bad_videos_leave_earlier_outputs_as_they_were(run_stage: Stage, raw: Path, tmp_path: Path) -> None:
    assert run_stage("engagement/process_videos", raw, *outputs(tmp_path)).returncode == 0
    before = contents(tmp_path)
    (raw / "fp09.mp4").touch()
    assert run_stage("engagement/process_videos", raw, *outputs(tmp_path)).returncode == 1
    (raw / "fp09.mp4").unlink()
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda folder: shutil.rmtree(folder / "raw"), "No such file or directory"),
        (lambda folder: [path.unlink() for path in (folder / "raw").iterdir()], "no video"),
        (lambda folder: (folder / "video").symlink_to(folder / "raw"), "an output folder apart from the source videos"),
        (lambda folder: (folder / "raw/fp01.mkv").touch(), "of the same session"),
    ],
)
def test_bad_folders_end_the_stage(
    run_stage: Stage, raw: Path, tmp_path: Path, prepare: Callable[[Path], object], message: str
) -> None:
    prepare(tmp_path)
    before = contents(tmp_path)
    done = run_stage("engagement/process_videos", raw, *outputs(tmp_path))
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("error: ") == 1
    assert "Traceback" not in done.stderr
    assert contents(tmp_path) == before


def test_outputs_may_not_lie_around_or_in_the_sources(tmp_path: Path) -> None:
    for output in [tmp_path, tmp_path / "raw", tmp_path / "raw/video", tmp_path / "raw/../raw"]:
        with pytest.raises(InputError, match="apart from the source"):
            processing.check_apart(tmp_path / "raw", [tmp_path / "frames", output])
    processing.check_apart(tmp_path / "raw", [tmp_path / "video", tmp_path / "raw2"])


def test_little_damage_is_a_warning_and_stays_one_on_the_next_run(
    play: Path, tmp_path: Path, config: VideoConfig
) -> None:
    content = bytearray(play.read_bytes())
    middle = len(content) * 3 // 5
    content[middle : middle + 3000] = bytes(3000)
    path = tmp_path / "scratched.mp4"
    path.write_bytes(content)
    for _ in range(2):
        piece = processing.process({"s": path}, tmp_path / "work", config)["s"]
        (warning,) = piece.warnings
        assert warning.severity == "warning"
        assert "damaged pictures" in warning.found
        assert piece.count == 32


def info(duration_ms: int) -> VideoInfo:
    return VideoInfo(duration_ms, 192, 144, Fraction(1), 0, Fraction(25), 0, "h264", Fraction(0))


@pytest.mark.parametrize(
    ("duration_ms", "count", "damaged", "refusal"),
    [
        (60_000, 188, 0, ""),
        (60_000, 185, 0, ""),  # 59.2 s: less than a second is missing
        (60_000, 184, 0, "58.9 s only"),
        (60_000, 0, 0, "0.0 s only"),
        (60_000, 192, 0, ""),
        (60_000, 193, 0, "beyond the end"),
        (60_000, 188, 25, ""),
        (60_000, 188, 26, "26 damaged pictures"),
        (2_000, 6, 5, ""),  # of a short video a tenth: 200 ms
        (2_000, 5, 0, "1.6 s only"),
        (2_000, 7, 6, "6 damaged pictures"),
        (100, 1, 0, ""),
    ],
)
def test_tolerances(duration_ms: int, count: int, damaged: int, refusal: str) -> None:
    outcome = transcode.Outcome(0, damaged, "", False)

    def check() -> str:
        return processing.check_result(Path("fp01.mp4"), info(duration_ms), outcome, count, Fraction(25, 8))

    if refusal:
        with pytest.raises(InputError, match=refusal):
            check()
    else:
        assert check() == (f"{damaged} damaged pictures" if damaged else "")


def test_a_full_disk_is_not_blamed_on_the_source(
    raw: Path, tmp_path: Path, config: VideoConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = [sys.executable, "-c", "import sys; sys.exit('[error] x: No space left on device')"]
    monkeypatch.setattr(processing, "transcode_command", lambda *arguments: [*shell, "libx264"])
    with pytest.raises(OSError, match="No space left on device"):
        processing.process({"s": raw / "fp01.mp4"}, tmp_path / "work", config)
    assert not list((tmp_path / "work").iterdir())


def test_copies_where_links_fail(
    raw: Path, tmp_path: Path, config: VideoConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    video, frames, work = outputs(tmp_path)
    pieces = processing.process({"s": raw / "fp01.mp4"}, work, config)
    processing.write_outputs(pieces, video, frames, work)
    assert (video / "s.mp4").read_bytes() == pieces["s"].video.read_bytes()
    assert open_frames(frames / "s.npy").shape == (7, 160, 208, 3)


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    return [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]


def wait_for(condition: Callable[[], object], seconds: float = 30) -> object:
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)
    return value


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to see child processes")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupt_leaves_no_ffmpeg_behind(long_play: Path, tmp_path: Path, number: signal.Signals) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ["a.mp4", "b.mp4", "c.mp4"]:
        (raw / name).symlink_to(long_play)
    command = [sys.executable, STAGE, raw, *outputs(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as stage:
        wait_for(lambda: list(tmp_path.glob("work/.*/video.mp4")))
        running = [pid for pid in children(stage.pid) if alive(pid)]
        assert running
        stage.send_signal(number)
        _, message = stage.communicate(timeout=10)
    assert stage.returncode != 0
    assert "Traceback" not in message
    assert not [pid for pid in running if alive(pid)]
    assert not list((tmp_path / "work").iterdir())
    assert not (tmp_path / "video").exists()


@pytest.mark.slow
def test_killed_and_repeated_gives_the_same_bytes(play: Path, long_play: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for number in range(3):
        clip(play, raw / f"short{number}.mp4", number)
    clip(long_play, raw / "long.mp4", 0, 60)
    command = [sys.executable, STAGE, raw]
    subprocess.run([*command, *outputs(tmp_path / "undisturbed")], cwd=ROOT, check=True, capture_output=True)
    folder = tmp_path / "killed"
    with subprocess.Popen([*command, *outputs(folder)], cwd=ROOT, stderr=subprocess.DEVNULL) as stage:
        wait_for(lambda: list(folder.glob("work/[!.]*")))
        stage.kill()
    finished = {path.name for path in folder.glob("work/[!.]*")}
    assert 1 <= len(finished) < 4
    assert not (folder / "video").exists()
    subprocess.run([*command, *outputs(folder)], cwd=ROOT, check=True, capture_output=True)
    assert contents(folder) == contents(tmp_path / "undisturbed")
    assert len(contents(folder / "video")) == len(contents(folder / "frames")) == 4


def test_equal_sources_share_a_piece_and_are_named(raw: Path, tmp_path: Path, config: VideoConfig) -> None:
    for number in range(4, 9):
        shutil.copy(raw / "fp01.mp4", raw / f"fp0{number}.mp4")
    found = {path.stem: path for path in raw.glob("fp0[1-8].mp4")}
    pieces = processing.process(found, tmp_path / "work", config, workers=6)
    assert len({piece.video for piece in pieces.values()}) == len(list((tmp_path / "work").iterdir())) == 1
    assert not pieces["fp01"].warnings
    assert [pieces[f"fp0{number}"].warnings[0].found for number in range(4, 9)] == ["the same content as fp01.mp4"] * 5


def test_a_piece_that_lost_a_file_is_made_again(raw: Path, tmp_path: Path, config: VideoConfig) -> None:
    piece = processing.process({"s": raw / "fp01.mp4"}, tmp_path / "work", config)["s"]
    whole = contents(tmp_path / "work")
    for spoil in [lambda: piece.frames.unlink(), lambda: os.truncate(piece.frames, 9999), lambda: piece.video.unlink()]:
        spoil()
        assert processing.process({"s": raw / "fp01.mp4"}, tmp_path / "work", config)["s"] == piece
        assert contents(tmp_path / "work") == whole


def test_progress_counts_every_video(raw: Path, tmp_path: Path, config: VideoConfig) -> None:
    done: list[str] = []
    (raw / "empty.mp4").touch()
    with pytest.raises(InputError):
        processing.process({path.stem: path for path in raw.iterdir()}, tmp_path / "work", config, done.append)
    assert sorted(done) == sorted(path.stem for path in raw.iterdir())


def test_any_number_of_messages_is_read_while_it_comes() -> None:
    noisy = "import sys\nfor n in range(20000): print('[h264] [error] message', n, file=sys.stderr)"
    outcome = transcode.Runner().run([sys.executable, "-c", noisy])
    assert outcome == transcode.Outcome(0, 0, "message 0", False)


def test_a_stopped_runner_starts_nothing() -> None:
    runner = transcode.Runner()
    threading.Timer(0.3, runner.stop).start()
    for _ in range(2):
        with pytest.raises(transcode.StoppedError):
            runner.run([sys.executable, "-c", "import time; time.sleep(60)"])
