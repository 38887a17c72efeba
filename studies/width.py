"""Bias and deviation against the number of units per layer, in chains of two layers."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import torch
from scipy.special import stdtrit
from statements.width import ANSWER

import estimlab as el
from estimlab.cells import build
from estimlab.cells.makers import CosineChain
from estimlab.measurement.exact.attribution import attribute_bias
from estimlab.measurement.labels import estimator_columns
from estimlab.results.columns import Column
from estimlab.results.matrix import Matrix
from estimlab.results.study import Cell, Study

SEEDS, LAYERS = (0, 1, 2, 3, 4), ("0", "1")
WIDTHS = (2, 3, 4, 6, 8, 10, 12, 14, 16)
ESTIMATORS = (el.StraightThrough(), el.ZGR(), el.MVE(1.0), el.AnalyticGumbelRao(0.5))
SAMPLED = el.GumbelSoftmax(0.5)
FIT_FROM = 4  # smallest width that the fits see


@final
@dataclass(frozen=True)
class Network(Cell):
    """All estimators on one network.

    Attributes:
        steps: of exact descent; 0: at initialisation.
        width: units in each of the two layers.
        seed: of the network, and of the draws.
        variance_to: largest width whose variance is computed; beyond it the bias alone is, exactly too.
        draws: of Gumbel-Softmax, which has no exact moments.
    """

    revision: ClassVar[int] = 2

    steps: int
    width: int
    seed: int
    variance_to: int = 12
    draws: int = 4096

    @property
    def recipe(self) -> CosineChain:
        """Of the network."""
        return CosineChain((self.width, self.width), self.steps, self.seed)

    @property
    def title(self) -> str:
        """Width, stage and seed."""
        return f"{self.width} units a layer at step {self.steps}, seed {self.seed}"

    def run(self) -> list[dict[str, Any]]:
        """Rows per layer: bias, deviation and cosine."""
        head = {"problem": "2-n-n-1", "stage": self.recipe.columns()["stage"], "width": self.width, "seed": self.seed}
        rows = [row for estimator in ESTIMATORS for row in self.exact(estimator)]
        if self.width <= self.variance_to:
            problem, truth = build(self.recipe)
            rows += el.measure(problem, SAMPLED, truth, self.draws, self.seed).rows()
        kept = ("relative_bias", "relative_std", "cosine")
        empty = {"draws": None, "low": None, "high": None}
        return [{**head, **empty, **row} for row in rows if row["layer"] in LAYERS and row["statistic"] in kept]

    def exact(self, estimator: el.Estimator) -> list[dict[str, Any]]:
        """All moments, or bias and cosine alone."""
        problem, truth = build(self.recipe)
        if self.width <= self.variance_to:
            return el.exact_moments(problem, estimator, truth).rows()
        attribution = attribute_bias(problem, estimator)
        head = {**estimator_columns(estimator), "method": "exact", "stderr": 0.0}
        rows = []
        for layer in LAYERS:
            reference = torch.cat([attribution.reference[name].flatten() for name in attribution.layers[layer]])
            bias = attribution.bias(layer)
            cosine = torch.cosine_similarity(bias + reference, reference, 0)
            for name, value in (("relative_bias", bias.norm() / reference.norm()), ("cosine", cosine)):
                rows.append({**head, "layer": layer, "statistic": name, "value": float(value)})
        return rows


def fits(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The power of the width that fits each exact statistic best, with its 95 % interval."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["method"] == "exact" and row["width"] >= FIT_FROM and row["statistic"] != "cosine":
            groups[row["stage"], row["estimator"], row["layer"], row["statistic"]].append(row)
    result = []
    for (*_, statistic), members in groups.items():
        exponent, stderr, reach = exponent_of([(row["width"], row["value"]) for row in members])
        fitted = {"value": exponent, "stderr": stderr, "low": exponent - reach, "high": exponent + reach}
        name = f"{statistic}_exponent"
        result.append({**members[0], "width": None, "seed": None, "statistic": name, **fitted})
    return result


def exponent_of(points: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Least squares of log y on log x: slope, its standard error, half its 95 % interval (Student's t).

    The networks are independent and the spread of log y is taken to be the same at every x.
    """
    x, y = np.log(np.array(points).T)
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    residuals = y - y.mean() - slope * centred
    stderr = math.sqrt(float(residuals @ residuals) / (len(x) - 2) / float(centred @ centred))
    return slope, stderr, float(stdtrit(len(x) - 2, 0.975)) * stderr


def cells(steps: int, widths: tuple[int, ...], seeds: tuple[int, ...], **fields: int) -> tuple[Network, ...]:
    """The same seeds at every width; the wide ones, which take longest, first."""
    return tuple(Network(steps, width, seed, **fields) for width in sorted(widths)[::-1] for seed in seeds)


_EXPONENT = "power b of the width n that fits best, least squares of log value on log n over all networks"

STUDY = Study(
    question="Does straight-through become more accurate with more units per layer?",
    answer=ANSWER,
    shows=Matrix(("stage", "estimator", "layer"), (), ("relative_bias_exponent", "relative_std_exponent")),
    cells=cells(0, WIDTHS, SEEDS) + cells(100, WIDTHS, SEEDS),
    smoke=cells(0, (2, 4, 6, 7), (0, 1), variance_to=6, draws=512) + cells(5, (4, 6), (0, 1), draws=512),
    derived=fits,
    columns=(
        Column("width", r"$n$", "units", "number of units in each of the two layers; empty for a fit over widths"),
        Column("relative_bias_exponent", r"$b$", "1", f"relative bias: {_EXPONENT}"),
        Column("relative_std_exponent", r"$b$", "1", f"relative standard deviation: {_EXPONENT}"),
    ),
)
