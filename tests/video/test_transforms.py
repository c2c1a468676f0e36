"""Transforms held against torchvision on single frames, and against what must not change."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torchvision.transforms import functional as reference
from torchvision.transforms.functional import InterpolationMode

from attune.problems import InputError
from attune.video import draws, recipes, transforms
from attune.video.recipes import Augmentation

NOTHING = {
    "rotation_share": 0,
    "flip_share": 0,
    "brightness_share": 0,
    "channel_share": 0,
    "blur_share": 0,
    "noise_share": 0,
    "crop_scale": (1, 1),
    "crop_ratio": (1, 1),
}


def only(**settings_: object) -> Augmentation:
    return Augmentation.model_validate({**NOTHING, **settings_})


def keys(count: int, seed: int = 0) -> draws.Keys:
    return draws.combine(np.arange(count), seed)


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def smooth(*shape: int) -> np.ndarray:
    """Clips without sharp edges, on which two ways of resampling must agree closely."""
    count, length, height, width = shape
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return np.stack(
        [np.stack([127 + 100 * np.sin(x / 9 + c + t + b) * np.cos(y / 7) for t in range(length)]) for b in range(count)]
    ).astype(np.uint8)


def frames_of(clip: np.ndarray) -> torch.Tensor:
    """(T, H, W, 3) as torchvision takes it."""
    return torch.from_numpy(clip).permute(0, 3, 1, 2).float() / 255


def test_crop_view_is_the_plain_centre() -> None:
    clips = pixels(2, 3, 20, 31)
    result = transforms.evaluate(clips, 12, "crop")
    assert result.shape == (2, 3, 3, 12, 12)
    assert result.dtype == torch.float32
    expected = clips[:, :, 4:16, 9:21].astype(np.float32) / 255
    np.testing.assert_allclose(result, expected.transpose(0, 4, 1, 2, 3), rtol=1e-6)


def test_square_view_resizes_the_central_square() -> None:
    clips = pixels(2, 3, 160, 208)
    result = transforms.evaluate(clips, 112, "square")
    square = frames_of(clips[1][:, :, 24:184])
    expected = reference.resize(square, [112, 112], InterpolationMode.BILINEAR, antialias=False)
    torch.testing.assert_close(result[1].transpose(0, 1), expected)
    torch.testing.assert_close(
        transforms.evaluate(clips, 160, "square"), transforms.evaluate(clips, 160, "crop"), rtol=0, atol=0
    )


def test_a_frame_smaller_than_the_crop_is_refused() -> None:
    with pytest.raises(InputError, match=r"frames: expected at least 112 x 112 .* found 100 x 208 pixels"):
        transforms.evaluate(pixels(1, 2, 100, 208), 112, "crop")


def test_floats_and_tensors_and_lists_are_the_same_clips() -> None:
    clips = pixels(2, 3, 20, 24)
    once = transforms.evaluate(clips, 16, "square")
    as_float = torch.from_numpy(clips.astype(np.float32) / np.float32(255))
    torch.testing.assert_close(transforms.evaluate(as_float, 16, "square"), once)
    torch.testing.assert_close(transforms.evaluate(list(clips), 16, "square"), once, rtol=0, atol=0)
    wider = [clips[0], pixels(3, 20, 40)]
    assert transforms.evaluate(wider, 16, "square").shape == (2, 3, 3, 16, 16)
    torch.testing.assert_close(
        transforms.augment(wider, Augmentation(), 16, keys(2))[0],
        transforms.augment(clips[:1], Augmentation(), 16, keys(1))[0],
        rtol=0,
        atol=0,
    )


def test_input_is_left_alone() -> None:
    clips = torch.rand(2, 3, 20, 24, 3)
    before = clips.clone()
    transforms.evaluate(clips, 16, "square")
    transforms.augment(clips, Augmentation(), 16, keys(2))
    torch.testing.assert_close(clips, before, rtol=0, atol=0)


def test_evaluation_draws_nothing() -> None:
    clips = pixels(1, 2, 20, 24)
    torch.manual_seed(0)
    np.random.seed(0)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    results = [transforms.evaluate(clips, 16, view) for view in ("square", "crop") for _ in range(2)]
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)
    torch.testing.assert_close(results[2], results[3], rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()


def test_augmentation_leaves_the_global_generators_alone() -> None:
    state = torch.get_rng_state()
    transforms.augment(pixels(4, 2, 20, 24), only(noise_share=1), 16, keys(4))
    assert torch.equal(torch.get_rng_state(), state)


@given(st.permutations(range(6)), st.integers(1, 6))
@settings(max_examples=8, deadline=None)
def test_a_clip_is_changed_alike_in_any_batch(order: list[int], count: int) -> None:
    clips = smooth(6, 3, 24, 30)
    config = Augmentation(rotation_share=0.7, blur_share=0.7, noise_share=0.7)
    together = transforms.augment(clips, config, 16, keys(6))
    chosen = order[:count]
    alone = transforms.augment(clips[chosen], config, 16, keys(6)[chosen])
    torch.testing.assert_close(alone, together[chosen], rtol=0, atol=0)
    other = transforms.augment(clips[chosen], config, 16, keys(6, seed=1)[chosen])
    assert not torch.equal(alone, other)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_a_still_clip_stays_still(seed: int) -> None:
    still = np.repeat(pixels(3, 1, 24, 30, seed=seed), 4, axis=1)
    result = transforms.augment(still, Augmentation(rotation_share=0.7, noise_share=0.7), 16, keys(3, seed))
    torch.testing.assert_close(result, result[:, :, :1].expand_as(result), rtol=0, atol=0)


def test_every_frame_is_changed_as_it_would_be_alone() -> None:
    clips = smooth(3, 4, 24, 30)
    config = Augmentation(rotation_share=1, blur_share=1, noise_share=1, brightness_share=1, channel_share=1)
    whole = transforms.augment(clips, config, 16, keys(3))
    for frame in range(4):
        torch.testing.assert_close(
            transforms.augment(clips[:, frame : frame + 1], config, 16, keys(3))[:, :, 0], whole[:, :, frame]
        )


def test_without_changes_it_is_a_resize() -> None:
    clips = pixels(2, 3, 32, 32)
    expected = torch.stack(
        [reference.resize(frames_of(c), [20, 20], InterpolationMode.BILINEAR, antialias=False) for c in clips]
    )
    torch.testing.assert_close(transforms.augment(clips, only(), 20, keys(2)), expected.transpose(1, 2))


def test_flip_mirrors_left_and_right() -> None:
    clips = pixels(2, 3, 16, 16)
    flipped = transforms.augment(clips, only(flip_share=1), 16, keys(2))
    np.testing.assert_allclose(flipped, clips[:, :, :, ::-1].transpose(0, 4, 1, 2, 3) / 255, atol=1e-6)


def test_rotation_is_that_of_torchvision() -> None:
    clips = smooth(4, 2, 64, 64)
    config = only(rotation_share=1, rotation_degrees=30)
    result = transforms.augment(clips, config, 64, keys(4))
    angles = recipes.draw(config, keys(4), 64, 64).angle
    assert len(set(angles)) == 4
    assert {-1.0, 1.0} == set(np.sign(angles))
    inside = slice(14, 50)  # the reference fills what comes from beyond the border with black
    for index, angle in enumerate(angles):
        turned = reference.rotate(frames_of(clips[index]), float(angle), InterpolationMode.BILINEAR)
        torch.testing.assert_close(
            result[index].transpose(0, 1)[..., inside, inside], turned[..., inside, inside], rtol=0, atol=2e-3
        )


@pytest.mark.parametrize("share", [0, 1])
def test_rotation_crop_and_flip_in_one_step_equal_three_steps(share: int) -> None:
    clips = smooth(6, 1, 96, 120)
    config = only(rotation_share=1, rotation_degrees=8, crop_scale=(0.3, 0.5), crop_ratio=(0.7, 1.4), flip_share=share)
    result = transforms.augment(clips, config, 40, keys(6))
    recipe = recipes.draw(config, keys(6), 96, 120)
    for index in range(6):
        left, top, width, height = map(int, recipe.box[index])
        steps = reference.rotate(frames_of(clips[index]), float(recipe.angle[index]), InterpolationMode.BILINEAR)
        steps = reference.resized_crop(steps, top, left, height, width, [40, 40], antialias=False)
        steps = reference.hflip(steps) if share else steps
        away = slice(14, 26)  # from what the reference turned in from beyond the frame, black
        difference = (result[index].transpose(0, 1) - steps)[..., away, away].abs()
        assert difference.max() < 0.02


def test_both_ways_of_resampling_agree() -> None:
    """A rotation by next to nothing takes the other way through the code."""
    clips = smooth(4, 2, 40, 52)
    config = {"crop_scale": (0.4, 0.9), "crop_ratio": (0.5, 1.5), "flip_share": 0.5}
    plain = transforms.augment(clips, only(**config), 24, keys(4))
    turned = transforms.augment(clips, only(**config, rotation_share=1, rotation_degrees=1e-9), 24, keys(4))
    torch.testing.assert_close(plain[..., 1:-1, 1:-1], turned[..., 1:-1, 1:-1], rtol=0, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(160, 208), (112, 112), (40, 200), (200, 40)])
def test_crops_follow_torchvision(height: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference, fed with the same numbers, draws the same box."""
    from torchvision.transforms import RandomResizedCrop

    config = Augmentation()
    count = 200
    boxes = recipes.draw(config, keys(count), height, width).box
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 0] + boxes[:, 2] <= width).all()
    assert (boxes[:, 1] + boxes[:, 3] <= height).all()
    numbers = draws.uniform(draws.combine(keys(count), 1), 22)
    for index in range(count):
        interleaved = iter(np.stack([numbers[index, :10], numbers[index, 10:20]], axis=1).ravel())

        def uniform_(tensor: torch.Tensor, low: float, high: float, source: object = interleaved) -> torch.Tensor:
            return tensor.double().fill_(low + next(source) * (float(high) - float(low)))

        def randint(
            low: int, high: int, size: tuple[int], source: object = iter(numbers[index, [21, 20]])
        ) -> torch.Tensor:
            return torch.tensor([math.floor(next(source) * high)])

        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, "uniform_", uniform_)
            patch.setattr(torch, "randint", randint)
            top, left, box_height, box_width = RandomResizedCrop.get_params(
                torch.empty(3, height, width), list(config.crop_scale), list(config.crop_ratio)
            )
        np.testing.assert_array_equal(boxes[index], [left, top, box_width, box_height])


def test_brightness_and_channels_are_linear_and_stay_in_range() -> None:
    grey = np.full((40, 1, 8, 8, 3), 128, dtype=np.uint8)
    config = only(brightness_share=1)
    result = transforms.augment(grey, config, 8, keys(40))
    recipe = recipes.draw(config, keys(40), 8, 8)
    np.testing.assert_allclose(result[:, :, 0, 4, 4], 128 / 255 * recipe.scale + recipe.bias, atol=1e-6)
    assert (recipe.scale == recipe.scale[:, :1]).all()
    assert 0.75 <= recipe.scale.min() < 0.8
    assert 1.2 < recipe.scale.max() <= 1.25
    assert 0.1 < np.abs(recipe.bias).max() <= 0.15
    tinted = recipes.draw(only(channel_share=1), keys(40), 8, 8)
    assert (tinted.scale.std(axis=1) > 0).all()
    assert 0.8 <= tinted.scale.min() <= tinted.scale.max() <= 1.2
    assert np.abs(tinted.bias).max() <= 0.1
    white = transforms.augment(np.full_like(grey, 255), Augmentation(), 8, keys(40))
    assert white.min() >= 0
    assert white.max() <= 1


def test_blur_is_that_of_torchvision() -> None:
    clips = pixels(4, 2, 24, 24)
    config = only(blur_share=1)
    result = transforms.augment(clips, config, 24, keys(4))
    for index, sigma in enumerate(recipes.draw(config, keys(4), 24, 24).sigma):
        assert 0.1 <= sigma <= 2
        expected = reference.gaussian_blur(frames_of(clips[index]), [5, 5], [float(sigma)] * 2)
        torch.testing.assert_close(result[index].transpose(0, 1), expected, rtol=0, atol=1e-5)


def test_noise_has_the_drawn_deviation() -> None:
    grey = np.full((12, 2, 64, 64, 3), 128, dtype=np.uint8)
    config = only(noise_share=1)
    result = transforms.augment(grey, config, 64, keys(12))
    stated = recipes.draw(config, keys(12), 64, 64).noise
    assert (stated >= 0.01).all()
    assert (stated <= 0.03).all()
    noise = (result - 128 / 255)[:, :, 0]
    np.testing.assert_allclose(noise.flatten(1).std(dim=1), stated, rtol=0.03)
    np.testing.assert_allclose(noise.flatten(1).mean(dim=1), 0, atol=0.001)
    assert abs(torch.corrcoef(noise.flatten(1)) - torch.eye(12)).max() < 0.05
    assert abs(torch.corrcoef(noise[0].flatten(1)) - torch.eye(3)).max() < 0.06


def test_shares_of_clips() -> None:
    recipe = recipes.draw(Augmentation(), keys(20_000), 160, 208)
    shares = [recipe.angle != 0, recipe.flip, recipe.sigma != 0, recipe.noise != 0, (recipe.scale != 1).any(axis=1)]
    found = [share.mean() for share in shares]
    np.testing.assert_allclose(found, [0.35, 0.5, 0.35, 0.35, 1 - 0.65**2], atol=0.015)
    together = np.corrcoef(np.stack(shares).astype(float)) - np.eye(5)
    assert abs(together).max() < 0.03
    assert 7.9 < np.abs(recipe.angle).max() <= 8


def test_one_setting_leaves_the_draws_of_the_others() -> None:
    first = recipes.draw(Augmentation(), keys(50), 160, 208)
    second = recipes.draw(Augmentation(noise_share=1, crop_scale=(0.9, 1)), keys(50), 160, 208)
    np.testing.assert_array_equal(first.angle, second.angle)
    np.testing.assert_array_equal(first.scale, second.scale)
    np.testing.assert_array_equal(first.sigma, second.sigma)
    assert (first.box != second.box).any()


def test_normalise() -> None:
    clips = torch.rand(2, 3, 4, 5, 6)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.4, 0.25)
    result = transforms.normalise(clips, mean, std)
    for channel in range(3):
        torch.testing.assert_close(result[:, channel], (clips[:, channel] - mean[channel]) / std[channel])
    torch.testing.assert_close(transforms.normalise(clips[:, :, 0], mean, std), result[:, :, 0])


@pytest.mark.parametrize(
    ("settings_", "key"),
    [
        ({"rotation_share": 1.5}, "rotation_share"),
        ({"crop_scale": (1.5, 0.6)}, "crop_scale"),
        ({"crop_ratio": (0, 1)}, "crop_ratio"),
        ({"blur_size": 4}, "blur_size"),
        ({"noise_std": (-0.1, 0.1)}, "noise_std"),
        ({"blurr_size": 5}, "blurr_size"),
    ],
)
def test_impossible_settings_are_refused(settings_: dict[str, object], key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        Augmentation.model_validate(settings_)
