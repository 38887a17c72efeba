"""Coverage of 95 % intervals, power of the gates beside normal theory, and what heavy tails do to both."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from estimlab.results.plotting import PAGE_WIDTH, legend

QUANTITIES = {
    "mean": ("mean", "#000000", "o"),
    "variance": ("variance", "#E69F00", "s"),
    "mse": ("MSE", "#009E73", "^"),
    "squared bias": ("squared bias, by noncentral $\\chi^2$", "#0072B2", "D"),
    "squared bias, 2 stderr": ("squared bias $\\pm$ 2 standard errors", "#CC79A7", "X"),
    "cosine": ("cosine", "#D55E00", "v"),
}
GATES = {"mean": "mean, of the family", "variance": "variance", "squared bias": "squared bias"}


def draw(table: pd.DataFrame) -> Figure:
    """Three panels: coverage against the bias, power against the effect, heavy tails against the temperature."""
    figure = Figure(figsize=(PAGE_WIDTH, 3.1), layout="constrained")
    cover, power, heavy = figure.subplots(1, 3)
    relaxed = table["problem"].str.startswith("Gumbel-Softmax")
    _coverage(cover, table[(table["statistic"] == "coverage") & ~relaxed])
    _power(power, table[(table["statistic"] == "rejection_rate") & (table["problem"] == "normal")])
    _heavy(heavy, table[relaxed])
    title = "marks of the left and right panels; left, one for each toy: normal, uniform, two points, unequal variances"
    legend(figure, (cover, heavy), title, columns=4)
    return figure


def _coverage(ax: Axes, table: pd.DataFrame) -> None:
    """Toys side by side; the band is what counts as right."""
    biases = sorted(table["effect"].unique())
    ax.axhspan(0.94, 0.96, color="0.92", zorder=0)
    ax.axhline(0.95, color="0.6", linewidth=0.7, zorder=0)
    for number, (quantity, (label, color, marker)) in enumerate(QUANTITIES.items()):
        rows = table[table["quantity"] == quantity]
        places = [biases.index(bias) + 0.13 * (number - 2.5) for bias in rows["effect"]]
        ax.errorbar(
            places, rows["value"], 2 * rows["stderr"], fmt=marker, color=color, markersize=3, linewidth=0.7, label=label
        )
    ax.set_xticks(range(len(biases)), [f"{bias:g}" for bias in biases])
    ax.set(xlabel="bias in standard errors", ylabel="coverage of 95 % intervals", title="coverage, light tails")
    ax.set_ylim(0.865, 0.985)
    ax.annotate("band: 94 to 96 %; bars: 2 standard errors", (0.03, 0.03), xycoords="axes fraction", fontsize=6.5)


def _power(ax: Axes, table: pd.DataFrame) -> None:
    """Marks are measured rates, curves normal theory."""
    for quantity, label in GATES.items():
        _, color, marker = QUANTITIES[quantity]
        rows = table[table["quantity"] == quantity].sort_values("effect")
        ax.plot(rows["effect"], rows["theory"], color=color, linewidth=0.8)
        ax.plot(rows["effect"], rows["value"], marker, color=color, markersize=3, label=label)
    ax.axhline(1e-3, color="0.6", linewidth=0.7, linestyle=":")
    ax.annotate("false alarms: 0.001", (8, 0.02), ha="right", fontsize=6.5, color="0.3")
    ax.annotate("curves: theory", (0.03, 0.55), xycoords="axes fraction", fontsize=6.5)
    ax.set(xlabel=r"error $\delta$ in standard errors", ylabel="rate of rejection", title="power of the gates")
    ax.legend(loc="upper left", fontsize=6.5, frameon=False)


def _heavy(ax: Axes, table: pd.DataFrame) -> None:
    """Coverage falls with the temperature, and the flag rises before."""
    table = table.assign(temperature=table["problem"].str.rpartition("= ")[2].astype(float)).sort_values("temperature")
    ax.axhline(0.95, color="0.6", linewidth=0.7, zorder=0)
    ax.axhline(0.9, color="0.6", linewidth=0.7, linestyle=":", zorder=0)
    for quantity, (label, color, marker) in QUANTITIES.items():
        rows = table[(table["quantity"] == quantity) & (table["statistic"] == "coverage")]
        if len(rows):
            ax.plot(rows["temperature"], rows["value"], marker=marker, color=color, markersize=3, label=label)
    flagged = table[table["statistic"] == "flagged_rate"]
    ax.plot(flagged["temperature"], flagged["value"], "--", color="0.35", marker="P", markersize=3, label="flagged")
    ax.set(xscale="log", ylim=(-0.03, 1.03), xlabel=r"temperature $\tau$ of ST-Gumbel-Softmax")
    ax.set(ylabel="coverage, or share flagged", title="heavy tails, 512 draws")
