"""Relative bias and variance against the temperature, with asymptotes: a column per objective."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from estimlab.numbers import with_error
from estimlab.results.plotting import PAGE_WIDTH, appearance, legend

OBJECTIVES = {
    "linear": r"linear, $f = b$",
    "quadratic": r"quadratic, $f = b^2$",
    "cubic": r"cubic, $f = b^3$",
    "exponential": r"exponential, $f = e^b$",
}
LABELS = {"relative_bias": "relative bias", "variance": "variance of one draw"}
ORDERS = {"relative_bias": "order_of_relative_bias", "variance": "order_of_variance"}
# The bias of all members of the straight-through family is the same.
IN_BIAS = ("gumbel_softmax", "st_gumbel_softmax")
SMALL = 0.4  # asymptotes are drawn below
DASHES = {10: "--", 100: ":"}  # numbers of samples
NOTE = (
    r"One bit with logistic noise at pre-activation 0.7; all values are exact. GR($K$) has the bias of ST-GS for every "
    "$K$. Dips: the bias changes its sign.\nColoured numbers: the fitted order $s$ with which the distance from the "
    r"limit (GS: zero, variance of the others: ZGR's) goes like $\tau^s$,"
    "\nin brackets, in units of the last digit, its change when the last correction of the fit is dropped."
)


def draw(table: pd.DataFrame) -> Figure:
    """Lines: exact values; grey: asymptotes; crosses: numbers derived independently."""
    objectives = [name for name in OBJECTIVES if name in set(table["objective"])]
    figure = Figure(figsize=(PAGE_WIDTH, 4.4), layout="constrained")
    axes = figure.subplots(2, len(objectives), squeeze=False, sharex=True, sharey="row")
    for axes_row, statistic in zip(axes, LABELS, strict=True):
        for ax, objective in zip(axes_row, objectives, strict=True):
            _panel(ax, table[table["objective"] == objective], statistic)
            ax.set_title(OBJECTIVES[objective])
        axes_row[0].set_ylabel(LABELS[statistic])
    for ax in axes[-1]:
        ax.set_xlabel(r"temperature $\tau$")
    more = {
        r"theory at small $\tau$": Line2D([], [], color="0.8", linewidth=2.4),
        "derived independently": Line2D([], [], color="0.2", marker="x", linestyle="none", markersize=4.5),
    }
    legend(figure, axes[1, 0], NOTE, columns=7, more=more)
    return figure


def _panel(ax: Axes, table: pd.DataFrame, statistic: str) -> None:
    ax.set(xscale="log", yscale="log", ylim=(2e-6, 3) if statistic == "relative_bias" else (3e-4, 60))
    fits = table[table["statistic"] == ORDERS[statistic]].set_index(["estimator", "parameters"])
    notes = []
    for key, rows in table[table["statistic"] == statistic].groupby(["estimator", "parameters"], sort=False):
        estimator, samples = key[0], rows["samples"].iloc[0]
        if statistic == "relative_bias" and estimator not in IN_BIAS:
            continue
        look = {**appearance(*key), "marker": "", "linestyle": "-" if pd.isna(samples) else DASHES[samples]}
        small = rows[rows["temperature"] < SMALL]
        ax.plot(small["temperature"], small["asymptote"], color="0.8", linewidth=2.4, zorder=0)
        ax.plot(rows["temperature"], rows["value"].abs(), **look)
        known = rows.dropna(subset="derived")
        ax.plot(known["temperature"], known["derived"], "x", color=look["color"], markersize=4.5)
        notes.append((look, fits.loc[key]))
    bottom = 0.03 if statistic == "relative_bias" else 0.60
    for place, (look, fit) in enumerate(reversed(notes)):
        text = f"${with_error(fit['value'], fit['stderr'])}$"
        where = (0.98, bottom + 0.08 * place)
        ax.annotate(text, where, xycoords="axes fraction", ha="right", color=look["color"], fontsize=6.5)
