"""Checkpoints: the state of a training after an epoch, in one safetensors file.

Tensors (weights, the optimiser's moments) are the file's tensors; everything else (epoch, history, learning rate) is
JSON in its metadata, whose numbers are exact. A checkpoint belongs to a key that names what is trained and how: one
of another key, or a damaged one, counts as none, and the training starts anew.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from attune import artifacts
from attune.learning import weights

State = dict[str, torch.Tensor]
FORMAT = "attune checkpoint 1"
MOMENT = "optimiser"


@dataclass(frozen=True)
class Checkpoint:
    """Where a training keeps its state, and the key of the training."""

    path: Path
    key: str

    def save(self, tensors: State, state: dict[str, Any]) -> None:
        """Replace the file as a whole."""
        text = json.dumps({"format": FORMAT, "key": self.key, "state": state})
        kept = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
        weights.save(self.path, kept, {"checkpoint": text})

    def load(self) -> tuple[State, dict[str, Any]] | None:
        """Tensors, on the processor, and state; None if there is none of this key."""
        try:
            with safe_open(self.path, framework="pt") as file:
                content = json.loads((file.metadata() or {}).get("checkpoint", "{}"))
                if (content.get("format"), content.get("key")) != (FORMAT, self.key):
                    return None
                return {name: file.get_tensor(name) for name in file.keys()}, content["state"]  # noqa: SIM118
        except (FileNotFoundError, SafetensorError, json.JSONDecodeError):
            return None

    def remove(self) -> None:
        """Delete the file if it is there."""
        artifacts.remove(self.path)


def moments_of(optimiser: torch.optim.Optimizer, names: list[str]) -> State:
    """What an optimiser remembers of each parameter, named by the parameters' names in its one group."""
    state = optimiser.state_dict()["state"]
    return {f"{MOMENT}.{names[index]}.{kind}": value for index, kept in state.items() for kind, value in kept.items()}


def restore_moments(optimiser: torch.optim.Optimizer, names: list[str], tensors: State, learning_rate: float) -> None:
    """Put back what :func:`moments_of` took, and the learning rate."""
    state: dict[int, State] = {}
    for key, value in tensors.items():
        place, _, kind = key.removeprefix(f"{MOMENT}.").rpartition(".")
        if key.startswith(f"{MOMENT}."):
            state.setdefault(names.index(place), {})[kind] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": [groups[0] | {"lr": learning_rate}]})
