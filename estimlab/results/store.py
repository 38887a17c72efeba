"""Where finished cells live: an embedded SQLite file, one durable transaction per cell."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from estimlab.errors import EstimlabError

SCHEMA = 1
APPLICATION = 0x6573746C  # "estl": tells an estimlab store from any other SQLite file
_MAGIC = b"SQLite format 3\0"
_TABLE = "CREATE TABLE IF NOT EXISTS cells (key TEXT PRIMARY KEY, cell TEXT, rows TEXT, info TEXT) WITHOUT ROWID"
_ADVICE = {
    "SQLITE_FULL": "The disk is full. Free some space and run the same command again; finished cells are kept",
    "SQLITE_READONLY": "It cannot be written. Check the permissions of the file and of its folder",
    "SQLITE_CANTOPEN": "It cannot be opened. Check that its folder exists and that you may write there",
    "SQLITE_BUSY": "It is locked by another process. Wait for the other run of this study to end, or stop it",
    "SQLITE_LOCKED": "It is locked by another process. Wait for the other run of this study to end, or stop it",
    "SQLITE_CORRUPT": "It is damaged. Restore it from a backup, or delete it to compute its cells again",
    "SQLITE_NOTADB": "It is not a SQLite file. Move it away, or delete it to compute its cells again",
    "SQLITE_IOERR": "The disk reports an error. Check its free space and its health",
}


class Store:
    """Finished cells by content key; open it by ``with Store.open(path) as store``."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def open(cls, path: str | Path, timeout: float = 30.0) -> Store:
        """Open or create a store, and make sure that it can be read and written before any long work starts.

        Args:
            path: the file; its folder is created.
            timeout: seconds to wait for another process that is writing.

        Raises:
            EstimlabError: a foreign, damaged, locked or unwritable file, a full disk, another schema.
        """
        path = Path(path)
        _require_sqlite(path)
        with _explained(path):
            connection = sqlite3.connect(path, timeout=timeout, isolation_level=None)
            store = cls(path, connection)
            try:
                store._prepare()
            except BaseException:
                connection.close()
                raise
        return store

    def rows(self, key: str) -> list[dict[str, Any]] | None:
        """Rows of a finished cell, None where it is not finished; a NaN comes back as None."""
        return self._read("rows", key)

    def info(self, key: str) -> dict[str, Any] | None:
        """How a finished cell was computed: wall seconds, time, versions."""
        return self._read("info", key)

    def finished(self) -> set[str]:
        """Keys of all finished cells."""
        with _explained(self.path):
            return {key for (key,) in self._connection.execute("SELECT key FROM cells")}

    def save(self, key: str, cell: str, rows: list[dict[str, Any]], info: dict[str, Any]) -> None:
        """Keep a finished cell; when this returns, it survives a crash of the machine."""
        values = (key, cell, _dump(rows), json.dumps(info))
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO cells VALUES (?, ?, ?, ?)", values)

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA synchronous = FULL")
        self._require_ours()
        # Written at every opening: a folder in which nothing can be written shows itself now, not after an hour.
        with self._transaction() as connection:
            connection.execute(_TABLE)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {SCHEMA}")

    def _require_ours(self) -> None:
        if self._pragma("schema_version") == 0:  # nothing was ever created in it: a new file
            return
        if self._pragma("application_id") != APPLICATION:
            raise EstimlabError(
                f"{self.path} is a SQLite file of another program, not an estimlab store. "
                "Move it away or choose another place for the store."
            )
        if (schema := self._pragma("user_version")) != SCHEMA:
            raise EstimlabError(
                f"The store {self.path} has schema {schema}; this version of estimlab reads schema {SCHEMA}. "
                "Use the version that wrote it, or delete the file to compute its cells again."
            )
        if (state := self._pragma("quick_check")) != "ok":
            raise EstimlabError(f"{self.path}: {_ADVICE['SQLITE_CORRUPT']} (SQLite found: {state}).")

    def _pragma(self, name: str) -> Any:
        return self._connection.execute(f"PRAGMA {name}").fetchone()[0]

    def _read(self, column: str, key: str) -> Any:
        with _explained(self.path):
            found = self._connection.execute(f"SELECT {column} FROM cells WHERE key = ?", (key,)).fetchone()
        return None if found is None else json.loads(found[0])

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _explained(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")


def _dump(rows: list[dict[str, Any]]) -> str:
    """JSON; floats by their shortest exact form, NaN as null."""
    plain = [{name: None if value != value else value for name, value in row.items()} for row in rows]
    return json.dumps(plain)


def _require_sqlite(path: Path) -> None:
    """The folder exists afterwards; a file, if there is one, starts like a SQLite file or is empty."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        head = _head(path) if path.exists() else b""
    except OSError as error:
        raise EstimlabError(f"The store {path} cannot be used: {error}. Check the path and its permissions.") from error
    if head and head != _MAGIC:
        raise EstimlabError(f"{path}: {_ADVICE['SQLITE_NOTADB']}.")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_MAGIC))


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say what to do where SQLite fails."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        advice = next((text for start, text in _ADVICE.items() if name.startswith(start)), "SQLite failed")
        raise EstimlabError(f"The store {path}: {advice} (SQLite says: {error}).") from error
