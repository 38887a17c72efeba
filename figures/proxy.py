"""Heat maps of relative bias and cosine, proxies against noise laws, numbers printed in the cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from estimlab.results.plotting import PAGE_WIDTH

LAYERS = {"0": "first layer", "1": "second layer", "2": "third layer"}
STATISTICS = {"relative_bias": "relative bias", "cosine": "cosine of the mean"}
STAGES = {"early": "early", "late": "late in training"}
# One map each, readable without colours: dark is bad in both.
NORMS = {"relative_bias": LogNorm(0.2, 20, clip=True), "cosine": Normalize(-0.2, 1, clip=True)}
MAPS = {"relative_bias": "cividis_r", "cosine": "cividis"}


def draw(table: pd.DataFrame) -> Figure:
    """Rows: layers. Columns: both statistics, early and late."""
    stages = [stage for stage in STAGES if stage in set(table["stage"])]
    figure = Figure(figsize=(PAGE_WIDTH, 5.6), layout="constrained")
    axes = figure.subplots(len(LAYERS), 2 * len(stages), squeeze=False, sharex=True, sharey=True)
    for row, layer in enumerate(LAYERS):
        for column, (statistic, stage) in enumerate((s, t) for s in STATISTICS for t in stages):
            here = table[(table["layer"] == layer) & (table["statistic"] == statistic) & (table["stage"] == stage)]
            _map(axes[row, column], here, statistic)
            axes[row, column].set_title(f"{LAYERS[layer]}, {STAGES[stage]}")
    for number, statistic in enumerate(STATISTICS):
        group = axes[:, number * len(stages) : (number + 1) * len(stages)]
        bar = ScalarMappable(NORMS[statistic], MAPS[statistic])
        low = "min" if statistic == "cosine" else "both"
        figure.colorbar(
            bar, ax=group, location="bottom", aspect=40, shrink=0.9, label=STATISTICS[statistic], extend=low
        )
    networks = int(table["networks"].iloc[0])
    figure.suptitle(
        f"Median over {networks} networks of the exact value. Boxes: the proxy is the density of the noise.", fontsize=8
    )
    return figure


def _map(ax: Axes, rows: pd.DataFrame, statistic: str) -> None:
    proxies = list(rows["proxy"].drop_duplicates())
    laws = list(rows["law"].drop_duplicates())
    values = rows["value"].to_numpy().reshape(len(laws), len(proxies)).T
    ax.imshow(values, cmap=MAPS[statistic], norm=NORMS[statistic], aspect="auto")
    ax.set_xticks(range(len(laws)), [law.partition("(")[0] for law in laws], rotation=35, ha="right")
    ax.set_yticks(range(len(proxies)), [proxy.replace("_", " ") for proxy in proxies])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    for (i, j), value in np.ndenumerate(values):
        ax.text(j, i, _short(value), ha="center", va="center", fontsize=6.5, color=_ink(value, statistic))
        if np.isclose(value, values[0, j], rtol=1e-9):  # the same function as the derived proxy
            ax.add_patch(Rectangle((j - 0.47, i - 0.47), 0.94, 0.94, fill=False, linewidth=0.9, edgecolor="#D55E00"))


def _short(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"


def _ink(value: float, statistic: str) -> str:
    """White on the dark half of the map."""
    share = float(NORMS[statistic](value))
    bright = 1 - share if MAPS[statistic].endswith("_r") else share
    return "black" if bright > 0.5 else "white"
