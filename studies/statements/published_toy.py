"""Statements of the study published_toy."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd

from estimlab.results.statements import Statement
from statements.reading import row

NEAR = 2.0
"""Standard errors of a difference; no difference lies close to it."""


def counts(table: pd.DataFrame) -> dict[str, str | bool]:
    """How many published numbers lie near ours, and how many normal errors would let lie there."""
    return {
        "all": str(len(table)),
        "near": str(int((table["z"].abs() <= NEAR).sum())),
        "expected": f"{len(table) * math.erf(NEAR / math.sqrt(2)):.1f}",
        "farthest": f"{table['z'].abs().max():.1f}",
    }


def farthest(table: pd.DataFrame) -> dict[str, str | bool]:
    """The two that lie beyond."""
    far = table[table["z"].abs() > NEAR].sort_values("z", key=abs, ascending=False)
    psa, cosine = far.iloc[0], far.iloc[-1]
    one = row(table, estimator="psa", layer="2", statistic="relative_rmse")["value"]
    return {
        "psa": f"{psa['z']:.1f}",
        "one": f"{one:.3f}",
        "mean": f"{one / math.sqrt(9000):.4f}",
        "their_psa": f"{psa['published']:.3f}",
        "ours": f"{cosine['value']:.3f}",
        "theirs": f"{cosine['published']:.3f}",
        "cosine": f"{cosine['z']:.1f}",
        "no difference lies close to the threshold": bool(((table["z"].abs() - NEAR).abs() > 0.25).all()),
        "two lie beyond": len(far) == 2,
        "PSA's mean": (psa["estimator"], psa["layer"], psa["statistic"]) == ("psa", "2", "relative_rmse_of_mean"),
        "REINFORCE's cosine": (cosine["estimator"], cosine["statistic"]) == ("reinforce", "mean_cosine"),
    }


RESTS = "One network, that of epoch 100; sampled from one seed."
COUNTS = Statement(
    "Of {all} of their numbers for REINFORCE, ARM, straight-through, PSA, Gumbel-Softmax and mean field {near} lie "
    "within 2 standard errors of ours, where {expected} are expected of normal errors; the farthest lies at {farthest}"
    " and is explained",
    ("published_toy",),
    counts,
    RESTS,
    ("2",),
)
FARTHEST = Statement(
    "This is so if the source averaged 9000 draws for each number. The farthest (z = {psa}) is the mean of 9000 PSA "
    "draws in the third layer: PSA is exact there, so that its error is {one} / sqrt(9000) = {mean}, and the "
    "{their_psa} published is one realisation of it. The other is REINFORCE's mean cosine in the first layer, {ours} "
    "against {theirs} (z = {cosine}), which is not.",
    ("published_toy",),
    farthest,
    RESTS,
    ("9000",),
)
ANSWER = (replace(COUNTS, text=f"{COUNTS.text}."), FARTHEST)
README = (COUNTS,)
