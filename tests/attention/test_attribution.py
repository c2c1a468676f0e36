from itertools import pairwise, product

import captum.attr
import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from attune.attention import attribution, cams, gradients
from attune.attention.attribution import METHODS, AttributionConfig, attention_map, attribute, attribute_each
from attune.attention.occlusion import positions
from attune.learning.encoder_base import Encoder, Form
from attune.learning.encoders import EncoderConfig, FrameEncoder, build
from attune.learning.models import Network
from attune.problems import InputError

SMALL = AttributionConfig.model_validate(
    {
        "integrated_gradients": {"steps": 2},
        "score_cam": {"channels": 2},
        "occlusion": {"size": [4, 24, 24], "stride": [4, 24, 24]},
    }
)
TINY = "timm/test_efficientnet"
VIT = "timm/test_vit"
slow = pytest.mark.slow
ENCODERS = [
    pytest.param("mc3_18", 4, 16),
    pytest.param("r3d_18", 4, 16, marks=slow),
    pytest.param("r2plus1d_18", 4, 16, marks=slow),
    pytest.param("s3d", 5, 32),
    pytest.param("mvit_v2_s", 4, 32, marks=slow),
    pytest.param("swin3d_t", 4, 32, marks=slow),
    pytest.param("timm/tf_efficientnet_lite0", 4, 32),
    pytest.param("timm/mobilenetv3_small_050", 4, 32),
    pytest.param("timm/resnet10t", 4, 32),
    pytest.param("timm/vit_tiny_patch16_224", 4, 32),
    pytest.param("timm/swin_tiny_patch4_window7_224", 3, 64, marks=slow),
]


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


class Plain(Encoder):
    """An encoder of clips whose parts are given; its feature is what ``model`` gives for every channel, averaged."""

    def __init__(self, model, feature_size, layer):
        super().__init__(model, Form(feature_size, 8, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))
        self.layer = layer

    @property
    def gradcam_layer(self):
        return self.model.get_submodule(self.layer)

    def encode(self, clips):
        return self.model(clips).mean(dim=(2, 3, 4))


def small_network():
    """Two convolutions with rectifiers that work in place."""
    model = nn.Sequential(
        nn.Conv3d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Conv3d(4, 5, 3, stride=2), nn.ReLU(inplace=True)
    )
    return Network(Plain(model, 5, "2"), nn.Linear(5, 2)).eval()


def network_of(name, size, **settings):
    encoder = build(EncoderConfig.model_validate({"name": name, "weights": "none", "input_size": size, **settings}))
    return Network(encoder, nn.Linear(encoder.feature_size, 2)).eval()


def out_of_place(network):
    for module in network.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    return network


def hooks_of(network):
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, name)) for module in network.modules() for name in names)


@pytest.mark.parametrize(("name", "frames", "size"), ENCODERS)
def test_every_method_explains_every_encoder_or_says_why_not(name, frames, size):
    network = network_of(name, size).train()  # the mode stays as it is, and is evaluation inside
    network.encoder.gradcam_layer.register_forward_hook(lambda *_: None)
    network.head.weight.grad = torch.ones_like(network.head.weight)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    flags = [(module.training, getattr(module, "inplace", None)) for module in network.modules()]
    clips = torch.randn(2, 3, frames, size, size)
    targets = torch.tensor([[0, 1], [1, 0]])
    supported = []
    for method, entry in METHODS.items():
        if not entry.supports(network.encoder):
            with pytest.raises(InputError, match=f"attribution, {method}: expected {entry.needs[:20]}"):
                attribute(network, clips, targets[:, 0], method, SMALL)
            continue
        supported.append(method)
        found = attribute_each(network, clips, targets, method, SMALL)
        assert found.shape == (2, 2, frames, size, size)
        assert found.isfinite().all() and not found.requires_grad
        assert found.flatten(2).abs().amax(dim=2).gt(0).all() or method in ("guided_grad_cam", "occlusion")
    vision_transformer, moving_windows = "vit" in name and name != "mvit_v2_s", "swin" in name or name == "mvit_v2_s"
    convolutional = {"score_cam", "hires_cam"}
    refused = convolutional if vision_transformer else {"attention_rollout"}
    assert set(supported) == set(METHODS) - refused - (convolutional if moving_windows else set())

    after = network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert flags == [(module.training, getattr(module, "inplace", None)) for module in network.modules()]
    assert hooks_of(network) == 1
    assert all(p.requires_grad for p in network.parameters())
    assert [p for p in network.parameters() if p.grad is not None] == [network.head.weight]
    assert not clips.requires_grad and clips.grad is None


@pytest.mark.parametrize("method", sorted(METHODS))
def test_targets_together_are_targets_apart_and_clips_do_not_mix(method):
    network = network_of(VIT if method == "attention_rollout" else TINY, 32)
    clips, targets = torch.randn(2, 3, 5, 32, 32), torch.tensor([[0, 1], [1, 0]])
    together = attribute_each(network, clips, targets, method, SMALL)
    big = SMALL.model_copy(update={"batch_frames": 64})
    for row, column in product(range(2), range(2)):
        alone = attribute(network, clips[row : row + 1], targets[row, column : column + 1], method, big)
        torch.testing.assert_close(alone[0], together[row, column], rtol=1e-3, atol=1e-7)
    with torch.inference_mode():
        again = attribute_each(network, clips, targets, method, SMALL)
    assert torch.equal(again, together)


def test_saliency_is_the_slope():
    network = network_of(TINY, 32, pooling="transformer").double()
    clips, target = torch.randn(1, 3, 3, 32, 32, dtype=torch.float64), torch.tensor([1])
    found = attribute(network, clips, target, "saliency", SMALL)
    step = 1e-5
    for place in [(0, 3, 4), (1, 16, 16), (2, 31, 0)]:
        change = torch.zeros_like(clips)
        change[(0, slice(None), *place)] = step
        with torch.no_grad():
            rise = (network(clips + change) - network(clips - change))[0, 1] / (2 * step)
        assert found[(0, *place)].item() == pytest.approx(rise.item(), rel=1e-4, abs=1e-9)


@pytest.mark.parametrize(
    "make", [small_network, lambda: network_of("mc3_18", 16), lambda: network_of("timm/resnet10t", 16)]
)
def test_gradients_are_captums(make):
    network = make().double()  # in single precision, rounding decides on which side of a kink some values are
    clips, target = torch.randn(2, 3, 4, 16, 16, dtype=torch.float64), torch.tensor([1, 0])
    oracle = out_of_place(make()).double()
    oracle.load_state_dict(network.state_dict())
    expected = captum.attr.Saliency(oracle).attribute(clips.requires_grad_(), target=target, abs=False).sum(1)
    _same(attribute(network, clips, target, "saliency", SMALL), expected)
    guided = captum.attr.GuidedBackprop(oracle).attribute(clips, target=target).sum(1)
    _same(attribute(network, clips, target, "guided_backpropagation", SMALL), guided)
    assert not torch.allclose(guided, expected, rtol=0.01)
    expected = captum.attr.IntegratedGradients(oracle).attribute(clips, target=target, n_steps=2).sum(1)
    _same(attribute(network, clips, target, "integrated_gradients", SMALL), expected)


def _same(found, expected):
    torch.testing.assert_close(found, expected.detach(), rtol=1e-6, atol=1e-6 * expected.abs().max().item())


def test_guided_backpropagation_by_hand():
    """Where the value is -1, 1, 3 or 7, gradients of both signs meet a ReLU and a ReLU6."""
    values = torch.tensor([-1.0, 1, 3, 7])
    for rectifier, open_at in ((nn.ReLU(inplace=True), [0, 1, 1, 1]), (nn.ReLU6(), [0, 1, 1, 0])):
        for slope in (2.0, -2.0):
            holder = nn.Sequential(nn.Identity(), rectifier)
            gradients.guide(holder)
            leaf = values.clone().requires_grad_()
            output = holder(leaf)
            torch.testing.assert_close(output, rectifier(values.clone()))
            (output * slope).sum().backward()
            assert leaf.grad.tolist() == [max(slope, 0) * passed for passed in open_at]


class Shortcut(nn.Module):
    """A rectifier beside a path around it, as in networks that rectify first."""

    def __init__(self):
        super().__init__()
        self.rectifier = nn.ReLU()

    def forward(self, clips):
        return self.rectifier(clips) * 2 - 5 * clips


def test_the_way_around_a_rectifier_keeps_its_sign():
    network = Network(Plain(Shortcut(), 3, "rectifier"), nn.Linear(3, 2, bias=False)).eval()
    nn.init.ones_(network.head.weight)
    found = attribute(network, torch.ones(1, 3, 1, 1, 1), torch.tensor([1]), "guided_backpropagation", SMALL)
    assert found.item() == 3 * (2 - 5)


def test_without_rectifiers_guided_backpropagation_is_saliency():
    network, clips = network_of(VIT, 32), torch.randn(1, 3, 2, 32, 32)
    both = [
        attribute(network, clips, torch.tensor([1]), name, SMALL) for name in ("saliency", "guided_backpropagation")
    ]
    assert torch.equal(*both)


@pytest.mark.parametrize("make", [small_network, lambda: network_of(TINY, 16)])
def test_integrated_gradients_are_complete(make):
    network = make()
    clips = torch.randn(2, 3, 4, 16, 16)
    for baseline in ("zero", "mean"):
        config = AttributionConfig.model_validate({"integrated_gradients": {"steps": 100, "baseline": baseline}})
        found = attribute(network, clips, torch.tensor([0, 1]), "integrated_gradients", config)
        start = clips.mean(dim=(2, 3, 4), keepdim=True) if baseline == "mean" else torch.zeros(())
        with torch.no_grad():
            rise = (network(clips) - network(start.expand_as(clips)))[[0, 1], [0, 1]]
        torch.testing.assert_close(found.sum(dim=(1, 2, 3)), rise, rtol=0.02, atol=0.01 * rise.abs().max().item())


def test_grad_cam_by_hand():
    """A layer that copies its two input channels, of weight 3 and -1 after averaging: no other arithmetic."""
    copies = nn.Conv3d(3, 2, 1, bias=False)
    copies.weight.data = torch.eye(3)[:2].reshape(2, 3, 1, 1, 1).clone()
    network = Network(Plain(nn.Sequential(copies), 2, "0"), nn.Linear(2, 2)).eval()
    network.head.weight.data = torch.tensor([[0.0, 0], [3, -1]])
    clips = torch.randn(1, 3, 2, 4, 4)
    found = attribute(network, clips, torch.tensor([1]), "grad_cam", SMALL)
    torch.testing.assert_close(found[0], (3 * clips[0, 0] - clips[0, 1]) / 32)


@pytest.mark.parametrize(("name", "weights"), [("mc3_18", "volume"), (TINY, "frame"), ("small", "volume")])
def test_grad_cam_is_captums(name, weights):
    network = (small_network() if name == "small" else network_of(name, 16)).double()
    clips, target = torch.randn(2, 3, 4, 16, 16, dtype=torch.float64), torch.tensor([1, 0])
    config = AttributionConfig.model_validate({"gradcam": {"weights": weights, "interpolation": "nearest"}})
    found = attribute(network, clips, target, "grad_cam", config)
    out_of_place(network)
    layer = captum.attr.LayerGradCam(network, network.encoder.gradcam_layer)
    expected = layer.attribute(clips, target=target)
    if isinstance(network.encoder, FrameEncoder):
        expected = expected.unflatten(0, (2, 4)).transpose(1, 2)
    _same(found, captum.attr.LayerAttribution.interpolate(expected, (4, 16, 16))[:, 0])
    if not isinstance(network.encoder, FrameEncoder):
        guided = captum.attr.GuidedGradCam(network, network.encoder.gradcam_layer).attribute(clips, target=target)
        _same(attribute(network, clips, target, "guided_grad_cam", config), guided.sum(1))


def test_weights_per_frame_and_per_volume():
    network, clips = network_of(TINY, 32).double(), torch.randn(1, 3, 6, 32, 32, dtype=torch.float64)
    own = out_of_place(network)
    maps, gradient = cams._maps_and_gradient(own, clips.clone(), torch.tensor([1]))
    assert maps.shape[:3] == gradient.shape[:3] == (1, maps.shape[1], 6)
    for weights in ("frame", "volume"):
        config = AttributionConfig.model_validate({"gradcam": {"weights": weights, "interpolation": "nearest"}})
        found = attribute(network, clips, torch.tensor([1]), "grad_cam", config)
        expected = maps.new_zeros(6, *maps.shape[3:])
        for channel, frame in product(range(maps.shape[1]), range(6)):
            slope = gradient[0, channel, frame] if weights == "frame" else gradient[0, channel]
            expected[frame] += slope.mean() * maps[0, channel, frame]
        large = expected.repeat_interleave(32 // maps.shape[3], 1).repeat_interleave(32 // maps.shape[4], 2)
        _same(found[0], large)


@pytest.mark.parametrize("name", ["small", TINY])
@pytest.mark.parametrize("fill", ["zero", "mean"])
def test_occlusion_is_a_naive_loop_and_captums(name, fill):
    network = small_network() if name == "small" else network_of(name, 20)
    clip, target = torch.randn(1, 3, 5, 20, 22), torch.tensor([1])
    config = AttributionConfig.model_validate({"occlusion": {"size": [2, 8, 9], "stride": [2, 5, 6], "fill": fill}})
    found = attribute(network, clip, target, "occlusion", config)
    colour = clip.mean(dim=(2, 3, 4), keepdim=True) if fill == "mean" else torch.zeros(1, 3, 1, 1, 1)

    total, count = torch.zeros(5, 20, 22), torch.zeros(5, 20, 22)
    with torch.no_grad():
        whole = network(clip)[0, 1]
        for t, y, x in product((0, 2, 4), (0, 5, 10, 15), (0, 6, 12, 18)):
            covered = clip.clone()
            place = (slice(t, t + 2), slice(y, y + 8), slice(x, x + 9))
            covered[(slice(None), slice(None), *place)] = colour
            total[place] += whole - network(covered)[0, 1]
            count[place] += 1
    torch.testing.assert_close(found[0], total / count, rtol=1e-3, atol=1e-6)

    oracle = captum.attr.Occlusion(network)
    with torch.no_grad():
        expected = oracle.attribute(
            clip, (3, 2, 8, 9), (3, 2, 5, 6), baselines=colour.expand_as(clip), target=target, perturbations_per_eval=4
        )
    torch.testing.assert_close(found, expected[:, 0], rtol=1e-3, atol=1e-6)


def test_the_occluder_covers_every_pixel():
    for size, stride, shape in product([(3, 16, 16), (2, 7, 9)], [(1, 5, 7), (2, 7, 9)], [(15, 32, 40), (2, 5, 33)]):
        config = (
            AttributionConfig.model_validate({"occlusion": {"size": size, "stride": stride}})
            if all(step <= length for step, length in zip(stride, size, strict=True))
            else AttributionConfig()
        )
        for windows, length in zip(positions(shape, config), shape, strict=True):
            assert windows[0].start == 0 and windows[-1].stop == length
            assert all(after.start <= before.stop for before, after in pairwise(windows))


def test_score_cam_by_hand():
    """Channels weigh as the softmax of what their maps, as masks, leave of the logit."""
    network = small_network()
    clip = torch.randn(1, 3, 5, 9, 9)
    config = AttributionConfig.model_validate({"gradcam": {"interpolation": "nearest"}, "batch_frames": 11})
    found = attribute(network, clip, torch.tensor([1]), "score_cam", config)[0]
    with torch.no_grad():
        maps = network.encoder.model[2](torch.relu(network.encoder.model[0](clip)))[0]
        masks = nn.functional.interpolate(maps[None], size=(5, 9, 9))[0]
        scores = []
        for mask in masks:
            unit = (mask - mask.min()) / (mask.max() - mask.min())
            scores.append((network(clip * unit) - network(torch.zeros_like(clip)))[0, 1].item())
    weights = np.exp(scores) / np.exp(scores).sum()
    expected = sum(weight * mask for weight, mask in zip(weights.tolist(), masks.clamp(min=0), strict=True))
    signed = sum(weight * mask for weight, mask in zip(weights.tolist(), masks, strict=True))
    torch.testing.assert_close(found, signed, msg=lambda text: f"{text}; rectified: {torch.allclose(found, expected)}")


def test_score_cam_takes_the_maps_that_vary_most():
    network, clip = small_network(), torch.randn(1, 3, 5, 9, 9)
    with torch.no_grad():
        maps = network.encoder.model[2](torch.relu(network.encoder.model[0](clip)))[0]
    best = int(maps.flatten(1).std(dim=1).argmax())
    config = AttributionConfig.model_validate({"gradcam": {"interpolation": "nearest"}, "score_cam": {"channels": 1}})
    found = attribute(network, clip, torch.tensor([0]), "score_cam", config)
    torch.testing.assert_close(found[0], nn.functional.interpolate(maps[None, best : best + 1], size=(5, 9, 9))[0, 0])


def test_attention_rollout_by_hand():
    network = network_of(VIT, 32)
    clip = torch.randn(1, 3, 2, 32, 32)
    config = AttributionConfig.model_validate({"gradcam": {"interpolation": "nearest"}})
    found = attribute(network, clip, torch.tensor([1]), "attention_rollout", config)
    assert torch.equal(found, attribute(network, clip, torch.tensor([0]), "attention_rollout", config))

    model, matrices = network.encoder.model, []
    with torch.no_grad():
        tokens = model.norm_pre(model._pos_embed(model.patch_embed(clip[0].transpose(0, 1))))
        for block in model.blocks:
            plain = getattr(block, "block", block)
            attention = plain.attn
            frames, count, _ = tokens.shape
            size = attention.head_dim
            qkv = attention.qkv(plain.norm1(tokens)).reshape(frames, count, 3, attention.num_heads, size)
            query, key, _ = qkv.permute(2, 0, 3, 1, 4)
            matrices.append((query @ key.transpose(-1, -2) / size**0.5).softmax(-1).mean(1).double().numpy())
            tokens = block(tokens)
    rolled = np.eye(matrices[0].shape[-1])
    for matrix in matrices:
        rolled = (matrix / 2 + np.eye(len(matrix[0])) / 2) @ rolled
    assert rolled.sum(axis=2) == pytest.approx(1)
    prefix = model.num_prefix_tokens
    rows = rolled[:, 0, prefix:]
    side = round(rows.shape[1] ** 0.5)
    expected = rows.reshape(2, side, side).repeat(32 // side, 1).repeat(32 // side, 2)
    np.testing.assert_allclose(found[0].numpy(), expected, rtol=1e-4)


def test_attention_maps_are_positive_and_sum_to_one():
    signed = np.array([[[-3.0, 1.0]], [[0.0, 4.0]]])
    np.testing.assert_allclose(attention_map(signed, "saliency"), np.abs(signed) / 8)
    np.testing.assert_allclose(attention_map(signed, "grad_cam"), np.maximum(signed, 0) / 5)
    assert attention_map(-np.abs(signed), "occlusion").sum() == 0
    small = attention_map(signed.astype(np.float16) * np.float16(1e-6), "saliency")
    assert small.sum() == pytest.approx(1)


def test_unknown_methods_and_clips_that_do_not_fit_are_refused():
    network = network_of(TINY, 32)
    with pytest.raises(InputError, match=r"attribution, method: expected one of saliency, .* found magic"):
        attribute(network, torch.zeros(1, 3, 2, 32, 32), torch.tensor([1]), "magic", SMALL)
    with pytest.raises(InputError, match="encoder, clips"):
        attribute(network, torch.zeros(1, 3, 2, 8, 8), torch.tensor([1]), "saliency", SMALL)
    for method in ("score_cam", "attention_rollout"):
        encoder = network_of(VIT if method == "score_cam" else TINY, 32).encoder
        with pytest.raises(InputError, match=f"Leave out {method}, or choose another encoder"):
            attribution.check(encoder, ["saliency", method])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"occlusion": {"size": [3, 16, 16], "stride": [3, 17, 16]}}, "a stride of at most the size"),
        ({"occlusion": {"size": [0, 16, 16]}}, "greater than or equal to 1"),
        ({"integrated_gradients": {"steps": 1}}, "greater than or equal to 2"),
        ({"gradcam": {"weights": "clip"}}, "'volume' or 'frame'"),
        ({"score_cam": {"channel": 3}}, "channel"),
    ],
)
def test_settings_out_of_bounds_are_refused(settings, words):
    with pytest.raises(ValidationError) as raised:
        AttributionConfig.model_validate(settings)
    assert words in str(raised.value)
