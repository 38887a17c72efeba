"""What a study is made of: exact moments, Monte Carlo measurements and bias attributions of recipes of problems."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, final

from estimlab.estimators.base import Estimator
from estimlab.measurement.attribution import attribute_bias
from estimlab.measurement.exact import exact_moments
from estimlab.measurement.measurement import Measurement
from estimlab.measurement.monte_carlo import measure
from estimlab.model.problem import Problem
from estimlab.references.base import Gradient
from estimlab.references.layers import LayerwiseEnumeration
from estimlab.results.study import Cell


@dataclass(frozen=True)
class ProblemRecipe(abc.ABC):
    """How to make a problem: a frozen dataclass of numbers, strings and further recipes."""

    @abc.abstractmethod
    def build(self) -> Problem:
        """The problem; must depend on the fields only."""

    @abc.abstractmethod
    def columns(self) -> dict[str, str | float]:
        """What the study's table says of the problem, in columns of its own: at least ``problem``."""


@final
@dataclass(frozen=True)
class FrozenProblem(ProblemRecipe):
    """A problem of the frozen suite, ``FrozenProblem("toy-late/v1")``."""

    name: str

    def build(self) -> Problem:
        """Load it."""
        from estimlab import problems

        return problems.load(self.name)

    def columns(self) -> dict[str, str | float]:
        """Its versioned name."""
        return {"problem": self.name}


@lru_cache(maxsize=16)
def build(recipe: ProblemRecipe) -> tuple[Problem, Gradient]:
    """The problem of a recipe and its exact gradient, made once in a process; nobody may change them."""
    problem = recipe.build()
    truth = LayerwiseEnumeration().gradient(problem)
    return problem.with_expected(truth.expected), truth


@dataclass(frozen=True)
class MeasurementCell(Cell):
    """Every statistic of one estimator on one problem, per layer; base of the exact and the Monte Carlo cell.

    Attributes:
        problem: recipe of the problem.
        estimator: what is measured.
        averages: numbers of averaged draws for which the relative RMSE of the mean is tabulated besides.
    """

    problem: ProblemRecipe
    estimator: Estimator
    averages: tuple[int, ...] = ()

    @abc.abstractmethod
    def measurement(self) -> Measurement:
        """Measure."""

    @property
    def title(self) -> str:
        """Problem and estimator."""
        return f"{' '.join(map(str, self.problem.columns().values()))}: {self.estimator!r}"

    def run(self) -> list[dict[str, Any]]:
        """Rows: the problem's columns, ``averaged``, and those of ``Measurement.table``."""
        measurement = self.measurement()
        rows = measurement.rows(by="layer")
        head = {**self.problem.columns(), "seed": getattr(self, "seed", None)}
        result = [{**head, **row, "averaged": 1} for row in rows]
        first = {row["layer"]: row for row in rows}
        for averaged in self.averages:
            for layer, (value, stderr) in measurement.rmse_of_mean(averaged).items():
                row = {**first[layer], "statistic": "relative_rmse_of_mean", "value": value, "stderr": stderr}
                result.append({**head, **row, "averaged": averaged})
        return result


@final
@dataclass(frozen=True)
class ExactMoments(MeasurementCell):
    """Exact moments of a hard-forward estimator."""

    def measurement(self) -> Measurement:
        """Without sampling."""
        problem, truth = build(self.problem)
        return exact_moments(problem, self.estimator, truth)


@final
@dataclass(frozen=True)
class MonteCarloMoments(MeasurementCell):
    """Moments of any estimator from a number of draws.

    Attributes:
        draws: number of draws.
        seed: of the draws.
    """

    draws: int = 10_000
    seed: int = 0

    def measurement(self) -> Measurement:
        """By sampling."""
        problem, truth = build(self.problem)
        return measure(problem, self.estimator, truth, self.draws, self.seed)


@final
@dataclass(frozen=True)
class AttributedBias(Cell):
    """The bias of each layer split by the layer that causes it."""

    problem: ProblemRecipe
    estimator: Estimator

    def run(self) -> list[dict[str, Any]]:
        """Rows: the problem's columns and those of ``BiasAttribution.table``."""
        attribution = attribute_bias(build(self.problem)[0], self.estimator)
        return [{**self.problem.columns(), **row} for row in attribution.rows()]
