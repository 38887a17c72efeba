"""How rules read tables and write numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd


def rows(table: pd.DataFrame, **conditions: Any) -> pd.DataFrame:
    """Rows in which every column has this value, or one of a tuple of values; None: it is empty."""
    for column, wanted in conditions.items():
        series = table[column]
        if wanted is None:
            table = table[series.isna() | (series.astype(str) == "")]
        else:
            kind = float if pd.api.types.is_numeric_dtype(series) and series.dtype != bool else str
            found = wanted if isinstance(wanted, tuple) else (wanted,)
            table = table[series.astype(kind if kind is str else "Float64").isin([kind(value) for value in found])]
    return table


def row(table: pd.DataFrame, **conditions: Any) -> pd.Series:
    """The only such row."""
    found = rows(table, **conditions)
    assert len(found) == 1, f"{len(found)} rows with {conditions}"
    return found.iloc[0]


def one(table: pd.DataFrame, **conditions: Any) -> float:
    """The value of the only such row."""
    return float(row(table, **conditions)["value"])


def values(table: pd.DataFrame, **conditions: Any) -> list[float]:
    """The values of all such rows, of which there is at least one."""
    found = rows(table, **conditions)["value"].tolist()
    assert found, f"no row with {conditions}"
    return found


def percent(value: float, digits: int = 0) -> str:
    """``12`` for 0.12: the sign stands in the sentence."""
    return f"{100 * value:.{digits}f}"


def significant(value: float, digits: int = 2) -> str:
    """A positive number to a number of digits that count, thousands with a comma."""
    rounded = float(f"{value:.{digits}g}")
    places = max(0, digits - 1 - math.floor(math.log10(abs(rounded)))) if rounded else 0
    return f"{rounded:,.{places}f}"


def several(numbers: Iterable[float], digits: int = 2) -> str:
    """``0.29, 0.53, 0.74``."""
    return ", ".join(f"{number:.{digits}f}" for number in numbers)


def span(numbers: Iterable[float], digits: int = 2) -> str:
    """``0.29 to 0.74``: the smallest and the largest."""
    found = list(numbers)
    return f"{min(found):.{digits}f} to {max(found):.{digits}f}"


def interval(found: pd.Series, digits: int = 0) -> str:
    """``236 [221, 250]``: value, and the 95 % interval of the columns low and high."""
    return f"{found['value']:.{digits}f} [{found['low']:.{digits}f}, {found['high']:.{digits}f}]"


WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def word(number: int) -> str:
    """A small number in letters."""
    return WORDS[number] if number < len(WORDS) else str(number)


ST = {"estimator": "straight_through", "proxy": "derived"}
ZGR = {"estimator": "zgr"}
MVE = {"estimator": "mve", "t": 1.0}
DISARM = {"estimator": "disarm"}
GS = {"estimator": "gumbel_softmax", "temperature": 1.0}
