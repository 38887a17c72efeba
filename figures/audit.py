"""One row per function and claim: what was measured over what is claimed, with the verdict as marker and colour."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from estimlab.results.plotting import PAGE_WIDTH, legend

LOOKS = {
    "holds": {"color": "#0072B2", "marker": "o"},
    "another scale": {"color": "#56B4E9", "marker": "^"},
    "refuted": {"color": "#D55E00", "marker": "X"},
    "undecided": {"color": "#E69F00", "marker": "D"},
    "not covered": {"color": "#7F7F7F", "marker": "_"},
}
LONGEST = 52


def draw(table: pd.DataFrame) -> Figure:
    """Two columns of claims, packages in blocks."""
    table = table.reset_index(drop=True)
    half = (len(table) + 1) // 2
    parts = [table.iloc[:half], table.iloc[half:]] if len(table) > 12 else [table]
    figure = Figure(figsize=(PAGE_WIDTH, 1.0 + 0.225 * max(map(len, parts))), layout="constrained")
    axes = figure.subplots(1, len(parts), squeeze=False)[0]
    for ax, part in zip(axes, parts, strict=True):
        _claims(ax, part.reset_index(drop=True))
    verdicts = {name: look for name, look in LOOKS.items() if name in set(table["verdict"])}
    legend(
        figure,
        (),
        "bars: 95 % interval, where sampled (most are smaller than the marks); other ratios are exact.\n"
        "Open mark at the right: no ratio, as the call fails. Axis linear between -0.1 and 0.1, logarithmic beyond.\n"
        "Grey line: as claimed. *: a control of ours.",
        columns=5,
        more={name: Line2D([], [], linestyle="none", **look) for name, look in verdicts.items()},
    )
    return figure


def _claims(ax: Axes, table: pd.DataFrame) -> None:
    ax.axvline(1, color="0.8", linewidth=0.8, zorder=0)
    ax.set_xscale("symlog", linthresh=0.1, linscale=0.5)
    ax.set(xlim=(-0.1, 2500), ylim=(len(table) - 0.4, -0.8), xlabel="measured / claimed", yticks=range(len(table)))
    ax.set_xticks([0, 0.1, 1, 10, 100], ["0", "0.1", "1", "10", "100"])
    ax.set_xticks([], minor=True)
    ax.set_yticklabels([_label(row) for _, row in table.iterrows()], fontsize=5.8, linespacing=0.95)
    ax.tick_params(axis="y", length=0)
    for place, row in table.iterrows():
        known = np.isfinite(row["ratio"])
        look = dict(LOOKS[row["verdict"]])
        ax.errorbar(
            row["ratio"] if known else 1100,
            place,
            xerr=1.96 * row["stderr"] if known else None,
            markerfacecolor=look["color"] if known else "none",
            markersize=4.5,
            clip_on=False,
            **look,
        )
    starts = np.flatnonzero(table["package"] != table["package"].shift())
    for start in starts[1:]:
        ax.axhline(start - 0.5, color="0.85", linewidth=0.6)
    ax.spines["left"].set_visible(False)


def _label(row: pd.Series) -> str:
    """Package and function, and the claim below it."""
    star = "*" if row["kind"] == "control" else ""
    name = f"{row['package']}: {row['function']}{star}"
    return f"{_short(name)}\n{_short(row['claim'])}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
