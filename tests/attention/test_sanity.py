"""Parameter randomisation: what it does to a network, and what becomes of maps of a network trained here."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional

from attune.attention import attribution, sanity
from attune.attention.attribution_config import AttributionConfig
from attune.attention.sanity import SanityConfig
from attune.learning import encoders
from attune.learning.encoders import EncoderConfig
from attune.learning.models import Network

torch.set_num_threads(1)

SIZE, FRAMES, WIDTH = 32, 1, 32


def network(name: str = "timm/test_resnet") -> Network:
    torch.manual_seed(0)
    size = SIZE if name.startswith("timm/test") else 16
    encoder = encoders.build(EncoderConfig(name=name, weights="none", input_size=size))
    return Network(encoder, nn.Linear(encoder.feature_size, 2)).eval()


def state(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


@pytest.mark.parametrize("name", ["timm/test_resnet", "timm/test_vit"])
def test_the_cascade_takes_one_layer_after_the_other_and_leaves_the_model_alone(name: str) -> None:
    net = network(name)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    before = state(net)
    states = list(sanity.cascade(net, SanityConfig(blocks=3)))
    assert [one.layer for one in states] == ["head", "block_3", "block_2", "block_1"]
    assert all(torch.equal(before[key], tensor) for key, tensor in net.state_dict().items())

    changed: set[str] = set()
    for one in states:
        now = {key for key, value in one.network.named_parameters() if not torch.equal(before[key], value)}
        assert changed < now  # one more layer each time, none gets its weights back
        changed = now
    assert next(iter(states)).network.head.weight.shape == net.head.weight.shape
    assert changed == set(dict(net.named_parameters()))
    up = [one.layer for one in sanity.cascade(net, SanityConfig(blocks=3, order="bottom_up"))]
    assert up == ["block_1", "block_2", "block_3", "head"]


def test_what_is_drawn_follows_the_rule_and_the_seed() -> None:
    net = network()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(3.0)
        for name, buffer in net.named_buffers():
            if "running" in name:
                buffer.fill_(5.0)
    torch.manual_seed(1)
    outside = torch.rand(1)
    torch.manual_seed(1)
    one = sanity.randomised(net, seed=3)
    assert torch.equal(torch.rand(1), outside)  # nobody else's random numbers are used up
    for name, value in one.named_parameters():
        if value.dim() >= 2:
            expected = math.sqrt(2 / value[0].numel())
            assert float(value.detach().std()) == pytest.approx(expected, rel=5 / math.sqrt(value.numel())), name
        else:
            assert (value == float(name.endswith("weight"))).all(), name
    for name, buffer in one.named_buffers():
        if "running" in name:
            assert (buffer == float(name.endswith("var"))).all(), name
    again, other = sanity.randomised(net, seed=3), sanity.randomised(net, seed=4)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True))
    assert not torch.equal(one.head.weight, other.head.weight)


def test_spearman_gives_ties_their_mean_rank_and_is_undefined_on_constants() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 6, (2, 3, 5, 4)).astype(float)
    expected = stats.spearmanr(first.ravel(), second.ravel()).statistic
    assert sanity.spearman(first, second) == pytest.approx(expected, abs=1e-12)
    assert sanity.spearman(first, first**3) == pytest.approx(1)
    assert np.isnan(sanity.spearman(first, np.ones_like(first)))


def test_ssim_is_one_for_the_same_and_agrees_with_its_formula() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 3, 24, 20))
    assert sanity.ssim(first, 4 * first) == pytest.approx(1)
    assert sanity.ssim(first, second) < 0.2
    assert np.isnan(sanity.ssim(first, 0 * second))
    # Where every window is constant only the means count: (2 a b + c) / (a^2 + b^2 + c).
    flat = np.ones((1, 40, 40))
    half = np.full((1, 40, 40), 0.5)
    half[0, 0, 0] = 1  # its maximum, by which it is divided
    local = sanity.ssim(flat[:, 12:], half[:, 12:])
    assert local == pytest.approx(1)  # without its corner a constant map is divided to ones
    corner = sanity.ssim(flat, half)
    assert corner == pytest.approx((2 * 0.5 + 1e-4) / (1.25 + 1e-4), abs=0.02)


def test_ssim_agrees_with_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    first, second = np.random.default_rng(0).random((2, 3, 24, 20))
    first, second = first / first.max(), (0.5 * first + second) / (0.5 * first + second).max()
    pad = sanity.SSIM_RADIUS
    whole = [
        metrics.structural_similarity(
            a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1, full=True
        )[1]
        for a, b in zip(first, second, strict=True)
    ]
    assert pad == 5
    assert sanity.ssim(first, second) == pytest.approx(np.mean(whole), abs=1e-9)


def test_complexity_is_the_entropy_of_the_histogram() -> None:
    assert sanity.complexity([0, 0, 1, 1], bins=2) == pytest.approx(math.log(2))
    assert sanity.complexity(np.zeros(10)) == 0
    assert sanity.complexity(np.arange(1000), bins=100) == pytest.approx(math.log(100))
    values = np.random.default_rng(0).gamma(1, size=500)
    assert sanity.complexity(values) == pytest.approx(sanity.complexity(9 * values))
    assert sanity.relative_rise(2.0, 3.0) == pytest.approx(0.5)
    assert np.isnan(sanity.relative_rise(0.0, 3.0))


def test_complexity_agrees_with_quantus() -> None:
    quantus = pytest.importorskip("quantus.functions.complexity_func")
    values = np.random.default_rng(0).gamma(1, size=(4, 9, 9))
    assert sanity.complexity(values) == pytest.approx(quantus.discrete_entropy(values, values), abs=1e-12)


def test_smoothing_averages_over_the_same_noise_for_every_model() -> None:
    clips = torch.rand(2, 3, 2, 4, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 5.0]).reshape(
        2, 1, 1, 1, 1
    )
    seen: list[torch.Tensor] = []

    def explain(_: Network, noisy: torch.Tensor, __: torch.Tensor) -> torch.Tensor:
        seen.append(noisy - clips)
        return noisy.square().sum(dim=1)

    config = SanityConfig(noisy=400, noise=0.2)
    smooth = sanity.smoothed(explain, config)(None, clips, torch.zeros(2))  # type: ignore[arg-type]
    torch.testing.assert_close(smooth, torch.stack([(clips + grain).square().sum(dim=1) for grain in seen]).mean(dim=0))
    assert len(seen) == 400
    noise = torch.stack(seen)
    for index in range(2):
        span = float(clips[index].max() - clips[index].min())
        assert float(noise[:, index].std()) == pytest.approx(0.2 * span, rel=0.02)
    first = seen[0].clone()
    seen.clear()
    sanity.smoothed(explain, config)(None, clips, torch.zeros(2))  # type: ignore[arg-type]
    assert torch.equal(first, seen[0])


class Plain(nn.Module):
    """Convolutions, rectifiers and maxima: the networks of which guided backpropagation is known to fail.

    With many channels it recovers the picture, whatever the weights are (Nie et al., "A theoretical explanation for
    perplexing behaviors of backpropagation-based visualizations", 2018).
    """

    def __init__(self) -> None:
        super().__init__()
        sizes = [(3, WIDTH, 5), (WIDTH, WIDTH, 3), (WIDTH, WIDTH, 3)]
        blocks = [
            nn.Sequential(nn.Conv2d(a, b, side, padding=side // 2), nn.ReLU(), nn.MaxPool2d(2)) for a, b, side in sizes
        ]
        self.features = nn.Sequential(*blocks)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.features(frames)
        return out


class PlainEncoder(encoders.Encoder):
    per_frame = True

    def __init__(self) -> None:
        from attune.learning.encoder_base import Form

        super().__init__(Plain(), Form(WIDTH, SIZE, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)))

    @property
    def gradcam_layer(self) -> nn.Module:
        return self.model.get_submodule("features")

    def encode(self, clips: torch.Tensor) -> torch.Tensor:
        frames = clips.transpose(1, 2).flatten(0, 1)
        maps = self.model(frames).mean(dim=(2, 3))
        return maps.unflatten(0, (len(clips), -1)).mean(dim=1)


def pictures(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Clips with discs at random places, red in the one class, and ring-shaped in the other."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    clips = np.zeros((count, 3, FRAMES, SIZE, SIZE), dtype=np.float32)
    labels = rng.integers(0, 2, count)
    for clip, label in zip(clips, labels, strict=True):
        for kind in (label, 2):
            away = np.hypot(y - rng.uniform(7, SIZE - 7), x - rng.uniform(7, SIZE - 7))
            shape = (away < 5) if kind != 0 else (away < 6) & (away > 3)
            clip[:, :, shape] += rng.uniform(0.5, 1) if kind == 2 else 1
            if kind == 2:
                clip[2, :, shape] = 0
        clip += rng.normal(0, 0.05, clip.shape)
    return torch.from_numpy(clips), torch.from_numpy(labels)


@pytest.fixture(scope="module")
def trained() -> Iterator[Network]:
    """A small network that tells the classes apart, trained in seconds."""
    torch.manual_seed(0)
    net = Network(PlainEncoder(), nn.Linear(WIDTH, 2))
    clips, labels = pictures(128, 0)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.003)
    for epoch in range(12):
        for rows in torch.randperm(128, generator=torch.Generator().manual_seed(epoch)).split(16):
            optimiser.zero_grad()
            functional.cross_entropy(net(clips[rows]), labels[rows]).backward()
            optimiser.step()
    yield net.eval()


def similarities(net: Network, method: str, count: int = 4) -> np.ndarray:
    """Mean similarity per state of the cascade."""
    clips, labels = pictures(count, 1)
    config = AttributionConfig()

    def explain(model: Network, some: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return attribution.attribute(model, some, targets, method, config)

    def to_map(values: np.ndarray) -> np.ndarray:
        return attribution.attention_map(values, method)

    states = list(sanity.cascade(net, SanityConfig(blocks=3)))
    found = []
    for clip, label in zip(clips, labels.tolist(), strict=True):
        original = sanity.explained(explain, to_map, net, clip, label)
        found.append(sanity.compare(explain, to_map, states, clip, label, original).spearman)
    return np.mean(found, axis=0)


def test_guided_backpropagation_fails_where_the_gradient_passes(trained: Network) -> None:
    clips, labels = pictures(128, 2)
    with torch.inference_mode():
        assert (trained(clips).argmax(dim=1) == labels).float().mean() > 0.9
    guided, gradient = similarities(trained, "guided_backpropagation"), similarities(trained, "saliency")
    assert gradient[-1] < 0.1  # nothing is left of what was learned
    assert guided[-1] > gradient[-1] + 0.1
    assert guided[2] > gradient[2] + 0.2  # all but the first layer are random
    assert guided.mean() > gradient.mean() + 0.1


def test_a_map_that_ignores_the_model_keeps_similarity_one(trained: Network) -> None:
    clips, _ = pictures(1, 1)

    def explain(_: Network, some: torch.Tensor, __: torch.Tensor) -> torch.Tensor:
        return some.diff(dim=4, append=some[..., -1:]).abs().sum(dim=1)

    states = list(sanity.cascade(trained, SanityConfig(blocks=2)))
    original = sanity.explained(explain, np.abs, trained, clips[0], 1)
    found = sanity.compare(explain, np.abs, states, clips[0], 1, original)
    np.testing.assert_allclose(found.spearman, 1)
    np.testing.assert_allclose(found.ssim, 1)
    assert found.mean() == pytest.approx(1)
    assert found.layer == ("head", "block_2", "block_1")


def test_similarity_agrees_with_quantus() -> None:
    similarity = pytest.importorskip("quantus.functions.similarity_func")
    first, second = np.random.default_rng(0).random((2, 50))
    assert sanity.spearman(first, second) == pytest.approx(similarity.correlation_spearman(first, second), abs=1e-12)
