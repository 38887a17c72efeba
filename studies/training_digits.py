"""Every estimator of the catalogue trains the same network on handwritten digits, failures included."""

from __future__ import annotations

import math
from itertools import groupby
from typing import Any

import pandas as pd
from statements.training_digits import ANSWER

import estimlab as el
from estimlab.cells import TrainingRun
from estimlab.estimators import catalogue
from estimlab.results.plotting import appearance
from estimlab.results.study import Study
from estimlab.training.recipes.digits import Digits

MORE = (
    el.StraightThrough("identity"),
    el.GumbelSoftmax(temperature=0.3),
    el.GumbelSoftmax(temperature=0.1),
    el.STGumbelSoftmax(temperature=0.3),
    el.GumbelRao(temperature=0.3),
    el.Reinforce(baseline=2.3),
)
ESTIMATORS = (*(cls() for cls in catalogue()), *MORE)
RECIPE = Digits(epochs=12, widths=(40, 40))
SEEDS = (0, 1, 2)


def cells(recipe: Digits, estimators: tuple, seeds: tuple[int, ...]) -> tuple:
    """One run per estimator and seed."""
    return tuple(TrainingRun(recipe, one, seed, curve=True) for one in estimators for seed in seeds)


def means(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean over seeds with its standard error; the seed is left empty. Runs that stopped count as such alone."""
    keys = ("recipe", "estimator", "parameters", "epoch", "statistic")
    ordered = sorted(rows, key=lambda row: tuple(str(row[key]) for key in keys))
    found = []
    for key, group in groupby(ordered, key=lambda row: tuple(row[key] for key in keys)):
        values = [row["value"] for row in group if row["value"] is not None]
        if values:
            mean, n = sum(values) / len(values), len(values)
            spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n) if n > 1 else None
            found.append({**dict(zip(keys, key, strict=True)), "seed": None, "value": mean, "stderr": spread})
    return found


def summary(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Estimators by the training loss at the end."""
    rows = table[table["seed"].isna()]
    last = rows[rows["epoch"] == rows["epoch"].max()]
    wide = last.pivot_table(index=["estimator", "parameters"], columns="statistic", values="value", sort=False)
    wide = wide.sort_values("train_loss").reset_index()
    wide.insert(
        0, "label", [appearance(*row)["label"] for row in wide[["estimator", "parameters"]].itertuples(index=False)]
    )
    return [("", wide.drop(columns=["estimator", "parameters"]))]


STUDY = Study(
    question="Which estimators train a network of binary units on digits, and which fail, with the same learning rate?",
    cells=cells(RECIPE, ESTIMATORS, SEEDS),
    smoke=cells(
        Digits(epochs=2, widths=(8, 8), examples=200),
        (el.StraightThrough(), el.GumbelSoftmax(), el.Reinforce()),
        (0, 1),
    ),
    answer=ANSWER,
    shows=summary,
    derived=means,
)
