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
    joined as in ``0.12(3)``. CSV stays tidy and has every digit; with statistics among the columns it is wide too, a
    standard error in a column ``NAME_stderr`` where there is one.

    Args:
        path: a table with its sidecar.
        style: ``latex``, ``markdown`` or ``csv``.
        columns: the columns to show, by default all that vary, of an estimator's fields their text; and the statistics,
            by default all, a column each.
        where: conditions ``column=value`` or ``column=value1,value2``: only these rows.

    Raises:
        EstimlabError: an unknown format, column, statistic or value; rows that the shown columns do not tell apart.

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
    table = chosen(read_table(path), where)
    _require_shown(table, columns)
    statistics = [name for name in columns if name not in table]
    if statistics:
        table = table[table["statistic"].isin(statistics)]
    shown = [name for name in columns if name in table] or _varying(table)
    keys = [name for name in shown if name not in _VALUES]
    if style == "csv":
        frame = _numbers(table, keys, statistics) if statistics else table[shown or table.columns]
        return frame.to_csv(index=False, lineterminator="\n")
    wide = _wide(table, keys, statistics)
    record = read_provenance(path)
    wide.columns = [_symbol(name, record) for name in wide.columns]
    return _latex(wide) if style == "latex" else _markdown(wide)


def chosen(table: pandas.DataFrame, where: Iterable[str], said: str = "--where ") -> pandas.DataFrame:
    """Only rows whose values, as text, are among those of ``column=value1,value2``; ``said`` begins what is refused."""
    for condition in where:
        name, separator, wanted = condition.partition("=")
        if not separator:
            raise EstimlabError(f"{said}{condition!r}: write column=value, for example {said}layer=0,1.")
        require_columns(table, [name])
        found = table[name].astype(str)
        values = wanted.split(",") if wanted not in set(found) else [wanted]  # a value may hold a comma itself
        if unknown := [value for value in values if value not in set(found)]:
            raise EstimlabError(
                f"{said}{condition}: no row has {name}={unknown[0]}.{closest(unknown[0], set(found))} "
                f"There is {', '.join(sorted(set(found))[:20]) or 'no row left'}."
            )
        table = table[found.isin(values)]
    return table


def _varying(table: pandas.DataFrame) -> list[str]:
    """Columns with more than one value; of an estimator's fields their text ``parameters`` alone."""
    known = set(table["parameters"]) if "parameters" in table else set()
    names = [str(name) for name in table if table[name].nunique(dropna=False) > 1]
    return [name for name in names if name not in field_columns(known)]


def keys_of(table: pandas.DataFrame) -> list[str]:
    """Columns that vary and tell rows apart: no values, and of an estimator's fields their text alone."""
    return [name for name in _varying(table) if name not in (*_VALUES, "low", "high")]


def require_columns(table: pandas.DataFrame, names: Iterable[str]) -> None:
    """Raise unless these are columns of the table."""
    for name in names:
        if name not in table:
            known = [str(column) for column in table]
            raise EstimlabError(f"The table has no column {name!r}.{closest(name, known)} It has {', '.join(known)}.")


def _require_shown(table: pandas.DataFrame, names: Iterable[str]) -> None:
    """Raise unless these are columns or statistics of the table."""
    statistics = statistics_of(table)
    known = [str(column) for column in table]
    for name in names:
        if name not in [*known, *statistics]:
            raise EstimlabError(
                f"The table has no column and no statistic {name!r}.{closest(name, [*known, *statistics])} "
                f"It has the columns {', '.join(known)}; statistics: {', '.join(statistics) or 'none'}."
            )


def statistics_of(table: pandas.DataFrame) -> list[str]:
    """Names of the statistics in a table, in its order."""
    return list(table["statistic"].drop_duplicates()) if "statistic" in table else []


def _wide(table: pandas.DataFrame, names: list[str], statistics: Sequence[str] = ()) -> pandas.DataFrame:
    """One row per combination of the named columns, one column of texts per statistic."""
    if "statistic" not in table:
        return table[names].map(text)
    shown = table.assign(**{name: table[name].map(text) for name in names}, value=texts(table))
    return spread(shown, names, statistics)


def _numbers(table: pandas.DataFrame, names: list[str], statistics: Sequence[str]) -> pandas.DataFrame:
    """The same with every digit, and with standard errors in columns of their own."""
    uncertain = table["stderr"] > 0 if "stderr" in table else [False] * len(table)
    table = table.assign(**{name: table[name].map(_exact) for name in [*names, "value", "stderr"] if name in table})
    values, errors = spread(table, names, statistics), table[uncertain]
    for name in statistics_of(errors):
        one = spread(errors.assign(value=errors["stderr"]), names, [name])
        found = values.merge(one, on=names, how="left", suffixes=("", "_stderr")) if names else one
        values.insert(values.columns.get_loc(name) + 1, f"{name}_stderr", found.iloc[:, -1].fillna(""))
    return values


def _exact(value: object) -> str:
    """As CSV has it, a missing value as nothing."""
    return "" if str(value) in ("nan", "<NA>") and not isinstance(value, str) else str(value)


def spread(table: pandas.DataFrame, names: list[str], statistics: Sequence[str]) -> pandas.DataFrame:
    """One row per combination of the named columns, one column per statistic, in the table's own order.

    Errors:
        EstimlabError: rows that the named columns do not tell apart.
    """
    if (repeated := table.duplicated([*names, "statistic"])).any():
        raise _ambiguous(table, table[repeated].iloc[0][[*names, "statistic"]])
    order = table[names].drop_duplicates()
    shown = list(statistics) or statistics_of(table)
    if not names:
        return table.set_index("statistic")[["value"]].T[shown].reset_index(drop=True)
    wide = table.pivot(index=names, columns="statistic", values="value").reset_index()
    return order.merge(wide, on=names, how="left")[[*names, *shown]].fillna("")


def _ambiguous(table: pandas.DataFrame, shared: pandas.Series) -> EstimlabError:
    """What several rows have in common, and in what they differ."""
    rows = table[(table[shared.index] == shared).all(axis=1)]
    differing = [name for name in _varying(rows) if name not in _VALUES] or ["nothing but their values"]
    return EstimlabError(
        f"Several rows share {', '.join(f'{name}={value}' for name, value in shared.items())}; they differ in "
        f"{', '.join(differing)}. Show that column (--columns), or choose among them (--where)."
    )


def texts(table: pandas.DataFrame) -> list[str]:
    """The values of a table as a paper prints them, with their standard errors where there are any."""
    errors = table["stderr"].fillna(0) if "stderr" in table else [0.0] * len(table)
    return [with_error(*pair) for pair in zip(table["value"], errors, strict=True)]


def text(value: object) -> str:
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
