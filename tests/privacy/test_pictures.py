"""Photographs are told from charts: measured on every photograph that the installed packages bring."""

from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
import sklearn.datasets
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from attune.privacy import pictures

ROOT = Path(__file__).parents[2]
PHOTOGRAPHS = {
    **{f"sklearn {i}": image[..., ::-1] for i, image in enumerate(sklearn.datasets.load_sample_images().images)},
    "face": cv2.imread(str(Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg"))),
}


def _shrunk(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


VARIANTS = {
    "as it is": lambda pixels: pixels,
    "a frame of the processed video": lambda pixels: _shrunk(pixels, 208, 160),
    "thumbnail": lambda pixels: _shrunk(pixels, 48, 48),
    "grey": lambda pixels: cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR),
    "blurred": lambda pixels: cv2.GaussianBlur(pixels, (0, 0), 4),
    "enlarged": lambda pixels: cv2.resize(_shrunk(pixels, 208, 160), None, fx=5, fy=5, interpolation=cv2.INTER_NEAREST),
    "16 levels": lambda pixels: pixels // 16 * 16,
    "noisy": lambda pixels: cv2.add(pixels, np.random.default_rng(0).integers(0, 20, pixels.shape, dtype=np.uint8)),
}


@pytest.mark.parametrize("photograph", PHOTOGRAPHS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_photographs_are_seen(photograph: str, variant: str) -> None:
    assert pictures.textured(VARIANTS[variant](PHOTOGRAPHS[photograph])) >= pictures.SHARE


@pytest.mark.parametrize("size", [48, 100, 300])
def test_a_photograph_inside_a_figure_is_seen(size: int) -> None:
    chart = cv2.imread(str(ROOT / "docs/images/scores.png"))
    for place in (0, 5, 77):
        changed = chart.copy()
        changed[place : place + size, place : place + size] = _shrunk(PHOTOGRAPHS["face"], size, size)
        assert pictures.textured(changed) >= pictures.SHARE, place


def test_every_chart_of_the_repository_passes_with_distance() -> None:
    charts = [
        ROOT / "docs/images/scores.png",
        ROOT / "docs/images/reliability.png",
        *sorted(ROOT.glob("plots/**/*.png"))[::3],
    ]
    assert len(charts) > 8
    shares = {chart.name: pictures.textured(cv2.imread(str(chart))) for chart in charts}
    assert max(shares.values()) <= 0.5, shares


def test_dense_charts_pass() -> None:
    figure = Figure(figsize=(8, 8))
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2).ravel()
    rng = np.random.default_rng(0)
    axes[0].imshow(rng.random((10, 10)), interpolation="nearest")
    axes[1].scatter(*rng.random((2, 300)), c=rng.random(300))
    axes[2].text(0, 0, "\n".join(["the quick brown fox jumps over it " * 2] * 24), fontsize=5)
    for shift in range(40):
        axes[3].plot(np.sin(np.linspace(0, 9, 200) + shift / 9))
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    assert pictures.textured(np.ascontiguousarray(pixels)) < pictures.SHARE


def test_what_is_no_picture_is_said() -> None:
    assert pictures.photograph(b"\x89PNG\r\n\x1a\n" + bytes(50)) is None
