"""Batches in parallel, results in order.

Networks on small pictures gain little from dividing each operation between the cores, and lose much where cores are
busy with other work: every operation waits for the slowest. Whole batches on single cores run independently, and what
comes out of a batch does not depend on the number of cores.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_WORKERS = 8  # each holds the memory of a batch


def workers() -> int:
    """Batches to work on at a time: one per core, within a bound on memory."""
    return min(cores(), MOST_WORKERS)


def cores() -> int:
    """Cores that this process may use, fewer than the machine has where a cluster or container allots them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def single_threaded() -> Iterator[None]:
    """Let each PyTorch operation use one core, so that rounding does not depend on how many there are.

    Threads that begin meanwhile take the number over.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_order(work: Callable[[Item], Result], items: Iterable[Item], count: int) -> Iterator[tuple[Item, Result]]:
    """Yield every item with its result, in order; ``count`` threads work in advance, one core each.

    At most twice as many results wait to be taken, so that no thread is idle while a slow one holds up the order. An
    error is raised where its item would be yielded.
    """
    before = torch.get_num_threads()
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(work, item)))
                if len(waiting) > 2 * count:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()
            torch.set_num_threads(before)  # PyTorch gives threads to come the number that was set last
