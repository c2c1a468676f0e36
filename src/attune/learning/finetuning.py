"""Fine-tune an encoder with a head on the clips of some sessions: what the search's rows and the final models share."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from attune.annotation.folds import FoldStatistics
from attune.learning import encoders, pixels, training
from attune.learning.checkpoints import Checkpoint
from attune.learning.corpus import Corpus
from attune.learning.device import device
from attune.learning.encoders import EncoderConfig
from attune.learning.fold_heads import FoldHead
from attune.learning.material import Source
from attune.learning.models import Configuration, Network
from attune.learning.pixels import PixelConfig
from attune.learning.training import Fitted, Material
from attune.learning.training_config import FinetuneSettings, TrainingConfig
from attune.video.clips import ClipConfig
from attune.video.files import VideoConfig
from attune.video.recipes import Augmentation


@dataclass(frozen=True)
class Forms:
    """How clips and encoder are made, alike for all models.

    Attributes:
        encoder: which encoder.
        clips: length and number of clips.
        video: form of the processed video.
        pixels: how frames are shown.
        augmentation: what training clips go through if they are augmented.
        statistics: the folds, whose training pixels may normalise.
    """

    encoder: EncoderConfig
    clips: ClipConfig
    video: VideoConfig
    pixels: PixelConfig
    augmentation: Augmentation
    statistics: FoldStatistics

    def configuration(self, task: str, variable: str, network: Network, trained: dict[str, Any]) -> Configuration:
        """The configuration of a model file."""
        mean, std = pixels.normalisation(self.pixels, network.encoder, self.statistics)
        return Configuration(
            task=task,
            variable=variable,
            encoder=self.encoder,
            clips=self.clips,
            video=self.video,
            view=self.pixels.view,
            mean=mean,
            std=std,
            training=trained,
        )


@dataclass(frozen=True)
class Course:
    """One fine-tuning.

    Attributes:
        settings: of the optimiser.
        config: the course.
        learned: sessions to learn from.
        judged: sessions whose clips choose the epoch.
        seed: of clips, augmentation and order.
    """

    settings: FinetuneSettings
    config: TrainingConfig
    learned: Collection[str]
    judged: Collection[str]
    seed: int


class Workshop:
    """An encoder and the clips of one task and variable, ready for any number of fine-tunings.

    Args of the constructor:
        forms: how clips and encoder are made.
        corpus: the task and variable.
        config: the course of the fine-tunings.
    """

    def __init__(self, forms: Forms, corpus: Corpus, config: TrainingConfig) -> None:
        encoder = encoders.build(forms.encoder)
        self.network = Network(encoder, torch.nn.Linear(encoder.feature_size, 2)).eval().to(device())
        if config.channels_last:
            # torch knows the format of frames and that of clips as two constants
            last = torch.channels_last if encoder.per_frame else torch.channels_last_3d
            self.network = self.network.to(memory_format=last)
        self.corpus = corpus
        self.parts = encoders.stages_of(encoder)
        self.configuration = forms.configuration(corpus.task, corpus.variable, self.network, {})
        self.source = Source(self.network, self.configuration, corpus, config, forms.augmentation)
        self._start = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}

    def prepare(self, sessions: Collection[str], work: Path, on_frames: Callable[[int], object]) -> None:
        """Compute the activations that can be reused for some sessions; see :class:`Source`."""
        self.source.prepare(sessions, work, on_frames)

    def finetune(
        self,
        head: FoldHead,
        course: Course,
        checkpoint: Checkpoint | None = None,
        on_epoch: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> Fitted:
        """Fine-tune the encoder, from its first weights, with a head; ``network`` has the best weights afterwards."""
        self.network.encoder.load_state_dict(self._start)
        self.network.head = head.linear().to(device())
        judged = self.source.evaluation(self.corpus.fixed(course.judged))

        def learned(epoch: int) -> Any:
            each = course.config.clips_per_session
            drawn = self.corpus.draw(course.learned, seed=course.seed, epoch=epoch, per_session=each)
            return self.source.training(drawn, seed=course.seed, epoch=epoch)

        material = Material(learned, judged, head.class_weights)
        return training.fit(
            self.source.network,
            self.parts,
            material,
            course.settings,
            course.config,
            seed=course.seed,
            checkpoint=checkpoint,
            on_epoch=on_epoch,
        )
