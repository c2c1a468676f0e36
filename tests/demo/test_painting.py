"""The demo's painting: in the page's format, where the truth is, with each painter's faults."""

import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attune import artifacts
from attune.attention import painting as format_
from attune.attention import worklist
from attune.attention.snippets import SNIPPETS
from attune.attention.strokes import Copy, Interpolate, rasterise
from attune.demo import painting, truth
from attune.demo.canvas import HANDS, HEAD
from attune.demo.config import DemoConfig

LOOK = painting.Look((15, 160, 208), Fraction(25, 8))
PAINTERS = painting.painters(["ew", "kb", "mt"], DemoConfig())
START_MS = 5000


def moving(speed: float = 0.2) -> np.ndarray:
    """Masks of 20 s at 25 frames per second: a head that moves to the right, and two hands at rest."""
    masks = np.zeros((500, 144, 192), np.uint8)
    for t in range(500):
        x = int(20 + speed * t)
        masks[t, 30:60, x : x + 24] = HEAD
        masks[t, 110:120, 40:56] = masks[t, 110:120, 100:116] = HANDS
    return masks


def centre(painted: np.ndarray) -> float:
    """Mean x of the paint, in pixels of the mask."""
    x = np.arange(painted.shape[-1]) + 0.5
    return float((painted.sum((0, 1)) * x).sum() / painted.sum() * 192 / 208)


def paint(name: str, evidence: int, masks: np.ndarray, seed: int = 0) -> np.ndarray:
    strokes, seconds = painting.paint(masks, START_MS, evidence, LOOK, PAINTERS[name], np.random.default_rng(seed))
    assert len(seconds) == 15 and min(seconds) > 0
    return rasterise(strokes, LOOK.shape)


@pytest.mark.parametrize("name", PAINTERS)
@pytest.mark.parametrize(("evidence", "rows"), [(HEAD, slice(20, 80)), (HANDS, slice(105, 145))])
def test_most_paint_lies_around_the_evidence(name: str, evidence: int, rows: slice) -> None:
    painted = np.mean([paint(name, evidence, moving(), seed) for seed in range(6)], axis=0)
    assert painted[:, rows].sum() > 0.8 * painted.sum()
    assert painted.sum((1, 2)).min() > 0  # over several paintings, no frame stays empty


def test_the_hand_follows_late() -> None:
    lags = {}
    for name in ("ew", "mt"):
        painted = np.mean([paint(name, HEAD, moving(speed=0.25), seed) for seed in range(12)], axis=0)
        own = painted[[0, 4, 8, 12]] if name == "mt" else painted[::2]  # frames that are painted, not filled
        at = range(0, 15, 4) if name == "mt" else range(0, 15, 2)
        true = np.mean([20 + 0.25 * (125 + 8 * frame) + 12 for frame in at])
        lags[name] = (true - centre(own.sum(0)[None])) / 0.25 * 40
    assert 100 < lags["ew"] < 700 and lags["mt"] > lags["ew"]


def test_frames_are_filled_in_each_ones_way() -> None:
    kinds = {}
    for name, painter in PAINTERS.items():
        strokes, _ = painting.paint(moving(), START_MS, HEAD, LOOK, painter, np.random.default_rng(0))
        kinds[name] = {type(stroke) for stroke in strokes} & {Copy, Interpolate}
    assert kinds == {"ew": {Interpolate}, "kb": {Interpolate}, "mt": {Copy}}


def test_nothing_to_see_gives_next_to_no_paint() -> None:
    empty = np.zeros((500, 144, 192), np.uint8)
    for name in PAINTERS:
        assert paint(name, HEAD, empty).sum() < 0.1 * paint(name, HEAD, moving()).sum()


def test_the_width_is_that_of_the_processed_video() -> None:
    masks = np.zeros((1, 144, 192), np.uint8)
    assert [painting.frame_width(160, multiple, masks) for multiple in (16, 2, 300)] == [208, 214, 300]
    assert painting.frame_width(120, 32, masks) == 160
    assert painting.frame_width(120, 64, masks) == 192  # 2.5 multiples


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A truth of one session, a table of snippets and parameters."""
    masks = moving()
    (tmp_path / "masks").mkdir()
    truth.write_masks(tmp_path / "masks" / "fp01.npz", [truth.pack(mask) for mask in masks], (144, 192))
    rows = [
        (f"fp01-eggs-{variable}-0005000", "fp01", name, "eggs", variable, START_MS, label, "shared", int(name == "kb"))
        for name in PAINTERS
        for variable, label in (("attending", 1), ("participating", 0))
    ]
    pd.DataFrame(rows, columns=list(SNIPPETS)).to_csv(tmp_path / "snippets.csv", index=False)
    shutil.copy(Path(__file__).parents[2] / "params.yaml", tmp_path)
    return tmp_path


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_the_stage_saves_every_painting_the_same_way_each_time(folder: Path, run_stage: Any) -> None:
    for out in ("one", "two"):
        result = run_stage("demo/paint", "snippets.csv", "masks", out, cwd=folder)
        assert result.returncode == 0, result.stderr
    assert contents(folder / "one") == contents(folder / "two")
    assert not list(folder.rglob("*.partial"))
    found = format_.list_paintings(folder / "one")
    assert len(found) == 6 + 2
    assert {place.annotator for place in found if place.painting.endswith("_again")} == {"kb"}
    table = artifacts.read_table(folder / "snippets.csv", worklist.COLUMNS)
    for name, own in table.groupby("annotator"):  # exactly what the page would have asked its painter for
        asked = [item.painting for item in worklist.arrange(own, str(name))]
        assert sorted(asked) == [place.painting for place in found if place.annotator == name]
    for place in found:
        made = format_.load(place.folder)
        painted = format_.read_map(place.folder)
        assert made.version == 1 and len(made.seconds) == 15
        assert set(made.labels) == {"attending", "participating"}
        assert painted.shape == LOOK.shape and painted.any()
        np.testing.assert_array_equal(painted, format_.rebuild(place.folder))


def test_a_repetition_is_painted_anew(folder: Path) -> None:
    table = pd.read_csv(folder / "snippets.csv")
    made = {
        (item.annotator, item.painting): item
        for item in painting.paint_all(table, folder / "masks", folder / "out", LOOK, PAINTERS, 7)
    }
    first, second = (made["kb", "fp01-eggs-attending-0005000" + suffix] for suffix in ("", "_again"))
    assert first.strokes != second.strokes and first.snippet == second.snippet
    assert first.saved and second.saved and first.saved < second.saved
    one, other = (rasterise(item.strokes, LOOK.shape).ravel() for item in (first, second))
    assert 0.3 < np.corrcoef(one, other)[0, 1] < 0.99
    alone = table[(table["annotator"] == "mt")]
    again = next(painting.paint_all(alone, folder / "masks", folder / "alone", LOOK, PAINTERS, 7))
    assert again == made["mt", again.painting]  # whoever else paints
