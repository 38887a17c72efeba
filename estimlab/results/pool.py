"""Where cells are computed: worker processes of one thread each, or this process."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from estimlab.errors import EstimlabError
from estimlab.results import worker
from estimlab.results.provenance import THREAD_VARIABLES


def worker_count(workers: int | None) -> int:
    """The number of worker processes, one per core where none is given."""
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers < 0:
        raise EstimlabError(f"workers={workers}: give the number of worker processes, or 0 to stay in this process.")
    return workers


@contextmanager
def local_pool(workers: int) -> Iterator[Executor]:
    """Worker processes of one thread each, which end with this process however it ends; 0: this process itself."""
    if workers == 0:
        yield _Inline()
        return
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    with reader, writer, _single_threaded():
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=worker.start, initargs=(reader,))
        try:
            yield pool
        except BaseException:
            writer.close()  # the workers see it and exit: nobody wants to wait for results that would be thrown away
            raise
        finally:
            pool.shutdown(cancel_futures=True)


class _Inline(Executor):
    """Computes a task when it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """The finished result."""
        future: Future = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Environment for new processes: sums split over threads differ in the last digits between machines and loads."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
