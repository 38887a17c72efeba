"""Error of the mean against the cost of its draws, and the cost at which the best unbiased estimator overtakes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from estimlab.results.plotting import PAGE_WIDTH, appearance, legend

UNITS = ("objective evaluations", "layer passes")
EXAMPLES = {"one": "one example", "all": "all examples"}
RIVALS = {"any": "best of all", "cost independent of width": "best with a cost\nindependent of the width"}
LEFT = 0.3
UNBIASED = ("reinforce_loo", "disarm", "arms", "local_expectation", "muprop")
DRAWN = ("straight_through", "mve", "zgr", "gumbel_softmax", "psa", *UNBIASED)


def draw(table: pd.DataFrame) -> dict[str, Figure]:
    """One figure of curves for the first problem's first layer, one of crossovers for all problems and layers."""
    table = table.assign(layer=table["layer"].astype(str))
    return {"curves": _curves(table), "crossovers": _crossovers(table)}


def _curves(table: pd.DataFrame) -> Figure:
    """Columns: one example and all; rows: the units of cost."""
    table = table[(table["problem"] == table["problem"].iloc[0]) & (table["layer"] == "0")]
    figure = Figure(figsize=(PAGE_WIDTH, 5.6), layout="constrained")
    axes = figure.subplots(2, 2, sharex="row", sharey=True)
    for row, unit in enumerate(UNITS):
        for column, examples in enumerate(EXAMPLES):
            ax, here = axes[row, column], table[(table["budget_unit"] == unit) & (table["examples"] == examples)]
            _panel(ax, here[here["statistic"] == "relative_rmse_of_mean"])
            ax.set(xscale="log", yscale="log", xlabel=f"{unit} per example, spent on draws")
            ax.set_title(f"gradient of {EXAMPLES[examples]}")
        axes[row, 0].set_ylabel(r"$\mathrm{RMSE}(\bar g_N)\,/\,\|g^*\|$")
    title = f"{table['problem'].iloc[0]}, first layer. Solid: biased; dashed: unbiased. Bands: 95 % intervals; "
    title += "a line ends where noise hides the bias."
    legend(figure, axes, title, columns=5)
    return figure


def _panel(ax: Axes, table: pd.DataFrame) -> None:
    """RMSE of the mean of as many draws as the budget pays, as far as noise does not hide it."""
    for (estimator, parameters), rows in table.groupby(["estimator", "parameters"], sort=False):
        if estimator in DRAWN:
            rows, look = rows[rows["value"] > 2 * rows["stderr"]], _look(estimator, parameters)
            style = {"linestyle": "--" if estimator in UNBIASED else "-", "markersize": 3, "markevery": 2}
            ax.plot(rows["budget"], rows["value"], **style, **look)
            low, high = rows["value"] - 1.96 * rows["stderr"], rows["value"] + 1.96 * rows["stderr"]
            ax.fill_between(rows["budget"], low, high, color=look["color"], alpha=0.25, linewidth=0)


def _crossovers(table: pd.DataFrame) -> Figure:
    """Rows: among which rivals; columns: problem and layer; filled: one example, open: all examples."""
    chosen = table[(table["statistic"] == "crossover_budget") & (table["budget_unit"] == UNITS[0])]
    places = list(dict.fromkeys(zip(chosen["problem"], chosen["layer"], strict=True)))[:4]
    order = dict.fromkeys(zip(chosen["estimator"], chosen["parameters"], strict=True))
    order = {pair: place for place, pair in enumerate(order)}
    figure = Figure(figsize=(PAGE_WIDTH, 4.6), layout="constrained")
    axes = figure.subplots(2, len(places), sharey=True, sharex=True, squeeze=False)
    for row, (kind, words) in enumerate(RIVALS.items()):
        for ax, (problem, layer) in zip(axes[row], places, strict=True):
            here = chosen[(chosen["problem"] == problem) & (chosen["layer"] == layer) & (chosen["rivals"] == kind)]
            _points(ax, here, order)
            ax.set_title(f"{problem.removesuffix('/v1')}, layer {int(layer) + 1}")
        axes[row, 0].set_ylabel(words)
    for ax in axes.flat:
        ax.set(xscale="log", xlim=(LEFT / 2, 1e6))
        ax.axvspan(LEFT / 2, 1, color="0.92", zorder=0)
    for ax in axes[1]:
        ax.set_xlabel("$C^*$ [objective evaluations\nper example]")
    axes[0, 0].set_yticks(range(len(order)), [appearance(*pair)["label"] for pair in order])
    axes[0, 0].invert_yaxis()
    figure.suptitle(
        "Cost above which the best unbiased estimator is nearer to the truth. Filled: gradient of one example, open: "
        "of all.\nGrey: nearer at every cost. Bars: 95 % intervals; dotted: nothing is excluded.",
        fontsize=7.5,
    )
    return figure


def _points(ax: Axes, table: pd.DataFrame, order: dict[tuple[str, str], int]) -> None:
    """What is negative is drawn in the grey band."""
    for row in table.itertuples():
        look = appearance(row.estimator, row.parameters)
        alone = row.examples == "one"
        y, value = order[row.estimator, row.parameters] + (-0.17 if alone else 0.17), max(row.value, LEFT)
        ends = [[value - max(row.low, LEFT)], [min(row.high, 1e9) - value]] if row.high > value else None
        style = {"color": look["color"], "marker": look["marker"], "linestyle": "none", "elinewidth": 0.8}
        bar = ax.errorbar(value, y, xerr=ends, markerfacecolor=look["color"] if alone else "white", **style)
        for line in bar[2] if np.isinf(row.high) else ():
            line.set_linestyle(":")


def _look(estimator: str, parameters: str) -> dict[str, str]:
    """Small temperatures are open markers."""
    look = dict(appearance(estimator, parameters.replace("tails=common", "")))
    return look | {"markerfacecolor": "white"} if parameters.endswith("=0.3") else look
