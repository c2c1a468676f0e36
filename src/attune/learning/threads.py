"""Batches in parallel, results in order.

Networks on small pictures gain little from dividing each operation between the cores, and lose much where cores are
busy with other work: every operation waits for the slowest. Whole batches on single cores run independently, and what
comes out of a batch does not depend on the number of cores.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_WORKERS = 8  # each holds the memory of a batch


def workers() -> int:
    """Batches to work on at a time: one per core, within a bound on memory."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_WORKERS)


def in_order(work: Callable[[Item], Result], items: Iterable[Item], count: int) -> Iterator[tuple[Item, Result]]:
    """Yield every item with its result, in order; ``count`` threads work in advance, one core each.

    An error is raised where its item would be yielded.
    """
    before = torch.get_num_threads()
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(work, item)))
                if len(waiting) > count:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()
            torch.set_num_threads(before)  # PyTorch gives threads to come the number that was set last
