"""Ranks on the frozen suite: bias, deviation and error of every estimator, a newcomer's row shaded."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from estimlab.results.plotting import PAGE_WIDTH, appearance, legend

PANELS = {
    "relative_bias": "bias",
    "relative_std": "std of one draw",
    "relative_rmse_of_mean": "RMSE at equal cost",
    "descent_efficiency": "descent efficiency",
}
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")
MARKERS = ("o", "s", "^", "D", "v")
FLOOR = 1e-4
NEWCOMER = "#F0E442"


def draw(table: pd.DataFrame) -> Figure:
    """One panel per statistic, estimators from the best to the worst median error at equal cost."""
    table = table[table["layer"].astype(str) == "0"].copy()  # the first layer, the hardest
    table["label"] = [appearance(name)["label"] for name in table["estimator"]]
    order = _order(table)
    problems = list(dict.fromkeys(table["problem"]))
    figure = Figure(figsize=(PAGE_WIDTH, 1.3 + 0.155 * len(order)), layout="constrained")
    axes = figure.subplots(1, len(PANELS), sharey=True)
    for ax, (statistic, title) in zip(axes, PANELS.items(), strict=True):
        _panel(ax, table[table["statistic"] == statistic], order, problems)
        ax.set(xlabel=title)
    axes[0].set(yticks=range(len(order)), ylim=(len(order) - 0.5, -0.5))
    axes[0].set_yticklabels(order, fontsize=6)
    for place in [order.index(label) for label in table.loc[table["newcomer"], "label"].unique()]:
        for ax in axes:
            ax.axhspan(place - 0.5, place + 0.5, color=NEWCOMER, alpha=0.6, zorder=0)
        axes[0].get_yticklabels()[place].set_fontweight("bold")
    legend(
        figure,
        axes[0],
        "First layer; bias, deviation, RMSE over the norm of the true gradient. Equal cost: the mean of as many\n"
        "draws as 10,000 layer passes give. Bars: 95 % interval, where sampled. Open marks at the left edge: below\n"
        "1e-4, or a sampled bias within 4 standard errors of 0. Rows by median error at equal cost; shaded: newcomer.",
        columns=5,
    )
    return figure


def _order(table: pd.DataFrame) -> list[str]:
    """Labels by the median error at equal cost."""
    error = table[table["statistic"] == "relative_rmse_of_mean"].groupby("label")["value"].median()
    return list(error.sort_values(kind="stable").index)


def _panel(ax: Axes, table: pd.DataFrame, order: list[str], problems: list[str]) -> None:
    ax.set_xscale("log")
    ax.grid(axis="x", color="0.9", linewidth=0.5)
    for number, problem in enumerate(problems):
        rows = table[table["problem"] == problem]
        place = np.array([order.index(label) for label in rows["label"]]) + 0.13 * (number - (len(problems) - 1) / 2)
        value, stderr = rows["value"].to_numpy(), rows["stderr"].to_numpy()
        unsure = (stderr > 0) & (value < 4 * stderr) if table["statistic"].iloc[0] == "relative_bias" else False
        hidden = (value < FLOOR) | unsure | np.isnan(value)
        look = {"color": COLORS[number % 5], "marker": MARKERS[number % 5], "linestyle": "none", "markersize": 2.6}
        ax.errorbar(
            value[~hidden],
            place[~hidden],
            xerr=1.96 * stderr[~hidden],
            elinewidth=0.5,
            capsize=0,
            label=problem,
            **look,
        )
        ax.plot(np.full(hidden.sum(), FLOOR), place[hidden], markerfacecolor="none", markeredgewidth=0.5, **look)
    ax.set_xlim(left=FLOOR / 1.5)
