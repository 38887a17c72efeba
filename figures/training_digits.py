"""Training loss and accuracy that every estimator reaches on digits."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from estimlab.results.plotting import PAGE_WIDTH, appearance

PANELS = (
    ("train_loss", "training loss, last epoch (nats)"),
    ("accuracy", "test accuracy, mean units"),
    ("accuracy_of_draw", "test accuracy, one draw"),
)
NAMES = {"average": "mean of 2 ST", "rebar": "REBAR", "relax": "RELAX", "gapped_st": "gapped ST"}


def draw(table: pd.DataFrame) -> Figure:
    """A row per estimator, ordered by training loss; a panel per outcome."""
    means = table[table["seed"].isna()]
    last = means[means["epoch"] == means["epoch"].max()]
    order = last[last["statistic"] == "train_loss"].sort_values("value", ascending=False)
    places = {(row.estimator, row.parameters): k for k, row in enumerate(order.itertuples())}
    figure, axes = plt.subplots(1, 3, figsize=(PAGE_WIDTH, 0.9 + 0.145 * len(places)), sharey=True)
    for ax, (statistic, label) in zip(axes, PANELS, strict=True):
        _panel(ax, last[last["statistic"] == statistic], places)
        ax.set(xlabel=label)
    looks = [NAMES.get(key[0]) or appearance(*key)["label"] for key in places]
    axes[0].set(xscale="log", yticks=range(len(places)), yticklabels=looks, ylim=(-0.6, len(places) - 0.4))
    for ax in axes[1:]:
        ax.set_xlim(0, 1)
    stopped = means[(means["statistic"] == "stopped") & (means["value"] > 0)]
    failed = "; ".join(appearance(row.estimator, row.parameters)["label"] for row in stopped.itertuples()) or "none"
    figure.supxlabel(
        "bars: standard error of the mean over three seeds, where larger than the mark. Dashed: guessing.\n"
        "The training loss is that of the states that are trained on: relaxed for GS, "
        "deterministic for mean field, moment propagation,\nlocal reparametrization and surrogate gradients; the right "
        f"panel is about binary states for all. Stopped at a NaN: {failed}.",
        fontsize=7,
    )
    return figure


def _panel(ax: Axes, rows: pd.DataFrame, places: dict[tuple[str, str], int]) -> None:
    for row in rows.itertuples():
        look = appearance(row.estimator, row.parameters)
        y = places.get((row.estimator, row.parameters))
        if y is not None:
            error = row.stderr
            ax.errorbar(row.value, y, xerr=error, color=look["color"], marker=look["marker"], linestyle="none")
    guess = 2.302585 if (rows["statistic"] == "train_loss").all() else 0.1
    ax.axvline(guess, color="0.6", linewidth=0.8, linestyle="--", zorder=0)
    ax.grid(axis="y", color="0.92", linewidth=0.5)
    ax.set_axisbelow(True)
