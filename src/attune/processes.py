"""Worker processes that end with the program that started them, also if that is killed.

A process that is killed cannot end its workers. So each of them waits in a thread for the end of its parent (a pipe
that the system closes, on every system) and then ends at once. What it was writing lies under a ``.partial`` name.
"""

import errno
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager


@contextmanager
def pool(workers: int, prepare: Callable[[], object] | None = None) -> Iterator[ProcessPoolExecutor]:
    """Yield new processes to submit work to; if the block fails or is interrupted, work under way is broken off.

    Args:
        workers: number of processes.
        prepare: is called in each process before its work; a function of a module.

    Raises:
        OSError: a process died, most often because memory ran out.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(prepare,)) as executor:
        try:
            yield executor
        except BaseException as error:
            for process in multiprocessing.active_children():
                process.kill()
            executor.shutdown(cancel_futures=True)
            if isinstance(error, BrokenProcessPool):
                raise OSError(errno.ENOMEM, "a working process died; is there enough memory?") from None
            raise


def _start(prepare: Callable[[], object] | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which decides
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    if prepare:
        prepare()
