"""Statements of the study width."""

from __future__ import annotations

import numpy as np
import pandas as pd

from estimlab.results.statements import Statement
from statements.reading import ST, ZGR, row, rows, values

START, TRAINED = "step 0", "step 100"


def _median(table: pd.DataFrame, stage: str, layer: int, width: int, who: dict[str, object]) -> float:
    chosen = {"stage": stage, "layer": layer, "width": width, "statistic": "relative_bias", "method": "exact"}
    return float(np.median(values(table, **who, **chosen)))


def _exponent(table: pd.DataFrame, stage: str, layer: int, who: dict[str, object]) -> pd.Series:
    return row(table, **who, stage=stage, layer=layer, statistic="relative_bias_exponent")


def start(table: pd.DataFrame) -> dict[str, str | bool]:
    """Medians at both ends of the widths and exponents, before training."""
    ends = {
        f"{name}_{layer}_{width}": _median(table, START, layer, width, who)
        for name, who in (("st", ST), ("zgr", ZGR))
        for layer in (0, 1)
        for width in (2, 16)
    }
    powers = {
        f"{name}_{layer}": _exponent(table, START, layer, who)
        for name, who in (("st", ST), ("zgr", ZGR))
        for layer in (0, 1)
    }
    texts = {name: f"{value:.3f}" if name.startswith("zgr") else f"{value:.2f}" for name, value in ends.items()}
    return texts | {
        **{f"power_{name}": f"{found['value']:.1f}" for name, found in powers.items()},
        "networks": str(rows(table, width=16, stage=START)["seed"].nunique()),
        "every exponent is below zero": all(found["high"] < 0 for found in powers.values()),
    }


def trained(table: pd.DataFrame) -> dict[str, str | bool]:
    """From 4 to 16 units after 100 steps."""
    widths = [int(w) for w in sorted(table["width"].dropna().unique()) if w >= 4]
    first, second = ([_median(table, TRAINED, layer, width, ST) for width in widths] for layer in (0, 1))
    power = _exponent(table, TRAINED, 1, ST)
    zgr = {f"z{layer}_{w}": f"{_median(table, TRAINED, layer, w, ZGR):.2f}" for layer in (0, 1) for w in (4, 16)}
    return zgr | {
        "first": f"{min(first):.1f} to {max(first):.1f}",
        "second": f"{min(second):.1f} to {max(second):.1f}",
        "power": f"{power['value']:.2f}",
        "reach": f"{(power['high'] - power['low']) / 2:.2f}",
        "ST's bias in the second layer grows": power["low"] > 0,
    }


ANSWER = (
    Statement(
        "At initialisation yes: from 2 to 16 units its median bias falls from {st_0_2} to {st_0_16} of the gradient in "
        "the first layer and from {st_1_2} to {st_1_16} in the second, like n^{power_st_0} and n^{power_st_1}; ZGR's "
        "falls in the second from {zgr_1_2} to {zgr_1_16}, like n^{power_zgr_1}.",
        ("width",),
        start,
        "Medians over {networks} networks per width and stage, two layers, one data set.",
        ("2", "16", "first", "second"),
    ),
    Statement(
        "After 100 steps of exact descent no: from 4 to 16 units the bias of ST is {first} in the first layer, and "
        "{second} in the second, where it grows like n^({power} +- {reach}); ZGR's goes from {z0_4} to {z0_16} and "
        "from {z1_4} to {z1_16}. The gain with many units that the literature reports is here one of untrained "
        "networks.",
        ("width",),
        trained,
        "Fits to five networks at each width from four units on.",
        ("100", "4", "16", "first", "second", "one"),
    ),
)
