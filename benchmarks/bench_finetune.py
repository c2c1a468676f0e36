"""Fine-tuning: share of the processor's measured matrix-product speed that a step of the optimiser reaches.

The operations of a step (convolutions and matrix products) are three times those of the forward pass through the parts
that train, as PyTorch's own counter finds them: the derivatives by the input and by the weights cost as much again
each. (Its count of the backward pass itself takes grouped convolutions for full ones.) The speed to compare with is
that of a large float32 matrix product, timed in turns with the steps. Layouts and precisions are compared because
``precision`` and ``channels_last`` in params.yaml should be changed only where they win here.
"""

import itertools
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from attune.learning import activations, encoders, training
from attune.learning.encoders import EncoderConfig
from attune.learning.material import FramesNetwork
from attune.learning.models import Network
from attune.learning.steps import Examples, Stepper
from attune.problems import InputError

FRAMES = 15
SIDE = 2048  # of the matrices
ROUNDS = 3
# What is fine-tuned: encoder, first part that trains, clips per step, whether frozen activations are read.
CASES = {
    "demo scale, last two parts": ("timm/tf_efficientnet_lite0", -2, 16, True),
    "demo encoder, all parts": ("timm/tf_efficientnet_lite0", 0, 4, False),
    "published scale, mc3_18, all parts": ("mc3_18", 0, 1, False),
}


def main() -> None:
    """Print the table."""
    matrix = torch.rand(SIDE, SIDE)
    print(
        f"{torch.get_num_threads()} threads; share of the speed of a {SIDE} x {SIDE} matrix product, best of {ROUNDS}"
    )
    print(f"{'fine-tuning':36}{'layout':16}{'precision':10}{'clips/s':>9}{'GFLOP/s':>9}{'share':>7}")
    for name, case in CASES.items():
        steps = dict(prepare(case))
        seconds = best_in_turns({key: step for key, (step, _) in steps.items()} | {"product": lambda: matrix @ matrix})
        speed = 2 * SIDE**3 / seconds["product"]
        for (layout, precision), (_, operations) in steps.items():
            took = seconds[layout, precision]
            reached = operations / took
            print(
                f"{name:36}{layout:16}{precision:10}{case[2] / took:9.1f}{reached / 1e9:9.0f}{reached / speed:7.2f}",
                flush=True,
            )


def best_in_turns(works: dict) -> dict:
    """Seconds of each work, best of several rounds in which they take turns, after one that does not count."""
    best = dict.fromkeys(works, float("inf"))
    for turn, (key, work) in itertools.product(range(ROUNDS + 1), works.items()):
        start = time.perf_counter()
        work()
        if turn:
            best[key] = min(best[key], time.perf_counter() - start)
    return best


def prepare(case: tuple[str, int, int, bool]):
    """Yield layout and precision with a function that makes one step and the number of its operations."""
    name, first, clips, cached = case
    for layout, precision in itertools.product(("contiguous", "channels last"), ("float32", "bfloat16")):
        try:
            training.check_precision(precision, torch.device("cpu"))
        except InputError:
            continue  # this processor has no instructions for it
        yield (layout, precision), step_of(name, first, clips, cached, layout == "channels last", precision)


def step_of(
    name: str, first: int, clips: int, cached: bool, last: bool, precision: str
) -> tuple[Callable[[], object], int]:
    """A function that makes one step of the optimiser on clips of noise, and the number of its operations."""
    encoder = encoders.build(EncoderConfig(name=name, weights="none", input_size=112))
    network: torch.nn.Module = Network(encoder, torch.nn.Linear(encoder.feature_size, 2)).eval()
    memory = torch.channels_last if encoder.per_frame else torch.channels_last_3d
    network = network.to(memory_format=memory) if last else network
    parts = encoders.stages_of(encoder)
    for part in parts[: first % len(parts)]:
        part.requires_grad_(False)
    inputs: tuple[torch.Tensor, ...] = (torch.rand(clips, 3, FRAMES, 112, 112),)
    if cached:
        cut = activations.cut(encoder, first % len(parts))
        assert cut
        frames = inputs[0].transpose(1, 2).flatten(0, 1)
        inputs = (activations.run_up_to(cut, frames), torch.arange(clips * FRAMES).reshape(clips, FRAMES))
        network = FramesNetwork(network, cut).eval()
    examples = Examples(np.ones((clips, 2), dtype=np.int8), lambda rows: inputs)
    trainable = [weight for weight in network.parameters() if weight.requires_grad]
    stepper = Stepper(network, torch.ones(2), clips, precision == "bfloat16")
    optimiser = torch.optim.Adam(trainable, lr=1e-6)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(*inputs)
    return lambda: stepper.train(examples, np.arange(clips), optimiser), 3 * counter.get_total_flops()


if __name__ == "__main__":
    main()
