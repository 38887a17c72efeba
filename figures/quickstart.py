"""Bias against standard deviation per layer and stage of training, and the error of the mean of several draws."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from estimlab.results.plotting import PAGE_WIDTH, appearance, legend

STAGES = {"init": "initialisation", "early": "early", "late": "late in training"}
LAYERS = {"0": "first layer", "1": "second layer"}
AVERAGED = ("straight_through", "zgr", "mve", "st_gumbel_softmax", "gumbel_softmax", "reinforce", "arm", "disarm")
SMALL = 0.3  # temperature of open marks
BASELINES = ("0.0", "2.3")
OPEN = {"identity", "hard_tanh", "tanh", "approx_sign"}
PROXY_MARKERS = {"identity": "o", "hard_tanh": "s", "tanh": "D", "approx_sign": "^"}
NOTE = (
    "arrow: upper limit of a bias that four standard errors hide; other standard errors (jackknife) are smaller than "
    "the marks.\nGrey arcs: equal RMSE of one draw."
)


def draw(table: pd.DataFrame) -> Figure:
    """Rows: the plane of bias and deviation for both layers, then RMSE against the number of averaged draws."""
    table = table[table["source"] == ""].assign(layer=lambda t: t["layer"].astype(str))
    stages = [stage for stage in STAGES if stage in set(table["stage"])]
    figure = Figure(figsize=(PAGE_WIDTH, 8.2), layout="constrained")
    axes = figure.subplots(4, len(stages), squeeze=False, sharex="row", sharey="row")
    for column, stage in enumerate(stages):
        for row, layer in enumerate(LAYERS):
            here = table[(table["stage"] == stage) & (table["layer"] == layer)]
            _plane(axes[row, column], here)
            _averaging(axes[2 + row, column], here)
            for ax in (axes[row, column], axes[2 + row, column]):
                ax.set_title(f"{LAYERS[layer]}, {STAGES[stage]}")
    for row in range(4):
        axes[row, 0].set_ylabel("relative standard deviation" if row < 2 else "relative RMSE of the mean")
    for ax in axes[:2].flat:
        _equal_rmse(ax)
    legend(figure, axes[:2], NOTE)
    return figure


def _plane(ax: Axes, table: pd.DataFrame) -> None:
    """One point per estimator; where four standard errors hide the bias, an arrow from its upper limit."""
    ax.set(xscale="log", yscale="log", xlabel="relative bias")
    for _, rows in table.groupby(["estimator", "parameters"], sort=False):
        row, look = rows.set_index("statistic")[["value", "stderr"]], _look(rows.iloc[0])
        squared, stderr = row.loc["squared_bias"]
        deviation = row.loc["relative_std", "value"]
        hidden = squared <= 4 * stderr
        limit = max(squared, 0) + 4 * stderr if hidden else squared
        bias = limit**0.5 / row.loc["reference_norm", "value"]
        ax.plot(bias, deviation, linestyle="none", **look)
        if hidden:
            ax.update_datalim([(bias / 2.2, deviation)])  # an arrow that ends outside the axes is not drawn
            arrow = {"arrowstyle": "->", "color": look["color"], "linewidth": 0.7, "shrinkA": 1, "shrinkB": 0}
            ax.annotate("", (bias / 2.2, deviation), (bias, deviation), arrowprops=arrow)
    ax.margins(0.12)


def _equal_rmse(ax: Axes) -> None:
    """Quarter circles of equal root mean squared error."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    angle = np.linspace(0, np.pi / 2, 400)
    for exponent in range(-2, 4):
        radius = 10.0**exponent
        ax.plot(radius * np.cos(angle), radius * np.sin(angle), color="0.85", linewidth=0.7, zorder=0)
        if bottom < radius < top:
            ax.annotate(
                f"{radius:g}", (left, radius), xytext=(2, 1), textcoords="offset points", fontsize=6, color="0.5"
            )
    ax.set(xlim=(left, right), ylim=(bottom, top))


def _averaging(ax: Axes, table: pd.DataFrame) -> None:
    chosen = table[(table["statistic"] == "relative_rmse_of_mean") & table["estimator"].isin(AVERAGED)]
    ax.set(xscale="log", yscale="log", xlabel="number of averaged draws")
    plain = ~chosen["proxy"].isin(OPEN) & ~chosen["baseline"].astype(str).isin(BASELINES)
    for _, rows in chosen[plain].groupby(["estimator", "parameters"], sort=False):
        look = _look(rows.iloc[0])
        style = "--" if rows.iloc[0].get("temperature") == SMALL else "-"
        ax.plot(rows["averaged"], rows["value"], linestyle=style, markersize=3, **look)


def _look(row: pd.Series) -> dict[str, object]:
    """Proxies of the straight-through estimator are open markers of one colour; small temperatures are open too."""
    look: dict[str, object] = dict(appearance(row["estimator"], row["parameters"]))
    if row.get("proxy") in OPEN:
        look |= {"marker": PROXY_MARKERS[row["proxy"]], "color": "0.35"}
    if str(row.get("baseline")) == BASELINES[1]:
        look["marker"] = "x"
    if row.get("proxy") in OPEN or row.get("temperature") == SMALL or str(row.get("baseline")) == BASELINES[0]:
        look["markerfacecolor"] = "none"
    return look
