"""Figures that need no code of their own: errors of a measurement, causes of a bias, a whole table at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from estimlab.arguments import refusal
from estimlab.errors import EstimlabError
from estimlab.numbers import is_number
from estimlab.results.export import statistics_of
from estimlab.results.matrix import HEADLINES, MOST, headed, named, usual
from estimlab.results.plotting import PAGE_WIDTH, Draw, appearance, legend, style
from estimlab.results.table import read_provenance

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P")
SMALLEST = 1e-4  # of a relative error that has a place of its own
SPAN = 1e-4  # of the largest value: what is smaller, rounding as a rule, is an open mark at the edge
ROWS = 80  # of a figure that still can be read


def axes_given(ax: Any, who: str) -> Axes:
    """The axes that a user gives, or those of a figure of one column.

    Errors:
        EstimlabError: something else than axes.
    """
    if ax is None:
        with style():
            return plt.subplots()[1]
    if not isinstance(ax, Axes):
        raise refusal(who, "ax", ax, "axes of Matplotlib, such as plt.gca(), or None")
    return ax


def plot_errors(ax: Axes, table: pandas.DataFrame, place: str) -> Axes:
    """Bias and deviation by place, over the norm of the true gradient, with 95 % intervals where they were sampled.

    Args:
        ax: drawn on.
        table: of one measurement.
        place: the column that names the places: ``layer`` or ``block``.
    """
    look = appearance(*table[["estimator", "parameters"]].iloc[0])
    bias, deviation = (table[table["statistic"] == f"relative_{name}"] for name in ("bias", "std"))
    places = np.arange(len(bias))
    with style():
        _biases(ax, places - 0.1, bias, look["color"])
        errors = 1.96 * deviation["stderr"].to_numpy()
        plain: dict[str, Any] = {"color": look["color"], "marker": "o", "linestyle": "none", "markerfacecolor": "none"}
        ax.errorbar(places + 0.1, deviation["value"], errors, label="std of one draw", **plain)
        _places(ax, list(bias[place]), place)
        ax.set(yscale="log", ylabel="over the norm of the gradient", title=look["label"])
        ax.legend()
    return ax


def _biases(ax: Axes, places: np.ndarray, bias: pandas.DataFrame, color: str) -> None:
    """Marks with intervals; arrows from the upper limit where noise hides the bias, or where it is next to nothing."""
    value = bias["value"].to_numpy()
    low = bias["low"].to_numpy(float) if "low" in bias else value
    high = bias["high"].to_numpy(float) if "high" in bias else value
    hidden = (low <= 0) | (value < SMALLEST)
    shown = ~hidden
    around = np.abs(np.stack([low - value, high - value])[:, shown])
    ax.errorbar(places[shown], value[shown], around, color=color, marker="o", linestyle="none", label="bias")
    if hidden.any():
        limits = np.maximum(high[hidden], SMALLEST)
        lengths = 0.5 * limits
        arrows: dict[str, Any] = {
            "uplims": True,
            "marker": "_",
            "linestyle": "none",
            "color": color,
            "label": "bias below",
        }
        ax.errorbar(places[hidden], limits, lengths, **arrows)


def _places(ax: Axes, names: Sequence[str], title: str) -> None:
    long = max(map(len, names)) > 8
    ax.set_xticks(range(len(names)), names, rotation=35 if long else 0, ha="right" if long else "center")
    ax.set(xlabel=title, xlim=(-0.5, len(names) - 0.5))


def plot_causes(ax: Axes, table: pandas.DataFrame) -> Axes:
    """The bias of each layer and the parts of it that other layers cause, over the norm of the true gradient.

    Args:
        ax: drawn on.
        table: of one attribution.
    """
    layers = list(dict.fromkeys(table["layer"]))
    parts = table[(table["statistic"] == "bias_contribution") & (table["value"] > SMALLEST)]
    total = table[(table["statistic"] == "relative_bias") & (table["value"] > SMALLEST)]
    with style():
        for number, source in enumerate(dict.fromkeys(table.loc[table["source"] != "all", "source"])):
            rows = parts[parts["source"] == source]
            at = [layers.index(layer) for layer in rows["layer"]]
            look: dict[str, Any] = {"color": COLORS[number % len(COLORS)], "marker": MARKERS[number % len(MARKERS)]}
            ax.plot(at, rows["value"], linestyle="none", label=f"caused by layer {source}", **look)
        at = [layers.index(layer) for layer in total["layer"]]
        ax.plot(at, total["value"], "_", color="0.3", markersize=14, label="bias")
        _places(ax, layers, "layer")
        ax.set(yscale="log", ylabel="over the norm of the gradient")
        ax.set_title(appearance(*table[["estimator", "parameters"]].iloc[0])["label"])
        ax.legend()
    return ax


def overview(table: pandas.DataFrame, symbols: dict[str, str]) -> Figure:
    """A panel per statistic, a row for all that varies, a mark per layer, with 95 % intervals.

    Args:
        table: of a study.
        symbols: of statistics, for the axes.

    Errors:
        EstimlabError: a table without statistics, or with more rows than a figure holds.
    """
    matrix = usual(table)
    if matrix is None:
        raise EstimlabError(
            "No figure draws itself of a table without the columns statistic and value, or with rows that nothing "
            "tells apart: write figures/NAME.py with a function draw(table) -> Figure."
        )
    found = statistics_of(table)
    statistics = [name for name in HEADLINES if name in found] or found[:MOST]
    table = table[table["statistic"].isin(statistics)]
    rows = headed(table.assign(**named(table, matrix.rows)), matrix.rows) if matrix.rows else [""] * len(table)
    table = table.assign(row=rows)
    order = list(dict.fromkeys(rows))
    if len(order) > ROWS:
        raise EstimlabError(
            f"The table has {len(order)} rows to tell apart, a figure that draws itself at most {ROWS}."
        )
    figure = Figure(figsize=(PAGE_WIDTH, 1.2 + 0.16 * len(order)), layout="constrained")
    axes = figure.subplots(1, len(statistics), sharey=True, squeeze=False)[0]
    for ax, statistic in zip(axes, statistics, strict=True):
        _panel(ax, table[table["statistic"] == statistic], order)
        ax.set_xlabel(symbols.get(statistic, statistic))
    axes[0].set(yticks=range(len(order)), ylim=(len(order) - 0.5, -0.5))
    axes[0].set_yticklabels(order)
    if "layer" in matrix.columns:
        legend(figure, axes, "Bars: 95 % intervals, where sampled. Open marks: smaller than what is shown.")
    return figure


def overview_of(path: str | Path) -> Draw:
    """Draws the overview of a table with the symbols of its sidecar."""

    def draw(table: pandas.DataFrame) -> Figure:
        known = read_provenance(path).get("statistics", {})
        return overview(table, {name: one["symbol"] for name, one in known.items() if one.get("symbol")})

    return draw


def _panel(ax: Axes, table: pandas.DataFrame, order: list[str]) -> None:
    """Marks by row and layer; logarithmic where all values are positive and far apart, small ones open at the edge."""
    values = table["value"].dropna()
    spread = len(values) > 0 and values.min() > 0 and values.max() > 10 * values.min()
    floor = SPAN * values.max() if spread else -np.inf
    layers = list(dict.fromkeys(table["layer"])) if "layer" in table else [""]
    for number, layer in enumerate(layers):
        rows = table[table["layer"] == layer] if "layer" in table else table
        at = np.array([order.index(row) for row in rows["row"]]) + 0.14 * (number - (len(layers) - 1) / 2)
        look: dict[str, Any] = {
            "color": COLORS[number % len(COLORS)],
            "marker": MARKERS[number % len(MARKERS)],
            "linestyle": "none",
        }
        shown = ~(rows["value"].to_numpy() < floor)
        label = f"layer {layer}" if is_number(layer) else layer
        bars = _bars(rows)[:, shown]
        ax.errorbar(rows["value"][shown], at[shown], xerr=bars, markersize=3, capsize=0, label=label, **look)
        ax.plot(np.full((~shown).sum(), floor), at[~shown], markersize=3, markerfacecolor="none", **look)
    ax.grid(axis="x", color="0.9", linewidth=0.5)
    if spread:
        ax.set_xscale("log")


def _bars(rows: pandas.DataFrame) -> np.ndarray:
    """Lengths of intervals to both sides: ``low`` and ``high`` where they are given, else 1.96 standard errors."""
    value = rows["value"].to_numpy(float)
    errors = rows["stderr"].fillna(0).to_numpy(float) if "stderr" in rows else np.zeros(len(rows))
    low, high = value - 1.96 * errors, value + 1.96 * errors
    if {"low", "high"} <= set(rows):
        given = rows["low"].notna().to_numpy()
        low, high = np.where(given, rows["low"], low), np.where(given, rows["high"], high)
    return np.abs(np.stack([value - low, high - value]))
