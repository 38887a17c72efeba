"""Where finished cells live: an embedded SQLite file, one durable transaction per cell, a checksum with each."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from estimlab.errors import EstimlabError

SCHEMA = 2
APPLICATION = 0x6573746C  # "estl": tells an estimlab store from any other SQLite file
_MAGIC = b"SQLite format 3\0"
_CELLS = "CREATE TABLE cells (key TEXT PRIMARY KEY, cell TEXT, rows TEXT, info TEXT, sha256 TEXT) WITHOUT ROWID"
_STUDY = "CREATE TABLE study (name TEXT)"
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

        A store of the first format, without checksums, is migrated in one transaction.

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
        """Rows of a finished cell, None where it is not finished; a NaN comes back as None.

        Raises:
            EstimlabError: they are not what was saved.
        """
        found = self._read(key)
        return None if found is None else json.loads(found["rows"])

    def info(self, key: str) -> dict[str, Any] | None:
        """How a finished cell was computed: wall seconds, time, versions; errors as in ``rows``."""
        found = self._read(key)
        return None if found is None else json.loads(found["info"])

    def finished(self) -> set[str]:
        """Keys of all finished cells."""
        with _explained(self.path):
            return {key for (key,) in self._connection.execute("SELECT key FROM cells")}

    def save(self, key: str, cell: str, rows: list[dict[str, Any]], info: dict[str, Any]) -> None:
        """Keep a finished cell; when this returns, it survives a crash of the machine."""
        with self._transaction() as connection:
            _insert(connection, (key, cell, _dump(rows), json.dumps(info)))

    def rename(self, new_keys: Mapping[str, str]) -> None:
        """Give cells, by their keys, other keys; those that are not there are passed over."""
        with self._transaction() as connection:
            for old, new in new_keys.items():
                if (found := self._read(old)) is not None:
                    connection.execute("DELETE FROM cells WHERE key = ?", (old,))
                    _insert(connection, (new, found["cell"], found["rows"], found["info"]))

    def claim_for(self, study: str) -> None:
        """Make this the store of a study: another one may give its classes the same names.

        Raises:
            EstimlabError: it is the store of another study.
        """
        with self._transaction() as connection:
            (owner,) = connection.execute("SELECT name FROM study").fetchone() or (None,)
            if owner is None:
                connection.execute("INSERT INTO study VALUES (?)", (study,))
            elif owner != study:
                raise EstimlabError(
                    f"{self.path} is the store of the study {owner!r}; give the study {study!r} a store of its own. "
                    "Where it is the same study under a new name, delete the store to compute its cells again."
                )

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA secure_delete = ON")  # no stale copy of a cell lies in unused space
        # Written at every opening: a folder in which nothing can be written shows itself now, not after an hour.
        with self._transaction() as connection:
            schema = self._schema()
            if schema < SCHEMA:
                _create(connection, former=schema == 1)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {SCHEMA}")
        self._require_whole()

    def _schema(self) -> int:
        """0: a new file."""
        if self._pragma("schema_version") == 0:  # nothing was ever created in it
            return 0
        if self._pragma("application_id") != APPLICATION:
            raise EstimlabError(
                f"{self.path} is a SQLite file of another program, not an estimlab store. "
                "Move it away or choose another place for the store."
            )
        schema = self._pragma("user_version")
        if schema not in (1, SCHEMA):
            raise EstimlabError(
                f"The store {self.path} has schema {schema}; this version of estimlab reads schema 1 and {SCHEMA}. "
                "Use the version that wrote it, or delete the file to compute its cells again."
            )
        if (state := self._pragma("quick_check")) != "ok":
            raise self._damaged(f"SQLite found: {state}")
        return schema

    def _require_whole(self) -> None:
        for found in self._connection.execute("SELECT * FROM cells"):
            self._require_unchanged(found)

    def _require_unchanged(self, found: tuple[str, ...]) -> None:
        *content, sha256 = found
        if checksum(content) != sha256:
            raise self._damaged(f"the checksum of {content[1]} does not fit")

    def _damaged(self, what: str) -> EstimlabError:
        return EstimlabError(f"The store {self.path}: {_ADVICE['SQLITE_CORRUPT']} ({what}).")

    def _pragma(self, name: str) -> Any:
        return self._connection.execute(f"PRAGMA {name}").fetchone()[0]

    def _read(self, key: str) -> dict[str, str] | None:
        with _explained(self.path):
            found = self._connection.execute("SELECT * FROM cells WHERE key = ?", (key,)).fetchone()
        if found is None:
            return None
        self._require_unchanged(found)
        return dict(zip(("key", "cell", "rows", "info"), found, strict=False))

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


def checksum(content: Iterable[str]) -> str:
    """SHA-256 of the texts of a stored cell: key, cell, rows, info."""
    return hashlib.sha256(json.dumps(list(content)).encode()).hexdigest()


def _create(connection: sqlite3.Connection, former: bool) -> None:
    """The tables; the cells of a store of the first format are taken over under their keys."""
    if former:
        connection.execute("ALTER TABLE cells RENAME TO former")
    connection.execute(_CELLS)
    connection.execute(_STUDY)
    if former:
        for content in connection.execute("SELECT key, cell, rows, info FROM former").fetchall():
            _insert(connection, content)
        connection.execute("DROP TABLE former")


def _insert(connection: sqlite3.Connection, content: tuple[str, ...]) -> None:
    connection.execute("INSERT OR REPLACE INTO cells VALUES (?, ?, ?, ?, ?)", (*content, checksum(content)))


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
