"""What fine-tuning reads: pixels, or activations of the parts of the encoder that stand still.

Activations are taken where they are the same in every epoch: the encoder looks at single frames, its first parts
are frozen throughout, and nothing is augmented. Otherwise the pixels of each clip are read from the frame store, batch
by batch, so memory does not depend on the number or length of the sessions.
"""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from attune.learning import activations, encoders, training
from attune.learning.activations import Activations, Cut, Stretch
from attune.learning.corpus import Corpus, Labelled
from attune.learning.models import Configuration, Network, prepare
from attune.learning.steps import Examples, Inputs, Integers
from attune.learning.training_config import TrainingConfig
from attune.problems import InputError, Problem
from attune.video import clips as video_clips
from attune.video import transforms
from attune.video.clips import ClipReader
from attune.video.draws import Keys
from attune.video.store import frame_index, open_frames
from attune.video.transforms import Augmentation

Count = Callable[[int], object]


class FramesNetwork(nn.Module):
    """A network that takes the activations of single frames; shares the weights of ``network``."""

    def __init__(self, network: Network, cut: Cut) -> None:
        super().__init__()
        self.network = network
        self.cut = cut

    def forward(self, frames: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Logits (B, 2) from distinct frames (N, ...) and the place (B, T) in them of each frame of the clips."""
        with activations.passed_over(self.cut):
            features = self.cut.encoder.encode_frames(frames)
        logits: torch.Tensor = self.network.head(self.cut.encoder.pool(features[places]))
        return logits


class Source:
    """Feeds a network with the clips of one task.

    Attributes:
        network: what takes the inputs, ``FramesNetwork`` or ``Network``; both share the weights of the given network.
        cached: whether activations are read instead of pixels.
    """

    def __init__(
        self,
        network: Network,
        configuration: Configuration,
        corpus: Corpus,
        config: TrainingConfig,
        augmentation: Augmentation | None,
    ) -> None:
        self.configuration = configuration
        self.corpus = corpus
        self.size = network.encoder.input_size
        self.device = next(network.parameters()).device
        self.augmentation = augmentation if config.augment else None
        self._reader = ClipReader(corpus.frames, corpus.rate, corpus.num_frames)
        self._cache: Activations | None = None
        self._cut: Cut | None = None
        self._whole = network
        self.network: nn.Module = network
        if self.augmentation is None:
            still = training.frozen_parts(encoders.stages_of(network.encoder), config)
            self._cut = activations.cut(network.encoder, still)

    @property
    def cached(self) -> bool:
        """Whether activations are read instead of pixels."""
        return self._cache is not None

    def prepare(self, sessions: Collection[str], work: Path, on_frames: Count = lambda _: None) -> None:
        """Compute the activations of some sessions' frames that are missing in the work folder, if they are of use.

        Raises:
            InputError: the graphics memory is too small.
        """
        try:
            self._prepare(sessions, work, on_frames)
        except torch.cuda.OutOfMemoryError:
            found = f"no room for {activations.CHUNK} frames at once"
            cure = "Use a smaller encoder or input_size, or free the graphics memory that other programs take."
            raise InputError(Problem("activations", "graphics memory", found, "more", cure)) from None

    def _prepare(self, sessions: Collection[str], work: Path, on_frames: Count) -> None:
        stretches = self._stretches(sessions)
        if not self._cut or not stretches:
            return
        cut = self._cut
        if self._cache is None:
            if not self._fits(cut, stretches[0]):
                return
            kind = {"size": self.size} | self.configuration.model_dump(mode="json", include={"view", "mean", "std"})
            folder = work / activations.key_of(cut, kind)
            self._cache = Activations(folder, self.corpus.frames, self.corpus.rate, self.corpus.num_frames)
            self.network = FramesNetwork(self._whole, cut).eval()
        self._cache.prepare(stretches, lambda pixels: activations.run_up_to(cut, self._frames(pixels)), on_frames)

    def training(self, clips: Labelled, *, seed: int, epoch: int) -> Examples:
        """Examples of one epoch's clips, augmented if that is wanted."""
        return self._examples(clips, video_clips.keys(clips.clips, seed=seed, epoch=epoch))

    def evaluation(self, clips: Labelled) -> Examples:
        """Examples in which nothing is random."""
        return self._examples(clips, None)

    def frames_of(self, sessions: Collection[str]) -> int:
        """How many frames the task has in some sessions."""
        return sum(stretch.end - stretch.first for stretch in self._stretches(sessions))

    def _examples(self, clips: Labelled, keys: Keys | None) -> Examples:
        sessions = clips.clips["session"].tolist()
        start_ms = clips.clips["start_ms"].to_numpy(np.int64)

        def read(rows: Integers) -> Inputs:
            named = [sessions[row] for row in rows]
            if self._cache:
                return self._cache.read(named, self.corpus.task, start_ms[rows])
            pixels = [self._reader.read(name, int(start)) for name, start in zip(named, start_ms[rows], strict=True)]
            tensors: Any = [torch.from_numpy(clip).to(self.device) for clip in pixels]
            if keys is None or self.augmentation is None:
                return (prepare(tensors, self.size, self.configuration),)
            changed = transforms.augment(tensors, self.augmentation, self.size, keys[rows])
            return (transforms.normalise(changed, self.configuration.mean, self.configuration.std),)

        return Examples(clips.labels, read)

    def _stretches(self, sessions: Collection[str]) -> list[Stretch]:
        spans = self.corpus.spans_of(sessions)
        found = []
        for session, rows in spans.groupby("session", sort=True):
            first = frame_index(int(rows["start_ms"].min()), self.corpus.rate)
            end = frame_index(int(rows["end_ms"].max()), self.corpus.rate) + 1
            found.append(Stretch(str(session), self.corpus.task, first, end))
        return found

    def _frames(self, pixels: np.ndarray) -> torch.Tensor:
        """Normalised frames (N, 3, H, W) of pixels (N, H, W, 3)."""
        clip = torch.from_numpy(np.array(pixels)).to(self.device)
        return prepare(clip[None], self.size, self.configuration)[0].transpose(0, 1)

    def _fits(self, cut: Cut, stretch: Stretch) -> bool:
        store = open_frames(self.corpus.frames / f"{stretch.session}.npy")
        return activations.fits(cut, self._frames(store[stretch.first : stretch.first + 2]))
