"""Statements of the study depth."""

from __future__ import annotations

import pandas as pd

from estimlab.results.statements import Statement
from statements.reading import ST, ZGR, one, percent, row, rows, several, significant

MVE = {"estimator": "mve"}
GR = {"estimator": "analytic_gumbel_rao"}
FIRST = {"layer": "0", "source": None}
START, TRAINED = "step 0", "step 100"


def growth(table: pd.DataFrame) -> dict[str, str | bool]:
    """Medians in the first layer of chains of three and of twenty layers."""
    bias = rows(table, statistic="relative_bias", **FIRST)
    std = rows(table, statistic="relative_std", **FIRST)
    cosine = rows(table, statistic="cosine", depth=20, stage=START, **FIRST)
    local = (ST, ZGR, MVE)
    short, long, trained = (
        [one(bias, **who, stage=stage, depth=depth) for who in local]
        for stage, depth in ((START, 3), (START, 20), (TRAINED, 20))
    )
    std_st, std_zgr = ([one(std, **who, stage=TRAINED, depth=depth) for depth in (1, 20)] for who in (ST, ZGR))
    shrunk = row(bias, **GR, stage=START, depth=20)["value"]
    return {
        "short": several(short),
        "long": several(long),
        "trained": several(trained),
        "cosine": f"{int(100 * min(one(cosine, **who) for who in (*local, GR))) / 100:.2f}",
        "gr": f"{shrunk:.2f}",
        "networks": f"{int(row(bias, **ST, stage=START, depth=3)['networks'])}",
        "st_one": significant(std_st[0], 1),
        "st": significant(std_st[1], 1),
        "zgr_one": significant(std_zgr[0]),
        "zgr": significant(std_zgr[1]),
        "bias grows with depth": all(a < b for a, b in zip(short, long, strict=True)),
        "the mean of each keeps its direction": min(one(cosine, **who) for who in (*local, GR)) > 0.9,
        "the deviation grows more than the bias": std_st[1] / std_st[0] > 100,
    }


def vanishing(table: pd.DataFrame) -> dict[str, str | bool]:
    """How near the probability of a gradient is to its limit at the smallest temperature."""
    least = rows(table, problem="single units", temperature=0.003)
    depths = sorted(least["depth"].unique())
    ratios = [
        one(least, depth=d, statistic="probability_above") / one(least, depth=d, statistic="probability_asymptote")
        for d in depths
    ]
    far = max(abs(ratio - 1) for ratio in ratios)
    return {"far": percent(far), "the limit is near": far < 0.25}


ANSWER = (
    Statement(
        "At initialisation the median bias of ST, ZGR and MVE in the first layer is {short} of the gradient at three "
        "layers and grows to {long} at twenty; after training it is {trained} there. Most of it is length at "
        "initialisation: the median cosine of the mean is above {cosine} at twenty layers, and GR(0.5), with a bias of "
        "{gr}, mainly shrinks the gradient. The deviation limits deep networks more: after training it grows from "
        "{st_one} to {st} times the gradient for ST and from {zgr_one} to {zgr} times for ZGR, from one layer to "
        "twenty.",
        ("depth",),
        growth,
        "Medians over {networks} networks per depth, one data set (Gumbel-Softmax: three networks, sampled).",
        ("0.5", "first", "three", "twenty", "one"),
    ),
    Statement(
        "Gumbel-Softmax gradients vanish like (tau log 1/tau)^L: the probability of one above 0.01 is within {far} % "
        "of that limit at tau = 0.003.",
        ("depth",),
        vanishing,
        "The limit: chains of one to four single units, one seed.",
        ("1", "0.01", "0.003"),
    ),
)


def drowned(table: pd.DataFrame) -> dict[str, str | bool]:
    """The gallery's line."""
    found = growth(table)
    return {"st": str(found["st"]), "networks": str(found["networks"])}


README = (
    Statement(
        "in trained networks of twenty layers (medians over {networks} networks) the deviation of a draw, not the "
        "bias, is what drowns the gradient of the first layer: {st} times its norm for straight-through.",
        ("depth",),
        drowned,
        "{networks} networks.",
        ("twenty", "first"),
    ),
)
