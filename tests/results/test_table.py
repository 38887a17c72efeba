from __future__ import annotations

import json
import math
from pathlib import Path

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from estimlab.errors import EstimlabError
from estimlab.results.table import provenance_path, read_table, table_frame, write_table

ROWS = [
    {"estimator": "zgr", "parameters": "", "layer": 0, "seed": 3, "value": 0.1 + 0.2, "stderr": None, "flag": True},
    {
        "estimator": "a,b",
        "parameters": "None",
        "layer": "head",
        "seed": None,
        "value": 1e-320,
        "stderr": None,
        "flag": False,
    },
    {"estimator": "nan", "parameters": 'x="é"', "layer": 1, "seed": 5, "value": math.inf, "stderr": None, "flag": True},
]


def test_types_survive(tmp_path: Path) -> None:
    frame = table_frame(ROWS)
    sidecar = write_table(frame, tmp_path / "t.csv", {"study": "toy"})
    again = read_table(tmp_path / "t.csv")
    assert_frame_equal(again, frame, check_exact=True)
    assert again["layer"].tolist() == ["0", "head", "1"]
    assert again["parameters"].tolist() == ["", "None", 'x="é"']
    assert again["stderr"].isna().all()
    assert again["stderr"].dtype == "float64"
    assert json.loads(sidecar.read_text())["columns"]["seed"]["type"] == "integer"


def test_bytes(tmp_path: Path) -> None:
    write_table(table_frame(ROWS), tmp_path / "t.csv", {})
    lines = (tmp_path / "t.csv").read_bytes().decode().split("\n")
    assert lines[0] == "estimator,parameters,layer,seed,value,stderr,flag"
    assert lines[1] == "zgr,,0,3,0.30000000000000004,,True"
    assert lines[2] == '"a,b",None,head,,1e-320,,False'
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["t.csv", "t.json"]


@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_floats_survive(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    path = tmp_path_factory.mktemp("table") / "t.csv"
    write_table(table_frame([{"value": value} for value in values]), path, {})
    assert list(map(repr, read_table(path)["value"].tolist())) == list(map(repr, values))


def test_columns_of_different_cells_are_joined() -> None:
    frame = table_frame([{"a": 1, "b": "x"}, {"b": "y", "c": 0.5}])
    assert list(frame.columns) == ["a", "b", "c"]
    assert frame["a"].dtype == pandas.Int64Dtype()
    assert frame["c"].isna().tolist() == [True, False]


def test_edited_tables_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_table(table_frame(ROWS), path, {"study": "toy", "smoke": True})
    path.write_text(path.read_text().replace("0.3", "0.2"))
    with pytest.raises(EstimlabError, match=r"t\.csv is not the table that t\.json describes.*run toy --smoke`"):
        read_table(path)


def test_missing_files(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with pytest.raises(EstimlabError, match=r"t\.csv cannot be read.*estimlab run t`"):
        read_table(path)
    write_table(table_frame(ROWS), path, {})
    for text in ("{", "[]", "{}"):
        provenance_path(path).write_text(text)
        with pytest.raises(EstimlabError, match="no usable provenance"):
            read_table(path)
    provenance_path(path).unlink()
    with pytest.raises(EstimlabError, match="no usable provenance"):
        read_table(path)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EstimlabError, match=r"t\.csv cannot be written.*what is finished is kept"):
        write_table(table_frame(ROWS), tmp_path / "file" / "t.csv", {})


def test_an_interrupted_write_leaves_the_old_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    write_table(table_frame(ROWS), path, {})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(EstimlabError, match="No space left on device"):
        write_table(table_frame(ROWS[:1]), path, {})
    assert len(read_table(path)) == 3
    assert [one.name for one in sorted(tmp_path.iterdir())] == ["t.csv", "t.json"]
