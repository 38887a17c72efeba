"""Statements of the study temperature."""

from __future__ import annotations

import pandas as pd

from estimlab.results.statements import Statement
from statements.reading import one, percent, rows

ST_GS, GS = {"estimator": "st_gumbel_softmax"}, {"estimator": "gumbel_softmax"}
BOUNDED = {"estimator": "analytic_gumbel_rao"}
ROUNDING = 1e-6  # of quadrature and fit


def orders(table: pd.DataFrame) -> dict[str, str | bool]:
    """Limits of the bias at the smallest temperature, and fitted orders beside those of theory."""
    least = table["temperature"].min()
    small = rows(table, temperature=least)
    limit = {name: one(small, **ST_GS, objective=name, statistic="relative_bias") for name in OBJECTIVES}
    fitted = table[table["statistic"].isin(("order_of_relative_bias", "order_of_variance"))]
    distance = (fitted["value"] - fitted["asymptote"]).abs()
    gr = rows(small, estimator="gumbel_rao", objective="cubic", statistic="variance").set_index("samples")["value"]
    bounded = rows(table, **BOUNDED, statistic="order_of_variance")["value"]
    return {
        "cubic": percent(abs(limit["cubic"])),
        "exponential": percent(abs(limit["exponential"])),
        "nothing for quadratics": abs(limit["quadratic"]) < least,
        "fitted orders are those of theory": bool((distance <= 2 * fitted["stderr"] + ROUNDING).all()),
        "Gumbel-Softmax's bias vanishes": one(small, **GS, objective="cubic", statistic="relative_bias") < 10 * least,
        "the variance is divided by K": abs(gr[10] / gr[100] / 10 - 1) < 0.3,
        "with infinitely many samples it is bounded": bool((bounded > 0).all()),
    }


OBJECTIVES = ("quadratic", "cubic", "exponential")
ANSWER = (
    Statement(
        "As theory says, constants included. Gumbel-Softmax: bias O(tau), for a linear objective O(tau^2), variance "
        "O(1 / tau). ST-GS and Gumbel-Rao with any K have one and the same bias, which tends to ZGR's: nothing for "
        "quadratics, {cubic} % for the cubic, {exponential} % for the exponential; their variance is O(1 / tau) too, "
        "divided by K, and only with infinite K bounded. All fitted orders are those of the theory within twice the "
        "uncertainty of the fit.",
        ("temperature",),
        orders,
        "One bit with logistic noise at one pre-activation, four objectives; no sampling.",
        ("1", "2", "one"),
    ),
)


def gallery(table: pd.DataFrame) -> dict[str, str | bool]:
    """The gallery's line."""
    return {name: bool(value) for name, value in orders(table).items() if not isinstance(value, str)}


README = (
    Statement(
        "bias and variance of one bit follow the theory with its constants, and only Gumbel-Rao with infinitely many "
        "samples has a bounded variance.",
        ("temperature",),
        gallery,
        "One bit.",
    ),
)
