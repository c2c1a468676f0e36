"""Deletion and insertion on networks whose curve is known."""

import numpy as np
import pytest
import torch
from torch import nn

from attune.attention import faithfulness
from attune.attention.faithfulness import FaithfulnessConfig

torch.set_num_threads(1)

SHAPE = (4, 6, 6)


class Square(nn.Module):
    """Counts the red of one part of the clip: logit of class 1 is 8 * (share of it that is left) - 4."""

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        left = clips[:, 0, 1:3, 2:4, 2:4].mean(dim=(1, 2, 3))
        return torch.stack([torch.zeros_like(left), 8 * left - 4], dim=1)


def clip() -> torch.Tensor:
    return torch.ones(3, *SHAPE)


def truth() -> np.ndarray:
    evidence = np.zeros(SHAPE)
    evidence[1:3, 2:4, 2:4] = 1
    return evidence


CONFIG = FaithfulnessConfig(steps=144, deletion_fill="zero", insertion_fill="zero", batch=32)


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def test_the_curves_of_the_true_map_are_those_of_the_count() -> None:
    left = np.maximum(8 - np.arange(145), 0) / 8
    deleted = faithfulness.curve(Square(), clip(), truth(), 1, "deletion", CONFIG)
    np.testing.assert_allclose(deleted, sigmoid(8 * left - 4), atol=1e-6)
    inserted = faithfulness.curve(Square(), clip(), truth(), 1, "insertion", CONFIG)
    np.testing.assert_allclose(inserted, sigmoid(8 * (1 - left) - 4), atol=1e-6)
    other = faithfulness.curve(Square(), clip(), truth(), 0, "deletion", CONFIG)
    np.testing.assert_allclose(other, 1 - deleted, atol=1e-6)


def test_the_true_map_beats_a_random_one_and_that_beats_its_opposite() -> None:
    random = np.random.default_rng(1).random(SHAPE)
    maps = [truth(), random, 1 - truth()]
    deleted = [faithfulness.area(faithfulness.curve(Square(), clip(), m, 1, "deletion", CONFIG)) for m in maps]
    inserted = [faithfulness.area(faithfulness.curve(Square(), clip(), m, 1, "insertion", CONFIG)) for m in maps]
    assert deleted == sorted(deleted)
    assert inserted == sorted(inserted, reverse=True)
    assert deleted[0] < 0.1 < 0.9 < deleted[2]


def test_batches_and_known_ends_change_nothing() -> None:
    attention = np.random.default_rng(0).random(SHAPE)
    for kind in ("deletion", "insertion"):
        config = FaithfulnessConfig(steps=7)
        whole = faithfulness.curve(Square(), clip() + 0.1, attention, 1, kind, config)  # type: ignore[arg-type]
        batched = config.model_copy(update={"batch": 3})
        ends = faithfulness.ends(Square(), clip() + 0.1, 1, kind, config)  # type: ignore[arg-type]
        again = faithfulness.curve(Square(), clip() + 0.1, attention, 1, kind, batched, ends)  # type: ignore[arg-type]
        np.testing.assert_allclose(whole, again, atol=1e-7)
        assert len(whole) == 8


def test_pixels_are_ordered_by_attention_and_equal_ones_at_random() -> None:
    values = np.array([[[0.1, 0.9], [0.5, 0.3]]])
    assert faithfulness.ranks(values).tolist() == [[[3, 0], [1, 2]]]
    flat = np.zeros((2, 20, 20))
    places = faithfulness.ranks(flat, seed=0)
    assert sorted(places.ravel()) == list(range(800))
    assert abs(np.corrcoef(places.ravel(), np.arange(800))[0, 1]) < 0.15  # not the order in memory
    assert (places == faithfulness.ranks(flat, seed=0)).all()
    assert (places != faithfulness.ranks(flat, seed=1)).any()


@pytest.mark.parametrize(("values", "expected"), [([1, 0], 0.5), ([1, 1, 0], 0.75), ([0.2, 0.4, 0.8, 1.0], 0.6)])
def test_area_under_a_curve(values: list[float], expected: float) -> None:
    assert faithfulness.area(values) == pytest.approx(expected, abs=1e-12)
    assert faithfulness.area(values) == pytest.approx(np.trapezoid(values, dx=1 / (len(values) - 1)))


def test_fills() -> None:
    clips = torch.from_numpy(np.random.default_rng(0).random((3, 2, 24, 24), dtype=np.float32))
    assert (faithfulness.fill(clips, "zero", 0.1) == 0).all()
    mean = faithfulness.fill(clips, "mean", 0.1)
    assert mean.shape == clips.shape
    torch.testing.assert_close(mean[1, 1, 5, 3], clips[1].mean())
    from scipy import ndimage

    expected = ndimage.gaussian_filter(clips.numpy(), (0, 0, 2.4, 2.4), mode="nearest", truncate=3)
    np.testing.assert_allclose(faithfulness.fill(clips, "blur", 0.1).numpy(), expected, atol=1e-4)
