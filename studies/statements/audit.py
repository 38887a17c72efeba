"""Statements of the study audit."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from estimlab.results.statements import Statement
from statements.reading import row, rows, word

NORSE = {"logistic_fn(x, 100)": 2 / 100, "circ_dist_fn(x, 100)": 2 * 100}
RIGHT = ("torch", "reinmax", "pyro-ppl", "pydrobert-pytorch", "spikingjelly")
STORCH = {
    "rebar": 'REBAR("x")',
    "relax": 'RELAX("x", in_dim=1)',
    "disarm": 'DisARM("x")',
    "average": "ScoreFunction(moving_average)",
    "infer": 'Infer("x", Bernoulli)',
}


def counts(table: pd.DataFrame) -> dict[str, str | bool]:
    """Claims that a documentation states, and those that it implies: how many hold, are of another scale, refuted."""
    found: dict[str, str | bool] = {"packages": word(rows(table, kind=("stated", "implied"))["package"].nunique())}
    for kind in ("stated", "implied"):
        verdicts = rows(table, kind=kind)["verdict"]
        held, scaled, refuted = (int((verdicts == name).sum()) for name in ("holds", "another scale", "refuted"))
        found |= {kind: str(len(verdicts)), f"{kind}_held": str(held), f"{kind}_scaled": word(scaled)}
        found |= {f"{kind}_refuted": word(refuted), f"{kind}: nothing else": held + scaled + refuted == len(verdicts)}
    return found


def named(table: pd.DataFrame) -> dict[str, str | bool]:
    """Which functions do not do what they say, and by how much."""
    ratios = {name: row(table, package="storchastic", function=function)["ratio"] for name, function in STORCH.items()}
    right = rows(table, package=RIGHT, kind=("stated", "implied"))
    norse = {name: row(table, package="norse", function=name) for name in NORSE}
    lso, sigmoid = (rows(table, package="snntorch", function=name) for name in ("LSO()", "sigmoid()"))
    return {
        **{name: f"{ratio:.2f}".replace("-0.00", "0") for name, ratio in ratios.items()},
        "five packages do what they say": bool((right["verdict"] == "holds").all()),
        "2/k and 2 alpha": all(abs(norse[name]["ratio"] / factor - 1) < 1e-6 for name, factor in NORSE.items()),
        "the factor is constant": all(one["verdict"] == "another scale" for one in norse.values()),
        "super_fn is refuted": row(table, function="super_fn(x, 100)")["verdict"] == "refuted",
        "LSO cannot be called": lso["note"].iloc[0].startswith("raises TypeError"),
        "its sigmoid is NaN": "refuted" in sigmoid["verdict"].tolist(),
        "two samplers share": len(rows(table, package="relaxit", claim="units of a vector are independent")) == 2,
    }


RESTS = "Each claim rests on one unit or a few points; sampled means on one seed."
COUNTS = Statement(
    "Of {stated} claims that the documentation of {packages} packages states {stated_held} hold, {stated_scaled} up to"
    " a constant factor, and {stated_refuted} are refuted; of {implied} that a formula or a cited method implies "
    "{implied_held} hold, {implied_scaled} up to a constant factor, which is a convention of surrogates, and "
    "{implied_refuted} are refuted",
    ("audit",),
    counts,
    RESTS,
)
NAMED = Statement(
    "Torch, ReinMax, Pyro, pydrobert and SpikingJelly do what they say. Norse's stochastic logistic_fn and "
    "circ_dist_fn have backward rules that are 2/k and 2 alpha times the derivative, and super_fn ignores its slope; "
    "snnTorch's LSO cannot be called and its sigmoid is NaN in float32 below -3.5; two samplers of relaxit share one "
    "random number among all units; on one unit storchastic's REBAR has {rebar} times the gradient as its mean, RELAX "
    "{relax}, DisARM {disarm}, the moving-average baseline {average} and Infer {infer} times.",
    ("audit",),
    named,
    RESTS,
    ("2", "32", "3.5"),
)
ANSWER = (replace(COUNTS, text=f"{COUNTS.text}."), NAMED)
README = (COUNTS,)
