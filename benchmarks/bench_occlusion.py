"""Occlusion: covered clips per second against the encoder's own forward pass on ready tensors, and against captum's.

All are measured in the same run, in turns, on one core with one random clip of 15 frames of 112 x 112 pixels; the ratio
is that of the best rounds, and of processor time, which other work on the machine disturbs less; captum's is of one
round. The forward pass gets batches of the size that occlusion uses. An encoder of single frames does less than a pass
per covered clip, because frames that are not covered, or covered alike, are encoded once: its ratio is above 1.
"""

import time
from collections.abc import Callable

import torch
from captum.attr import Occlusion
from torch import nn

from attune.attention import attribution
from attune.attention.attribution import AttributionConfig
from attune.attention.occlusion import positions
from attune.learning.encoders import EncoderConfig, build
from attune.learning.models import Network

FRAMES, SIZE = 15, 112
ROUNDS = 3
AIM = 0.85
ENCODERS = {
    "EfficientNet-Lite0": EncoderConfig(name="timm/tf_efficientnet_lite0", weights="none", input_size=SIZE),
    "mc3_18": EncoderConfig(name="mc3_18", weights="none", input_size=SIZE),
}
CONFIG = AttributionConfig.model_validate({"occlusion": {"size": [8, 38, 38], "stride": [8, 38, 38]}})


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print(f"covered clips per second of processor time, {FRAMES} x {SIZE} x {SIZE}, best of {ROUNDS} rounds")
    print(f"{'encoder':22}{'forward':>10}{'occlusion':>11}{'ratio':>8}{'captum 1':>10}{'captum 4':>10}")
    for name, config in ENCODERS.items():
        forward, occlusion, *captum = compare(build(config))
        verdict = "" if occlusion / forward >= AIM else f"  below {AIM}"
        others = "".join(f"{value:10.2f}" for value in captum)
        print(f"{name:22}{forward:10.2f}{occlusion:11.2f}{occlusion / forward:8.2f}{others}{verdict}", flush=True)


def compare(encoder: nn.Module) -> list[float]:
    """Covered clips per second: forward pass, occlusion, captum's with 1 and with 4 covered clips at a time."""
    network = Network(encoder, nn.Linear(encoder.feature_size, 2)).eval()
    clip, target = torch.randn(1, 3, FRAMES, SIZE, SIZE), torch.tensor([1])
    count = 1
    for windows in positions((FRAMES, SIZE, SIZE), CONFIG):
        count *= len(windows)
    attribution.prepared(network)  # the layout that is fastest, for all of them
    size, stride = (3, *CONFIG.occlusion.size), (3, *CONFIG.occlusion.stride)

    def forward() -> None:
        batch = clip.repeat(CONFIG.clips_at_a_time(FRAMES), 1, 1, 1, 1)
        with torch.inference_mode():
            for _ in range(0, count, len(batch)):
                network(batch)

    def occlusion() -> None:
        attribution.attribute(network, clip, target, "occlusion", CONFIG)

    def captum(together: int) -> None:
        with torch.inference_mode():
            Occlusion(network).attribute(clip, size, stride, target=target, perturbations_per_eval=together)

    forward()
    rounds = [(measure(forward), measure(occlusion)) for _ in range(ROUNDS)]
    best = [min(column) for column in zip(*rounds, strict=True)]
    return [count / seconds for seconds in (*best, measure(lambda: captum(1)), measure(lambda: captum(4)))]


def measure(work: Callable[[], None]) -> float:
    """Seconds of the processor that it takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()
