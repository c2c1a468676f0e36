"""What a trained model says about a video: the probability of engagement over time.

Clips slide over the video in equal steps. Each moment gets the probability of the clip whose centre is nearest, so that
the table covers the whole video without gap or overlap, ``[start_ms, end_ms)`` in integer milliseconds; at its ends,
where no clip is centred, the first and the last clip hold.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from attune.annotation.eaf import Annotation
from attune.annotation.elan_writer import NewTier
from attune.learning.models import Configuration, Network
from attune.learning.pieces import ClipChunk, FrameSpan, Integers, Look, PieceStore
from attune.problems import InputError, Problem
from attune.video import clips
from attune.video.store import frame_index, open_frames

PREDICTION = {"start_ms": "int64", "end_ms": "int64", "probability": "float64"}
ENGAGED = "engaged"
THRESHOLD = 0.5
DIGITS = 6
BATCH_FRAMES = 16
MEMORY_CURE = (
    "Free the graphics memory that other programs take, or set CUDA_VISIBLE_DEVICES to -1, so that the processor works."
)


def clip_starts(duration_ms: int, configuration: Configuration, step_ms: int, video: str) -> Integers:
    """Starts of the clips that slide over a video, (n,).

    Raises:
        InputError: the video is shorter than a clip, or the steps would leave out parts of it.
    """
    clip_ms = configuration.clips.duration_ms
    if duration_ms < clip_ms:
        found, expected = f"{duration_ms / 1000:.1f} s", f"at least the {clip_ms / 1000:g} s of a clip"
        raise InputError(Problem(video, "", found, expected, "Choose a longer video."))
    if not 0 < step_ms <= clip_ms:
        expected = f"more than 0 s and at most the {clip_ms / 1000:g} s of a clip"
        raise InputError(Problem("--step", "", f"{step_ms / 1000:g} s", expected, "Change it."))
    return np.arange(0, duration_ms - clip_ms + 1, step_ms, dtype=np.int64)


def predict(
    network: Network,
    configuration: Configuration,
    frames: Path,
    duration_ms: int,
    start_ms: Integers,
    work: Path,
    on_frames: Callable[[int], object] = lambda count: None,
) -> pd.DataFrame:
    """Probability of engagement over time.

    Args:
        network: on the device where it is to run.
        configuration: of the model.
        frames: frame store of the processed video.
        duration_ms: length of the video.
        start_ms: of the clips, from :func:`clip_starts`.
        work: folder for what is computed on the way; what a killed run left there is used.
        on_frames: called with the number of frames after each batch.

    Returns:
        Columns :data:`PREDICTION`.
    """
    probability = probabilities(network, configuration, frames, start_ms, work, on_frames)
    return _table(probability, duration_ms, start_ms, configuration)


def probabilities(
    network: Network,
    configuration: Configuration,
    frames: Path,
    start_ms: Integers,
    work: Path,
    on_frames: Callable[[int], object] = lambda count: None,
) -> npt.NDArray[np.float64]:
    """Probability of engagement in clips of one video, (n,); see :func:`predict` for the arguments.

    An encoder that sees frame by frame reads those from the first clip's first to the last clip's last.
    """
    rate = configuration.video.frame_rate
    look = Look(clips.num_frames(configuration.clips, rate), configuration.view, configuration.mean, configuration.std)
    store = PieceStore(network.encoder, frames.parent, rate, look, work, BATCH_FRAMES, MEMORY_CURE)
    if network.encoder.per_frame:
        span = _span(configuration, frames, start_ms)
        store.make(store.missing([span]), on_frames)
        blocks = list(store.pooled(span, start_ms))
    else:
        chunk = ClipChunk(frames.stem, start_ms, None, look.num_frames)
        store.make(store.missing([chunk]), on_frames)
        blocks = [np.array(store.read(chunk))]
    return _probabilities(network.head, np.concatenate(blocks))


def frames_to_encode(network: Network, configuration: Configuration, frames: Path, start_ms: Integers) -> int:
    """How many frames :func:`predict` and :func:`probabilities` encode."""
    num_frames = clips.num_frames(configuration.clips, configuration.video.frame_rate)
    per_frame = network.encoder.per_frame
    return _span(configuration, frames, start_ms).count if per_frame else len(start_ms) * num_frames


def _span(configuration: Configuration, frames: Path, start_ms: Integers) -> FrameSpan:
    """The frames that the clips take; where the video ends early, at least its last one."""
    rate, count = configuration.video.frame_rate, len(open_frames(frames))
    first = min(frame_index(int(start_ms.min()), rate), count - 1)
    end = frame_index(int(start_ms.max()), rate) + clips.num_frames(configuration.clips, rate)
    return FrameSpan(frames.stem, first, min(end, count) - first)


def tiers(prediction: pd.DataFrame, variable: str) -> list[NewTier]:
    """The ELAN tiers of a prediction: where the model sees engagement, and the probability in hundredths."""
    engaged = [ENGAGED if value > THRESHOLD else "" for value in prediction["probability"]]
    rounded = [f"{value:.2f}" for value in prediction["probability"]]
    return [
        NewTier(name, _spans(prediction, values))
        for name, values in zip(tier_names(variable), (engaged, rounded), strict=True)
    ]


def tier_names(variable: str) -> tuple[str, str]:
    """Names of the tiers of :func:`tiers`."""
    return f"{variable}_model", f"{variable}_probability"


def _probabilities(head: torch.nn.Linear, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    with torch.inference_mode():
        logits = head(torch.from_numpy(features).to(head.weight.device))
        probabilities: npt.NDArray[np.float64] = logits.softmax(dim=1)[:, 1].double().cpu().numpy()
    return probabilities


def _table(
    probability: npt.NDArray[np.float64], duration_ms: int, start_ms: Integers, configuration: Configuration
) -> pd.DataFrame:
    centre = start_ms + configuration.clips.duration_ms // 2
    border = (centre[1:] + centre[:-1]) // 2
    return pd.DataFrame(
        {
            "start_ms": np.concatenate([[0], border]),
            "end_ms": np.concatenate([border, [duration_ms]]),
            "probability": np.round(probability, DIGITS),
        }
    )


def _spans(prediction: pd.DataFrame, values: list[str]) -> list[Annotation]:
    """Touching rows of equal value as one span; rows without a value are left out."""
    spans: list[Annotation] = []
    for start, end, value in zip(prediction["start_ms"], prediction["end_ms"], values, strict=True):
        if spans and spans[-1].value == value and spans[-1].end_ms == start:
            spans[-1] = Annotation(spans[-1].start_ms, int(end), value)
        else:
            spans.append(Annotation(int(start), int(end), value))
    return [span for span in spans if span.value]
