"""Which run computes which cell: reservations in the store, so that two runs of a study share its cells.

A reservation binds as long as its run lives. On the same machine the system knows that; elsewhere a run is alive while
its beat advances. One that is taken from a run that lives after all costs time and changes no result: both runs then
compute the same cell and keep the same rows. The store's table of them is called ``claims``.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sqlite3
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from estimlab.errors import EstimlabError
from estimlab.results.store import Store

BEAT = 10.0
"""Seconds between two signs of life."""
LEASE = 6 * BEAT
"""Seconds without a sign of life after which a run on another machine counts as dead."""


class Reservations:
    """The reservations of one run; ``close`` gives back what it holds."""

    _open: ClassVar[set[str]] = set()  # of this process, which outlives its runs

    def __init__(self, store: Store) -> None:
        self._store, self._run = store, uuid.uuid4().hex
        self._beats: dict[str, tuple[int, float]] = {}  # of runs on other machines: the last beat, and since when
        self._said = time.monotonic()
        self._open.add(self._run)
        with store.transaction() as connection:
            values = (self._run, _machine(), os.getpid(), _started(os.getpid()) or "")
            connection.execute("INSERT INTO runs VALUES (?, ?, ?, ?, 0)", values)

    def take(self, keys: Iterable[str], count: int) -> list[str]:
        """Reserve up to this many of the cells, in their order: those that are neither finished nor reserved."""
        with self._store.transaction() as connection:
            taken = {key for (key,) in connection.execute("SELECT key FROM cells")}
            taken |= self._reserved(connection)
            free = [key for key in keys if key not in taken][:count]
            connection.executemany("INSERT OR REPLACE INTO claims VALUES (?, ?)", [(key, self._run) for key in free])
        return free

    def release(self, key: str) -> None:
        """Leave a cell to others."""
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM claims WHERE key = ? AND run = ?", (key, self._run))

    def beat(self) -> None:
        """Give a sign of life, if it is time to."""
        if time.monotonic() - self._said >= BEAT:
            self._said = time.monotonic()
            with self._store.transaction() as connection:
                connection.execute("UPDATE runs SET beat = beat + 1 WHERE run = ?", (self._run,))

    def close(self) -> None:
        """Give everything back; where the disk is full, others see that the run has ended."""
        self._open.discard(self._run)
        with contextlib.suppress(EstimlabError), self._store.transaction() as connection:
            _forget(connection, self._run)

    def _reserved(self, connection: sqlite3.Connection) -> set[str]:
        """Keys that living runs hold; dead ones are forgotten."""
        for run, machine, process, started, beat in connection.execute("SELECT * FROM runs").fetchall():
            if not self._lives(run, machine, process, started, beat):
                _forget(connection, run)
        return {key for (key,) in connection.execute("SELECT key FROM claims")}

    def _lives(self, run: str, machine: str, process: int, started: str, beat: int) -> bool:
        here = machine == _machine()
        if here and process == os.getpid():
            return run in self._open
        if here and (known := _started(process)) is not None:
            return known == started
        last, since = self._beats.get(run, (None, 0.0))
        if last != beat:
            self._beats[run] = (beat, time.monotonic())
            return True
        return time.monotonic() - since < LEASE


def _forget(connection: sqlite3.Connection, run: str) -> None:
    connection.execute("DELETE FROM claims WHERE run = ?", (run,))
    connection.execute("DELETE FROM runs WHERE run = ?", (run,))


def _machine() -> str:
    """Two processes with the same text see each other's numbers: host, time of its start, container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{platform.node()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()


def _started(process: int) -> str | None:
    """When a process started, in the system's own unit; "none" for a dead one; None: nobody knows."""
    if not Path("/proc/self/stat").exists():
        return None
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "none"
    return "none" if fields[0] in "ZX" else fields[19]
