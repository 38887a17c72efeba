"""Statements of the study quickstart."""

from __future__ import annotations

import pandas as pd

from estimlab.results.statements import Statement
from statements.reading import DISARM, GS, ST, ZGR, one, percent, rows, several, word

RESTS = "One 64-10-10 network and one set of training digits; sampled moments from {draws} draws."
LAYERS = ("0", "1")
STAGES = ("init", "early", "late")


def _draws(table: pd.DataFrame) -> str:
    return f"{int(table['draws'].max()):,}"


def bias(table: pd.DataFrame) -> dict[str, str | bool]:
    """Bias of ST and ZGR, and the error of means of 1000 draws."""
    table = rows(table, source=None)
    of = {
        (name, stage, layer): one(table, **who, stage=stage, layer=layer, statistic="relative_bias", averaged=1)
        for name, who in (("st", ST), ("zgr", ZGR))
        for stage in STAGES
        for layer in LAYERS
    }
    late = rows(table, stage="late", statistic="relative_rmse_of_mean", averaged=1000, layer=LAYERS)
    least = late.loc[late.groupby("layer")["value"].idxmin()]
    mean = {name: [one(late, **who, layer=layer) for layer in LAYERS] for name, who in (("st", ST), ("disarm", DISARM))}
    std = rows(table, stage="late", statistic="relative_std", averaged=1, layer=LAYERS)
    texts = {f"{name}_{stage}_{layer}": percent(value) for (name, stage, layer), value in of.items()}
    return texts | {
        "draws": _draws(table),
        "mean_disarm": several(mean["disarm"]).replace(", ", " and "),
        "mean_st": several(mean["st"]).replace(", ", " and "),
        "bias grows from the start to the end": all(
            of[name, "init", layer] < of[name, "late", layer] for name in ("st", "zgr") for layer in LAYERS
        ),
        "ZGR's bias is the smaller": all(of["zgr", s, x] < of["st", s, x] for s in STAGES for x in LAYERS),
        "late ZGR deviates more than DisARM": all(
            one(std, **ZGR, layer=x) > one(std, **DISARM, layer=x) for x in LAYERS
        ),
        "DisARM's mean is nearest": set(least["estimator"]) == {"disarm"},
    }


ANSWER = (
    Statement(
        "In this network the bias of the local estimators grows with training, that of ST from {st_init_0} % of the "
        "true gradient's norm to {st_late_0} % in the first layer and from {st_init_1} % to {st_late_1} % in the "
        "second. ZGR has a smaller bias here, {zgr_init_0} % to {zgr_late_0} % and {zgr_init_1} % to {zgr_late_1} %, "
        "but late a larger deviation than the unbiased DisARM. Late in training the mean of 1000 draws is nearest to "
        "the truth with DisARM: RMSE {mean_disarm} in the two layers, against {mean_st} with ST.",
        ("quickstart",),
        bias,
        RESTS,
        ("1000", "two", "first", "second"),
    ),
)


def planes(table: pd.DataFrame) -> dict[str, str | bool]:
    """In how many pairs of layer and stage ST or GS(1) has the least error of one draw."""
    errors = rows(rows(table, source=None), statistic="relative_rmse", averaged=1, layer=LAYERS)
    groups = errors.groupby(["stage", "layer"])
    least = errors.loc[groups["value"].idxmin()]
    simple = pd.concat((rows(least, **ST), rows(least, **GS)))
    margin = max(
        one(rows(errors, **ST), stage=row.stage, layer=row.layer) / row.value
        for row in least.itertuples()
        if row.Index not in simple.index
    )
    return {
        "found": word(len(simple)),
        "all": word(len(least)),
        "ST is within one per cent elsewhere": margin < 1.01,
    }


def means(table: pd.DataFrame) -> dict[str, str | bool]:
    """ST's bias late, and the mean of a hundred DisARM draws."""
    late = rows(rows(table, source=None), stage="late", layer=LAYERS)
    bias = [one(late, **ST, layer=x, statistic="relative_bias", averaged=1) for x in LAYERS]
    means = [one(late, **DISARM, layer=x, statistic="relative_rmse_of_mean", averaged=100) for x in LAYERS]
    return {
        "bias": " and ".join(percent(value) for value in bias),
        "mean": " and ".join(percent(value) for value in means),
        "the mean is closer": all(m < b for m, b in zip(means, bias, strict=True)),
    }


def compared(table: pd.DataFrame, suite: pd.DataFrame) -> dict[str, str | bool]:
    """ZGR beside ST, here and on the frozen problems; a proxy that does not fit."""
    found = bias(table)
    first = rows(suite, statistic="relative_bias", layer="0")
    ratio = {p: one(first, **ZGR, problem=p) / one(first, **ST, problem=p) for p in first["problem"].unique()}
    std = rows(rows(table, source=None), statistic="relative_std", averaged=1, layer=LAYERS)
    pairs = [(s, x) for s in STAGES for x in LAYERS]
    proxies = rows(rows(table, source=None), statistic="relative_bias", averaged=1, proxy="identity", layer=LAYERS)
    return {
        "larger": word(sum(value > 1.01 for value in ratio.values())),
        "problems": word(len(ratio)),
        "identity": f"{proxies['value'].max():.0f}",
        "ZGR's bias is the smaller": bool(found["ZGR's bias is the smaller"]),
        "ZGR's deviation is the larger": all(
            one(std, **ZGR, stage=s, layer=x) > one(std, **ST, stage=s, layer=x) for s, x in pairs
        ),
    }


README = (
    Statement(
        "In {found} of the {all} planes (one network, two layers, three stages) straight-through with the derived "
        "proxy or Gumbel-Softmax at temperature 1 has the smallest error of one draw, and in the others "
        "straight-through is within one per cent of it.",
        ("quickstart",),
        planes,
        "One network.",
        ("1", "one", "two", "three"),
    ),
    Statement(
        "But late in training straight-through's bias is {bias} % of the gradient in the two layers, where a mean of "
        "a hundred DisARM draws errs by {mean} %: closer to the truth than a mean of any number of straight-through "
        "draws.",
        ("quickstart",),
        means,
        "One network.",
        ("two", "hundred"),
    ),
    Statement(
        "ZGR has a smaller bias and a larger variance in this network; in the first layer of the {problems} frozen "
        "problems of the scoreboard its bias is larger than straight-through's on {larger}. A proxy that does not fit "
        "the noise can be wrong by more than the gradient itself, up to {identity} times here.",
        ("quickstart", "scoreboard"),
        compared,
        "One network here, and one network per frozen problem.",
        ("first",),
    ),
)
