"""Several processes that train one model together, through PyTorch's DistributedDataParallel.

``torchrun`` starts the processes, each with its own graphics processor; :func:`joined` makes a group of them. Every
process computes its share of each batch, and DistributedDataParallel averages the gradients. A loss is divided by
what the *whole* batch weighs and multiplied by the number of processes, so that the average is the gradient of the
batch, up to the rounding of a sum in another order. Whole batches of a validation are shared out, which changes no
digit. Shared files (activations, checkpoints) are written by the first process alone.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

Item = TypeVar("Item")
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Group:
    """The processes that train together, and the place of this one among them."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def share(self, items: Integers) -> Integers:
        """This process's part of a batch; every item is in one part, and parts differ by one at most."""
        return items[self.rank :: self.size]

    def gather(self, mine: Sequence[Item], total: int) -> list[Item]:
        """All results of a list that was shared out like :meth:`share`, in the order of the list, in every process."""
        if self.size == 1:
            return list(mine)
        parts: list[list[Item]] = [[] for _ in range(self.size)]
        distributed.all_gather_object(parts, list(mine))
        return [parts[index % self.size][index // self.size] for index in range(total)]

    def collect(self, mine: Item) -> list[Item]:
        """What each process has, in their order, in every process."""
        return self.gather([mine], self.size)

    def together(self, network: nn.Module) -> nn.Module:
        """A network whose gradients are averaged over the processes; alone, the network itself.

        What trains is what requires a gradient now. Buffers are left alone, because the statistics of normalisation
        layers stand still.
        """
        if self.size == 1:
            return network
        device = next(network.parameters()).device
        ids = [device.index or torch.cuda.current_device()] if device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=ids, forward_sync_buffers=False, find_unused_parameters=True)

    @contextmanager
    def one_after_the_first(self) -> Iterator[None]:
        """Let the first process go through the block alone, then the others, who find what it has written."""
        if self.size > 1 and not self.first:
            distributed.barrier()
        yield
        if self.size > 1 and self.first:
            distributed.barrier()


ALONE = Group()


def current() -> Group:
    """The group that this process has joined; a group of one if none."""
    if distributed.is_available() and distributed.is_initialized():
        return Group(distributed.get_rank(), distributed.get_world_size())
    return ALONE


def unsynchronised(network: nn.Module) -> AbstractContextManager[None]:
    """Let gradients add up in this process; the next backward pass outside of it averages them all."""
    if isinstance(network, DistributedDataParallel):
        return network.no_sync()
    return nullcontext()


@contextmanager
def joined() -> Iterator[Group]:
    """Join the processes that ``torchrun`` started, on a graphics processor each if there are any."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield current()
    finally:
        distributed.destroy_process_group()
