from __future__ import annotations

import math
import sqlite3
from pathlib import Path

import pytest

from estimlab.errors import EstimlabError
from estimlab.results.store import APPLICATION, SCHEMA, Store

ROWS = [{"estimator": "zgr", "value": 0.1 + 0.2, "stderr": 1e-320, "draws": 3, "flag": True, "layer": None}]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Store.open(tmp_path / "new" / "a.sqlite") as store:
        for number in range(50):
            store.save(f"k{number}", f"Cell({number})", ROWS, {"wall_seconds": 1.5})
    return tmp_path / "new" / "a.sqlite"


def test_rows_come_back_exactly(path: Path) -> None:
    with Store.open(path) as store:
        assert store.rows("k1") == ROWS
        assert [type(value) for value in store.rows("k1")[0].values()] == [type(value) for value in ROWS[0].values()]
        assert store.info("k1") == {"wall_seconds": 1.5}
        assert store.finished() == {f"k{number}" for number in range(50)}
        assert store.rows("other") is None
        assert store.info("other") is None


def test_nan_is_null_and_infinity_stays(path: Path) -> None:
    with Store.open(path) as store:
        store.save("odd", "", [{"a": math.nan, "b": math.inf}], {})
        assert store.rows("odd") == [{"a": None, "b": math.inf}]


def test_saving_again_replaces(path: Path) -> None:
    with Store.open(path) as store:
        store.save("k1", "", [{"value": 2.0}], {})
        assert store.rows("k1") == [{"value": 2.0}]


def test_the_file_is_marked(path: Path) -> None:
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION,)
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA,)
    connection.close()


def test_an_empty_file_is_a_new_store(tmp_path: Path) -> None:
    # what a kill between creation and the first transaction leaves
    (tmp_path / "a.sqlite").touch()
    with Store.open(tmp_path / "a.sqlite") as store:
        assert store.finished() == set()


@pytest.mark.parametrize("data", [b"problem,value\ntoy,1\n" * 100, b"SQLite", b"\0" * 5000])
def test_not_sqlite(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(EstimlabError, match=r"a\.sqlite.*not a SQLite file"):
        Store.open(path)
    assert path.read_bytes() == data


def test_foreign_sqlite_file(tmp_path: Path) -> None:
    path = tmp_path / "bookmarks.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(EstimlabError, match=r"bookmarks\.sqlite is a SQLite file of another program"):
        Store.open(path)
    assert path.read_bytes() == before


def test_other_schema(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(EstimlabError, match=r"has schema 7; this version of estimlab reads schema 1 and 2.*delete"):
        Store.open(path)


def test_disk_full(path: Path) -> None:
    with Store.open(path) as store:
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(EstimlabError, match=r"a\.sqlite.*disk is full.*same command again; finished"):
            store.save("big", "", ROWS * 1000, {})
        assert store.finished() == {f"k{number}" for number in range(50)}
        store._connection.execute(f"PRAGMA max_page_count = {pages + 1000}")
        store.save("big", "", ROWS * 1000, {})
        assert "big" in store.finished()


def test_locked(path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(EstimlabError, match=r"a\.sqlite.*locked by another process"):
        Store.open(path, timeout=0.05)
    other.close()


def test_read_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect  # permissions do not bind root, a connection's mode does
    monkeypatch.setattr(sqlite3, "connect", lambda p, **k: connect(f"file:{p}?mode=ro", uri=True, **k))
    with pytest.raises(EstimlabError, match=r"a\.sqlite.*cannot be written.*permissions"):
        Store.open(path)


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EstimlabError, match=r"cannot be used.*permissions"):
        Store.open(tmp_path / "file" / "a.sqlite")


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(EstimlabError, match="cannot be used"):
        Store.open(tmp_path)


def alter(path: Path, change: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(change)
    connection.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE cells SET rows = replace(rows, '0.3', '0.4') WHERE key = 'k7'",
        "UPDATE cells SET info = '{}' WHERE key = 'k7'",
        "UPDATE cells SET key = 'k77' WHERE key = 'k7'",
    ],
)
def test_a_changed_cell_is_noticed(path: Path, change: str) -> None:
    with Store.open(path) as store:
        alter(path, change)
        for key in store.finished() - {"k7", "k77"}:
            assert store.rows(key) == ROWS
        with pytest.raises(EstimlabError, match=r"a\.sqlite.*damaged.*the checksum of Cell\(7\) does not fit"):
            store.rows("k77" if "k77" in change else "k7")
    with Store.open(path) as store:
        assert "was damaged. 49 whole cells were taken over" in store.notice
        assert store.finished() == {f"k{number}" for number in range(50) if number != 7}


def test_a_renamed_cell_is_whole(path: Path) -> None:
    with Store.open(path) as store:
        store.rename({"k1": "new", "absent": "other"})
        assert (store.rows("new"), store.rows("k1"), store.rows("other")) == (ROWS, None, None)
    Store.open(path).close()
