"""Statements of the study budget."""

from __future__ import annotations

import numpy as np
import pandas as pd

from estimlab.results.statements import Statement
from statements.reading import ST, ZGR, interval, one, row, rows, several, word

UNIT = "objective evaluations"
DIGITS, TOY = "digits-late/v1", "toy-late/v1"
LOW, HIGH = 100.0, 10_000.0


def _crossovers(table: pd.DataFrame, **conditions: object) -> pd.DataFrame:
    return rows(table, statistic="crossover_budget", budget_unit=UNIT, rivals="any", **conditions)


def counted(table: pd.DataFrame) -> dict[str, str | bool]:
    """Where the crossovers lie."""
    found = _crossovers(table)
    known = found[np.isfinite(found["high"]) & np.isfinite(found["low"])]
    between = int(known["value"].between(LOW, HIGH).sum())
    ahead = int((known["high"] < 0).sum())
    return {
        "all": str(len(found)),
        "between": str(between),
        "ahead": str(ahead),
        "unknown": word(len(found) - len(known)),
        "over": str(int((known["value"] > HIGH).sum())),
        "under": str(int(((known["high"] >= 0) & (known["value"] < LOW)).sum())),
        "estimators": word(len(found[["estimator", "parameters"]].drop_duplicates())),
        "problems": word(found["problem"].nunique()),
        "more lie between than anywhere else": between > len(known) / 3,
    }


def first(table: pd.DataFrame) -> dict[str, str | bool]:
    """The first layer on the digits, and what a batch does."""
    digits, toy = (
        [row(_crossovers(table, **ST, problem=name, layer=0), examples=which) for which in ("one", "all")]
        for name in (DIGITS, TOY)
    )
    second = [one(_crossovers(table, **ST, problem=DIGITS, layer=1), examples=which) for which in ("one", "all")]
    zgr = _crossovers(table, **ZGR, problem=DIGITS, layer=0)
    factors = [digits[0]["value"] / digits[1]["value"], second[0] / second[1]]
    cost = rows(table, statistic="cost", budget_unit=UNIT, layer=0, examples="one", estimator="local_expectation")
    narrow = row(
        rows(table, statistic="crossover_budget", budget_unit=UNIT, rivals="cost independent of width"),
        **ST,
        problem=DIGITS,
        layer=0,
        examples="one",
    )
    return {
        "one": interval(digits[0]),
        "all": interval(digits[1]),
        "cost": several((one(cost, problem=name) for name in (DIGITS, TOY)), 0).replace(", ", " and "),
        "narrow": interval(narrow),
        "factors": several(factors, 1).replace(", ", " and "),
        "toy_one": f"{toy[0]['value']:.0f}",
        "toy_all": interval(toy[1]),
        "local expectation is the rival in the first layer": {found["rival"] for found in digits}
        == {"local_expectation"},
        "ZGR is overtaken at every cost": bool((zgr["high"] < 0).all()),
        "a batch lowers it on the digits": min(factors) > 1,
        "and raises it on the toy": toy[1]["low"] > toy[0]["high"],
    }


RESTS = (
    "Two trained networks, digits-late/v1 and toy-late/v1, one seed; rivals are chosen by draws apart from those "
    "that are judged."
)
ANSWER = (
    Statement(
        "Of {all} crossovers ({estimators} biased estimators, {problems} networks, all layers, one example or all) "
        "{between} lie between a hundred and ten thousand objective evaluations per example, {under} below and {over} "
        "above; in {ahead} cases the unbiased rival is the nearer at every budget, and {unknown} are not determined.",
        ("budget",),
        counted,
        RESTS,
        ("one", "hundred", "ten"),
    ),
    Statement(
        "On the digits local expectation overtakes ST in the first layer at {one} for one example and {all} for "
        "all; as it evaluates every unit, it costs {cost} evaluations a draw in the two networks, and more in wider "
        "ones: among rivals whose cost does not depend on the width the crossover is {narrow} for one example. ZGR, "
        "whose variance is large late in training, is overtaken there at every cost. A batch divides the variance, "
        "and the squared norm of the gradient too: per example it lowers ST's crossover on the digits {factors} "
        "times, in the two layers, and raises it on the toy, whose examples' gradients cancel, in the first layer "
        "from {toy_one} to {toy_all}.",
        ("budget",),
        first,
        "",
        ("one", "first", "two"),
    ),
)


def gallery(table: pd.DataFrame) -> dict[str, str | bool]:
    """The gallery's line."""
    found = counted(table)
    names = ("all", "between", "ahead", "problems", "more lie between than anywhere else")
    return {name: found[name] for name in names}


README = (
    Statement(
        "of {all} crossovers in {problems} networks {between} lie between a hundred and ten thousand evaluations of "
        "the objective per example, and in {ahead} cases the unbiased estimator is ahead at every budget.",
        ("budget",),
        gallery,
        "{problems} networks.",
    ),
)
