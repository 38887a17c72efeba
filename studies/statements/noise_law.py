"""Statements of the study noise_law."""

from __future__ import annotations

import pandas as pd

from estimlab.results.statements import Statement
from statements.reading import percent, rows

LAYERS = ("0", "1", "2")
BELOW = ("0", "1")


def laws(table: pd.DataFrame) -> dict[str, str | bool]:
    """Where each law is exact."""
    bias = rows(table, statistic="relative_bias", layer=LAYERS)
    bias = bias.assign(uniform=bias["law"].str.startswith("Uniform").astype(str))
    free = rows(bias, stage="unsaturated", objective="affine")
    others = rows(free, uniform="False", layer=BELOW)["value"]
    linear = rows(bias, stage="unsaturated", objective="multilinear")
    loss = rows(bias, objective="logistic loss")
    trained = rows(loss, stage="trained")["value"]
    return {
        "others": f"{percent(others.min())} to {percent(others.max())}",
        "trained": f"{trained.min():.1f} to {trained.max():.1f}",
        "networks": str(int(table["networks"].max())),
        "uniform noise is exact": bool((rows(free, uniform="True")["value"] < 1e-9).all()),
        "multilinear: exact in the last layer": bool((rows(linear, layer="2")["value"] < 1e-9).all()),
        "multilinear: only there": bool((rows(linear, layer=BELOW)["value"] > 1e-3).all()),
        "the logistic loss is never exact": bool((loss["value"] > 1e-3).all()),
    }


ANSWER = (
    Statement(
        "Under uniform noise, where no unit saturates and the objective is affine in the last state: the bias is "
        "zero in every layer, where the other laws have {others} % below the last one. An objective multilinear in the "
        "last state is exact in the last layer under every law, and only there. With the logistic loss no law is "
        "exact, and in trained networks, which saturate, the law hardly matters: the bias is {trained} times the "
        "gradient under each.",
        ("noise_law",),
        laws,
        "Medians over {networks} networks of three layers of five units per law and objective.",
    ),
)
