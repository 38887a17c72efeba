"""Where finished cells live: an embedded SQLite file, one durable transaction per cell, a checksum with each."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from estimlab.errors import EstimlabError
from estimlab.results.salvage import set_aside, whole_records
from estimlab.results.sqlite_file import ADVICE, DamagedError, explained, require_sqlite

SCHEMA = 2
APPLICATION = 0x6573746C  # "estl": tells an estimlab store from any other SQLite file
_CELLS = "CREATE TABLE cells (key TEXT PRIMARY KEY, cell TEXT, rows TEXT, info TEXT, sha256 TEXT) WITHOUT ROWID"
_STUDY = "CREATE TABLE study (name TEXT)"
_RESERVATIONS = (  # see reservations.py
    "CREATE TABLE IF NOT EXISTS runs (run TEXT PRIMARY KEY, machine TEXT, process INTEGER, started TEXT, beat INTEGER)",
    "CREATE TABLE IF NOT EXISTS claims (key TEXT PRIMARY KEY, run TEXT)",
)


class Store:
    """Finished cells by content key; open it by ``with Store.open(path) as store``.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Store.open(f"{folder}/cells.sqlite") as store:
    ...     store.save("key", "Cell()", rows=[{"value": 0.1}], info={"seconds": 2.0})
    ...     print(store.finished(), store.rows("key"), store.rows("other"))
    {'key'} [{'value': 0.1}] None
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.notice = ""
        self._connection = connection

    @classmethod
    def open(cls, path: str | Path, timeout: float = 30.0) -> Store:
        """Open or create a store, and make sure that it can be read and written before any long work starts.

        A store of the first format, without checksums, is migrated in one transaction. Of a damaged store the cells
        that are whole are taken over into a new one, the damaged file is kept beside it, and ``notice`` says so.

        Args:
            path: the file; its folder is created.
            timeout: seconds to wait for another process that is writing.

        Raises:
            EstimlabError: a foreign, locked or unwritable file, a full disk, another schema, or damage that leaves no
                cell whole.
        """
        path = Path(path)
        try:
            return cls._opened(path, timeout)
        except DamagedError as damage:
            notice = _salvaged(path, damage)
        store = cls._opened(path, timeout)
        store.notice = notice
        return store

    @classmethod
    def _opened(cls, path: Path, timeout: float = 30.0) -> Store:
        require_sqlite(path)
        with explained(path):
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
        with explained(self.path):
            return {key for (key,) in self._connection.execute("SELECT key FROM cells")}

    def save(self, key: str, cell: str, rows: list[dict[str, Any]], info: dict[str, Any]) -> None:
        """Keep a finished cell and end its reservation; when this returns, it survives a crash of the machine."""
        with self.transaction() as connection:
            connection.execute("DELETE FROM claims WHERE key = ?", (key,))
            _insert(connection, (key, cell, _dump(rows), json.dumps(info)))

    def rename(self, new_keys: Mapping[str, str]) -> None:
        """Give cells, by their keys, other keys; those that are not there are passed over."""
        with self.transaction() as connection:
            for old, new in new_keys.items():
                if (found := self._read(old)) is not None:
                    connection.execute("DELETE FROM cells WHERE key = ?", (old,))
                    _insert(connection, (new, found["cell"], found["rows"], found["info"]))

    def serve(self, study: str) -> None:
        """Make this the store of a study: another one may give its classes the same names.

        Raises:
            EstimlabError: it is the store of another study.
        """
        with self.transaction() as connection:
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
        self._connection.text_factory = _text
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA secure_delete = ON")  # no stale copy of a cell lies in unused space
        # Written at every opening: a folder in which nothing can be written shows itself now, not after an hour.
        with self.transaction() as connection:
            schema = self._schema()
            if schema < SCHEMA:
                _create(connection, former=schema == 1)
            for statement in _RESERVATIONS:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {SCHEMA}")
        self._require_whole()

    def _schema(self) -> int:
        """0: a new file."""
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables == 0 and self._pragma("schema_version") == 0:  # nothing was ever created in it
            return 0
        if self._pragma("application_id") != APPLICATION:
            raise DamagedError(
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
        self._connection.execute("SELECT name FROM study").fetchall()

    def _require_unchanged(self, found: tuple[str, ...]) -> None:
        if not is_whole(found):
            raise self._damaged(f"the checksum of {found[1]} does not fit")

    def _damaged(self, what: str) -> DamagedError:
        return DamagedError(f"The store {self.path}: {ADVICE['SQLITE_CORRUPT']} ({what}).")

    def _pragma(self, name: str) -> Any:
        return self._connection.execute(f"PRAGMA {name}").fetchone()[0]

    def _read(self, key: str) -> dict[str, str] | None:
        with explained(self.path):
            found = self._connection.execute("SELECT * FROM cells WHERE key = ?", (key,)).fetchone()
        if found is None:
            return None
        self._require_unchanged(found)
        return dict(zip(("key", "cell", "rows", "info"), found, strict=False))

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Statements that happen all or not at all."""
        with explained(self.path):
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


def is_whole(record: tuple[str, ...]) -> bool:
    """Whether the five texts of a stored cell are those that were saved."""
    return len(record) == 5 and checksum(record[:4]) == record[4]


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


def _text(stored: bytes) -> str:
    """A damaged text must reach its checksum."""
    return stored.decode(errors="surrogateescape")


def _salvaged(path: Path, damage: DamagedError) -> str:
    """Put the whole cells of a damaged store into a new one in its place; what to tell the user."""
    records = whole_records(path.read_bytes(), is_whole)
    if not records:
        raise damage
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with Store._opened(fresh) as store, store.transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO cells VALUES (?, ?, ?, ?, ?)", records)
        aside = set_aside(path)
        os.replace(fresh, path)
    except OSError as error:
        raise EstimlabError(f"{damage} Its {len(records)} whole cells cannot be saved: {error}.") from damage
    finally:
        fresh.unlink(missing_ok=True)
    return (
        f"The store {path} was damaged. {len(records)} whole cells were taken over into a new store; what is missing "
        f"is computed again. The damaged file is kept as {aside.name}."
    )
