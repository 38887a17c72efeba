"""Relative bias and standard deviation of straight-through per layer, one mark per noise law."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from estimlab.results.plotting import PAGE_WIDTH, legend

LOOKS = {
    "Logistic": ("#0072B2", "o"),
    "Gaussian": ("#E69F00", "s"),
    "Triangular": ("#009E73", "^"),
    "Uniform": ("#000000", "D"),
}
OBJECTIVES = {
    "affine": "affine in the last state",
    "multilinear": "multilinear in the last state",
    "logistic loss": "logistic loss",
}
LAYERS = {"0": "first", "1": "second", "2": "third (last)"}
ROWS = (("relative_bias", "relative bias"), ("relative_std", "relative std of one draw"))
ROUNDING = 1e-7  # smaller values are zeros of float64, or square roots of them


def draw(table: pd.DataFrame) -> Figure:
    """Columns: objectives; rows: bias and deviation, without saturation and trained."""
    table = table[table["layer"] != "head"]
    states = list(table["stage"].drop_duplicates())
    objectives = [name for name in OBJECTIVES if name in set(table["objective"])]
    rows = [(state, *row) for state in states for row in ROWS]
    figure = Figure(figsize=(PAGE_WIDTH, 1.75 * len(rows) + 0.5), layout="constrained")
    axes = figure.subplots(len(rows), len(objectives), squeeze=False, sharex=True, sharey="row")
    for axes_row, (state, statistic, label) in zip(axes, rows, strict=True):
        for ax, objective in zip(axes_row, objectives, strict=True):
            chosen = (table["stage"] == state) & (table["objective"] == objective) & (table["statistic"] == statistic)
            _panel(ax, table[chosen], statistic)
            ax.set_title(f"{OBJECTIVES[objective]}, {state}")
        axes_row[0].set_ylabel(label)
    for ax in axes[-1]:
        ax.set(xticks=range(len(LAYERS)), xticklabels=list(LAYERS.values()), xlabel="layer")
    networks = int(table["networks"].iloc[0])
    note = (
        f"mark: median over {networks} networks, exact in each; bar: 95 % interval of that median. 0: zero to rounding"
    )
    legend(figure, axes[0, 0], note, columns=4)
    return figure


def _panel(ax: Axes, table: pd.DataFrame, statistic: str) -> None:
    if statistic == "relative_std":
        ax.set(yscale="log", ylim=(0.012, 25))
    else:
        ax.set_ylim(-0.12, 1.75)
        ax.axhline(0, color="0.8", linewidth=0.6, zorder=0)
    for shift, (law, rows) in zip(np.linspace(-0.27, 0.27, 4), table.groupby("law", sort=False), strict=True):
        color, marker = LOOKS[law.partition("(")[0]]
        x = rows["layer"].astype(int).to_numpy() + shift
        zero = rows["high"].abs().to_numpy() < ROUNDING
        value = np.where(zero, 0.015 if statistic == "relative_std" else 0, rows["value"])
        bars = np.where(zero, 0, [rows["value"] - rows["low"], rows["high"] - rows["value"]])
        name = law.partition("(")[0]
        ax.errorbar(x, value, bars, color=color, marker=marker, linestyle="none", elinewidth=0.8, label=name)
        for place, height in zip(x[zero], value[zero], strict=True):
            ax.annotate(
                "0", (place, height), xytext=(0, 4), textcoords="offset points", ha="center", fontsize=7, color=color
            )
