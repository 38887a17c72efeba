"""What a study shows of its table: a small matrix, a row per estimator, say, and a column per layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from estimlab.declared import Declared
from estimlab.errors import EstimlabError, closest
from estimlab.numbers import is_number

if TYPE_CHECKING:
    import pandas

HEADLINES = ("relative_rmse", "relative_bias", "relative_std")
"""Statistics that are shown first where a study does not say."""
MOST = 6  # statistics beside each other


@dataclass(frozen=True)
class Matrix(Declared):
    """A matrix of texts made from a table, errors as in ``0.12(3)``; where a table has no values, rows are counted.

    >>> Matrix(rows=("estimator",), columns=("stage", "layer"), statistics=("relative_bias",)).columns
    ('stage', 'layer')

    Attributes:
        rows: columns of the table whose values name the rows; ``estimator`` is its label, parameters included.
        columns: columns of the table whose values head the columns, joined where there are several.
        statistics: those that are shown, beside each other where they are several; all by default.
        where: conditions ``column=value`` or ``column=value1,value2``: only these rows of the table.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...] = ()
    statistics: tuple[str, ...] = ()
    where: tuple[str, ...] = ()

    @property
    def heads(self) -> tuple[str, ...]:
        """The columns whose values head columns, the statistic among them where several are shown."""
        several = len(self.statistics) != 1 and "statistic" not in self.columns
        return (*self.columns, "statistic") if several and self.statistics else self.columns

    def frame(self, table: pandas.DataFrame) -> pandas.DataFrame:
        """The matrix of a table, its rows and columns in the table's order.

        Errors:
            EstimlabError: a column, statistic or value that the table has not; several values for one place.
        """
        from estimlab.results.export import chosen, require_columns, spread, texts

        require_columns(table, (*self.rows, *self.columns))
        table = chosen(self._of_statistics(table), self.where, "Matrix(where=...): ")
        if "value" not in table:
            table = _counted(table, [*self.rows, *self.columns])
        shown = table.assign(**named(table, (*self.rows, *self.heads)), value=texts(table))
        heads = headed(shown, self.heads) if self.heads else list(self.statistics or ["value"]) * len(shown)
        return spread(shown.assign(statistic=heads), list(self.rows), list(dict.fromkeys(heads)))

    def title(self) -> str:
        """What is shown: the statistic and the conditions, for a line above the matrix."""
        told = [", ".join(self.statistics), *self.where]
        return "; ".join(text for text in told if text)

    def _of_statistics(self, table: pandas.DataFrame) -> pandas.DataFrame:
        from estimlab.results.export import statistics_of

        known = statistics_of(table)
        for name in self.statistics:
            if name not in known:
                raise EstimlabError(
                    f"Matrix(statistics=...): the table has no statistic {name!r}.{closest(name, known)} "
                    f"It has {', '.join(known) or 'none'}."
                )
        if not self.statistics:
            return table
        # in the order asked for, which the columns then have
        return table[table["statistic"].isin(self.statistics)].sort_values(
            "statistic", key=lambda names: names.map(self.statistics.index), kind="stable"
        )


def usual(table: pandas.DataFrame) -> Matrix | None:
    """What is shown of a table whose study does not say; None where it has no statistics, or rows that nothing parts.

    The first of ``HEADLINES`` by layer, or where no layers are told apart, statistics beside each other; a row for all
    else that varies.
    """
    from estimlab.results.export import keys_of, statistics_of

    found = statistics_of(table)
    if not found or "value" not in table:
        return None
    first = [name for name in HEADLINES if name in found] or found
    if table.duplicated([*{*keys_of(table), "statistic"}]).any():
        return None
    if "layer" in keys_of(table[table["statistic"] == first[0]]):
        return Matrix(_rows(table, first[:1], ("layer",)), ("layer",), tuple(first[:1]))
    return Matrix(_rows(table, first[:MOST], ()), (), tuple(first[:MOST]))


def _rows(table: pandas.DataFrame, statistics: Sequence[str], columns: tuple[str, ...]) -> tuple[str, ...]:
    from estimlab.results.export import keys_of

    table = table[table["statistic"].isin(statistics)]
    names = keys_of(table)
    for how in ("method", "draws"):  # which the estimator tells as a rule
        others = [name for name in names if name != how]
        if not table.duplicated([*others, "statistic"]).any():
            names = others
    one = ["estimator" if name == "parameters" and "estimator" in table else name for name in names]
    return tuple(name for name in dict.fromkeys(one) if name not in (*columns, "statistic"))


def _counted(table: pandas.DataFrame, names: list[str]) -> pandas.DataFrame:
    counts = table.groupby(names, sort=False, as_index=False).size()
    return counts.rename(columns={"size": "value"})


def named(table: pandas.DataFrame, names: Sequence[str]) -> dict[str, list[str]]:
    """Texts of columns; of estimators their labels."""
    from estimlab.results.export import text
    from estimlab.results.plotting import labels

    plain = {name: _brief([text(value) for value in table[name]]) for name in names if name != "estimator"}
    return plain | ({"estimator": labels(table)} if "estimator" in names else {})


def _brief(texts: list[str]) -> list[str]:
    """``Logistic`` for ``Logistic(scale=0.5)``, where that tells them apart as well."""
    brief = [text.partition("(")[0] or text for text in texts]
    return brief if len(set(brief)) == len(set(texts)) else texts


def headed(table: pandas.DataFrame, names: Sequence[str]) -> list[str]:
    """The values of columns as one text each, ``late, layer 0``: a number says what it is of."""
    columns = [[f"{name} {value}" if is_number(value) else value for value in table[name]] for name in names]
    return [", ".join(filter(None, texts)) for texts in zip(*columns, strict=True)]
