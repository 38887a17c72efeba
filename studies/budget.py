"""The error of the mean of N draws at equal cost: where unbiased estimators overtake biased ones.

All sampled moments of one problem come from common draws; intervals take their joint covariance into account.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, final

import numpy as np
from statements.budget import ANSWER

import estimlab as el
from estimlab.cells import FrozenProblem
from estimlab.estimators.base import Estimator, HardForward
from estimlab.measurement.counting import count_work
from estimlab.measurement.exact.moments import exact_moments
from estimlab.measurement.intervals.ratios import Ratio, fieller
from estimlab.measurement.labels import estimator_columns
from estimlab.measurement.measurement import Measurement
from estimlab.measurement.sampled.monte_carlo import GROUPS
from estimlab.results.columns import Column
from estimlab.results.matrix import Matrix
from estimlab.results.study import Cell, Study

UNITS = ("objective evaluations", "layer passes")
BUDGETS = tuple(float(f"{10 ** (k / 2):.3g}") for k in range(13))


@dataclass(frozen=True, eq=False)
class Estimate:
    """A number with its errors: the inner product of the errors of two estimates is their covariance.

    By the jackknife over groups of draws, deviations of the values with one group left out, times
    ``sqrt((groups - 1) / groups)``. Estimators that are measured with one seed share draws group by group, so that
    their errors are not independent. No errors: exact.
    """

    value: float
    errors: np.ndarray = field(default_factory=lambda: np.zeros(1))

    @classmethod
    def jackknife(cls, value: float, replicates: np.ndarray) -> Estimate:
        """From the values with one group of draws left out at a time; there are none where the value is exact."""
        if len(replicates) == 0:
            return cls(value, np.zeros(GROUPS))
        return cls(value, math.sqrt(1 - 1 / len(replicates)) * (replicates - replicates.mean()))

    @property
    def stderr(self) -> float:
        """Standard error."""
        return float(np.linalg.norm(self.errors))

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.value + other.value, self.errors + other.errors)

    def __mul__(self, factor: float) -> Estimate:
        return Estimate(self.value * factor, self.errors * factor)

    def over(self, other: Estimate) -> Ratio:
        """The ratio with Fieller's interval."""
        covariance = float((self.errors * other.errors).sum())
        return fieller((self.value, self.stderr), (other.value, other.stderr), covariance)


@dataclass(frozen=True)
class Moments:
    """Squared bias and variance of one draw in one layer, over the squared norm of the gradient.

    Attributes:
        estimator: what they are of.
        layer: of the network.
        bias: squared bias.
        variance: variance.
        cost: of one draw per example, in each of UNITS.
        unbiased: by theory; the bias is then taken as zero, and the measured one only shown.
        pilot: variance from draws that nothing else uses, by which rivals are chosen: the least of several estimates
            from the draws that are judged would be too small.
    """

    estimator: Estimator
    layer: str
    bias: Estimate
    variance: Estimate
    cost: dict[str, float]
    unbiased: bool
    pilot: float

    def error_of_mean(self, draws: float) -> tuple[float, float]:
        """Relative RMSE of the mean of a number of draws, with its standard error to first order."""
        square = self.variance * (1 / draws) + (Estimate(0.0) if self.unbiased else self.bias)
        root = math.sqrt(max(square.value, 0.0))
        return root, square.stderr / (2 * root) if root else 0.0


@final
@dataclass(frozen=True)
class Budget(Cell):
    """Several estimators on one problem: the error of their means at equal cost, and where the unbiased overtake.

    Attributes:
        problem: a problem of the frozen suite.
        estimators: those that are compared.
        singles: how many examples' own gradients are estimated, one at a time, moments averaged over them; 0: the
            gradient of the mean over all examples at once.
        draws: of the estimators whose moments are sampled.
        seed: of these draws.
        choosing: draws by which rivals are chosen, apart from the others.
    """

    revision: ClassVar[int] = 4

    problem: FrozenProblem
    estimators: tuple[Estimator, ...]
    singles: int = 0
    draws: int = 65_536
    seed: int = 0
    choosing: int = 4096

    @property
    def title(self) -> str:
        """Problem and number of examples."""
        return f"{self.problem.name}, {self.singles or 'all'} examples"

    def run(self) -> list[dict[str, Any]]:
        """Rows per layer: moments and cost of each estimator, its error at each budget, crossovers of each pair."""
        whole = self.problem.build()
        chosen = np.linspace(0, whole.batch - 1, self.singles).round().astype(int)
        problems = [whole.example(int(index)) for index in chosen] or [whole]
        moments = [one for estimator in self.estimators for one in self._moments(estimator, problems)]
        rows = [row for one in moments for row in [*_own(one), *_means(one)]]
        rows += [row for one in moments if not one.unbiased for row in _crossovers(one, moments)]
        head = {"problem": self.problem.name, "examples": "one" if self.singles else "all", "seed": self.seed}
        return [{**head, **dict.fromkeys((*COLUMNS, "low", "high")), **row} for row in rows]

    def _moments(self, estimator: Estimator, problems: list[el.Problem]) -> list[Moments]:
        """Per layer, averaged over the problems, in units of the mean squared norm of their gradients."""
        # Streams of their own, as the examples' errors are taken to be independent.
        found = [self._measure(estimator, *pair, self.draws) for pair in self._streams(problems)]
        pilots = found if estimator.claims().unbiased == "nowhere" else self._pilots(estimator, problems)
        work = count_work(problems[0], estimator)
        cost = dict(zip(UNITS, (work.objective, work.forward + work.backward), strict=True))
        layers = [layer for layer in found[0].layers if layer != "head"]
        exact = {"all layers": layers, "last layer": layers[-1:], "nowhere": []}[estimator.claims().unbiased]
        return [
            Moments(
                estimator,
                layer,
                _mean(found, layer, "squared_bias"),
                _mean(found, layer, "variance"),
                cost,
                layer in exact,
                _mean(pilots, layer, "variance").value,
            )
            for layer in layers
        ]

    def _streams(self, problems: list[el.Problem], first: int = 0) -> list[tuple[el.Problem, int]]:
        """Each problem with the seed of its draws."""
        return [(one, 1000 * self.seed + first + index) for index, one in enumerate(problems)]

    def _pilots(self, estimator: Estimator, problems: list[el.Problem]) -> list[Measurement]:
        return [self._measure(estimator, *pair, self.choosing) for pair in self._streams(problems, first=500)]

    def _measure(self, estimator: Estimator, problem: el.Problem, seed: int, draws: int) -> Measurement:
        """Without sampling where that is possible."""
        truth = el.exact_reference(problem)
        if isinstance(estimator, HardForward):
            return exact_moments(problem, estimator, truth)
        return el.measure(problem, estimator, truth, draws, seed)


def _mean(found: list[Measurement], layer: str, statistic: str) -> Estimate:
    """Mean over problems, measured independently, over the mean squared norm of the gradient."""
    statistics = [one.statistics()[layer] for one in found]
    parts = [
        Estimate.jackknife(own[statistic][0], one.replicates(statistic)[layer].numpy())
        for own, one in zip(statistics, found, strict=True)
    ]
    squares = sum(own["reference_norm"][0] ** 2 for own in statistics)
    return Estimate(sum(part.value for part in parts), np.concatenate([part.errors for part in parts])) * (1 / squares)


COLUMNS = (
    "estimator",
    "parameters",
    "layer",
    "rival",
    "rivals",
    "budget_unit",
    "budget",
    "statistic",
    "value",
    "stderr",
)


def _named(one: Moments) -> dict[str, Any]:
    return {**estimator_columns(one.estimator), "layer": one.layer}


def _own(one: Moments) -> list[dict[str, Any]]:
    """Squared bias, variance and cost of one draw."""
    rows = [
        {"statistic": f"relative_{name}", "value": moment.value, "stderr": moment.stderr}
        for name, moment in (("squared_bias", one.bias), ("variance", one.variance))
    ]
    rows += [{"statistic": "cost", "budget_unit": unit, "value": one.cost[unit], "stderr": 0.0} for unit in UNITS]
    return [{**_named(one), **row} for row in rows]


def _means(one: Moments) -> list[dict[str, Any]]:
    """Relative RMSE of the mean of as many draws as each budget pays, not less than one."""
    rows = []
    for unit in UNITS:
        for budget in BUDGETS:
            if budget >= one.cost[unit]:
                value, stderr = one.error_of_mean(budget / one.cost[unit])
                row = {"statistic": "relative_rmse_of_mean", "value": value, "stderr": stderr}
                rows.append({**_named(one), **row, "budget_unit": unit, "budget": budget})
    return rows


def _crossovers(biased: Moments, moments: list[Moments]) -> list[dict[str, Any]]:
    """Where the best unbiased estimator overtakes, of all and of those whose cost does not grow with the width."""
    rivals = [one for one in moments if one.unbiased and one.layer == biased.layer]
    narrow = [one for one in rivals if not isinstance(one.estimator, FORKED)]
    rows = []
    for unit in UNITS:
        for kind, among in (("any", rivals), ("cost independent of width", narrow)):
            best = min(among, key=lambda one: one.pilot * one.cost[unit])
            excess = best.variance * best.cost[unit] + biased.variance * -biased.cost[unit]
            head = {**_named(biased), "rival": best.estimator.name, "rivals": kind, "budget_unit": unit}
            for name, per in (("crossover_budget", 1.0), ("crossover_draws", best.cost[unit])):
                rows.append({**head, "statistic": name, **asdict((excess * (1 / per)).over(biased.bias))})
    return rows


FORKED = (el.LocalExpectation, el.PSA)  # every unit is flipped: the cost grows with the width
BIASED = (
    el.StraightThrough(),
    el.MVE(t=1.0),
    el.ZGR(),
    el.GumbelRao(temperature=0.5),
    el.STGumbelSoftmax(temperature=1.0),
    el.GumbelSoftmax(temperature=1.0),
    el.GumbelSoftmax(temperature=0.3),
    el.PSA(),
)
UNBIASED = (
    el.ReinforceLOO(samples=4),
    el.ARM(),
    el.DisARM(),
    el.ARMS(samples=4),
    el.LocalExpectation(),
    el.MuProp(),
    el.REBAR(),
)


def cells(estimators: tuple[Estimator, ...], draws: int, singles: int, *names: str) -> tuple[Budget, ...]:
    """One example and all of them, for each problem."""
    more = {"draws": draws, "choosing": draws // 4}
    return tuple(Budget(FrozenProblem(name), estimators, count, **more) for name in names for count in (singles, 0))


STUDY = Study(
    question="At equal cost, from which budget on are unbiased estimators nearer to the truth than biased ones?",
    answer=ANSWER,
    shows=Matrix(
        ("problem", "estimator"),
        ("layer",),
        ("crossover_budget",),
        ("examples=one", "rivals=any", "budget_unit=objective evaluations"),
    ),
    cells=cells(BIASED + UNBIASED, 16_384, 8, "digits-late/v1", "toy-late/v1"),
    smoke=cells(BIASED[4:6] + UNBIASED[2:5], 2048, 1, "toy-late/v1"),
    columns=(
        Column("examples", "examples", "", "whether the gradient is that of one example or of the mean over all"),
        Column(
            "rival",
            "rival",
            "",
            "the unbiased estimator of least variance times cost, by other draws",
        ),
        Column("rivals", "rivals", "", "among which unbiased estimators the rival is the best"),
        Column("budget_unit", "unit", "", "in what cost is counted, per example; a backward pass counts as a forward"),
        Column("budget", "$C$", "that of the budget_unit", "cost that is spent on draws, per example"),
        Column("cost", "$c$", "that of the budget_unit", "cost of one draw per example, every fork counted"),
        Column(
            "relative_squared_bias", r"$b^2$", "1", "squared bias over the squared norm of the true gradient, debiased"
        ),
        Column("relative_variance", "$v$", "1", "variance of one draw over the squared norm of the true gradient"),
        Column(
            "crossover_budget",
            "$C^*$",
            "that of the budget_unit",
            "budget above which the mean of the rival's draws has the smaller error, (v c of the rival - v c) / b^2; "
            "negative: the rival is better at every budget. Interval: Fieller's, with the covariance of numerator and "
            "denominator, as both hold moments of common draws (jackknife over the same 64 groups)",
        ),
        Column("crossover_draws", "$N^*$", "draws", "draws of the rival that the crossover budget pays"),
    ),
)
