"""Statements of the study calibration."""

from __future__ import annotations

import pandas as pd

from estimlab.results.statements import Statement
from statements.reading import percent, rows

CONTROLLED = 0.005  # a gate passes where its binomial test has a larger probability, two-sided one per cent


def _light(table: pd.DataFrame) -> pd.DataFrame:
    """Coverage on toys with light tails, 512 draws."""
    found = rows(table, statistic="coverage", draws=512)
    return found[~found["problem"].str.startswith("Gumbel")]


def _range(found: pd.DataFrame) -> str:
    return f"{percent(found['value'].min(), 1)} to {percent(found['value'].max(), 1)}"


def coverage(table: pd.DataFrame) -> dict[str, str | bool]:
    """Coverage of every interval, and what gates do."""
    light = _light(table)
    plain = rows(light, quantity=("mean", "variance", "mse"))
    squared, errors = rows(light, quantity="squared bias"), rows(light, quantity="squared bias, 2 stderr")
    cosine = rows(light, quantity="cosine")
    powers = table[(table["statistic"] == "rejection_rate") & table["theory"].notna()]
    p_values = rows(table, statistic="binomial_p", level=(0.05, 0.01))["value"]
    return {
        "plain": _range(plain),
        "squared": percent(squared["value"].min(), 1),
        "errors": percent(errors["value"].min()),
        "cosine_far": percent(rows(cosine, effect=30)["value"].min(), 1),
        "cosine_near": f"{percent(rows(cosine, effect=10)['value'].min())} to "
        f"{percent(rows(cosine, effect=10)['value'].max())}",
        "power": f"{(powers['value'] - powers['theory']).abs().max():.2f}",
        "toys": str(light["problem"].nunique()),
        "plain intervals cover 94 to 96 %": bool(plain["value"].between(0.94, 0.96).all()),
        "every gate passes": bool((p_values > CONTROLLED).all()),
    }


def heavy(table: pd.DataFrame) -> dict[str, str | bool]:
    """Small temperatures."""
    small = tuple(f"Gumbel-Softmax, tau = {tau}" for tau in ("0.01", "0.003", "0.001"))
    found = rows(table, problem=small, statistic="coverage", draws=512)
    flagged = rows(table, problem=small, statistic="flagged_rate")["value"]
    return {
        "low": percent(found["value"].min()),
        "high": percent(found["value"].max()),
        "coverage is too small": bool(found["value"].max() < 0.95),
        "and is flagged": bool((flagged > 0.99).all()),
    }


ANSWER = (
    Statement(
        "Where tails are light, yes: with 512 draws, 95 % intervals of mean, variance and MSE cover {plain} % on "
        "{toys} toys, those of the squared bias by the noncentral chi-square at least {squared} % (two standard "
        "errors: down to {errors} %), those of the cosine at least {cosine_far} % at a bias of 30 standard errors and "
        "{cosine_near} % at 10; every gate passes the binomial test at 5 % and at 1 %, with a power within {power} of "
        "normal theory.",
        ("calibration",),
        coverage,
        "10,000 measurements per coverage, 2000 seeds per gate.",
        ("512", "95", "two", "30", "10", "5", "1"),
    ),
    Statement(
        "Straight-through Gumbel-Softmax at temperatures of 0.01 and below covers only {low} to {high} %, and is "
        "flagged as heavy-tailed.",
        ("calibration",),
        heavy,
        "",
        ("0.01",),
    ),
)
