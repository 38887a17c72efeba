"""Bias and variance in the small beside the outcome of training, and how well they rank it."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from estimlab.results.plotting import PAGE_WIDTH, appearance, legend

PREDICTORS = {
    "relative_bias": r"relative bias, $\|m - g^*\|/\|g^*\|$",
    "relative_std": r"relative std, $\mathrm{std}/\|g^*\|$",
    "relative_rmse": r"relative RMSE of one draw",
}
OUTCOMES = {
    "error": "error of a draw",
    "train_loss": "training loss",
    "training_std": "std of gradient",
}
NOTE = (
    "Above: one mark per seed; the lower the temperature, the smaller the mark. Below: circles and squares, the small\n"
    "network early and late in training; lines: 95 % intervals, families of estimators resampled; grey bars: 95 % of\n"
    "what tau is when the estimators are permuted. One small network at two stages, three seeds of the larger one."
)
PROXIES = {"identity": "s", "hard_tanh": "^", "approx_sign": "v"}
MARKS = {"digits-early/v1": "o", "digits-late/v1": "s"}


def draw(table: pd.DataFrame) -> Figure:
    """Above: training loss of every seed against each predictor. Below: Kendall's tau of all pairs."""
    figure, axes = plt.subplots(2, 3, figsize=(PAGE_WIDTH, 5.2), height_ratios=(1.5, 1))
    for column, (predictor, label) in enumerate(PREDICTORS.items()):
        _scatter(axes[0, column], table, predictor)
        axes[0, column].set(xlabel=label + "\nof layer 0, 64-10-10, early")
        _ranks(axes[1, column], table[table["predictor"] == predictor])
        axes[1, column].set_title(label.split(",")[0])
    axes[0, 0].set_ylabel("test error of one drawn pass\nof the larger network")
    axes[1, 0].set_ylabel(r"Kendall's $\tau$, stratified by seed")
    legend(figure, axes[0, 0], NOTE)
    return figure


def _scatter(ax: Axes, table: pd.DataFrame, predictor: str) -> None:
    chosen = (table["statistic"] == predictor) & (table["layer"] == "0") & (table["problem"] == next(iter(MARKS)))
    outcomes = table[(table["statistic"] == "accuracy_of_draw") & (table["recipe"] != "")]
    for row in table[chosen].itertuples():
        same = (outcomes["estimator"] == row.estimator) & (outcomes["parameters"] == row.parameters)
        y = 1 - outcomes[same]["value"]
        ax.plot(np.full(len(y), abs(row.value)), y, linestyle="none", **_look(row))
    ax.set(xscale="log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


def _look(row: Any) -> dict[str, object]:
    """Proxies are open marks of their own; the smaller the temperature, the smaller the mark."""
    look: dict[str, object] = dict(appearance(row.estimator, row.parameters))
    if row.proxy in PROXIES:
        look |= {"marker": PROXIES[row.proxy], "markerfacecolor": "none"}
    return look | {"markersize": 5.0 if np.isnan(row.temperature) else 5.5 + 3.5 * np.log10(row.temperature)}


def _ranks(ax: Axes, rows: pd.DataFrame) -> None:
    for shift, (problem, marker) in zip((-0.15, 0.15), MARKS.items(), strict=True):
        for k, outcome in enumerate(OUTCOMES):
            for row in rows[(rows["problem"] == problem) & (rows["outcome"] == outcome)].itertuples():
                ax.plot(
                    [k + shift] * 2, [row.chance_low, row.chance_high], color="0.8", linewidth=5, solid_capstyle="butt"
                )
                ax.plot([k + shift] * 2, [row.low, row.high], color="black", linewidth=0.7)
                ax.plot(k + shift, row.value, marker=marker, color="black", linestyle="none")
    ax.axhline(0, color="0.6", linewidth=0.6, zorder=0)
    ax.set(xticks=range(len(OUTCOMES)), xlim=(-0.6, len(OUTCOMES) - 0.4), ylim=(-1.05, 1.05))
    ax.set_xticklabels([name.replace(" ", "\n", 1) for name in OUTCOMES.values()])
