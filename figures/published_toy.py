"""Published numbers of the toy network against ours, and how far they lie apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from estimlab.results.plotting import PAGE_WIDTH, appearance, legend

STATISTICS = {
    "relative_rmse": "relative RMSE of one draw",
    "relative_rmse_of_mean": "relative RMSE, 9000 draws",
    "mean_cosine": "mean cosine of one draw",
}
LAYERS = ("0", "1", "2")
NOTE = (
    "Above: bars, mostly smaller than the marks, are 95 % intervals of both numbers; line: equality; open: GS(0.1).\n"
    "Below: $z$, the difference over its standard error, layers 1, 2, 3 from left to right; grey: 95 % of what chance "
    "makes."
)


def draw(table: pd.DataFrame) -> Figure:
    """Columns: statistics; above: ours against the published number, below: z."""
    table = table.assign(layer=table["layer"].astype(str))
    figure = Figure(figsize=(PAGE_WIDTH, 4.6), layout="constrained")
    axes = figure.subplots(2, len(STATISTICS), height_ratios=(1.8, 1), squeeze=False)
    for (above, below), (statistic, words) in zip(axes.T, STATISTICS.items(), strict=True):
        rows = table[table["statistic"] == statistic]
        _against(above, rows)
        _distances(below, rows)
        above.set(xlabel="published", title=words)
    axes[0, 0].set_ylabel("measured here")
    axes[1, 0].set_ylabel("$z$")
    legend(figure, axes[0, 0], NOTE, columns=7)
    return figure


def _against(ax: Axes, table: pd.DataFrame) -> None:
    for (estimator, parameters), rows in table.groupby(["estimator", "parameters"], sort=False):
        bars = {"xerr": 1.96 * rows["published_stderr"], "yerr": 1.96 * rows["stderr"], "elinewidth": 0.8}
        ax.errorbar(
            rows["published"], rows["value"], linestyle="none", capsize=0, **bars, **_look(estimator, parameters)
        )
    if table["statistic"].iloc[0] != "mean_cosine":
        ax.set(xscale="log", yscale="log")
    ends = min(ax.get_xlim()[0], ax.get_ylim()[0]), max(ax.get_xlim()[1], ax.get_ylim()[1])
    ax.plot(ends, ends, color="0.7", linewidth=0.7, zorder=0)
    ax.set(xlim=ends, ylim=ends)


def _distances(ax: Axes, table: pd.DataFrame) -> None:
    """One place per estimator, the layers side by side in it."""
    groups = table.groupby(["estimator", "parameters"], sort=False)
    names = []
    for place, (key, rows) in enumerate(groups):
        shift = [0.25 * (LAYERS.index(layer) - 1) for layer in rows["layer"]]
        look = _look(*key)
        ax.plot(place + np.array(shift), rows["z"], linestyle="none", markersize=3.5, **look)
        names.append(look["label"])
    ax.axhspan(-1.96, 1.96, color="0.92", zorder=0)
    ax.set(xlim=(-0.6, len(names) - 0.4), ylim=(-4.5, 4.5))
    ax.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor", fontsize=6.5)


def _look(estimator: str, parameters: str) -> dict[str, str]:
    look = appearance(estimator, parameters)
    return look | {"markerfacecolor": "white"} if parameters == "temperature=0.1" else look
