"""Attention and evidence: hand-computed shares, masks in time and space, intervals over sessions."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from attune.attention import localisation
from attune.video import transforms

torch.set_num_threads(1)


def test_mass_inside_counts_partial_pixels() -> None:
    attention = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    evidence = np.array([[[0.0, 1.0], [0.5, 0.0]]])
    assert localisation.mass_inside(attention, evidence) == pytest.approx(0.35)
    assert localisation.mass_inside(7 * attention, evidence) == pytest.approx(0.35)
    assert np.isnan(localisation.mass_inside(0 * attention, evidence))
    assert np.isnan(localisation.mass_inside(attention, 0 * evidence))


def test_pointing_game_counts_frames_and_shares_ties() -> None:
    evidence = np.zeros((4, 3, 3))
    evidence[:3, 0, 0] = 1  # the last frame shows none
    attention = np.zeros((4, 3, 3))
    attention[0, 0, 0] = 2  # hit
    attention[1, 0, 2] = 5  # two pixels beside it
    attention[2] = 1  # one of nine
    attention[3, 1, 1] = 1
    assert localisation.pointing_game(attention, evidence) == pytest.approx((1 + 0 + 1 / 9) / 3)
    assert localisation.pointing_game(attention, evidence, tolerance=1) == pytest.approx((1 + 0 + 3 / 9) / 3)
    assert localisation.pointing_game(attention, evidence, tolerance=2) == pytest.approx((1 + 1 + 6 / 9) / 3)
    attention[0] = 0  # a frame without attention is left out
    assert localisation.pointing_game(attention, evidence) == pytest.approx(1 / 18)
    assert np.isnan(localisation.pointing_game(attention, 0 * evidence))


def test_masks_are_those_that_were_visible_at_each_time() -> None:
    masks = np.arange(20)[:, None, None] >= np.zeros((1, 2, 2))
    masks = np.broadcast_to((np.arange(20) % 8 == 0)[:, None, None], masks.shape)
    times = [Fraction(k * 1000) / Fraction(25, 8) for k in range(4)]  # frames 0, 8, 16 and beyond the end
    found = localisation.visible(masks, Fraction(25), times)
    assert found[:, 0, 0].tolist() == [True, True, True, False]


@pytest.mark.parametrize("view", ["square", "crop"])
def test_masks_meet_the_pixels_that_they_were_drawn_on(view: transforms.View) -> None:
    """A bright shape in the frame and its mask at half the size arrive at the same place of the model's input."""
    mask = np.zeros((2, 40, 60), dtype=bool)
    mask[0, 10:25, 20:33] = True
    mask[1, 22:30, 27:44] = True
    frames = np.repeat(np.repeat(mask, 2, axis=1), 2, axis=2)[..., None] * np.ones(3) * 255
    seen = transforms.evaluate(frames[None].astype(np.uint8), 32, view)[0, 0].numpy()
    found = localisation.to_input(mask, (80, 120), view, 32)
    assert found.shape == (2, 32, 32)
    assert seen.max() == 1
    np.testing.assert_allclose(found, seen, atol=1e-6)


def test_the_interval_is_that_of_sessions_not_of_snippets() -> None:
    values = np.repeat([0.0, 1.0], 50)
    sessions = ["a"] * 50 + ["b"] * 50
    found = localisation.mean_over_sessions(values, sessions)
    assert found.mean == pytest.approx(0.5)
    assert (found.low, found.high) == (0.0, 1.0)  # a draw may hold one session twice
    alone = localisation.mean_over_sessions(values, [str(k) for k in range(100)])
    assert 0.35 < alone.low < 0.45 < 0.55 < alone.high < 0.65


def test_undefined_values_are_left_out() -> None:
    found = localisation.mean_over_sessions([0.2, np.nan, 0.4], ["a", "b", "c"])
    assert found.mean == pytest.approx(0.3)
    assert np.isnan(localisation.mean_over_sessions([np.nan], ["a"]).low)


def test_one_session_has_a_mean_but_no_interval() -> None:
    found = localisation.mean_over_sessions([0.2, 0.4, np.nan], ["a", "a", "b"])  # the other session's is undefined
    assert found.mean == pytest.approx(0.3)
    assert np.isnan([found.low, found.high]).all()
    assert not found.low > 0
