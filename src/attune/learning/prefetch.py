"""Preparing the next batches while the current one is worked on."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")

AHEAD = 2  # batches in memory besides the one that is worked on


def prefetched(prepare: Callable[[Item], Prepared], items: Iterable[Item]) -> Iterator[tuple[Item, Prepared]]:
    """Yield every item with what ``prepare`` makes of it, in order; a thread prepares up to two items in advance.

    An error in ``prepare`` is raised where its item would be yielded.
    """

    def one_core() -> None:
        torch.set_num_threads(1)  # of this thread: the others belong to the work that it feeds

    waiting: deque[tuple[Item, Future[Prepared]]] = deque()
    with ThreadPoolExecutor(1, initializer=one_core) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(prepare, item)))
                if len(waiting) > AHEAD:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()
