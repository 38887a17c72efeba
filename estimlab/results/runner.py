"""Run a study: compute the cells that are not in its store, then write its table from the store."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from estimlab.errors import EstimlabError
from estimlab.results import worker
from estimlab.results.former import former_key
from estimlab.results.progress import Progress
from estimlab.results.provenance import THREAD_VARIABLES, git_state
from estimlab.results.store import Store
from estimlab.results.study import Cell, LoadedStudy

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class RunReport:
    """What a run wrote.

    Attributes:
        table: the table as a figure will read it.
        table_path: its CSV file.
        provenance_path: its sidecar.
        store_path: the store of finished cells.
        cells: number of cells of the study.
        computed: number of cells that this run computed.
        elapsed: seconds.
    """

    table: pandas.DataFrame
    table_path: Path
    provenance_path: Path
    store_path: Path
    cells: int
    computed: int
    elapsed: float


def run_study(
    loaded: LoadedStudy,
    *,
    smoke: bool = False,
    workers: int | None = None,
    executor: Executor | None = None,
    store: str | Path | None = None,
    progress: Progress | None = None,
) -> RunReport:
    """Compute what is missing and write the table.

    Args:
        loaded: the study, from ``load_study``.
        smoke: the small version, which has a table and a store of its own.
        workers: worker processes of one thread each; by default one per core. 0 runs the cells in this process, for
            a debugger: the number of threads is then whatever it is, and with it the last digits.
        executor: something else to submit cells to, for example a Dask cluster's ``client.get_executor()``.
        store: another place for the finished cells.
        progress: who is told how far the run is; nobody by default.

    Raises:
        EstimlabError: a cell failed (the others finish first), a store or table that cannot be written, a column that
            is not defined.
        KeyboardInterrupt: after Ctrl-C, with a message; finished cells are kept.
    """
    began, state = time.monotonic(), git_state(loaded.path.parent)
    cells = loaded.study.chosen(smoke)
    place = Path(store) if store is not None else loaded.store_path(smoke)
    count = _worker_count(workers)
    with Store.open(place) as kept:
        kept.claim_for(loaded.name)
        missing = _missing(cells, kept)
        work = _Work(loaded, len(cells), missing, kept, state, progress or Progress())
        if missing and executor is not None:
            work.run(nullcontext(executor), at_once=len(missing))
        elif missing:
            work.run(_local_pool(min(count, len(missing))), at_once=max(count, 1))
        rows = [row for cell in cells for row in kept.rows(cell.key) or []]
        infos = [kept.info(cell.key) or {} for cell in cells]
    if loaded.study.derived is not None:
        rows += loaded.study.derived(rows)
    written = _write(loaded, smoke, rows, infos, began, state)
    return RunReport(*written, place, len(cells), len(missing), time.monotonic() - began)


def _missing(cells: Sequence[Cell], store: Store) -> list[Cell]:
    """The cells that are not finished; results under the keys of a former version are renamed."""
    finished = store.finished()
    missing = [cell for cell in cells if cell.key not in finished]
    renamed = {old: cell.key for cell in missing if (old := former_key(cell)) in finished}
    if renamed:
        store.rename(renamed)
    return [cell for cell in missing if cell.key not in renamed.values()]


@dataclass(frozen=True)
class _Work:
    """The cells of one run that are still to be computed."""

    loaded: LoadedStudy
    total: int
    missing: list[Cell]
    store: Store
    state: dict[str, Any]
    progress: Progress

    def run(self, pool: AbstractContextManager[Executor], at_once: int) -> None:
        """Compute and keep every missing cell; raise at the end if some failed."""
        before = self.total - len(self.missing)
        tasks = deque((cell, _pickled(cell)) for cell in self.missing)
        kept, failed = 0, []
        self.progress.start(self.loaded.name, self.total, before)
        try:
            with pool as executor:
                for cell, outcome in self._outcomes(executor, tasks, at_once):
                    if outcome.error:
                        failed.append((cell, outcome))
                        continue
                    self.store.save(cell.key, repr(cell), outcome.rows, {**outcome.info, **self.state})
                    kept += 1
                    self.progress.advance()
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"Interrupted. {self._so_far(before + kept)}") from None
        except BrokenProcessPool as error:
            raise EstimlabError(
                "A worker process died; the system kills processes when memory runs out. "
                f"{self._so_far(before + kept)} Fewer workers (--workers) need less memory."
            ) from error
        finally:
            self.progress.stop()
        if failed:
            raise _failure(failed, self._so_far(before + kept))

    def _outcomes(
        self, executor: Executor, waiting: deque[tuple[Cell, bytes]], at_once: int
    ) -> Iterator[tuple[Cell, worker.Outcome]]:
        """Outcomes as they come. No more cells are submitted than run, so that the titles shown are those that run."""
        running: dict[Future, Cell] = {}
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    cell, pickled = waiting.popleft()
                    self.progress.running([*(one.title for one in running.values()), cell.title])
                    running[executor.submit(worker.compute, str(self.loaded.path), pickled)] = cell
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield running.pop(future), _result(future)
        finally:
            for future in running:
                future.cancel()

    def _so_far(self, finished: int) -> str:
        return (
            f"{finished} of {self.total} cells are finished and kept in {self.store.path}; "
            "the same command continues with the others."
        )


def _result(future: Future) -> worker.Outcome:
    """The outcome; what a cluster itself raises counts as a failure of the cell, a broken local pool ends the run."""
    try:
        return future.result()
    except BrokenProcessPool:
        raise
    except Exception as error:
        return worker.Outcome(error=f"{type(error).__name__}: {error}")


def _failure(failed: list[tuple[Cell, worker.Outcome]], so_far: str) -> EstimlabError:
    """Name the cells that failed; their tracebacks are notes, which a traceback shows."""
    shown = "\n".join(f"  {cell.title}: {outcome.error}" for cell, outcome in failed[:5])
    more = f"\n  and {len(failed) - 5} more" if len(failed) > 5 else ""
    error = EstimlabError(f"{len(failed)} cell{'s' * (len(failed) > 1)} failed. {so_far}\n{shown}{more}")
    for cell, outcome in failed[:5]:
        error.add_note(f"{cell.title}\n{outcome.traceback}")
    return error


def _pickled(cell: Cell) -> bytes:
    try:
        return pickle.dumps(cell)
    except Exception as error:
        raise EstimlabError(
            f"{cell.title} cannot be sent to a worker process ({error}). "
            "Define its class, and those of its fields, at the top level of a module."
        ) from error


def _worker_count(workers: int | None) -> int:
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers < 0:
        raise EstimlabError(f"workers={workers}: give the number of worker processes, or 0 to stay in this process.")
    return workers


@contextmanager
def _local_pool(workers: int) -> Iterator[Executor]:
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


def _write(
    loaded: LoadedStudy,
    smoke: bool,
    rows: list[dict[str, Any]],
    infos: list[dict[str, Any]],
    began: float,
    state: dict[str, Any],
) -> tuple[pandas.DataFrame, Path, Path]:
    from estimlab.results.table import provenance, read_table, table_frame, write_table

    frame, path = table_frame(rows), loaded.table_path(smoke)
    elapsed = time.monotonic() - began
    sidecar = write_table(frame, path, provenance(loaded, frame, infos, smoke=smoke, elapsed=elapsed, state=state))
    return read_table(path), path, sidecar
