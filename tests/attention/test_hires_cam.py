"""HiResCAM equals Grad-CAM in front of a global average, and takes the layer that is asked for."""

import pytest
import torch
from torch import nn

from attune.attention import attribution
from attune.attention.attribution_config import AttributionConfig, GradCamConfig, HiResCamConfig
from attune.attention.hires_cam import finest
from attune.learning import encoders
from attune.learning.encoders import EncoderConfig
from attune.learning.models import Network

torch.set_num_threads(1)


def network() -> Network:
    torch.manual_seed(0)
    encoder = encoders.build(EncoderConfig(name="timm/test_resnet", weights="none", input_size=64))
    return Network(encoder, nn.Linear(encoder.feature_size, 2)).eval()


CLIPS = torch.randn(2, 3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
TARGET = torch.tensor([0, 1])


def test_in_front_of_a_global_average_it_is_grad_cam_of_each_frame() -> None:
    net = network()
    coarse = AttributionConfig(hires_cam=HiResCamConfig(side=1024), gradcam=GradCamConfig(weights="frame"))
    assert finest(net, CLIPS, 1024) is net.encoder.gradcam_layer
    expected = attribution.attribute(net, CLIPS, TARGET, "grad_cam", coarse)
    found = attribution.attribute(net, CLIPS, TARGET, "hires_cam", coarse)
    assert found.abs().max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("side", [2, 4, 8, 16])
def test_the_last_layer_with_enough_places_is_taken(side: int) -> None:
    net = network()
    seen: list[int] = []
    layer = finest(net, CLIPS, side)
    hook = layer.register_forward_hook(lambda _module, _inputs, output: seen.append(min(output.shape[-2:])))
    net(CLIPS)
    hook.remove()
    assert seen[0] >= side
    coarser = finest(net, CLIPS, seen[0] + 1)
    assert coarser is not layer


def test_the_product_of_maps_and_gradient_is_what_a_scaling_of_each_place_changes() -> None:
    """The sum of the layer's product is the slope of the logit when all its maps are scaled together."""
    net = network()
    config = AttributionConfig(hires_cam=HiResCamConfig(side=8), gradcam=GradCamConfig(interpolation="nearest"))
    found = attribution.attribute(net, CLIPS, TARGET, "hires_cam", config)
    layer = finest(net, CLIPS, 8)
    sides: list[int] = []

    def logit(scale: float) -> torch.Tensor:
        def change(_module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
            sides.append(output.shape[-1])
            return output * scale

        hook = layer.register_forward_hook(change)
        try:
            with torch.no_grad():
                return net(CLIPS).double().gather(1, TARGET[:, None])[:, 0]
        finally:
            hook.remove()

    slope = (logit(1.01) - logit(0.99)) / 0.02
    repeated = (64 / sides[0]) ** 2  # each place is shown so many times
    torch.testing.assert_close(found.sum(dim=(1, 2, 3)).double() / repeated, slope, rtol=0.03, atol=1e-4)
