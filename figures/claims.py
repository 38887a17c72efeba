"""Every claim's deviation from what it predicts, in units of what it allows."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from estimlab.results.plotting import PAGE_WIDTH

# Okabe and Ito: bluish green, vermilion, grey; the marker says the same.
LOOKS = {
    "holds": {"color": "#009E73", "marker": "o"},
    "refuted": {"color": "#D55E00", "marker": "X"},
    "undecided": {"color": "#7F7F7F", "marker": "s"},
}
FLOOR = 1e-6
ROW = 0.155
"""Inches per statement."""
AXIS = 0.45
"""Inches below the last one."""
NOTE = (
    "Left of the line: allowed.\nOpen marks: less than the axis shows.\n"
    "Where the claim is a bound: value / bound.\nAll numbers are exact: no error bars."
)


def draw(table: pd.DataFrame) -> Figure:
    """One row per statement, one mark per number that tests it; left of the line at 1 is allowed.

    What publications state stands above what is derived from them and what we observe ourselves.
    """
    table = table[table["verdict"] != "not covered"]
    table = table.iloc[(table["origin"] != "published").to_numpy().argsort(kind="stable")]
    statements = table.drop_duplicates("claim")
    rows = {claim: number for number, claim in enumerate(statements["claim"])}
    height = AXIS + ROW * len(rows)
    figure = Figure(figsize=(PAGE_WIDTH, height), layout="constrained")
    figure.set_layout_engine("none")  # the labels take a fixed half of the width
    ax = figure.add_axes((0.5, AXIS / height, 0.485, 0.99 - AXIS / height))
    labels = [f"{row['statement']}  {row['claim']}" for _, row in statements.iterrows()]
    ax.set_yticks(range(len(rows)), labels, fontsize=6.5)
    ax.set(xscale="log", xlim=(FLOOR / 2, 1e9), ylim=(len(rows) - 0.4, -0.6))
    ax.set_xlabel("deviation from the prediction / deviation allowed")
    _stripes(ax, statements["claim"].tolist())
    _parted(ax, int((statements["origin"] == "published").sum()))
    ax.axvline(1.0, color="black", linewidth=0.8)
    for verdict, look in LOOKS.items():
        _marks(ax, table[table["verdict"] == verdict], rows, verdict, look)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.legend(loc="upper right", title=NOTE, title_fontsize=7, alignment="left", borderaxespad=0)
    return figure


def _marks(ax: Axes, table: pd.DataFrame, rows: dict[str, int], verdict: str, look: dict[str, str]) -> None:
    """Filled where the axis reaches, open on its left end."""
    if table.empty:
        return
    place = table["claim"].map(rows)
    small = table["deviation"] < FLOOR
    ax.plot(
        table["deviation"][~small],
        place[~small],
        linestyle="none",
        label=verdict,
        markeredgecolor="white",
        markeredgewidth=0.4,
        markersize=5,
        **look,
    )
    ax.plot([FLOOR] * small.sum(), place[small], linestyle="none", markerfacecolor="white", markersize=4, **look)


def _parted(ax: Axes, published: int) -> None:
    """A line through labels and marks below what publications state."""
    ax.axhline(published - 0.5, xmin=-1, color="black", linewidth=0.8, clip_on=False)
    look = {"transform": ax.get_yaxis_transform(), "ha": "right", "fontsize": 7, "fontweight": "bold"}
    ax.text(0.99, published - 0.7, "stated in publications", va="bottom", **look)
    ax.text(0.99, published - 0.3, "derived from them, or ours", va="top", **look)


def _stripes(ax: Axes, claims: list[str]) -> None:
    """A grey band behind every other claim."""
    numbers = [claim.rstrip("abcdefghijklmnopqrstuvwxyz") for claim in claims]
    bands = pd.Series(numbers).ne(pd.Series(numbers).shift()).cumsum()
    for place in bands.index[bands % 2 == 0]:
        ax.axhspan(place - 0.5, place + 0.5, color="0.94", linewidth=0, zorder=0)
