"""A file that should be SQLite's: whether it looks like one, and what to do where SQLite fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from estimlab.errors import EstimlabError

_MAGIC = b"SQLite format 3\0"
ADVICE = {
    "SQLITE_FULL": "The disk is full. Free some space and run the same command again; finished cells are kept",
    "SQLITE_READONLY": "It cannot be written. Check the permissions of the file and of its folder",
    "SQLITE_CANTOPEN": "It cannot be opened. Check that its folder exists and that you may write there",
    "SQLITE_BUSY": "It is locked by another process. Wait for the other run of this study to end, or stop it",
    "SQLITE_LOCKED": "It is locked by another process. Wait for the other run of this study to end, or stop it",
    "SQLITE_CORRUPT": "It is damaged. Restore it from a backup, or delete it to compute its cells again",
    "SQLITE_NOTADB": "It is not a SQLite file. Move it away, or delete it to compute its cells again",
    "SQLITE_ERROR": "It is damaged. Restore it from a backup, or delete it to compute its cells again",
    "SQLITE_IOERR": "The disk reports an error. Check its free space and its health",
}


# An unknown table or column, SQLITE_ERROR, is damage too: the statements here are right.
_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR")
_JOURNALS = {
    bytes((write, read)) for write in (1, 2) for read in (1, 2)
}  # in the header; else the file looks read-only


class DamagedError(EstimlabError):
    """A store, or what lies in its place, is not as it was written."""


def require_sqlite(path: Path) -> None:
    """The folder exists afterwards; a file, if there is one, starts like a SQLite file or is empty."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        head = _head(path) if path.exists() else b""
    except OSError as error:
        raise EstimlabError(f"The store {path} cannot be used: {error}. Check the path and its permissions.") from error
    if head and not (head.startswith(_MAGIC) and head[18:20] in _JOURNALS):
        raise DamagedError(f"{path}: {ADVICE['SQLITE_NOTADB']}.")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(100)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say what to do where SQLite fails."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        advice = next((text for start, text in ADVICE.items() if name.startswith(start)), "SQLite failed")
        kind = DamagedError if name.startswith(_DAMAGE) else EstimlabError
        raise kind(f"The store {path}: {advice} (SQLite says: {error}).") from error
