"""Run a study: compute the cells that are not in its store, then write its table from the store."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from estimlab.errors import EstimlabError
from estimlab.files import require_writable
from estimlab.results import worker
from estimlab.results.columns import require_defined
from estimlab.results.former_keys import former_key
from estimlab.results.pool import local_pool, worker_count
from estimlab.results.provenance import git_state
from estimlab.results.reservations import BEAT, Reservations
from estimlab.results.store import Store
from estimlab.results.study import Cell, LoadedStudy
from estimlab.results.study_progress import Progress

if TYPE_CHECKING:
    import pandas


LOOK = 0.5
"""Seconds between two looks at what other runs have done."""


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
        shared: number of cells that another run computed meanwhile.
        elapsed: seconds.
    """

    table: pandas.DataFrame
    table_path: Path
    provenance_path: Path
    store_path: Path
    cells: int
    computed: int
    shared: int
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
    """Compute what is missing and write the table. Two runs of a study at once share its cells.

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
        KeyboardInterrupt: after Ctrl-C or SIGTERM, with a message; finished cells are kept.
    """
    began, state = time.monotonic(), git_state(loaded.path.parent)
    cells = loaded.study.chosen(smoke)
    place = Path(store) if store is not None else loaded.store_path(smoke)
    count = worker_count(workers)
    told = progress or Progress()
    table = loaded.table_path(smoke)
    require_writable(table, table.with_suffix(".json"))
    with Store.open(place) as kept:
        if kept.notice:
            told.note(kept.notice)
        kept.serve(loaded.name)
        missing = _missing(cells, kept)
        for cell in cells:
            require_defined(kept.rows(cell.key) or [], loaded.study.columns)
        work = _Work(loaded, len(cells), missing, kept, state, told)
        if missing and executor is not None:
            work.run(nullcontext(executor), at_once=len(missing))
        elif missing:
            work.run(local_pool(min(count, len(missing))), at_once=max(count, 1))
        rows = [row for cell in cells for row in kept.rows(cell.key) or []]
        infos = [kept.info(cell.key) or {} for cell in cells]
    if loaded.study.derived is not None:
        rows += loaded.study.derived(rows)
    written = _write(loaded, smoke, rows, infos, began, state)
    shared = len(missing) - work.computed
    return RunReport(*written, place, len(cells), work.computed, shared, time.monotonic() - began)


def _missing(cells: Sequence[Cell], store: Store) -> list[Cell]:
    """The cells that are not finished; results under the keys of a former version are renamed."""
    finished = store.finished()
    missing = [cell for cell in cells if cell.key not in finished]
    renamed = {old: cell.key for cell in missing if (old := former_key(cell)) in finished}
    if renamed:
        store.rename(renamed)
    return [cell for cell in missing if cell.key not in renamed.values()]


class _Work:
    """The cells of one run that are still to be computed, shared with other runs of the same study."""

    def __init__(
        self, loaded: LoadedStudy, total: int, missing: list[Cell], store: Store, state: dict[str, Any], told: Progress
    ) -> None:
        self.loaded, self.store, self.state, self.progress = loaded, store, state, told
        self.total, self.finished, self.computed = total, total - len(missing), 0
        self.waiting = {cell.key: cell for cell in missing}
        self.pickled = {cell.key: _pickled(cell) for cell in missing}
        self.failed: list[tuple[Cell, worker.Outcome]] = []
        self.undefined: EstimlabError | None = None

    def run(self, pool: AbstractContextManager[Executor], at_once: int) -> None:
        """Compute and keep every missing cell; raise at the end if some failed."""
        self.progress.start(self.loaded.name, self.total, self.finished)
        reservations = Reservations(self.store)
        try:
            with pool as executor:
                for cell, outcome in self._outcomes(executor, reservations, at_once):
                    self._keep(cell, outcome, reservations)
        except KeyboardInterrupt as interrupt:
            raise type(interrupt)(f"Interrupted. {self._so_far()}") from None
        except BrokenProcessPool as error:
            raise EstimlabError(
                "A worker process died; the system kills processes when memory runs out. "
                f"{self._so_far()} Fewer workers (--workers) need less memory."
            ) from error
        finally:
            self.progress.stop()
            reservations.close()
        if self.failed:
            raise _failure(self.failed, self._so_far())
        if self.undefined is not None:
            raise EstimlabError(f"{self.undefined} {self._so_far()}")

    def _outcomes(
        self, executor: Executor, reservations: Reservations, at_once: int
    ) -> Iterator[tuple[Cell, worker.Outcome]]:
        """Outcomes as they come. No more cells are submitted than run, so that the titles shown are those that run."""
        running: dict[Future, Cell] = {}
        try:
            while self.waiting or running:
                self._pass_over_finished()
                for key in reservations.take(self.waiting, at_once - len(running)) if self.waiting else ():
                    cell = self.waiting.pop(key)
                    self.progress.running([*(one.title for one in running.values()), cell.title])
                    running[executor.submit(worker.compute, str(self.loaded.path), self.pickled[key])] = cell
                for future in self._done(running, at_once):
                    yield running.pop(future), _result(future)
                reservations.beat()
        finally:
            for future in running:
                future.cancel()

    def _done(self, running: dict[Future, Cell], at_once: int) -> set[Future]:
        """What is done, after a while at most: to give signs of life, and to see what other runs have done."""
        others = bool(self.waiting) and len(running) < at_once
        if running:
            return wait(running, timeout=LOOK if others else BEAT, return_when=FIRST_COMPLETED).done
        if others:
            self.progress.running([f"{len(self.waiting)} cells in another run"])
            time.sleep(LOOK)
        return set()

    def _pass_over_finished(self) -> None:
        """Cells that another run has finished meanwhile."""
        for key in self.waiting.keys() & self.store.finished():
            del self.waiting[key]
            self.finished += 1
            self.progress.advance()

    def _keep(self, cell: Cell, outcome: worker.Outcome, reservations: Reservations) -> None:
        if outcome.error:
            self.failed.append((cell, outcome))
            reservations.release(cell.key)
            return
        self.store.save(cell.key, repr(cell), outcome.rows, {**outcome.info, **self.state})
        self.finished += 1
        self.computed += 1
        self.progress.advance()
        try:
            require_defined(outcome.rows, self.loaded.study.columns)
        except EstimlabError as error:  # what runs is kept, nothing more is begun
            self.undefined = error
            self.waiting.clear()

    def _so_far(self) -> str:
        return (
            f"{self.finished} of {self.total} cells are finished and kept in {self.store.path}; "
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
