"""Bias and deviation on the published toys, raw and scale-invariant, and who wins on which objective."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from estimlab.results.plotting import PAGE_WIDTH, appearance, legend

COLUMNS = {
    "relative_bias": "relative bias",
    "scale_invariant_bias": "scale-invariant bias",
    "relative_std": "relative std",
    "scale_invariant_std": "scale-invariant std",
}
MATRICES = {"relative_bias": "relative bias", "relative_std": "relative std", "relative_rmse": "relative RMSE"}
ZERO = 1e-9  # exact results below this are zero to rounding


def draw(table: pd.DataFrame) -> Figure:
    """Row 1: quadratics by size; row 2: powers of many bits; row 3: objectives times estimators on eight bits."""
    table = table[table["networks"].notna()].fillna({"parameters": ""})
    figure = Figure(figsize=(PAGE_WIDTH, 7.4), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(4.3, 3.1))
    axes = upper.subplots(2, 4)
    quadratics = table[table["objective"] == "quadratic"]
    many = table[(table["units"] == table["units"].max()) & table["objective"].str.startswith("power")]
    powers = many.assign(x=many["objective"].str.removeprefix("power ").astype(float))
    for column, (statistic, title) in enumerate(COLUMNS.items()):
        _sizes(axes[0, column], quadratics[quadratics["statistic"] == statistic].assign(x=lambda t: t["units"]))
        _sizes(axes[1, column], powers[powers["statistic"] == statistic])
        axes[0, column].set(title=title, xlabel="bits $n$")
        axes[1, column].set(xlabel="power $p$")
    axes[0, 0].set_ylabel("$z'Az + b'z$")
    axes[1, 0].set_ylabel(f"$|w \\cdot z - 0.45|^p$, {many['units'].max():.0f} bits")
    legend(
        upper,
        axes[0],
        "Medians over random problems; bars: 95 % intervals of the medians. GS, REINFORCE and DisARM by Monte "
        "Carlo, others exact.\nA bias of zero, or within three standard errors of it, has no mark above and is 0 "
        "below. Frames: the smallest of a row.",
        columns=5,
    )
    _matrices(lower, table[table["units"] == 8])
    return figure


def _sizes(ax: Axes, table: pd.DataFrame) -> None:
    """Median and its interval against x, estimators side by side."""
    groups = list(table.groupby(["estimator", "parameters"], sort=False))
    for number, ((estimator, parameters), rows) in enumerate(groups):
        rows = rows[_seen(rows)].sort_values("x")
        if rows.empty:
            continue
        x = rows["x"] * 1.03 ** (number - len(groups) / 2)
        ends = [rows["value"] - rows["low"].clip(lower=1e-12), rows["high"] - rows["value"]]
        look = appearance(estimator, parameters)
        ax.errorbar(x, rows["value"], ends, linestyle="-", linewidth=0.6, markersize=3, capsize=0, **look)
    ticks = sorted(set(table["x"]))
    ax.set(xscale="log", yscale="log")
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_xticks([], minor=True)


def _seen(rows: pd.DataFrame) -> pd.Series:
    """Whether a value can be told from zero: by rounding where it is exact, by its standard error elsewhere."""
    return (rows["value"] > 3 * rows["stderr"].fillna(0)) & (rows["value"] > ZERO * 1e3)


def _matrices(figure: Figure, table: pd.DataFrame) -> None:
    """Objectives down, estimators across; frames around the smallest of a row."""
    axes = np.atleast_1d(figure.subplots(1, len(MATRICES), sharey=True))
    image = None
    for ax, (statistic, title) in zip(axes, MATRICES.items(), strict=True):
        rows = table[table["statistic"] == statistic]
        keys = list(dict.fromkeys(zip(rows["estimator"], rows["parameters"], strict=True)))
        objectives = list(dict.fromkeys(rows["objective"]))
        rows = rows.assign(shown=rows["value"].where(_seen(rows), 0.0)).set_index(
            ["objective", "estimator", "parameters"]
        )
        values = np.array([[rows.loc[(objective, *key), "shown"] for key in keys] for objective in objectives])
        image = ax.imshow(values.clip(1e-3), norm=LogNorm(1e-2, 10), cmap="viridis_r", aspect="auto")
        _numbers(ax, values)
        ax.set_xticks(range(len(keys)), [appearance(*key)["label"] for key in keys], rotation=90)
        ax.set_yticks(range(len(objectives)), objectives)
        ax.set_title(f"{title}, 8 bits")
    if image is not None:
        figure.colorbar(image, ax=list(axes), pad=0.01, extend="both")


def _numbers(ax: Axes, values: np.ndarray) -> None:
    for (row, column), value in np.ndenumerate(values):
        text = "0" if value == 0 else f"{value:.2f}".lstrip("0") if value < 0.995 else f"{value:.1f}"
        ax.text(column, row, text, ha="center", va="center", fontsize=5.5, color="white" if value > 0.4 else "black")
    for row, column in np.argwhere(values <= values.min(1, keepdims=True)):
        ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="#D55E00", linewidth=1.2))
