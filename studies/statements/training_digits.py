"""Statements of the study training_digits."""

from __future__ import annotations

import pandas as pd

from estimlab.results.statements import Statement
from statements.reading import DISARM, GS, MVE, ST, ZGR, one, percent, rows, word

RELATIVES = (
    ST,
    ZGR,
    MVE,
    GS,
    {"estimator": "psa"},
    {"estimator": "st_gumbel_softmax", "temperature": 1.0},
    {"estimator": "gumbel_rao", "temperature": 1.0},
    {"estimator": "analytic_gumbel_rao", "temperature": 1.0},
)
COLD = {"estimator": "gumbel_softmax", "temperature": 0.1}
PLAIN = {"estimator": "reinforce", "baseline": 0.0}
UNBIASED = (DISARM, {"estimator": "arm"}, {"estimator": "arms"}, {"estimator": "muprop"}, {"estimator": "rebar"})
UNBIASED += ({"estimator": "relax"}, {"estimator": "reinforce", "baseline": 2.3}, {"estimator": "reinforce_loo"})
DETERMINISTIC = ("mean_field", "moment_propagation", "surrogate_gradient")


def accuracies(table: pd.DataFrame) -> dict[str, str | bool]:
    """Means over the seeds of the accuracy of one drawn pass."""
    means = rows(table, seed=None, epoch=table["epoch"].max())
    drawn = rows(means, statistic="accuracy_of_draw")
    loss = rows(means, statistic="train_loss")
    related = [one(drawn, **who) for who in RELATIVES]
    free = [one(drawn, **who) for who in UNBIASED]
    local = one(drawn, estimator="local_expectation")
    plain = [one(drawn, estimator=name) for name in DETERMINISTIC]
    ranked = loss["value"].median()
    return {
        "related": f"{percent(min(related))} to {percent(max(related))}",
        "cold": percent(one(drawn, **COLD)),
        "free": f"{percent(min(free))} to {percent(max(free))}",
        "local": percent(local),
        "without": percent(one(drawn, **PLAIN)),
        "plain": f"{percent(plain[0])}, {percent(plain[1])} and {percent(plain[2])}",
        "epochs": word(int(table["epoch"].max())),
        "seeds": word(int(table["seed"].nunique())),
        "none stops at a NaN": bool((rows(table, statistic="stopped")["value"] == 0).all()),
        "local expectation is the best without bias": local > max(free),
        "REINFORCE without a baseline is the last of those": one(drawn, **PLAIN) < min(free),
        "the deterministic networks' loss is low": all(one(loss, estimator=name) < ranked for name in DETERMINISTIC),
    }


ANSWER = (
    Statement(
        "All learn and none stops at a NaN, at one learning rate for all and {epochs} epochs. One drawn pass of the "
        "trained binary network is right on {related} % of the test images with straight-through and its relatives at "
        "temperature 1, Gumbel-Softmax at 1, ZGR and PSA; on {cold} % with Gumbel-Softmax at temperature 0.1, on "
        "{free} % with estimators that are unbiased, but for local expectation ({local} %), which sums over every "
        "unit, and on {without} % with REINFORCE without a baseline. Mean field, moment propagation and surrogate "
        "gradients reach a low loss of the deterministic network that they train, but one draw of the binary network "
        "is right on {plain} % only.",
        ("training_digits",),
        accuracies,
        "Means over {seeds} seeds of one network and one data set; one learning rate, tuned for none.",
        ("1", "0.1", "one", "One"),
    ),
)
