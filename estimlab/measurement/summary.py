"""A measurement at a glance: places by bias, deviation, RMSE, cosine and efficiency, as text with its errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from estimlab.numbers import with_error

if TYPE_CHECKING:
    import pandas as pd

    from estimlab.measurement.measurement import By, Measurement

SHOWN = {
    "relative_bias": "bias",
    "relative_std": "std",
    "relative_rmse": "RMSE",
    "cosine": "cosine",
    "descent_efficiency": "efficiency",
}
"""Statistics, and what they are called beside each other; the first three are over the norm of the true gradient."""


def summary(measurement: Measurement, by: By = "layer") -> pd.DataFrame:
    """A row per layer, block or network, a column per statistic of ``SHOWN``; ``0.12(3)`` is 0.12 with error 0.03."""
    import pandas as pd

    found = measurement.statistics(by)
    cells = {place: {title: with_error(*one[name]) for name, title in SHOWN.items()} for place, one in found.items()}
    table = pd.DataFrame.from_dict(cells, orient="index", columns=list(SHOWN.values()))
    table.index.name = by
    return table


def headline(measurement: Measurement) -> str:
    """What was measured, and how."""
    how = measurement.method.replace("_", " ")
    drawn = f", {measurement.draws:,.0f} draws" if measurement.method == "monte_carlo" else ""
    return f"{measurement.estimator!r}: {how}{drawn}; bias, std and RMSE of one draw over the norm of the gradient"
