"""Statements of the study descent."""

from __future__ import annotations

import pandas as pd

from estimlab.results.statements import Statement
from statements.reading import interval, row, rows, several, word

NETWORKS = ("2-6-6-1", "2-4-4-4-4-1")
UNBIASED = ("local_expectation", "reinforce_loo", "arm", "disarm", "arms", "muprop", "rebar")
SMALL, LARGE = 0.1, 1.0


def _tau(table: pd.DataFrame, predictor: str, rate: float | None) -> list[pd.Series]:
    chosen = {"statistic": "kendall_tau", "stage": "start", "predictor": predictor, "learning_rate": rate}
    return [row(table, problem=network, **chosen) for network in NETWORKS]


def correlations(table: pd.DataFrame) -> dict[str, str | bool]:
    """Of bias and RMSE before training with the loss, at common rates and at the best ones."""
    small, large, best = (_tau(table, "relative_rmse", rate) for rate in (SMALL, LARGE, None))
    bias, bias_best = _tau(table, "relative_bias", SMALL), _tau(table, "relative_bias", None)
    texts = {
        f"{name}_{k}": interval(found[k], 2)
        for name, found in (("small", small), ("best", best), ("bias_best", bias_best))
        for k in (0, 1)
    }
    return texts | {
        "bias": several(found["value"] for found in bias).replace(", ", " and "),
        "estimators": str(len(rows(table, statistic="excess_objective", problem=NETWORKS[0]))),
        "rates": word(table["learning_rate"].nunique()),
        "at the small rate the RMSE ranks the loss": all(found["low"] > 0 for found in small),
        "at the large and at the best rates it cannot be told": all(found["low"] < 0 for found in (*large, *best)),
        "the bias does not at the small rate": all(found["low"] < 0 < found["high"] for found in bias),
        "the bias does at most weakly at the best rates": all(found["value"] < 0.5 for found in bias_best),
    }


def ends(table: pd.DataFrame) -> dict[str, str | bool]:
    """Who ends where at its best rate, and how many best rates lie at the edge of those tried."""
    excess = rows(table, statistic="excess_objective")
    rates = sorted(table["learning_rate"].dropna().unique())
    edge = [int(rows(excess, problem=name)["learning_rate"].isin((rates[0], rates[-1])).sum()) for name in NETWORKS]
    least = [rows(excess, problem=name).sort_values("value").iloc[0] for name in NETWORKS]
    highest = [rows(excess, problem=name).sort_values("value").iloc[-1]["estimator"] for name in NETWORKS]
    ties = [
        int((rows(excess, problem=name)["low"] <= one["high"]).sum()) - 1
        for name, one in zip(NETWORKS, least, strict=True)
    ]
    return {
        "ties": " and ".join(map(str, ties)),
        "least": " and ".join(interval(one, 3) for one in least),
        "edge": " and ".join(map(str, edge)),
        "range": f"{rates[0]:g} to {rates[-1]:g}",
        "the lowest are unbiased": all(one["estimator"] in UNBIASED for one in least),
        "mean field ends highest": set(highest) == {"mean_field"},
    }


RESTS = "Two architectures, sixteen initialisations each (bias and variance in eight of them), one data set."
ANSWER = (
    Statement(
        "It depends on the learning rate. At a common small one (0.1) the RMSE of one draw does: over {estimators} "
        "estimators its rank correlation with the loss is {small_0} in the network 2-6-6-1 and {small_1} in "
        "2-4-4-4-4-1, that of the bias {bias}. At a large one (1.0), or where each has the best of {rates} rates, it "
        "cannot be told (then {best_0} and {best_1}), and the bias does at most weakly ({bias_best_0} and "
        "{bias_best_1}).",
        ("descent",),
        correlations,
        RESTS,
        ("0.1", "1.0", "2-6-6-1", "2-4-4-4-4-1", "one", "2", "6", "1", "4"),
    ),
    Statement(
        "At its best rate an estimator without bias has the lowest mean loss in both networks, {least} above that of "
        "the exact gradient, but {ties} other estimators lie within its interval; mean field, which has no variance "
        "at all, ends highest. Of the best rates {edge} in the two networks lie at the edge of those that were tried, "
        "{range}.",
        ("descent",),
        ends,
        "",
        ("two",),
    ),
)
