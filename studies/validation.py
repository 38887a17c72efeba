"""The link: bias and variance measured in the small beside what training at a larger size makes of an estimator.

In the small: a 64-10-10 network on digits, exact gradient, early and late in training. At a larger size: Fashion-MNIST
from the folder that ESTIMLAB_DATA names.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from statements.validation import ANSWER

import estimlab as el
from estimlab.cells import ExactMoments, FrozenProblem, MonteCarloMoments, TrainingRun
from estimlab.estimators.base import HardForward
from estimlab.results.columns import Column
from estimlab.results.matrix import Matrix
from estimlab.results.study import Study
from estimlab.training.recipes.digits import Digits
from estimlab.training.recipes.fashion import Fashion
from estimlab.training.recipes.recipe import Recipe

ESTIMATORS = (
    el.StraightThrough(),
    el.StraightThrough("identity"),
    el.StraightThrough("hard_tanh"),
    el.StraightThrough("approx_sign"),
    el.ZGR(),
    el.MVE(t=1.0),
    *(el.GumbelSoftmax(temperature=t) for t in (1.0, 0.5, 0.2, 0.1)),
    *(el.STGumbelSoftmax(temperature=t) for t in (1.0, 0.5, 0.2, 0.1)),
    *(el.GumbelRao(temperature=t, samples=10) for t in (0.5, 0.1)),
    el.GappedST(),
    el.DisARM(),
)
STAGES = ("digits-early/v1", "digits-late/v1")
PREDICTORS = ("relative_bias", "relative_std", "relative_rmse")
OUTCOMES = ("error", "train_loss", "training_std")
FULL = Fashion(epochs=6, examples=4000, widths=(64, 64))
SMALL = Digits(epochs=2, examples=200, widths=(8, 8))
SEEDS = (0, 1, 2)
PERMUTATIONS = RESAMPLES = 2000


def small(stage: str, estimator: el.Estimator, draws: int) -> Any:
    """Moments on the frozen problem: exact where the states are hard, else from draws."""
    problem = FrozenProblem(stage)
    if isinstance(estimator, HardForward) and not estimator.extra_channels:
        return ExactMoments(problem, estimator, statistics=PREDICTORS)
    return MonteCarloMoments(problem, estimator, statistics=PREDICTORS, draws=draws)


def cells(recipe: Recipe, estimators: tuple, stages: tuple, seeds: tuple, draws: int) -> tuple:
    """Moments in the small, then runs."""
    moments = tuple(small(stage, one, draws) for stage in stages for one in estimators)
    return moments + tuple(TrainingRun(recipe, one, seed) for one in estimators for seed in seeds)


def associations(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Kendall's tau between a statistic of the first layer in the small and an outcome, for each stage.

    Stratified by seed: the mean over seeds of tau among the estimators that were trained with this seed.
    ``chance_low`` and ``chance_high`` enclose 95 % of what it is when the estimators' names are permuted, together for
    all seeds, as a statistic in the small does not depend on the seed: a tau outside is not chance. ``low`` and
    ``high`` enclose 95 % of what it is when families of estimators are resampled. ``error`` is that of the
    stochastic network, one drawn pass; ``train_loss`` is that of the network which is trained: the relaxed one where
    an estimator relaxes.
    """
    frame = pd.DataFrame(rows)
    frame["who"] = frame["estimator"] + " " + frame["parameters"]
    found = []
    for stage in [one for one in STAGES if "problem" in frame and one in set(frame["problem"])]:
        for predictor in PREDICTORS:
            x = _predictor(frame, stage, predictor)
            for outcome in OUTCOMES:
                y = _outcome(frame, outcome).reindex(x.index).dropna()
                found.append(_association(x.loc[y.index], y, stage, predictor, outcome))
    return found


def _predictor(frame: pd.DataFrame, stage: str, statistic: str) -> pd.Series:
    chosen = (frame["problem"] == stage) & (frame["statistic"] == statistic) & (frame["layer"] == "0")
    return frame[chosen].set_index("who")["value"].abs()


def _outcome(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Estimators by seeds; large is bad."""
    rows = frame[(frame["statistic"] == ("accuracy_of_draw" if name == "error" else name)) & frame["recipe"].notna()]
    wide = rows.pivot_table(index="who", columns="seed", values="value")
    return 1 - wide if name == "error" else wide


def _association(x: pd.Series, y: pd.DataFrame, stage: str, predictor: str, outcome: str) -> dict[str, Any]:
    first, second = x.to_numpy(), y.to_numpy()
    signs = np.sign(second[:, None] - second[None]).transpose(2, 0, 1)
    generator = np.random.default_rng(0)
    orders = (generator.permutation(len(first)) for _ in range(PERMUTATIONS))
    null = np.sort([_tau(first[order], signs) for order in orders])
    low, high = np.quantile(null, (0.025, 0.975))
    named = {"problem": stage, "statistic": "kendall_tau", "predictor": predictor, "outcome": outcome}
    chance = {"chance_low": float(low), "chance_high": float(high)}
    chance |= dict(zip(("low", "high"), _of_families(x.index, first, signs), strict=True))
    return {**named, "value": _tau(first, signs), **chance, "estimators": len(first)}


def _of_families(names: pd.Index, x: np.ndarray, signs: np.ndarray) -> tuple[float, float]:
    """95 % of tau when families are drawn with replacement: members of one (temperatures, proxies) are alike."""
    families = pd.Series(range(len(names))).groupby([name.partition(" ")[0] for name in names]).apply(list).tolist()
    generator, found = np.random.default_rng(1), []
    for _ in range(RESAMPLES):
        drawn = generator.integers(len(families), size=len(families))
        members = np.concatenate([families[family] for family in drawn])
        found.append(_tau(x[members], signs[:, members][:, :, members]))
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def _tau(x: np.ndarray, signs: np.ndarray) -> float:
    """Tau-b, the mean over seeds, from the signs of all differences of the outcome, (seeds, n, n)."""
    of_x = np.sign(x[:, None] - x[None])
    agree = (of_x * signs).sum((1, 2))
    pairs = np.sqrt((of_x**2).sum() * (signs**2).sum((1, 2)))
    return float(np.mean(np.where(pairs > 0, agree / np.where(pairs > 0, pairs, 1), 0.0)))


STUDY = Study(
    question="Does bias or variance, measured exactly in a small network, say how an estimator trains a larger one?",
    cells=cells(FULL, ESTIMATORS, STAGES, SEEDS, 4000),
    smoke=cells(SMALL, (el.StraightThrough(), el.ZGR(), el.GumbelSoftmax(0.5)), STAGES[:1], (0, 1), 512),
    columns=(
        Column("predictor", r"predictor", "", "statistic of the first layer in the small network"),
        Column(
            "outcome",
            r"outcome",
            "",
            "error (1 - accuracy_of_draw), train_loss or training_std of the runs; large is bad",
        ),
        Column("chance_low", r"low", "1", "2.5 % quantile of the value when estimators are permuted"),
        Column("chance_high", r"high", "1", "97.5 % quantile of the value when estimators are permuted"),
        Column("estimators", r"$n$", "", "number of estimators that are ranked"),
        Column(
            "kendall_tau",
            r"Kendall's $\tau$",
            "1",
            "rank correlation (tau-b) of predictor and outcome over the estimators, mean over the seeds",
        ),
    ),
    answer=ANSWER,
    shows=Matrix(("problem", "predictor"), ("outcome",), ("kendall_tau",)),
    derived=associations,
)
