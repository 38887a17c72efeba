"""Tables for people and for papers: LaTeX, Markdown and CSV texts made from a study's table."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from estimlab.errors import EstimlabError, closest
from estimlab.numbers import with_error
from estimlab.results.columns import field_columns
from estimlab.results.table import read_provenance, read_table

if TYPE_CHECKING:
    import pandas

FORMATS = ("latex", "markdown", "csv")
_VALUES = ["statistic", "value", "stderr"]
_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {
        "\\": r"\textbackslash{}",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
    }
)


def export_table(path: str | Path, style: str, columns: Sequence[str] = (), where: Sequence[str] = ()) -> str:
    """The text of a table in another format.

    LaTeX (booktabs) and Markdown are wide: one column per statistic, headed by its symbol, with the standard error
    joined as in ``0.12(3)``. CSV stays tidy and has every digit.

    Args:
        path: a table with its sidecar.
        style: ``latex``, ``markdown`` or ``csv``.
        columns: the columns to show; by default all that vary, of an estimator's fields their text.
        where: conditions ``column=value`` or ``column=value1,value2``: only these rows.

    Raises:
        EstimlabError: an unknown format, column or value; rows that the shown columns do not tell apart.

    >>> import tempfile
    >>> from estimlab.results.table import table_frame, write_table
    >>> rows = [{"estimator": name, "statistic": "cosine", "value": 0.98765, "stderr": 0.01} for name in ("st", "zgr")]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sidecar = write_table(table_frame(rows), f"{folder}/one.csv", provenance={})
    ...     print(export_table(f"{folder}/one.csv", "markdown"), end="")
    | estimator | cosine |
    | --- | --- |
    | st | 0.99(1) |
    | zgr | 0.99(1) |
    """
    if style not in FORMATS:
        raise EstimlabError(f"--format {style!r}: choose one of {', '.join(FORMATS)}.")
    table = _chosen(read_table(path), where)
    _require(table, columns)
    shown = list(columns) or _varying(table)
    if style == "csv":
        return table[shown or table.columns].to_csv(index=False, lineterminator="\n")
    wide = _wide(table, [name for name in shown if name not in _VALUES])
    record = read_provenance(path)
    wide.columns = [_symbol(name, record) for name in wide.columns]
    return _latex(wide) if style == "latex" else _markdown(wide)


def _chosen(table: pandas.DataFrame, where: Iterable[str]) -> pandas.DataFrame:
    """Only rows whose values, as text, are among those asked for."""
    for condition in where:
        name, separator, wanted = condition.partition("=")
        if not separator:
            raise EstimlabError(f"--where {condition!r}: write column=value, for example --where layer=0,1.")
        _require(table, [name])
        texts = table[name].astype(str)
        values = wanted.split(",") if wanted not in set(texts) else [wanted]  # a value may hold a comma itself
        if unknown := [value for value in values if value not in set(texts)]:
            raise EstimlabError(
                f"--where {condition}: no row has {name}={unknown[0]}.{closest(unknown[0], set(texts))} "
                f"There is {', '.join(sorted(set(texts))[:20]) or 'no row left'}."
            )
        table = table[texts.isin(values)]
    return table


def _varying(table: pandas.DataFrame) -> list[str]:
    """Columns with more than one value; of an estimator's fields their text ``parameters`` alone."""
    known = set(table["parameters"]) if "parameters" in table else set()
    names = [str(name) for name in table if table[name].nunique(dropna=False) > 1]
    return [name for name in names if name not in field_columns(known)]


def _require(table: pandas.DataFrame, names: Iterable[str]) -> None:
    for name in names:
        if name not in table:
            known = [str(column) for column in table]
            raise EstimlabError(f"The table has no column {name!r}.{closest(name, known)} It has {', '.join(known)}.")


def _wide(table: pandas.DataFrame, names: list[str]) -> pandas.DataFrame:
    """One row per combination of the named columns, one column of texts per statistic, in the table's own order."""
    if "statistic" not in table:
        return table[names].map(_text)
    texts = [with_error(*pair) for pair in zip(table["value"], table["stderr"].fillna(0), strict=True)]
    table = table[names].map(_text).assign(statistic=table["statistic"], value=texts)
    if (repeated := table.duplicated([*names, "statistic"])).any():
        first = table[repeated].iloc[0]
        raise EstimlabError(
            f"Several rows share {', '.join(f'{name}={first[name]}' for name in [*names, 'statistic'])}. Show the "
            "column in which they differ (--columns), or choose among them (--where)."
        )
    order = table[names].drop_duplicates()
    statistics = list(table["statistic"].drop_duplicates())
    if not names:
        return table.set_index("statistic")[["value"]].T[statistics].reset_index(drop=True)
    wide = table.pivot(index=names, columns="statistic", values="value").reset_index()
    return order.merge(wide, on=names, how="left")[[*names, *statistics]].fillna("")


def _text(value: object) -> str:
    """Floats to six digits, missing values as nothing."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return "" if str(value) == "<NA>" else str(value)


def _symbol(name: str, record: dict) -> str:
    """As the sidecar has it from ``estimlab.results.columns`` or from the study."""
    return {**record["columns"], **record.get("statistics", {})}.get(name, {}).get("symbol") or name


def _latex(wide: pandas.DataFrame) -> str:
    """Booktabs; text is escaped, formulas are left alone."""
    wide = wide.map(_escaped)
    wide.columns = [name if "$" in name else _escaped(name) for name in wide.columns]
    return wide.to_latex(index=False, column_format="l" * len(wide.columns))


def _escaped(text: str) -> str:
    """Every character that LaTeX would take for a command, or set as another one."""
    return " ".join(text.split()).translate(_LATEX)


def _markdown(wide: pandas.DataFrame) -> str:
    """A bar inside a formula would end the cell, so norms are written as commands."""
    header = [str(name).replace(r"\|", r"\Vert ").replace("|", r"\vert ") for name in wide.columns]
    lines = [header, ["---"] * len(header), *(map(_cell, row) for row in wide.itertuples(index=False, name=None))]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    """Every character that Markdown or GitHub would take for markup."""
    return re.sub(r"[\\`*_\[\]<>|~$&]", r"\\\g<0>", " ".join(text.split()))
