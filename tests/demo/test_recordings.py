import hashlib
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pandas as pd
import pytest

from attune import params
from attune.annotation.protocol import NO, Protocol
from attune.demo import recordings, truth
from attune.demo.config import DemoConfig
from attune.demo.scene import EVIDENCE_REGION, HEIGHT, WIDTH
from attune.problems import InputError
from tests.conftest import ROOT
from tests.demo.conftest import TINY


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read_video(path: Path) -> np.ndarray:
    """Frames at half size, (T, HEIGHT / 2, WIDTH / 2, 3)."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1][::2, ::2])
    return np.stack(frames)


def states_of(demo: Path, session: str, variable: str) -> np.ndarray:
    """The true state in every frame."""
    table = pd.read_csv(demo / "truth" / "behaviour.csv", keep_default_na=False)
    rows = table[(table.session == session) & (table.variable == variable)]
    return np.repeat(rows.value.to_numpy(str), ((rows.end_ms - rows.start_ms) // 40).to_numpy())


def settled(states: np.ndarray, wanted: bool, margin: int = 8) -> np.ndarray:
    """Frames in which the state has been, and stays, (dis)engaged for a while, so that no turn is under way."""
    same = (states != NO) == wanted
    window = np.ones(2 * margin + 1)
    return np.convolve(same, window, mode="same") == window.sum()


def change(first: np.ndarray, second: np.ndarray, where: np.ndarray) -> float:
    """Mean absolute difference of two pictures at some of their pixels."""
    return float(cv2.absdiff(first, second)[where].mean()) if where.any() else 0.0


def test_the_same_bytes_whatever_the_number_of_workers(tmp_path: Path, protocol: Protocol) -> None:
    short = DemoConfig(sessions=2, task_seconds=(1, 2), pause_seconds=(1, 1), simulated_sessions=20)
    for workers in (1, 2):
        recordings.record(tmp_path / str(workers), short, protocol, workers=workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_another_seed_gives_other_sessions(tiny_demo: Path, protocol: Protocol) -> None:
    other = TINY.model_copy(update={"seed": TINY.seed + 1})
    item = recordings.plan(other, protocol)[0]
    assert recordings.behave(item, other, protocol) != recordings.behave(item, TINY, protocol)


def test_files_are_where_a_lab_would_have_them(tiny_demo: Path) -> None:
    names = list(contents(tiny_demo))
    assert not [name for name in names if "partial" in name]
    assert [name for name in names if name.startswith("video/")] == [f"video/fp0{n}.mp4" for n in (1, 2, 3, 4)]
    eaf = [name for name in names if name.startswith("engagement/")]
    assert len(eaf) == 9  # three sessions by two annotators, one by three
    assert all(re.fullmatch(r"engagement/fp0[1-4]_(ew|kb|mt)_2022\d{4}\.eaf", name) for name in eaf)


def test_video_has_sound_and_as_many_frames_as_masks(tiny_demo: Path) -> None:
    tasks = pd.read_csv(tiny_demo / "truth" / "tasks.csv")
    for video in sorted((tiny_demo / "video").iterdir()):
        count = sum(len(piece) for piece in truth.iterate_masks(tiny_demo / "truth" / "masks" / f"{video.stem}.npz"))
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(video), "-f", "null", "-"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        assert re.search(r"Video: h264 .*yuv420p.*384x288.* 25 fps", said)
        assert "Audio: aac" in said
        assert int(re.findall(r"frame=\s*(\d+)", said)[-1]) == count
        assert tasks[tasks.session == video.stem].end_ms.max() < count * 40


def test_evidence_lies_in_the_middle_of_the_picture(tiny_demo: Path) -> None:
    left, top, right, bottom = EVIDENCE_REGION
    for path in sorted((tiny_demo / "truth" / "masks").iterdir()):
        masks = truth.read_masks(path)
        assert masks.shape[1:] == (HEIGHT // 2, WIDTH // 2)
        rows, columns = np.flatnonzero(masks.any(axis=(0, 2))) * 2, np.flatnonzero(masks.any(axis=(0, 1))) * 2
        assert left <= columns.min() <= columns.max() + 1 <= right
        assert top <= rows.min() <= rows.max() + 1 <= bottom
        heads = np.flatnonzero((masks == 1).any(axis=(1, 2)))
        widths = [np.ptp(np.flatnonzero((masks[frame] == 1).any(axis=0))) * 2 for frame in heads[::50]]
        assert np.median(widths) >= 75


def test_masks_follow_the_picture(tiny_demo: Path) -> None:
    """Where hands move in truth the picture changes inside their mask; a turned head looks different."""
    for session in ("fp01", "fp02"):
        masks = truth.read_masks(tiny_demo / "truth" / "masks" / f"{session}.npz")
        visible = (masks == 1).sum(axis=(1, 2)) > 500
        frames = read_video(tiny_demo / "video" / f"{session}.mp4")
        inside = (masks[6:] == 2) | (masks[:-6] == 2)
        level = np.array([change(*pair) for pair in zip(frames[6:], frames[:-6], inside, strict=True)])
        hands = states_of(tiny_demo, session, "participating")
        moving, still = (settled(hands, wanted)[6:] & visible[6:] & visible[:-6] for wanted in (True, False))
        if moving.sum() > 25 and still.sum() > 25:
            assert level[moving].mean() > 2 * level[still].mean()
        gaze = states_of(tiny_demo, session, "attending")
        towards, away = (settled(gaze, wanted) & visible for wanted in (True, False))
        if towards.sum() > 25 and away.sum() > 25:
            heads = masks[towards].min(axis=0) == 1
            difference = np.abs(frames[towards].mean(axis=0) - frames[away].mean(axis=0)).mean(axis=2)
            # The face covers part of the head; light drifts and people pass elsewhere.
            inside, elsewhere = (np.percentile(difference[w], 80) for w in (heads, masks.max(axis=0) == 0))
            assert inside > 2 * elsewhere


def test_both_contrasts_occur_in_the_tiny_demo(tiny_demo: Path) -> None:
    """Else the test above would hold of anything."""
    for variable in ("attending", "participating"):
        both = [states_of(tiny_demo, f"fp0{n}", variable) for n in (1, 2)]
        assert sum(settled(s, True).sum() > 50 and settled(s, False).sum() > 50 for s in both) >= 1


def test_experimenters_are_those_of_the_fold_groups(committed: DemoConfig, protocol: Protocol) -> None:
    folds = params._section(params._read(ROOT / "params.yaml"), "engagement.folds", ROOT / "params.yaml")
    second = [item.name for item in recordings.plan(committed, protocol) if item.experimenter == 2]
    assert second == folds["groups"]["experimenter_2"]


@pytest.mark.parametrize("sessions", [1, 4, 24])
def test_every_session_is_coded_by_two_or_three(sessions: int, protocol: Protocol) -> None:
    plans = recordings.plan(DemoConfig(sessions=sessions), protocol)
    assert {len(set(item.coders)) for item in plans} <= {2, 3}
    assert all(protocol.first_date <= item.date <= protocol.last_date for item in plans)


def test_assigned_annotators_code_their_session(protocol: Protocol) -> None:
    assigned = protocol.model_copy(update={"assigned": {"fp02": ("kb", "mt")}})
    assert recordings.plan(DemoConfig(), assigned)[1].coders == ("kb", "mt")


def test_engagement_is_about_as_frequent_as_not(committed: DemoConfig, protocol: Protocol) -> None:
    """Measured on what the annotators of the committed demo coded; not rendered."""
    engaged = {(task, variable): [0, 0] for task in protocol.tasks for variable in protocol.variables}
    for item in recordings.plan(committed, protocol):
        session = recordings.behave(item, committed, protocol)
        for coded in recordings.code(item, session, committed, protocol).values():
            for task in coded["task"]:
                for variable in protocol.variables:
                    overlaps = [min(s.end_ms, task.end_ms) - max(s.start_ms, task.start_ms) for s in coded[variable]]
                    engaged[task.value, variable][0] += sum(max(overlap, 0) for overlap in overlaps)
                    engaged[task.value, variable][1] += task.end_ms - task.start_ms
    shares = {key: part / whole for key, (part, whole) in engaged.items()}
    assert all(0.4 <= share <= 0.6 for share in shares.values()), shares


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"sessions": "kid[0-9]+"}, "engagement.protocol.sessions"),
        ({"sessions": ("fp01", "fp02")}, "engagement.protocol.sessions"),
        ({"variables": {}}, "engagement.protocol.variables.attending"),
    ],
)
def test_a_protocol_that_does_not_fit_is_refused_before_anything_is_written(
    tmp_path: Path, protocol: Protocol, change: dict[str, object], place: str
) -> None:
    with pytest.raises(InputError) as error:
        recordings.record(tmp_path / "demo", TINY, protocol.model_copy(update=change))
    assert place in {problem.where for problem in error.value.problems}
    assert not (tmp_path / "demo").exists()


def test_tasks_never_touch(committed: DemoConfig, protocol: Protocol) -> None:
    for item in recordings.plan(committed, protocol):
        session = recordings.behave(item, committed, protocol)
        for coded in recordings.code(item, session, committed, protocol).values():
            assert all(before.end_ms < after.start_ms for before, after in pairwise(coded["task"]))
