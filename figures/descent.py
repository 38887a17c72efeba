"""Loss after training against bias, deviation and RMSE of one draw, which were measured without training."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from estimlab.results.plotting import PAGE_WIDTH, appearance, legend

PREDICTORS = {
    "relative_bias": "relative bias",
    "relative_std": "relative deviation of a draw",
    "relative_rmse": "relative RMSE of a draw",
}
VARIANTS = {
    "proxy=identity": {"marker": "o", "fillstyle": "none"},
    "proxy=hard_tanh": {"marker": "s", "fillstyle": "none"},
    "proxy=tanh": {"marker": "D", "fillstyle": "none"},
    "temperature=2.0": {"fillstyle": "top"},
    "temperature=0.3": {"fillstyle": "none"},
    "temperature=0.3, samples=10": {"fillstyle": "none"},
    "temperature=0.1": {"fillstyle": "left"},
    "samples=2": {"marker": "X", "fillstyle": "none"},
}
NOTE = (
    "Bias and deviation at the initialisation, layers of units joined. Bars: 95 % intervals over networks.\n"
    "Each estimator, and the exact gradient, at the best of three learning rates, by the mean exact loss. "
    r"$\tau_b$: rank correlation with its 95 % bootstrap interval and permutation $p$."
)
STAGE = "start"
FLOOR = 3e-4  # where zeros are drawn


def draw(table: pd.DataFrame) -> Figure:
    """Rows: networks; columns: predictors, at the initialisation."""
    problems = list(table["problem"].drop_duplicates())
    figure = Figure(figsize=(PAGE_WIDTH, 2.5 * len(problems) + 1.3), layout="constrained")
    axes = figure.subplots(len(problems), len(PREDICTORS), squeeze=False, sharey="row", sharex="col")
    for row, problem in enumerate(problems):
        here = table[table["problem"] == problem]
        for ax, (name, words) in zip(axes[row], PREDICTORS.items(), strict=True):
            _panel(ax, here, name)
            if row == len(problems) - 1:
                ax.set_xlabel(words)
        axes[row, 0].set_ylabel(f"{problem}\nexcess of the final loss")
    legend(figure, axes[0, 0], NOTE)
    return figure


def _panel(ax: Axes, table: pd.DataFrame, predictor: str) -> None:
    """One point per estimator, bars over networks; the rank correlation above."""
    columns = ["estimator", "parameters"]
    losses = table[table["statistic"] == "excess_objective"].set_index(columns)
    chosen = table[(table["statistic"] == predictor) & (table["stage"] == STAGE)].set_index(columns)
    for key, row in chosen.iterrows():
        x, loss, look = max(row["value"], FLOOR), losses.loc[key], _look(*key)
        bars = {"yerr": [[loss["value"] - loss["low"]], [loss["high"] - loss["value"]]], "elinewidth": 0.6}
        ax.errorbar(x, loss["value"], linestyle="none", capsize=0, markersize=4.5, **bars, **look)
    ax.set(xscale="log")
    if (chosen["value"] <= FLOOR).any():
        ax.axvline(2 * FLOOR, color="0.7", linewidth=0.6, linestyle=":")
        ax.set_xticks([FLOOR, 0.001, 0.01, 0.1, 1, 10], ["0", *(f"$10^{{{power}}}$" for power in (-3, -2, -1, 0, 1))])
        ax.set_xticks([], minor=True)
    ax.set_yscale("symlog", linthresh=0.01)
    ax.axhline(0, color="0.7", linewidth=0.6, zorder=0)
    best = (table["predictor"] == predictor) & (table["stage"] == STAGE) & table["learning_rate"].isna()
    found = table[best].set_index("statistic")
    tau, p_value = found.loc["kendall_tau"], found.loc["p_value", "value"]
    ax.set_title(
        rf"$\tau_b$ = {tau['value']:.2f} [{tau['low']:.2f}, {tau['high']:.2f}], $p$ = {p_value:.2g}", fontsize=7
    )


def _look(estimator: str, parameters: str) -> dict[str, str]:
    """Variants of one estimator differ in the filling of the marker, proxies also in its shape."""
    look = dict(appearance(estimator, parameters.replace("tails=common", "").replace(", samples=10", "")))
    for ending, changes in VARIANTS.items():
        look |= changes if parameters.endswith(ending) else {}
    return look
