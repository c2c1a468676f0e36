"""The free choices of the attribution methods; each default is the published value, or captum's where none is told."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from attune.params import Params

Fill = Literal["zero", "mean"]
Frames = Annotated[int, Field(ge=1, le=10_000)]
Pixels = Annotated[int, Field(ge=1, le=4096)]


class GradCamConfig(Params):
    """Grad-CAM and what is built on it.

    Attributes:
        weights: what a channel's weight averages the gradient over: the whole ``volume`` of the clip (published for
            one picture, and what captum does with clips), or each ``frame`` of the layer for itself.
        interpolation: how the layer's map becomes as large as the clip: ``trilinear`` (bilinear in space, as
            published) or ``nearest`` (captum's own).
    """

    weights: Literal["volume", "frame"] = "volume"
    interpolation: Literal["trilinear", "nearest"] = "trilinear"


class OcclusionConfig(Params):
    """Occlusion.

    Attributes:
        size: frames, height and width of the occluder; it is cut to the clip where that is smaller.
        stride: its steps along the same axes, at most its size, so that every pixel is covered. The last one of a row
            may reach over the border.
        fill: what it shows: ``zero``, the mean by which pixels are normalised, or ``mean``, that of the clip.
    """

    size: tuple[Frames, Pixels, Pixels] = (3, 16, 16)
    stride: tuple[Frames, Pixels, Pixels] = (3, 8, 8)
    fill: Fill = "zero"

    @model_validator(mode="after")
    def _covers(self) -> Self:
        if any(step > length for step, length in zip(self.stride, self.size, strict=True)):
            raise ValueError("a stride of at most the size along every axis")
        return self


class IntegratedConfig(Params):
    """Integrated gradients.

    Attributes:
        steps: points on the straight line from the baseline to the clip.
        rule: how they are placed and weighted.
        baseline: as the occluder's ``fill``.
    """

    steps: int = Field(default=50, ge=2, le=1000)
    rule: Literal["gausslegendre", "riemann_trapezoid", "riemann_middle"] = "gausslegendre"
    baseline: Fill = "zero"


class ScoreCamConfig(Params):
    """Score-CAM.

    Attributes:
        channels: how many of the layer's channels are tried, those whose maps vary most; 0 for all, as published.
    """

    channels: int = Field(default=0, ge=0, le=100_000)


class AttributionConfig(Params):
    """How maps are computed.

    Attributes:
        gradcam: choices of Grad-CAM, guided Grad-CAM and (the interpolation alone) score-CAM and rollout.
        occlusion: choices of occlusion.
        integrated_gradients: choices of integrated gradients.
        score_cam: choices of score-CAM.
        batch_frames: frames that a network is given at a time, at least one clip; changes nothing but speed and memory
            (and the last bits). Few are fast on a processor, a graphics processor wants hundreds.
    """

    gradcam: GradCamConfig = GradCamConfig()
    occlusion: OcclusionConfig = OcclusionConfig()
    integrated_gradients: IntegratedConfig = IntegratedConfig()
    score_cam: ScoreCamConfig = ScoreCamConfig()
    batch_frames: int = Field(default=16, ge=1, le=100_000)

    def clips_at_a_time(self, num_frames: int) -> int:
        """Clips of so many frames that make a batch."""
        return max(1, self.batch_frames // num_frames)
