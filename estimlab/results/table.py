"""Tables: CSV whose bytes depend on the results alone, with a JSON sidecar that says where they come from."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas

from estimlab.errors import EstimlabError
from estimlab.files import replace_file
from estimlab.results.columns import field_columns
from estimlab.results.provenance import provenance

__all__ = [
    "provenance",
    "provenance_path",
    "read_provenance",
    "read_table",
    "replace_file",
    "rewrite_answer",
    "table_frame",
    "write_table",
]

_PARSERS: dict[str, Callable[[str], Any]] = {
    "text": str,
    "integer": lambda text: int(text) if text else None,
    "number": lambda text: float(text) if text else math.nan,
    "boolean": lambda text: text == "True",
}


def table_frame(rows: Sequence[dict[str, Any]]) -> pandas.DataFrame:
    """The table of some rows: columns in the order in which they first appear, one type per column.

    The fields of estimators, which not all rows have, follow the column ``parameters``.
    A missing number is NaN (or NA among integers), a missing text the empty string.

    >>> frame = table_frame([{"estimator": "arm", "draws": 512}, {"estimator": "zgr", "draws": None}])
    >>> str(frame["draws"].dtype), frame["draws"].isna().tolist()
    ('Int64', [False, True])
    """
    return pandas.DataFrame({name: _series([row.get(name) for row in rows]) for name in _order(rows)})


def _order(rows: Sequence[dict[str, Any]]) -> list[str]:
    """All columns as they first appear, but an estimator's fields behind the text that names them."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    fields = field_columns({row.get("parameters") for row in rows})
    others = [name for name in names if name not in fields]
    place = others.index("parameters") + 1 if "parameters" in others else 0
    return [*others[:place], *(name for name in names if name in fields), *others[place:]]


def _series(values: list[Any]) -> pandas.Series:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool} and None not in values:
        return pandas.Series(values, dtype="bool")
    if kinds == {int}:
        return pandas.Series(values, dtype="Int64" if None in values else "int64")
    if kinds <= {int, float}:  # or nothing at all, as in a column of standard errors that do not exist
        return pandas.Series(values, dtype="float64")
    return pandas.Series(["" if value is None else str(value) for value in values], dtype="str")


def write_table(frame: pandas.DataFrame, path: str | Path, provenance: dict[str, Any]) -> Path:
    """Write ``path`` and its sidecar, each at once or not at all; return the sidecar's path.

    Floats are written by their shortest exact form, so that equal results give equal bytes.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sidecar = write_table(table_frame([{"value": 0.1}]), f"{folder}/one.csv", provenance={"question": "Why?"})
    ...     print(sidecar.name, read_provenance(sidecar)["rows"], read_table(f"{folder}/one.csv")["value"].tolist())
    one.json 1 [0.1]
    """
    path = Path(path)
    data = frame.to_csv(index=False, lineterminator="\n").encode()
    definitions = provenance.get("columns", {})
    columns = {name: {**definitions.get(name, {}), "type": _kind(frame[name])} for name in frame.columns}
    record = {**provenance, "rows": len(frame), "columns": columns, "sha256": hashlib.sha256(data).hexdigest()}
    sidecar = provenance_path(path)
    replace_file(path, data)
    _write_json(sidecar, record)
    return sidecar


def read_table(path: str | Path) -> pandas.DataFrame:
    """Read a table with the types it was written with, after checking it against its sidecar.

    Raises:
        EstimlabError: a missing table or sidecar, or a table that is not the one the sidecar describes.

    >>> from estimlab.results.places import known_table
    >>> from estimlab.results.study import find_study
    >>> table = read_table(known_table(find_study("quickstart"), smoke=False))
    >>> sorted(set(table["method"]))
    ['exact', 'monte_carlo']
    """
    path = Path(path)
    data, record = _read(path), read_provenance(path)
    if hashlib.sha256(data).hexdigest() != record["sha256"]:
        raise EstimlabError(
            f"{path} is not the table that {provenance_path(path).name} describes: it was edited, or only one of the "
            f"two files was replaced. Write both again with `{_command(path, record)}`; finished cells are not "
            "repeated."
        )
    # Parsed here, as Python's float is exact, and as a parser that guesses takes the text "nan" or "None" for missing.
    header, *lines = csv.reader(io.StringIO(data.decode(), newline=""))
    try:
        parse = [_PARSERS[record["columns"][name]["type"]] for name in header]
    except (KeyError, TypeError) as error:
        raise _unusable(path, error) from error
    columns = zip(*lines, strict=True) if lines else ((),) * len(header)
    return pandas.DataFrame(
        {name: _series(list(map(read, texts))) for name, read, texts in zip(header, parse, columns, strict=True)}
    )


def rewrite_answer(path: str | Path, question: str, answer: str, rests_on: str = "") -> Path:
    """Give a table's sidecar a new question and answer; the numbers and what is known of them stay. Returns its path.

    Args:
        path: of the table.
        question: of its study.
        answer: in words.
        rests_on: on how many networks and seeds the answer rests.

    Raises:
        EstimlabError: a missing table, or one that is not the one the sidecar describes.
    """
    read_table(path)
    sidecar = provenance_path(path)
    _write_json(sidecar, read_provenance(path) | {"question": question, "answer": answer, "rests_on": rests_on})
    return sidecar


def provenance_path(path: str | Path) -> Path:
    """The sidecar of a table: the same name with the ending ``.json``."""
    return Path(path).with_suffix(".json")


def _kind(series: pandas.Series) -> str:
    is_type = pandas.api.types
    if is_type.is_bool_dtype(series.dtype):
        return "boolean"
    if is_type.is_integer_dtype(series.dtype):
        return "integer"
    return "number" if is_type.is_float_dtype(series.dtype) else "text"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EstimlabError(
            f"The table {path} cannot be read ({error.strerror}). Compute it with `estimlab run {path.stem}`."
        ) from error


def read_provenance(path: str | Path) -> dict[str, Any]:
    """What a table's sidecar says.

    Raises:
        EstimlabError: a missing sidecar, or one that is not a table's.

    >>> from estimlab.results.places import known_table
    >>> from estimlab.results.study import find_study
    >>> read_provenance(known_table(find_study("quickstart"), smoke=False))["study"]
    'quickstart'
    """
    path = Path(path)
    sidecar = provenance_path(path)
    try:
        record = json.loads(sidecar.read_bytes())
        if not {"sha256", "columns"} <= record.keys():
            raise KeyError("sha256, columns")
        return dict(record)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: Exception) -> EstimlabError:
    return EstimlabError(
        f"The table {path} has no usable provenance: {provenance_path(path)} ({type(error).__name__}: {error}). "
        f"Write both again with `estimlab run {path.stem}`; finished cells are not repeated."
    )


def _command(path: Path, record: dict[str, Any]) -> str:
    return f"estimlab run {record.get('study', path.stem)}{' --smoke' if record.get('smoke') else ''}"


def _write_json(path: Path, record: dict[str, Any]) -> None:
    replace_file(path, (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode())
