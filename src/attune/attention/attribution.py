"""Attribution: what each pixel of a clip contributes to a model's decision, by one of several methods.

Attributions are signed and explain the logit of a target class (0 not engaged, 1 engaged). They are (B, T, H, W), at
the encoder's input size, summed over the colour channels. An attention map is what remains for a comparison: not
negative, its sum 1.

A method works on a copy of the network in evaluation mode, in which no activation works in place and no parameter takes
a gradient. The network itself, whatever happens, keeps its parameters, gradients, modes and hooks, and several threads
may explain the same one.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from attune.attention.attribution_config import AttributionConfig
from attune.attention.cams import grad_cam, guided_grad_cam, score_cam
from attune.attention.gradients import guided_backpropagation, integrated_gradients, saliency
from attune.attention.hires_cam import hires_cam
from attune.attention.occlusion import occlusion
from attune.attention.rollout import attends_everywhere, attention_rollout
from attune.learning.encoders import Encoder
from attune.learning.models import Network
from attune.problems import InputError, Problem

__all__ = [
    "METHODS",
    "AttributionConfig",
    "Method",
    "attention_map",
    "attribute",
    "attribute_each",
    "check",
    "prepared",
]

Function = Callable[[Network, torch.Tensor, torch.Tensor, AttributionConfig], torch.Tensor]
Array = npt.NDArray[np.float64]


def _any(encoder: Encoder) -> bool:
    return True


def _convolutional(encoder: Encoder) -> bool:
    """Whether channels are what convolutions made, not the features of tokens."""
    return not any("attention" in type(module).__name__.lower() for module in encoder.model.modules())


@dataclass(frozen=True)
class Method:
    """A way to explain.

    Attributes:
        function: of a network that it may change, clips (B, 3, T, H, W), targets (B, K) and the configuration, to
            attributions (B, K, T, H, W).
        kind: how an attribution becomes an attention map: by its ``absolute`` value, where the sign only tells the
            direction in which a pixel should change, or its ``positive`` part, where it tells for or against.
        supports: whether it can explain an encoder.
        needs: the encoders that it can explain, in words.
    """

    function: Function
    kind: Literal["absolute", "positive"]
    supports: Callable[[Encoder], bool] = _any
    needs: str = "any encoder"


# Captum does saliency and integrated gradients. What it has besides is done here, and held against it in tests where
# both mean the same: its guided backpropagation knows ReLU alone and clamps shortcuts, its Grad-CAM weights the frames
# of a frame encoder each for itself, its guided Grad-CAM rests on both, and its occlusion sends whole clips through the
# network, where here a frame is encoded once for all windows in time and both classes.
METHODS: dict[str, Method] = {
    "saliency": Method(saliency, "absolute"),
    "guided_backpropagation": Method(guided_backpropagation, "absolute"),
    "integrated_gradients": Method(integrated_gradients, "absolute"),
    "grad_cam": Method(grad_cam, "positive"),
    "guided_grad_cam": Method(guided_grad_cam, "absolute"),
    "hires_cam": Method(hires_cam, "positive", _convolutional, "a convolutional encoder, whose channels are maps"),
    "score_cam": Method(score_cam, "positive", _convolutional, "a convolutional encoder, whose channels are maps"),
    "occlusion": Method(occlusion, "positive"),
    "attention_rollout": Method(
        attention_rollout, "positive", attends_everywhere, "a transformer whose blocks all attend over the same tokens"
    ),
}


def attribute(
    network: Network, clips: torch.Tensor, target: torch.Tensor, method: str, config: AttributionConfig
) -> torch.Tensor:
    """Explain one class of each clip.

    Args:
        network: the model; nothing about it changes.
        clips: (B, 3, T, H, W), normalised, on the network's device.
        target: the class to explain, (B,) integers.
        method: a key of :data:`METHODS`.
        config: the method's free choices.

    Returns:
        (B, T, H, W), signed.

    Raises:
        InputError: there is no such method, or it cannot explain this encoder, or the clips do not fit it.
    """
    return attribute_each(network, clips, target[:, None], method, config)[:, 0]


def attribute_each(
    network: Network, clips: torch.Tensor, targets: torch.Tensor, method: str, config: AttributionConfig
) -> torch.Tensor:
    """As :func:`attribute`, for K classes (B, K) of each clip, (B, K, T, H, W); methods share work among them."""
    check(network.encoder, [method])
    network.encoder.check(tuple(clips.shape))
    with torch.inference_mode(False), torch.enable_grad():
        own = _own(network)
        return METHODS[method].function(own, clips.detach().clone(), targets.clone(), config).detach()


def check(encoder: Encoder, methods: list[str]) -> None:
    """Hold methods against an encoder.

    Raises:
        InputError: there is no such method, or it cannot explain this encoder.
    """
    problems = []
    for name in methods:
        if name not in METHODS:
            cure = "Correct its spelling."
            problems.append(Problem("attribution", "method", name, f"one of {', '.join(METHODS)}", cure))
        elif not METHODS[name].supports(encoder):
            cure = f"Leave out {name}, or choose another encoder."
            found = f"an encoder with {type(encoder.model).__name__}"
            problems.append(Problem("attribution", name, found, METHODS[name].needs, cure))
    if problems:
        raise InputError(problems)


def attention_map(attribution: npt.ArrayLike, method: str) -> Array:
    """What of an attribution is compared: not negative, sum 1; all 0 where nothing speaks for the class.

    Args:
        attribution: (T, H, W), signed.
        method: which made it.
    """
    values = np.asarray(attribution, dtype=np.float64)
    kept = np.abs(values) if METHODS[method].kind == "absolute" else np.maximum(values, 0)
    total = kept.sum()
    return np.asarray(kept / total if total else kept, dtype=np.float64)


def prepared(network: Network) -> Network:
    """Lay a network out in memory as is fastest on a processor; calls on it then spare the conversion."""
    if next(network.parameters()).device.type == "cpu":
        network.to(memory_format=torch.channels_last if network.encoder.per_frame else torch.channels_last_3d)
    return network


def _own(network: Network) -> Network:
    """A copy to work on, which shares no module but all numbers with the network."""
    shared: dict[int, object] = {}
    for parameter in network.parameters():
        shared[id(parameter)] = nn.Parameter(parameter.detach(), requires_grad=False)
    for buffer in network.buffers():
        shared[id(buffer)] = buffer
    own: Network = copy.deepcopy(network, shared)
    for module in own.modules():
        if getattr(module, "inplace", False) is True:
            setattr(module, "inplace", False)  # noqa: B010 - not every module declares it
    return prepared(own.eval())
