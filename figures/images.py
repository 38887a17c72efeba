"""Bias, deviation and accuracy along training on images: solid along the exact gradient, dashed along ST's draws."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from estimlab.results.plotting import PAGE_WIDTH, appearance, legend

NAMES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "digits": "digits"}
SMALL = 0.3  # temperature of open marks
TRAINERS = {"exact": "-", "straight_through": "--", "zgr": ":"}
ROWS = (
    ("relative_bias", "0", "relative bias,\nfirst layer"),
    ("relative_bias", "1", "relative bias,\nsecond layer"),
    ("relative_std", "0", "relative deviation,\nfirst layer"),
)
WORDS = {"exact": "along the exact gradient", "straight_through": "along draws of ST", "zgr": "along draws of ZGR"}
NOTE = "Exact values (DisARM: standard errors below 2 %). Line style: what the network was trained along."


def draw(table: pd.DataFrame) -> Figure:
    """Columns: data sets."""
    table = table.assign(layer=table["layer"].astype(str))
    problems = list(table["problem"].drop_duplicates())
    figure = Figure(figsize=(PAGE_WIDTH, 7.4), layout="constrained")
    axes = figure.subplots(len(ROWS) + 1, len(problems), squeeze=False, sharex=True, sharey="row")
    for column, problem in enumerate(problems):
        here = table[table["problem"] == problem]
        for ax, (statistic, layer, words) in zip(axes[:, column], ROWS, strict=False):
            _panel(ax, here[(here["statistic"] == statistic) & (here["layer"] == layer)])
            if column == 0:
                ax.set_ylabel(words)
        _accuracy(axes[-1, column], here[here["statistic"] == "test_accuracy"])
        axes[0, column].set_title(f"{NAMES[problem]}, 14 × 14 pixels – 10 – 10" if problem != "digits" else problem)
        axes[-1, column].set_xlabel("step of Adam")
        axes[-1, column].set_xscale("symlog", linthresh=10)
        axes[-1, column].set_xlim(left=-1)
    axes[-1, 0].set_ylabel("expected accuracy\non test images")
    trainers = {WORDS[trainer]: Line2D([], [], color="0.3", linestyle=style) for trainer, style in TRAINERS.items()}
    legend(figure, axes, NOTE, columns=4, more=trainers)
    return figure


def _panel(ax: Axes, table: pd.DataFrame) -> None:
    """One colour per estimator that is measured, one line style per trainer."""
    ax.set_yscale("log")
    for trainer, style in list(TRAINERS.items())[:2]:
        chosen = table[table["trainer"] == trainer]
        for (estimator, parameters), rows in chosen.groupby(["estimator", "parameters"], sort=False):
            look = dict(appearance(estimator, parameters))
            row = rows.iloc[0]
            if row.get("proxy") == "identity" or row.get("temperature") == SMALL:
                look |= {"markerfacecolor": "white"}
            if trainer != "exact":
                look |= {"label": "_", "marker": ""}
            ax.plot(rows["step"], rows["value"], linestyle=style, markersize=3.5, **look)


def _accuracy(ax: Axes, table: pd.DataFrame) -> None:
    for trainer, style in TRAINERS.items():
        rows = table[table["trainer"] == trainer]
        ax.plot(rows["step"], rows["value"], linestyle=style, color="0.3")
