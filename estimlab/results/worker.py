"""What happens in a worker process: one cell at a time, and an end as soon as nobody waits for it."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
import traceback
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from estimlab.errors import EstimlabError
from estimlab.results.columns import field_columns
from estimlab.results.provenance import environment, now, threads
from estimlab.results.study import import_study


@dataclass(frozen=True)
class Outcome:
    """What became of a cell: its rows and how they were computed, or an error."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    traceback: str = ""


def start(parent: Connection) -> None:
    """Prepare a worker: it leaves Ctrl-C and SIGTERM to its parent, and dies with it.

    Args:
        parent: reading end of a pipe into which nobody ever writes. The system closes the other end when the parent
            dies, also by kill -9; the parent closes it when it gives up.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # schedulers send it to all processes of a job at once
    threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(parent: Connection) -> None:
    try:
        parent.poll(None)
    finally:
        os._exit(1)


def compute(study: str, pickled: bytes) -> Outcome:
    """Run one cell, pickled, of the study in a file. An exception comes back as text: it may not survive pickling."""
    began = time.monotonic()
    try:
        import_study(Path(study))  # before unpickling, which looks the cell's class up in it
        rows = plain_rows(pickle.loads(pickled).run())
    except Exception as error:
        name = "" if isinstance(error, EstimlabError) else f"{type(error).__name__}: "
        return Outcome(error=f"{name}{error}", traceback=traceback.format_exc())
    info = {"wall_seconds": time.monotonic() - began, "finished_at": now(), "threads": threads(), **environment()}
    return Outcome(rows, info)


def plain_rows(rows: Any) -> list[dict[str, Any]]:
    """Rows with Python numbers, strings and None only.

    Raises:
        EstimlabError: no rows, different columns in different rows, or other values.
    """
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise EstimlabError(f"run() must return a list of at least one dictionary; it returned {rows!r:.200}.")
    first = _common(rows[0])
    for index, row in enumerate(rows):
        if _common(row) != first:
            raise EstimlabError(
                f"run() returned rows with different columns: row {index} has {list(row)}, row 0 has {list(rows[0])}. "
                "Give every row the same columns; None stands for a missing value."
            )
    return [{str(name): _plain(value, name) for name, value in row.items()} for row in rows]


def _common(row: dict[str, Any]) -> set[str]:
    """The columns without the estimator's fields: two estimators in one cell may have different ones."""
    return row.keys() - field_columns([row.get("parameters")])


def _plain(value: Any, column: str) -> str | float | int | bool | None:
    for kind in (bool, int, float, str):  # in this order, as a bool is an int
        if isinstance(value, kind):
            return kind(value)
    if value is None:
        return None
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a NumPy scalar
        return _plain(value.item(), column)
    raise EstimlabError(
        f"run() returned {value!r:.100} of type {type(value).__qualname__} in column {column!r}. "
        "A table holds text, numbers, True, False and None."
    )
