"""The plane of bias and deviation of the importance-weighted family, layer by layer, and for one unit."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from estimlab.results.plotting import PAGE_WIDTH, appearance, legend

RAW, INVARIANT = ("relative_bias", "relative_std"), ("scale_invariant_bias", "scale_invariant_std")
AXES = {RAW: ("relative bias", "relative std"), INVARIANT: ("scale-invariant bias", "scale-inv. std")}
LOOKS = {
    "constant": {**appearance("iw_st"), "label": "constant $p_1$", "markerfacecolor": "none"},
    "power": {**appearance("iw_st"), "label": "power", "color": "#882255", "marker": "p"},
    "mve": {**appearance("mve"), "label": "MVE($t$)"},
    "gr": {**appearance("analytic_gumbel_rao"), "label": "GR($\\tau$)"},
    "st_zgr": {**appearance("st_zgr"), "label": "ST-ZGR mix"},
}
OPTIMA = {
    "quadratic optimum": {"color": "#D55E00", "marker": "*", "label": "$p_1^*$ of the quadratic"},
    "constant-slope optimum": {**appearance("mve"), "label": "$p_1^*$ of a constant slope = MVE"},
}


def draw(table: pd.DataFrame) -> Figure:
    """Rows: raw at both stages, scale-invariant at the last one, one unit."""
    table = table.assign(layer=table["layer"].astype(float))
    chain = table[(table["stage"] != "") & (table["seed"] == 0)]
    stages = list(dict.fromkeys(chain["stage"]))
    layers = sorted(set(chain["layer"]))
    planes = [*((stage, RAW) for stage in stages), (stages[-1], INVARIANT)]
    figure = Figure(figsize=(PAGE_WIDTH, 1.95 * len(planes) + 2.9), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.95 * len(planes), 2.3))
    axes = upper.subplots(len(planes), len(layers), squeeze=False)
    for row, (stage, pair) in enumerate(planes):
        here = chain[chain["stage"] == stage]
        name = "initialisation" if stage == "step 0" else "trained"
        for column, layer in enumerate(layers):
            ax = axes[row, column]
            _plane(ax, here[here["layer"] == layer], pair)
            ax.set_title(f"layer {layer + 1:.0f}, {name}")
            ax.set(xlabel=AXES[pair][0], ylabel=AXES[pair][1] if column == 0 else "")
    legend(upper, axes[0, 0], columns=7, place="upper center")
    units = table[table["weight"].notna()]
    for ax, (problem, rows) in zip(lower.subplots(1, 2), units.groupby("problem", sort=False), strict=True):
        _one_unit(ax, rows)
        ax.set_title(f"one unit, $P = 0.73$, $f'(0) = 1$, $f'' = {problem.split('=')[1]}$")
    note = "All exact (2-8-8-8-1 network of seed 0; one draw). Thick grey line: front of all members shown."
    legend(lower, ax, note, columns=4)
    return figure


def _plane(ax: Axes, table: pd.DataFrame, pair: tuple[str, str]) -> None:
    """A curve per family through its members, and the front: members that no other one beats."""
    keys = ["family", "estimator", "parameters"]
    rows = table[table["statistic"].isin(pair)]
    points = rows.pivot(index=keys, columns="statistic", values="value").loc[:, list(pair)]
    points = points.reindex(rows[keys].drop_duplicates().apply(tuple, axis=1))
    front = _front(points.to_numpy())
    ax.plot(*front.T, color="0.75", linewidth=4, zorder=0, solid_capstyle="round", label="front")
    for family, look in LOOKS.items():
        if family in points.index.get_level_values(0):
            x, y = points.loc[family].to_numpy().T
            ax.plot(x, y, linestyle="-", linewidth=0.7, markersize=3, **look)
    if "st_zgr" in points.index.get_level_values(0):
        ends = points.loc["st_zgr"].to_numpy()[[0, -1]]
        for (x, y), text in zip(ends, ("ST", "ZGR"), strict=True):
            ax.annotate(text, (x, y), (3, -8), textcoords="offset points", fontsize=7)
    own = points[points.index.get_level_values(0) != "constant"].to_numpy()
    ax.set(xlim=(0, 1.15 * own[:, 0].max()), ylim=(0.85 * own[:, 1].min(), 1.1 * own[:, 1].max()))


def _front(points: np.ndarray) -> np.ndarray:
    """The points of least deviation among those of no larger bias, in order of bias."""
    ordered = points[np.lexsort(points.T[::-1])]
    best = np.minimum.accumulate(ordered[:, 1])
    return ordered[np.concatenate(([True], best[1:] < best[:-1]))]


def _one_unit(ax: Axes, table: pd.DataFrame) -> None:
    """All constant p1 as a line, a label at some of them, and both closed-form optima for several lambda."""
    points = table[table["statistic"].isin(RAW)]
    points = points.pivot_table(index=["family", "trade", "weight"], columns="statistic", values="value", dropna=False)
    points = points.dropna().reset_index()
    line = points[points["family"] == "constant"].sort_values("weight")
    ax.plot(line["relative_bias"], line["relative_std"], color="0.6", label="constant $p_1$")
    for _, row in line[line["weight"].round(2).isin((0.0, 0.25, 0.5, 0.75, 1.0))].iterrows():
        x, y = row["relative_bias"], row["relative_std"]
        ax.plot(x, y, "|", color="0.4", markersize=4)
        ax.annotate(f"{row['weight']:g}", (x, y), (3, 3), textcoords="offset points", fontsize=6, color="0.4")
    for family, look in OPTIMA.items():
        rows = points[points["family"] == family]
        ax.plot(rows["relative_bias"], rows["relative_std"], linestyle="none", markersize=5, alpha=0.8, **look)
    ax.set(xlabel="relative bias", ylabel="relative std")
    ax.margins(0.08)
