"""Statements of the study validation."""

from __future__ import annotations

import pandas as pd

from estimlab.results.statements import Statement
from statements.reading import interval, row, word

EARLY, LATE = "digits-early/v1", "digits-late/v1"


def _tau(table: pd.DataFrame, problem: str, predictor: str, outcome: str) -> pd.Series:
    return row(table, statistic="kendall_tau", problem=problem, predictor=predictor, outcome=outcome)


def ranks(table: pd.DataFrame) -> dict[str, str | bool]:
    """Kendall's tau of deviation and bias with the outcome of training."""
    std = _tau(table, EARLY, "relative_std", "error")
    late = _tau(table, LATE, "relative_std", "error")
    trained = _tau(table, EARLY, "relative_std", "train_loss")
    bias = [_tau(table, stage, "relative_bias", "error") for stage in (EARLY, LATE)]
    return {
        "estimators": str(int(std["estimators"])),
        "std": interval(std, 2),
        "chance": f"{max(std['chance_high'], -std['chance_low']):.2f}",
        "late": interval(late, 2),
        "bias": " and ".join(interval(found, 2) for found in bias),
        "trained": f"{trained['value']:.2f}",
        "seeds": word(int(table["seed"].nunique())),
        "the deviation ranks the error": bool(std["low"] > 0 and std["value"] > std["chance_high"]),
        "no bias ranks it": all(found["value"] < found["chance_high"] for found in bias),
    }


ANSWER = (
    Statement(
        "Variance does, in a short training: over {estimators} estimators the standard deviation of one draw early in "
        "the small network's training ranks the test error of one drawn pass of the larger one with Kendall's tau "
        "{std} (interval: families of estimators resampled), where chance stays within {chance}; "
        "late in the small network's training with {late}. Bias alone does not: tau is {bias} early and late. The "
        "training loss, which for relaxed estimators is that of the relaxed network, is ranked with {trained}.",
        ("validation",),
        ranks,
        "One small network at two stages of its training, {seeds} seeds of one larger network on one data set, one "
        "learning rate.",
        ("one",),
    ),
)


def beside(table: pd.DataFrame, descent: pd.DataFrame) -> dict[str, str | bool]:
    """The tau of this study, and that of ``descent`` at the best rates of each."""
    found = ranks(table)
    chosen = {"statistic": "kendall_tau", "stage": "start", "predictor": "relative_std", "learning_rate": None}
    best = [row(descent, problem=name, **chosen) for name in descent["problem"].drop_duplicates()]
    names = ("std", "estimators", "seeds", "the deviation ranks the error", "no bias ranks it")
    return {name: found[name] for name in names} | {
        "best": " and ".join(interval(one, 2) for one in best),
        "at the best rates it does not": all(one["low"] < 0 < one["high"] for one in best),
    }


README = (
    Statement(
        "At one learning rate for all, the standard deviation of a draw ranks the test error of one drawn pass after a "
        "short training (Kendall's tau {std} over {estimators} estimators, families resampled; one small network, "
        "{seeds} seeds of one larger one), bias alone does not; where every estimator has its own best rate, as in the "
        "study descent, the deviation ranks no longer ({best} in two small networks).",
        ("validation", "descent"),
        beside,
        "One small and one larger network, {seeds} seeds; two small networks in descent.",
        ("one", "two"),
    ),
)
