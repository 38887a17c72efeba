"""How a table names an estimator: its class, its fields as one text, and each field in a column of its own."""

from __future__ import annotations

import dataclasses
from typing import Any

_TAKEN = (
    "problem stage reference draws averaged seed device dtype estimator parameters method layer block source statistic "
    "recipe epoch value stderr low high networks published law objective"
)
RESERVED = frozenset(_TAKEN.split())
"""Columns that mean something else in every table (``estimlab.results.columns.COLUMNS`` without its fields)."""


def parameters(estimator: Any) -> str:
    """The fields of an estimator as text: ``temperature=0.5``; empty where it has none."""
    return ", ".join(f"{name}={value}" for name, value in _fields(estimator).items())


def estimator_columns(estimator: Any) -> dict[str, Any]:
    """What a row says of its estimator: ``estimator``, ``parameters`` (both together are unique), and every field.

    A field's column is called like the field, or ``estimator_NAME`` where the name means something else in tables.
    Numbers, texts and truth values stay what they are; anything else is written as in ``parameters``.
    """
    columns = {_column(name): _plain(value) for name, value in _fields(estimator).items()}
    return {"estimator": estimator.name, "parameters": parameters(estimator), **columns}


def beside(columns: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """A row beside a problem's columns: a field of the estimator that is called like one of these is renamed."""
    return columns | {f"estimator_{name}" if name in columns else name: value for name, value in row.items()}


def _fields(estimator: Any) -> dict[str, Any]:
    return {field.name: getattr(estimator, field.name) for field in dataclasses.fields(estimator)}


def _column(name: str) -> str:
    return f"estimator_{name}" if name in RESERVED else name


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)
