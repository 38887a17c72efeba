"""Statements of the study curvature."""

from __future__ import annotations

import pandas as pd

from estimlab.results.statements import Statement
from statements.reading import ST, ZGR, one, rows

POWERS = ("power 1.5", "power 2", "power 3")
DARN, MVE, GR = {"estimator": "darn"}, {"estimator": "mve"}, {"estimator": "analytic_gumbel_rao"}
UNBIASED = ("reinforce", "disarm")
EXACT = 1e-9


def _networks(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the sweep: medians over networks."""
    return table[table["networks"].notna()]


def biases(table: pd.DataFrame) -> dict[str, str | bool]:
    """Who is exact where, and how far the others are."""
    bias = rows(_networks(table), statistic="relative_bias")
    eight, many = rows(bias, units=8), rows(bias, units=128)
    local = rows(
        eight, estimator=("straight_through", "darn", "mve", "zgr", "analytic_gumbel_rao", "st_gumbel_softmax")
    )
    quadratic, exponential = rows(eight, objective="quadratic"), rows(local, objective="exponential")
    few = [one(eight, **ZGR, objective=p) for p in POWERS]
    products = [one(eight, **who, objective="multilinear") for who in (ST, DARN, MVE)]
    zgr = [one(eight, **ZGR, objective=name) for name in ("multilinear", "quadratic")]
    best = rows(local, objective=POWERS).groupby("objective")["value"].idxmin()
    curved = ["power 1.5", "power 3"]
    return {
        "few": f"{max(few):.2f}",
        "many": f"{max(one(many, **ZGR, objective=p) for p in POWERS):.3f}",
        **{name: f"{one(quadratic, **who):.2f}" for name, who in (("st", ST), ("darn", DARN), ("mve", MVE))},
        "zgr_exponential": f"{one(exponential, **ZGR):.2f}",
        "st_exponential": f"{one(exponential, **ST):.2f}",
        "gr_exponential": f"{one(exponential, **GR):.2f}",
        "networks": str(int(bias["networks"].max())),
        "ZGR is exact for products and quadratics": max(zgr) < EXACT,
        "ST, DARN, MVE are exact for products": max(products) < EXACT,
        "ZGR is best for powers": {local.loc[best[name], "estimator"] for name in curved} == {"zgr"},
        "ZGR loses for exponentials": one(exponential, **ZGR) > max(one(exponential, **ST), one(exponential, **GR)),
    }


def errors(table: pd.DataFrame) -> dict[str, str | bool]:
    """The least error of one draw, at eight bits."""
    eight = rows(_networks(table), units=8)
    rmse, scaled = rows(eight, statistic="relative_rmse"), rows(eight, statistic="scale_invariant_std")
    least = rmse.groupby("objective")["value"].min()
    winners = set(rmse.loc[rmse.groupby("objective")["value"].idxmin(), "estimator"])
    unbiased = rows(rmse, estimator=UNBIASED)
    ratio = unbiased["value"].to_numpy() / least[unbiased["objective"]].to_numpy()
    steady = scaled.loc[scaled.groupby("objective")["value"].idxmin()]
    least_scaled = scaled.groupby("objective")["value"].min()
    st = rows(scaled, **ST).set_index("objective")["value"]
    return {
        "ratio": f"{ratio.min():.1f} to {ratio.max():.1f}",
        "least is GR or Gumbel-Softmax": winners <= {"analytic_gumbel_rao", "gumbel_softmax"},
        "in scale-invariant terms ST deviates least": bool(
            (st <= least_scaled[st.index] * 1.001).all() and len(steady) == len(st)
        ),
    }


ANSWER = (
    Statement(
        "In bias ZGR is best, or exact, for products, quadratics and powers: 0 for the first two, at most {few} for "
        "powers of 8 bits and {many} for powers of 128; ST, DARN and MVE are exact for products too and have {st}, "
        "{darn} and {mve} on quadratics of 8 bits. For exponentials ZGR ({zgr_exponential}) loses to ST "
        "({st_exponential}) and GR(0.5) ({gr_exponential}).",
        ("curvature",),
        biases,
        "Medians over {networks} objectives, drawn at random, per kind and number of bits; one layer of units.",
        ("0", "first", "two", "8", "128", "0.5"),
    ),
    Statement(
        "The RMSE of one draw is least for GR(0.5) or, on steep objectives, Gumbel-Softmax, which shrink the "
        "gradient: in scale-invariant terms ST deviates least on every objective. DisARM and REINFORCE, without bias, "
        "have {ratio} times the least RMSE.",
        ("curvature",),
        errors,
        "",
        ("one", "0.5"),
    ),
)
