"""Fine-tuning: one loop for the rows of a search and for the final models.

- A batch holds clips. Its loss is the weighted mean cross-entropy over the labels of all annotators of its clips, as
  if every label were a sample of its own; each clip is computed once.
- Normalisation layers keep their statistics and nothing is dropped out: the network is in evaluation mode throughout,
  because batches of few clips of few sessions have poor statistics.
- Epoch 0 is the network before its first step, the head alone.
- The best epoch has the highest mean of the validation F1 over the last ``window`` epochs, epoch 0 among them, as in
  the published study; the network leaves with its weights of then. Before a window is full no epoch is chosen: the
  first candidate is epoch ``window - 1``, so that epoch 0 itself can be chosen with a window of 1 alone.
- An epoch depends on (seed, epoch) and the weights at its start, so a resumed run equals an undisturbed one. Results
  on the processor may depend on the number of threads, because sums are split between them.
- Of several processes (:mod:`attune.learning.distributed`) each computes its share of the batches; all have the same
  history and weights at any time, and the first one keeps the checkpoint.
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn

from attune.learning import checkpoints, distributed, metrics
from attune.learning.checkpoints import Checkpoint, State
from attune.learning.steps import Examples, Integers, Scored, Stepper
from attune.learning.training_config import FinetuneSettings, TrainingConfig
from attune.problems import InputError, Problem

HISTORY = ("epoch", "learning_rate", "train_loss", "train_f1", "validation_loss", "validation_f1")
NOW, BEST = "now.", "best."  # of tensors in a checkpoint


@dataclass(frozen=True)
class Material:
    """What a network learns from and is judged by.

    Attributes:
        training: the training clips of an epoch, counted from 1.
        validation: the clips that choose the epoch.
        class_weights: weight of each class in the loss, (2,).
    """

    training: Callable[[int], Examples]
    validation: Examples
    class_weights: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Fitted:
    """The course of a fine-tuning.

    Attributes:
        history: columns :data:`HISTORY` and smoothed_f1, one row per epoch from 0.
        best_epoch: whose weights the network has now.
        score: the trailing mean of the validation F1 there; 0 if the loss diverged.
        diverged: whether the loss became infinite or NaN.
        problems: warnings.
    """

    history: pd.DataFrame
    best_epoch: int
    score: float
    diverged: bool
    problems: list[Problem]


@dataclass
class _Run:
    """The changing state of a training besides weights and moments."""

    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    diverged: bool = False

    def add(self, row: dict[str, Any]) -> None:
        """Take an epoch into the history; numbers that are not finite end the training."""
        self.diverged = any(value is not None and not math.isfinite(value) for value in row.values())
        self.history.append(
            {name: value if value is None or math.isfinite(value) else None for name, value in row.items()}
        )

    def chooses(self, window: int) -> bool:
        """Whether the newest epoch is the best one, and note it."""
        if self.diverged or len(self.history) < window:
            return False
        best, _ = metrics.best_epoch([row["validation_f1"] for row in self.history], window)
        newest = int(best) == len(self.history)
        if newest:
            self.best_epoch = len(self.history) - 1
        return newest

    def smoothed(self, window: int) -> npt.NDArray[np.float64]:
        return metrics.trailing_mean([row["validation_f1"] for row in self.history], window)

    def over(self, config: TrainingConfig) -> bool:
        """Whether nothing is left to do."""
        done = len(self.history) - 1
        late = done - self.best_epoch >= config.patience and done + 1 >= config.window + config.patience
        return self.diverged or done >= config.epochs or late


def fit(
    network: nn.Module,
    parts: list[nn.Module],
    material: Material,
    settings: FinetuneSettings,
    config: TrainingConfig,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[dict[str, Any]], None] = lambda _: None,
) -> Fitted:
    """Fine-tune a network.

    Args:
        network: from the inputs of the material to logits (B, 2).
        parts: the encoder's parts from input to output, to which the freeze schedule refers.
        material: clips and labels.
        settings: of the optimiser.
        config: the course.
        seed: of the order of the clips.
        checkpoint: where the state is kept after every epoch, and taken up if there is one.
        on_epoch: called with the history's row after every epoch, also with those that were taken up.

    Raises:
        InputError: the schedule names a part that does not exist, the precision is not for this machine, or one clip
            alone does not fit into the graphics memory.
    """
    device = next(network.parameters()).device
    check_precision(config.precision, device)
    trainable = _trainable(network, parts, config)
    optimiser = torch.optim.Adam(trainable.values(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    class_weights = torch.tensor(material.class_weights, device=device)
    group = distributed.current()
    stepper = Stepper(network, class_weights, config.batch_size, config.precision == "bfloat16", group=group)
    run, best = _Run(), _copy(trainable)
    if checkpoint and (kept := checkpoint.load()):
        best = _take_up(kept, trainable, optimiser, run)
        for row in run.history:
            on_epoch(row)
    with reproducible(), in_evaluation(network):
        while not run.over(config):
            epoch = len(run.history)
            if _freeze(network, parts, config.first_part(max(epoch, 1))) or stepper.together is None:
                stepper.together = group.together(network)
            row = _epoch(stepper, material, optimiser, config.batch_size, seed, epoch)
            optimiser.param_groups[0]["lr"] *= 1 - settings.decay if epoch else 1
            run.add(row)
            if run.chooses(config.window):
                best = _copy(trainable)
            if checkpoint and group.first:
                _keep(checkpoint, trainable, best, optimiser, run)
            on_epoch(run.history[-1])
    _put_back(trainable, best)
    smoothed = run.smoothed(config.window)
    history = pd.DataFrame(run.history, columns=list(HISTORY)).astype({"epoch": "int64"}).assign(smoothed_f1=smoothed)
    score = 0.0 if run.diverged else float(smoothed[run.best_epoch])
    return Fitted(history, run.best_epoch, score, run.diverged, stepper.problems)


def _epoch(
    stepper: Stepper, material: Material, optimiser: torch.optim.Optimizer, batch_size: int, seed: int, epoch: int
) -> dict[str, Any]:
    """One epoch and its validation; epoch 0 is a validation alone."""
    row: dict[str, Any] = dict.fromkeys(HISTORY) | {"epoch": epoch}
    if epoch:
        row["learning_rate"] = optimiser.param_groups[0]["lr"]
        examples = material.training(epoch)
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(examples.coded())
        with torch.random.fork_rng():
            torch.manual_seed(int(rng.integers(2**62)))  # for networks that draw by themselves
            done = [stepper.train(examples, rows, optimiser) for rows in _batches(order, batch_size)]
        mine = Scored.join(done).to(torch.device("cpu"))
        everyone = Scored.join(stepper.group.collect(mine)).to(stepper.class_weights.device)
        row["train_loss"], row["train_f1"] = everyone.averages(stepper.class_weights)
    scored = predict(stepper, material.validation, batch_size)
    row["validation_loss"], row["validation_f1"] = scored.averages(stepper.class_weights)
    return row


def answer(network: nn.Module, examples: Examples, config: TrainingConfig) -> npt.NDArray[np.float64]:
    """Probability of "engaged" of every coded clip, (N,), by a network as it is."""
    weights = torch.ones(2, device=next(network.parameters()).device)
    stepper = Stepper(network, weights, config.batch_size, config.precision == "bfloat16")
    with reproducible(), in_evaluation(network):
        return predict(stepper, examples, config.batch_size).probability.double().cpu().numpy()


def predict(stepper: Stepper, examples: Examples, batch_size: int) -> Scored:
    """Losses and probabilities of all coded clips, in their order."""
    batches, group = _batches(examples.coded(), batch_size), stepper.group
    if group.size == 1:
        return Scored.join([stepper.score(examples, rows) for rows in batches])
    mine = [stepper.score(examples, rows).to(torch.device("cpu")) for rows in batches[group.rank :: group.size]]
    return Scored.join(group.gather(mine, len(batches))).to(stepper.class_weights.device)


def _batches(rows: Integers, size: int) -> list[Integers]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse mixed precision where the processor has no instructions for it and would be ten times slower.

    Raises:
        InputError: it has none.
    """
    able = torch.cpu.get_capabilities()
    if precision == "bfloat16" and device.type == "cpu" and not (able.get("avx512_bf16") or able.get("amx_bf16")):
        expected = "float32, because this processor has neither avx512_bf16 nor amx"
        raise InputError(Problem("params.yaml", "precision", precision, expected, "Change the value."))


@contextmanager
def reproducible() -> Iterator[None]:
    """Use only algorithms whose result is the same in every run, as far as the device has them."""
    before, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, products on a GPU are refused
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)


@contextmanager
def in_evaluation(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode for a while, and each of its modules back into its own afterwards."""
    before = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training


def _index(part: int, parts: list[nn.Module]) -> int:
    """The index of the first part that trains, from 0 to the number of parts."""
    if not -len(parts) <= part <= len(parts):
        expected = f"from {-len(parts)} to {len(parts)}, the number of the encoder's parts"
        raise InputError(Problem("params.yaml", "freeze", str(part), expected, "Change the value."))
    return part % len(parts) if part < 0 else part


def frozen_parts(parts: list[nn.Module], config: TrainingConfig) -> int:
    """How many of the parts stand still in every epoch.

    Raises:
        InputError: the schedule names a part that does not exist.
    """
    return min(_index(part, parts) for part in config.freeze.values())


def _freeze(network: nn.Module, parts: list[nn.Module], first: int) -> bool:
    """Let the parts from ``first`` on train; returns whether anything changed."""
    before = [weight.requires_grad for weight in network.parameters()]
    network.requires_grad_(True)
    for part in parts[: _index(first, parts)]:
        part.requires_grad_(False)
    return before != [weight.requires_grad for weight in network.parameters()]


def _trainable(network: nn.Module, parts: list[nn.Module], config: TrainingConfig) -> dict[str, nn.Parameter]:
    """The parameters that train in any epoch."""
    still = {id(weight) for part in parts[: frozen_parts(parts, config)] for weight in part.parameters()}
    return {name: weight for name, weight in network.named_parameters() if id(weight) not in still}


def _copy(tensors: Mapping[str, torch.Tensor]) -> State:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


@torch.no_grad()
def _put_back(trainable: Mapping[str, torch.Tensor], tensors: State) -> None:
    for name, weight in trainable.items():
        weight.copy_(tensors[name])


def _keep(
    checkpoint: Checkpoint,
    trainable: dict[str, nn.Parameter],
    best: State,
    optimiser: torch.optim.Optimizer,
    run: _Run,
) -> None:
    tensors = {f"{NOW}{name}": weight.detach() for name, weight in trainable.items()}
    tensors |= {f"{BEST}{name}": weight for name, weight in best.items()}
    tensors |= checkpoints.moments_of(optimiser, list(trainable))
    state = {"history": run.history, "best_epoch": run.best_epoch, "diverged": run.diverged}
    checkpoint.save(tensors, state | {"learning_rate": optimiser.param_groups[0]["lr"]})


def _take_up(
    kept: tuple[State, dict[str, Any]],
    trainable: dict[str, nn.Parameter],
    optimiser: torch.optim.Optimizer,
    run: _Run,
) -> State:
    """Put a checkpoint's state back; returns the best weights until then."""
    tensors, state = kept
    _put_back(trainable, {name: tensors[f"{NOW}{name}"] for name in trainable})
    checkpoints.restore_moments(optimiser, list(trainable), tensors, state["learning_rate"])
    run.history, run.best_epoch, run.diverged = state["history"], state["best_epoch"], state["diverged"]
    return {name: tensors[f"{BEST}{name}"].to(weight.device) for name, weight in trainable.items()}
