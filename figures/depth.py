"""Bias, deviation and cosine by layer and by depth; who causes the bias; how Gumbel-Softmax gradients vanish."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from estimlab.results.plotting import PAGE_WIDTH, appearance, legend

ROWS = {
    "relative_bias": "relative bias",
    "relative_std": "relative std of a draw",
    "cosine": "1 $-$ cosine of the mean",
}
NOTE = (
    "Lines: median over five networks, bands: from the smallest to the largest. GS by Monte Carlo, three networks, "
    "shown where\nit exceeds three standard errors; where gradients vanish, rare draws that samples miss carry its "
    "mean and std. Lower right: $L$ single units,\nstandard errors smaller than the marks, dashes: the limit "
    r"$\propto (\tau \log 1/\tau)^L$."
)
SHADES = {1: "#999999", 2: "#0072B2", 3: "#D55E00", 4: "#000000"}


def draw(table: pd.DataFrame) -> Figure:
    """Three rows of statistics (by layer of the deepest chain, by depth), then attributions and the vanishing."""
    table = table.assign(layer=table["layer"].astype(str))
    angles = table["statistic"] == "cosine"
    table.loc[angles, ["value", "low", "high"]] = 1 - table.loc[angles, ["value", "high", "low"]].to_numpy()
    chains = table[(table["problem"] != "single units") & (table["layer"] != "head")]
    stages = list(dict.fromkeys(chains["stage"]))
    names = {stage: "initialisation" if stage == "step 0" else "trained" for stage in stages}
    figure = Figure(figsize=(PAGE_WIDTH, 8.4), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(6.2, 2.2))
    axes = upper.subplots(3, 4, sharey="row")
    for column, stage in enumerate(stages):
        here = chains[(chains["stage"] == stage) & (chains["source"] == "")]
        deepest = here[here["depth"] == here["depth"].max()]
        for row, statistic in enumerate(ROWS):
            by_layer, by_depth = axes[row, 2 * column], axes[row, 2 * column + 1]
            _curves(by_layer, deepest[deepest["statistic"] == statistic].assign(x=lambda t: t["layer"].astype(int) + 1))
            _curves(by_depth, here[(here["statistic"] == statistic) & (here["layer"] == "0")].assign(x=here["depth"]))
            for ax in (by_layer, by_depth):
                ax.set(ylabel=ROWS[statistic] if ax is axes[row, 0] else "", yscale="log")
        axes[0, 2 * column].set_title(f"{names[stage]}: all layers, $L = {deepest['depth'].max():.0f}$")
        axes[0, 2 * column + 1].set_title(f"{names[stage]}: first layer")
        axes[2, 2 * column].set_xlabel("layer, 1 = next to the input")
        axes[2, 2 * column + 1].set_xlabel("depth $L$ of the chain")
    axes[0, 0].set_ylim(2e-3, 10)
    axes[2, 0].set_ylim(1e-6, 2.5)
    panels = lower.subplots(1, 4)
    _attributions(lower, panels[:3], chains[chains["statistic"] == "bias_contribution"], names)
    _vanishing(panels[3], table[table["problem"] == "single units"])
    legend(upper, axes[1, 0], NOTE, columns=5)
    return figure


def _curves(ax: Axes, table: pd.DataFrame) -> None:
    """Median over the networks with a band to the extremes; sampled biases only where they can be told from zero."""
    for (estimator, parameters), rows in table.groupby(["estimator", "parameters"], sort=False):
        look = appearance(estimator, parameters)
        rows = rows.sort_values("x")
        sampled = rows["method"].iloc[0] == "monte_carlo"
        if sampled:
            rows = rows[rows["value"] > 3 * rows["stderr"]]
        else:
            ax.fill_between(rows["x"], rows["low"], rows["high"], color=look["color"], alpha=0.12, linewidth=0)
        ax.plot(rows["x"], rows["value"], linestyle="none" if sampled else "-", markersize=2.5, **look)


def _attributions(figure: Figure, axes: np.ndarray, table: pd.DataFrame, names: dict[str, str]) -> None:
    """Row: the layer that causes the bias; column: the layer that has it."""
    estimators = dict.fromkeys(zip(table["estimator"], table["parameters"], strict=True))
    shown = [(stage, pair) for pair in estimators for stage in names]
    shown = [*shown[: len(names)], shown[-1]]  # the first estimator at every stage, the second at the last
    image = None
    for ax, (stage, (estimator, parameters)) in zip(axes, shown, strict=False):
        rows = table[(table["stage"] == stage) & (table["estimator"] == estimator)]
        depth = int(rows["depth"].max())
        shares = np.full((depth, depth), np.nan)
        shares[rows["source"].astype(int), rows["layer"].astype(int)] = rows["value"]
        extent = (0.5, depth + 0.5, 0.5, depth + 0.5)
        image = ax.imshow(
            shares, origin="lower", norm=LogNorm(1e-3, 1), cmap="viridis_r", extent=extent, interpolation="nearest"
        )
        label = appearance(estimator, parameters)["label"]
        ax.set(xticks=range(2, depth + 1, 2), yticks=range(2, depth + 1, 2))
        ax.set(title=f"bias of {label}, {names[stage]}", xlabel="layer that has it")
    axes[0].set_ylabel("layer that causes it")
    if image is not None:
        bar = figure.colorbar(image, ax=list(axes), shrink=0.9, extend="both", pad=0.01)
        bar.set_label("contribution / $\\|g^*\\|$")


def _vanishing(ax: Axes, table: pd.DataFrame) -> None:
    """Probability of a gradient above the threshold: measured points, asymptotes as lines."""
    for depth, rows in table.groupby("depth"):
        rows = rows.sort_values("temperature")
        measured = rows[rows["statistic"] == "probability_above"]
        limit = rows[rows["statistic"] == "probability_asymptote"]
        color = SHADES[int(depth)]
        ax.plot(limit["temperature"], limit["value"], "--", color=color, linewidth=0.8)
        ax.plot(measured["temperature"], measured["value"], "<", color=color, markersize=3)
        first = measured.iloc[0]
        ax.annotate(
            f"{int(depth)}", (first["temperature"], first["value"]), (-9, -3), textcoords="offset points", color=color
        )
    ax.set(xscale="log", yscale="log", xlabel=r"temperature $\tau$")
    ax.set_title(r"$P(|g| > 0.01)$, GS, $L$ units")
    ax.margins(x=0.15)
