"""Occlusion: how much of the target's logit is lost when a part of the clip is covered (Zeiler and Fergus, 2014).

An occluder of some frames, rows and columns covers all colours; its positions are multiples of the stride, and the last
one of an axis may reach over the border. A pixel's value is the mean loss over the positions that cover it, as in
captum's Occlusion (which gives it to each of the three colours). All classes share the same passes.

An encoder of single frames need not encode a frame again that the occluder leaves alone, and sees the same covered
frame at all positions in time: each frame is encoded once per position in space, and clips are put together from the
features.
"""

from collections.abc import Iterator
from itertools import product

import torch

from attune.attention.attribution_config import AttributionConfig
from attune.attention.gradients import filling
from attune.learning.encoders import FrameEncoder
from attune.learning.models import Network

Window = tuple[slice, slice, slice]


def occlusion(network: Network, clips: torch.Tensor, targets: torch.Tensor, config: AttributionConfig) -> torch.Tensor:
    """Mean loss of the target's logit over the positions of the occluder that cover a pixel; see the module."""
    lost_of = _lost_by_frames if isinstance(network.encoder, FrameEncoder) else _lost_by_clips
    times, rows, columns = positions(tuple(clips.shape[2:]), config)
    found = []
    with torch.inference_mode():
        for clip, classes in zip(clips.split(1), targets, strict=True):
            lost = lost_of(network, clip, config)[:, classes]  # (windows, K)
            total = clip.new_zeros((len(classes), *clip.shape[2:]))
            times_covered = clip.new_zeros(clip.shape[2:])
            for loss, window in zip(lost, product(times, rows, columns), strict=True):
                total[(slice(None), *window)] += loss[:, None, None, None]
                times_covered[window] += 1
            found.append(total / times_covered)
    return torch.stack(found).clone()


def positions(shape: tuple[int, ...], config: AttributionConfig) -> tuple[list[slice], list[slice], list[slice]]:
    """Where the occluder lies along each axis of clips (T, H, W)."""
    found = []
    for length, size, stride in zip(shape, config.occlusion.size, config.occlusion.stride, strict=True):
        count = -(-max(length - size, 0) // stride) + 1
        found.append([slice(step * stride, min(step * stride + size, length)) for step in range(count)])
    return found[0], found[1], found[2]


def _lost_by_clips(network: Network, clip: torch.Tensor, config: AttributionConfig) -> torch.Tensor:
    """Loss of every class's logit, (windows, classes), by whole clips."""
    whole = network(clip)
    colour = filling(clip, config.occlusion.fill)[0]
    windows = list(product(*positions(tuple(clip.shape[2:]), config)))
    size = config.clips_at_a_time(clip.shape[2])
    logits = []
    for start in range(0, len(windows), size):
        part = windows[start : start + size]
        batch = clip.repeat(len(part), 1, 1, 1, 1)
        for covered, window in zip(batch, part, strict=True):
            covered[(slice(None), *window)] = colour
        logits.append(network(batch))
    return whole - torch.cat(logits)


def _lost_by_frames(network: Network, clip: torch.Tensor, config: AttributionConfig) -> torch.Tensor:
    """The same by single frames."""
    encoder = network.encoder
    assert isinstance(encoder, FrameEncoder)  # noqa: S101 - the caller has chosen by it
    frames = clip[0].transpose(0, 1)  # (T, 3, H, W)
    colour = filling(clip, config.occlusion.fill)[0, :, 0]  # (3, 1, 1)
    times, rows, columns = positions(tuple(clip.shape[2:]), config)
    plain = _encoded(encoder, iter([frames]), config)  # (T, D)
    whole = network.head(encoder.pool(plain[None]))
    shown = ((frames, place) for place in product(rows, columns))
    covered = _encoded(encoder, (_cover(some, place, colour) for some, place in shown), config)
    lost = []
    for features in covered.split(len(frames)):  # of one position in space
        mixed = plain.repeat(len(times), 1, 1)
        for row, time in zip(mixed, times, strict=True):
            row[time] = features[time]
        lost.append(whole - network.head(encoder.pool(mixed)))
    return torch.stack(lost, dim=1).flatten(0, 1)  # positions in time come first


def _cover(frames: torch.Tensor, place: tuple[slice, slice], colour: torch.Tensor) -> torch.Tensor:
    covered = frames.clone()
    covered[(slice(None), slice(None), *place)] = colour
    return covered


def _encoded(encoder: FrameEncoder, groups: Iterator[torch.Tensor], config: AttributionConfig) -> torch.Tensor:
    """Features (N, D) of groups of frames, in batches that do not depend on how the frames are grouped."""
    parts, waiting = [], None
    for group in groups:
        waiting = group if waiting is None else torch.cat([waiting, group])
        while len(waiting) >= config.batch_frames:
            parts.append(encoder.encode_frames(waiting[: config.batch_frames]))
            waiting = waiting[config.batch_frames :]
    if waiting is not None and len(waiting):
        parts.append(encoder.encode_frames(waiting))
    return torch.cat(parts)
