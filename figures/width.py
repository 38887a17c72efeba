"""Bias and deviation against the number of units per layer."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from estimlab.results.plotting import PAGE_WIDTH, appearance, legend

ROWS = {"relative_bias": "relative bias", "relative_std": "relative std of a draw"}
LAYERS = {"0": "first layer", "1": "second layer"}
NOTE = (
    "Small marks: single networks; lines: their medians; all exact, but for GS (Monte Carlo, where it exceeds three "
    "standard errors).\nNumbers: exponent $b$ of $n^b$ for $n \\geq 4$, with its 95 % interval; std for up to 12 units."
)


def draw(table: pd.DataFrame) -> Figure:
    """Columns: both layers at both stages; every network is a mark, a line joins the medians."""
    table = table.assign(layer=table["layer"].astype(str))
    stages = list(dict.fromkeys(table["stage"]))
    figure = Figure(figsize=(PAGE_WIDTH, 4.6), layout="constrained")
    axes = figure.subplots(2, 2 * len(stages), sharex=True, sharey="row", squeeze=False)
    for column, (stage, layer) in enumerate((stage, layer) for stage in stages for layer in LAYERS):
        here = table[(table["stage"] == stage) & (table["layer"] == layer)]
        for row, statistic in enumerate(ROWS):
            ax = axes[row, column]
            _networks(ax, here[here["statistic"] == statistic])
            _exponents(ax, here[here["statistic"] == f"{statistic}_exponent"])
        name = "initialisation" if stage == "step 0" else "trained"
        axes[0, column].set_title(f"{name}, {LAYERS[layer]}")
        axes[1, column].set_xlabel("units per layer $n$")
    for row, label in enumerate(ROWS.values()):
        axes[row, 0].set_ylabel(label)
    _ticks(axes, table)
    legend(figure, axes[1, 0], NOTE, columns=5)
    return figure


def _networks(ax: Axes, table: pd.DataFrame) -> None:
    """A mark per network; sampled biases only where they can be told from zero."""
    for (estimator, parameters), rows in table.groupby(["estimator", "parameters"], sort=False):
        look = appearance(estimator, parameters)
        rows = rows[rows["value"] > 3 * rows["stderr"]]
        marks = {**look, "label": ""}
        ax.plot(rows["width"], rows["value"], linestyle="none", markersize=2, alpha=0.45, **marks)
        if rows["method"].eq("exact").all():
            middle = rows.groupby("width")["value"].median()
            ax.plot(middle.index, middle, linestyle="-", markersize=3, **look)
        else:
            ax.plot([], [], linestyle="none", markersize=3, **look)


def _exponents(ax: Axes, table: pd.DataFrame) -> None:
    """The fitted powers of the width."""
    lines = []
    for _, row in table.iterrows():
        label = appearance(row["estimator"], row["parameters"])["label"]
        lines.append(f"{label}: ${row['value']:.2f} \\pm {(row['high'] - row['low']) / 2:.2f}$")
    ax.text(0.03, 0.02, "\n".join(lines), transform=ax.transAxes, fontsize=6, va="bottom")


def _ticks(axes: np.ndarray, table: pd.DataFrame) -> None:
    widths = sorted(table["width"].dropna().unique().astype(int))
    shown = [width for width in widths if width in (2, 3, 4, 6, 8, 12, 16)]
    for ax in axes.flat:
        ax.set(xscale="log", yscale="log")
        ax.set_xticks(shown, [str(width) for width in shown], minor=False)
        ax.set_xticks([], minor=True)
    for row in axes[:, 0]:
        bottom, top = row.get_ylim()
        row.set_ylim(bottom / 40, top)
