"""Maps on one grid; torch's own resizing and the video transforms are the oracles."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional

from attune.attention import maps
from attune.problems import InputError
from attune.video import transforms


def test_downsampling_is_the_published_gaussian() -> None:
    pixels = np.random.default_rng(0).random((2, 160, 160))
    offsets = np.arange(-20, 21)
    centre = 80  # of the cell [80, 85): pixel 82, 17 or more from the border of the kernel
    window = np.exp(-(offsets**2) / (2 * 5.0**2))
    kernel = np.outer(window, window) / window.sum() ** 2
    patch = pixels[1, centre + 2 - 20 : centre + 2 + 21, centre + 2 - 20 : centre + 2 + 21]
    assert maps.to_grid(pixels)[1, 16, 16] == pytest.approx((patch * kernel).sum(), abs=1e-6)


@pytest.mark.parametrize("shape", [(7, 7), (32, 32), (112, 112), (160, 208), (20, 50)])
def test_even_maps_stay_even_and_equal(shape: tuple[int, int]) -> None:
    cells = maps.to_grid(np.full((2, *shape), 0.3))
    assert cells.shape == (2, 32, 32)
    assert np.unique(cells).size == 1
    assert cells[0, 0, 0] == pytest.approx(0.3)


def test_enlarging_is_bicubic_and_never_negative() -> None:
    pixels = np.random.default_rng(1).random((3, 7, 7)) ** 4
    expected = functional.interpolate(torch.tensor(pixels)[None], size=(32, 32), mode="bicubic")[0].clamp(min=0)
    assert (functional.interpolate(torch.tensor(pixels)[None], size=(32, 32), mode="bicubic") < 0).any()
    np.testing.assert_allclose(maps.to_grid(pixels), expected.numpy(), atol=1e-6)


def test_same_size_is_kept_and_mass_stays_in_its_place() -> None:
    pixels = np.random.default_rng(2).random((2, 32, 32))
    np.testing.assert_allclose(maps.to_grid(pixels), pixels, atol=1e-6)
    point = np.zeros((1, 160, 160))
    point[0, 22, 132] = 1  # centre of cell (4, 26)
    assert np.unravel_index(maps.to_grid(point)[0].argmax(), (32, 32)) == (4, 26)


def test_normalising() -> None:
    assert maps.normalise(np.full((2, 3, 3), 1e-320)).sum() == pytest.approx(1)
    assert maps.normalise(np.full((2, 3, 3), 1e308)).sum() == pytest.approx(1)
    assert not maps.normalise(np.zeros((2, 3, 3))).any()


@pytest.mark.parametrize("view", ["square", "crop"])
@pytest.mark.parametrize("shape", [(48, 64), (49, 64), (64, 47), (33, 33)])
def test_view_is_that_of_the_video_transforms(view: transforms.View, shape: tuple[int, int]) -> None:
    size = 32 if view == "crop" else min(shape)
    picture = np.random.default_rng(3).random((2, *shape)).astype(np.float32)
    shown = transforms.evaluate(np.repeat(picture[..., None], 3, axis=3)[None], size, view)[0, 0].numpy()
    np.testing.assert_allclose(maps.to_view(picture, view, size), shown, atol=1e-6)


def test_view_larger_than_the_frame_is_refused() -> None:
    with pytest.raises(InputError, match="40 x 64"):
        maps.to_view(np.zeros((1, 40, 64)), "crop", 48)


def test_floors() -> None:
    prior = maps.centre_prior((2, 32, 32))
    assert prior.sum() == pytest.approx(1)
    np.testing.assert_allclose(prior[0], prior[1, ::-1, ::-1])
    assert prior[0, 16, 24] / prior[0, 16, 16] == pytest.approx(np.exp(-(8.5**2 - 0.5**2) / (2 * 8**2)))
    np.testing.assert_array_equal(maps.random_map((1, 4, 4), 1), maps.random_map((1, 4, 4), 1))
    assert (maps.random_map((1, 4, 4), 1) != maps.random_map((1, 4, 4), 2)).any()


def test_rules() -> None:
    signed = np.array([[[-2.0, 1.0]]])
    assert maps.rectify(signed, "absolute").tolist() == [[[2, 1]]]
    assert maps.rectify(signed, "positive").tolist() == [[[0, 1]]]


@pytest.mark.parametrize("wrong", [np.zeros((3, 3)), np.full((1, 2, 2), -1.0), np.full((1, 2, 2), np.nan)])
def test_what_is_no_map_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="map"):
        maps.to_grid(wrong)


def test_comparison_does_not_load_torch() -> None:
    code = (
        "import sys, numpy as np; from attune.attention import comparison, comparison_inputs, comparison_summary, emd\n"
        "emd.between_frames(np.eye(2)[None], np.eye(2)[None, ::-1]); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
