"""Statements of the study toy_depth."""

from __future__ import annotations

import pandas as pd

from estimlab.results.statements import Statement
from statements.reading import GS, ST, ZGR, one, rows, several, significant

LAYERS = ("0", "1", "2")
EARLY, MIDDLE, LATE = "step 20", "step 100", "step 1000"
PSA, ARM, FIELD = {"estimator": "psa"}, {"estimator": "arm"}, {"estimator": "mean_field"}


def bias_of(table: pd.DataFrame, stage: str, who: dict[str, object]) -> list[float]:
    """Relative bias per layer."""
    return [one(table, **who, stage=stage, layer=x, statistic="relative_bias", averaged=1) for x in LAYERS]


def growth(table: pd.DataFrame) -> dict[str, str | bool]:
    """Straight-through's bias by layer and stage, and the others beside it."""
    early, late = bias_of(table, EARLY, ST), bias_of(table, LATE, ST)
    cosine = [one(table, **ST, stage=LATE, layer=x, statistic="cosine", averaged=1) for x in LAYERS]
    norms = [
        [one(table, **ST, stage=stage, layer=x, statistic="reference_norm", averaged=1) for x in LAYERS]
        for stage in (EARLY, LATE)
    ]
    absolute = [
        [b * n for b, n in zip(bias, norm, strict=True)] for bias, norm in zip((early, late), norms, strict=True)
    ]
    gs, field = max(bias_of(table, LATE, GS)), max(bias_of(table, LATE, FIELD))
    psa = bias_of(table, LATE, PSA)[:2]
    draws = rows(table, stage=LATE, statistic="relative_rmse", averaged=1, layer=LAYERS)
    drawn = draws[draws["estimator"] != "mean_field"]
    means = {name: max(values(table, who)) for name, who in (("psa_mean", PSA), ("arm_mean", ARM))}
    return {
        "early": several(early),
        "late": several(late),
        "cosine": several(cosine),
        "gs": significant(gs),
        "field": significant(field),
        "psa": f"{max(psa):.1f}",
        **{name: f"{value:.2f}" for name, value in means.items()},
        "bias grows with depth and training": sorted(early) == early
        and sorted(late) == late
        and all(a < b for a, b in zip(early, late, strict=True)),
        "in absolute terms it falls": all(a > b for a, b in zip(*absolute, strict=True)),
        "GS and mean field grow more": min(gs, field) > 2 * max(late),
        "ZGR is better up to step 100": all(
            z < s
            for stage in (EARLY, MIDDLE)
            for z, s in zip(bias_of(table, stage, ZGR), bias_of(table, stage, ST), strict=True)
        ),
        "ZGR is no better late": max(bias_of(table, LATE, ZGR)) > max(late),
        "one draw errs by at least three times in some layer": all(
            group["value"].max() > 3 for _, group in drawn.groupby(["estimator", "parameters"])
        ),
    }


def values(table: pd.DataFrame, who: dict[str, object]) -> list[float]:
    """Relative error of the mean of 9000 draws, late, per layer."""
    return [one(table, **who, stage=LATE, layer=x, statistic="relative_rmse_of_mean", averaged=9000) for x in LAYERS]


ANSWER = (
    Statement(
        "In this network straight-through's bias grows with depth and with training: {early} of the gradient in the "
        "three layers at step 20, {late} at step 1000, where its mean has cosine {cosine} with the truth. In absolute "
        "terms it falls, but the gradient falls faster. Gumbel-Softmax at temperature 1 and mean field grow more (to "
        "{gs} and {field}); ZGR is better up to step 100, no better late; PSA, which is exact in the last layer, has "
        "at most {psa} below it. Late in training one draw of each estimator errs by more than three times the "
        "gradient in some layer; of means of 9000 draws, those of PSA and ARM have at most {psa_mean} and "
        "{arm_mean} of it.",
        ("toy_depth",),
        growth,
        "One network of three layers of five units, one initialisation, one data set; sampled moments from one seed.",
        ("three", "20", "1000", "1", "100", "9000", "one"),
    ),
)


def gallery(table: pd.DataFrame) -> dict[str, str | bool]:
    """Ranges of straight-through's bias, and the direction of its mean in the last layer."""
    early, late = bias_of(table, EARLY, ST), bias_of(table, LATE, ST)
    cosine = one(table, **ST, stage=LATE, layer="2", statistic="cosine", averaged=1)
    return {
        "early": f"{min(early):.1f}-{max(early):.1f}",
        "late": f"{min(late):.1f}-{max(late):.1f}",
        "the mean points the wrong way": cosine < 0,
    }


README = (
    Statement(
        "straight-through's bias grows with depth and with training in this network, from {early} of the gradient to "
        "{late}, until its mean points the wrong way in the last layer.",
        ("toy_depth",),
        gallery,
        "One network.",
    ),
)
