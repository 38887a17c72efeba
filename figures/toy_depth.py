"""RMSE against the number of averaged draws, and bands of the cosine: rows are layers, columns stages of training."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from estimlab.results.plotting import PAGE_WIDTH, appearance, legend

LAYERS = {"0": "first layer", "1": "second layer", "2": "third layer"}
SMALL = 0.1  # temperature of open marks
BANDS = ("cosine_of_mean_15", "cosine_of_mean_50", "cosine_of_mean_85")
NOTE = (
    "RMSE: bars are two standard errors. Cosine with the true gradient: marks are medians over means of 1, 8, 64 or "
    "512 draws (placed side by side),\nbars go from the 15 % to the 85 % quantile. Dotted: relative bias and cosine of "
    "infinitely many draws, without sampling."
)


def draw(table: pd.DataFrame) -> Figure:
    """Three rows of errors, three of cosines."""
    objectives = table[table["statistic"] == "expected_objective"].set_index("stage")["value"]
    figure = Figure(figsize=(PAGE_WIDTH, 9.3), layout="constrained")
    axes = figure.subplots(6, len(objectives), squeeze=False, sharey="row")
    for column, (stage, objective) in enumerate(objectives.items()):
        for row, layer in enumerate(LAYERS):
            here = table[(table["stage"] == stage) & (table["layer"] == layer)]
            _errors(axes[row, column], here)
            _cosines(axes[3 + row, column], here)
            for ax in (axes[row, column], axes[3 + row, column]):
                ax.set_title(
                    f"{LAYERS[layer]}, {stage}" + (rf", $\mathrm{{E}}f = {objective:.3f}$" if row == 0 else "")
                )
    for row in range(6):
        axes[row, 0].set_ylabel("relative RMSE" if row < 3 else "cosine")
        for ax in axes[row]:
            if row in (2, 5):
                ax.set_xlabel("number of averaged draws")
            else:
                ax.tick_params(labelbottom=False)
    legend(figure, axes[0, 0], NOTE, columns=9, more={"limit, exact": Line2D([], [], color="0.3", linestyle=":")})
    return figure


def _errors(ax: Axes, table: pd.DataFrame) -> None:
    ax.set(xscale="log", yscale="log", ylim=(0.007, 600), yticks=[0.01, 0.1, 1, 10, 100])
    means = table[table["statistic"] == "relative_rmse_of_mean"]
    for _, rows in means.groupby(["estimator", "parameters"], sort=False):
        look = _look(rows.iloc[0])
        ax.errorbar(
            rows["averaged"], rows["value"], 2 * rows["stderr"], markersize=3, elinewidth=0.7, capsize=1.2, **look
        )
    exact = table[(table["statistic"] == "relative_bias") & (table["method"] == "exact")]
    for _, row in exact.iterrows():
        ax.axhline(row["value"], color=_look(row)["color"], linestyle=":", linewidth=0.8)


def _cosines(ax: Axes, table: pd.DataFrame) -> None:
    ax.set(xscale="log", xlim=(0.3, 1700), ylim=(-0.45, 1.06))
    ax.set_xticks(ticks := sorted(set(table[table["statistic"] == BANDS[0]]["averaged"])), map(str, ticks), minor=False)
    ax.minorticks_off()
    ax.axhline(0, color="0.85", linewidth=0.6, zorder=0)
    banded = table[table["statistic"].isin(BANDS)]
    shifts = dict(
        zip(banded.groupby(["estimator", "parameters"], sort=False).groups, np.linspace(-0.33, 0.33, 7), strict=True)
    )
    for key, rows in banded.groupby(["estimator", "parameters"], sort=False):
        low, middle, high = (rows[rows["statistic"] == name]["value"].to_numpy() for name in BANDS)
        x = rows[rows["statistic"] == BANDS[0]]["averaged"].to_numpy() * 10 ** shifts[key]
        look = {**_look(rows.iloc[0]), "linestyle": "none"}
        ax.errorbar(x, middle, [middle - low, high - middle], markersize=3, elinewidth=0.8, capsize=0, **look)
    means = table[table["statistic"] == "cosine"]
    for _, row in means[(means["method"] == "exact") | (means["estimator"] == "mean_field")].iterrows():
        look = _look(row)
        style = ":" if row["method"] == "exact" else look["linestyle"]
        ax.axhline(row["value"], color=look["color"], linestyle=style, linewidth=0.8)


def _look(row: pd.Series) -> dict[str, object]:
    """Open marks and dashes for the small temperature; a line without marks where a draw is not random."""
    look: dict[str, object] = {**appearance(row["estimator"], row["parameters"]), "linestyle": "-"}
    if row.get("temperature") == SMALL:
        look |= {"markerfacecolor": "none", "linestyle": "--"}
    if row["estimator"] == "mean_field":
        look |= {"marker": "", "linestyle": "-."}
    return look
