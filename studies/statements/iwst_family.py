"""Statements of the study iwst_family."""

from __future__ import annotations

import pandas as pd

from estimlab.results.statements import Statement
from statements.reading import percent, rows

RAW, INVARIANT = "beaten_by_st_zgr", "beaten_by_st_zgr_scale_invariant"


def _range(found: pd.DataFrame) -> str:
    return f"{percent(found['value'].min())} to {percent(found['value'].max())}"


def shares(table: pd.DataFrame) -> dict[str, str | bool]:
    """Shares of members that a mix beats, over layers and seeds."""
    trained = rows(table, stage="step 100")
    constant, others, gr = (rows(table, family="constant"), ("mve", "power"), rows(trained, family="gr"))
    families = rows(trained, family=others)
    return {
        "constant": _range(rows(constant, statistic=RAW)),
        "constant_invariant": _range(rows(constant, statistic=INVARIANT)),
        "family": _range(rows(families, statistic=RAW)),
        "family_invariant": _range(rows(families, statistic=INVARIANT)),
        "gr": _range(rows(gr, statistic=RAW)),
        "gr_invariant": _range(rows(gr, statistic=INVARIANT)),
        "networks": str(int(table["seed"].nunique())),
        "no weight is best in all layers": winners_differ(table),
        "some mix beats most constants": bool((rows(constant, statistic=RAW)["value"] > 0.5).all()),
        "no mix dominates Gumbel-Rao": bool((rows(gr, statistic=RAW)["value"] < 0.5).all()),
    }


def winners_differ(table: pd.DataFrame) -> bool:
    """Whether in each network and stage the least error of one draw has another weight in another layer."""
    members = ["family", "parameters", "stage", "seed", "layer"]
    chosen = rows(table, statistic=("relative_bias", "relative_std"), family=("constant", "mve", "power", "st_zgr"))
    chosen = chosen[chosen["stage"] != ""].assign(square=lambda t: t["value"] ** 2)
    errors = chosen.groupby(members)["square"].sum().reset_index()
    best = errors.loc[errors.groupby(["stage", "seed", "layer"])["square"].idxmin()]
    return bool((best.groupby(["stage", "seed"])["parameters"].nunique() > 1).all())


def units(table: pd.DataFrame) -> dict[str, str | bool]:
    """The functional at MVE's weight over that at the optimum, one unit whose slope grows."""
    growing = rows(rows(table, problem="quadratic, f''=1"), statistic="functional")
    wide = growing.pivot(index="trade", columns="family", values="value")
    ratio = (wide["constant-slope optimum"] / wide["quadratic optimum"]).drop(0.0).sort_index()
    falling = rows(rows(table, problem="quadratic, f''=-0.6"), statistic="functional")
    other = falling.pivot(index="trade", columns="family", values="value")
    near = (other["constant-slope optimum"] / other["quadratic optimum"]).drop(0.0)
    return {
        "least": f"{ratio.iloc[-1]:.0f}",
        "most": f"{ratio.iloc[0]:.0f}",
        "high": f"{ratio.index[-1]:.0f}",
        "low": f"{ratio.index[0]:.1f}",
        "MVE leaves the front where the slope grows": bool((ratio > 1.5).all()),
        "and is nearer to it where the slope falls": bool(near.median() < ratio.median()),
    }


ANSWER = (
    Statement(
        "In no network is one weight best in all layers: the least error of one draw belongs to different ones. "
        "Constants other than 1/2 lose: some mix of ST and ZGR beats {constant} % of them in each layer (in the "
        "scale-invariant plane {constant_invariant} %). In trained layers a mix also beats {family} % of the members "
        "of MVE and of the power family (scale-invariant: {family_invariant} %), but only {gr} % of Gumbel-Rao's "
        "({gr_invariant} %): ST-ZGR does not dominate Gumbel-Rao, which buys its small deviation by shrinking the "
        "gradient.",
        ("iwst_family",),
        shares,
        "{networks} networks of three layers of eight units, at two stages; ranges over layers and networks.",
        ("1", "2"),
    ),
    Statement(
        "For one unit both optima lie on the front where the slope falls with the state; where it grows, MVE, which "
        "takes it for constant, leaves the front, and variance + lambda bias^2 is {least} to {most} times the optimum "
        "for lambda from {high} to {low}.",
        ("iwst_family",),
        units,
        "The optima: one unit, two quadratics.",
        ("2",),
    ),
)


def gallery(table: pd.DataFrame) -> dict[str, str | bool]:
    """The gallery's line."""
    found = shares(table)
    return {
        name: found[name] for name in ("networks", "no mix dominates Gumbel-Rao", "no weight is best in all layers")
    }


README = (
    Statement(
        "no importance weight is best in all layers, and mixes of ST and ZGR do not dominate Gumbel-Rao "
        "({networks} networks).",
        ("iwst_family",),
        gallery,
        "{networks} networks.",
    ),
)
