"""Do gates reject a right estimator as often as they say, and do intervals cover? Toys of known bias and variance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import pandas as pd
import torch
from scipy import stats
from statements.calibration import ANSWER
from torch import Tensor

import estimlab as el
from estimlab.cells.makers import Bits
from estimlab.cells.simulation import GROUPS, Light, Relaxed, Runs, Toy, simulate
from estimlab.checks.gates import FAMILY_ERROR, gate, holm
from estimlab.estimators.base import Estimator
from estimlab.measurement.intervals.bias import squared_bias_interval, squared_bias_p_value
from estimlab.measurement.mapped import gradients, record
from estimlab.measurement.statistics import cosine, jackknife_errors, mse, squared_bias, variance
from estimlab.randomness.noise import TableNoise
from estimlab.randomness.streams import RandomStream
from estimlab.results.columns import Column
from estimlab.results.study import Cell, Study

LEVEL = 0.95
BIASES = (0.0, 1.0, 3.0, 10.0, 30.0)
TEMPERATURES = (1.0, 0.1, 0.03, 0.01, 0.003, 0.001)


@final
@dataclass(frozen=True)
class Coverage(Cell):
    """How often 95 % intervals hold the truth.

    Attributes:
        toy: what is drawn.
        bias: its size in standard errors of the mean of the first coordinate, spread over the first two.
        draws: of one measurement.
        replications: number of measurements.
    """

    toy: Toy
    bias: float = 0.0
    draws: int = 512
    replications: int = 10_000
    seed: int = 0

    def run(self) -> list[dict]:
        """One row per statistic, and one for the flag."""
        mean, spread = self.toy.moments()
        direction = torch.tensor([1.0, -1.0, 0.0]).double()[: len(mean)]
        bias = self.bias * math.sqrt(float(spread[0]) / self.draws) * direction / direction.norm()
        runs = simulate(self.toy, bias, self.draws, self.replications, self.seed)
        size, total = float(bias @ bias), float(spread.sum())
        covered = {
            "mean": self._by_stderr(runs, lambda m: m.mean[..., 0], float(mean[0])),
            "variance": self._by_stderr(runs, variance, total),
            "mse": self._by_stderr(runs, mse, size + total),
            "squared bias": self._squared_bias(runs, size),
        }
        if self.bias >= 10:  # near the angle zero the cosine is at its largest, and not normal
            covered["cosine"] = self._by_stderr(runs, cosine, _cosine(mean, mean - bias))
        if self.bias > 0:
            covered["squared bias, 2 stderr"] = self._by_stderr(runs, squared_bias, size)
        rows = [self._row("coverage", name, hit, LEVEL) for name, hit in covered.items()]
        return [*rows, self._row("flagged_rate", "heavy tails", runs.heavy(), None)]

    def _by_stderr(self, runs: Runs, statistic, truth: float) -> Tensor:
        stderr = jackknife_errors(statistic(runs.left_out))
        quantile = stats.t(GROUPS - 1).ppf((1 + LEVEL) / 2)
        return (statistic(runs.whole) - truth).abs() <= quantile * stderr

    def _squared_bias(self, runs: Runs, truth: float) -> Tensor:
        low, high = squared_bias_interval(runs.mean_error(), LEVEL)
        return (low <= truth * (1 + 1e-9)) & (truth <= high)

    def _row(self, statistic: str, quantity: str, hit: Tensor, theory: float | None) -> dict:
        return rate_row(self.toy.title, statistic, quantity, hit, self.bias, LEVEL, self.draws, theory)


def _cosine(one: Tensor, other: Tensor) -> float:
    return float(one @ other / (one.norm() * other.norm()))


def rate_row(
    toy: str, statistic: str, quantity: str, hit: Tensor, effect: float, level: float, draws: int, theory: float | None
) -> dict:
    """A share of replicates, with its binomial standard error."""
    share = float(hit.double().mean())
    head = {"problem": toy, "quantity": quantity, "effect": effect, "level": level, "draws": draws}
    error = math.sqrt(share * (1 - share) / len(hit))
    numbers = {"replications": len(hit), "statistic": statistic, "value": share, "stderr": error, "theory": theory}
    return head | numbers


@final
@dataclass(frozen=True)
class FalseAlarms(Cell):
    """How often each gate rejects an unbiased estimator on a small problem, over seeds.

    Attributes:
        problem: whose true gradient is known.
        estimator: unbiased there.
        seeds: number of measurements, each with a seed of its own.
        draws: of one measurement.
    """

    problem: Bits
    estimator: Estimator
    seeds: int = 2000
    draws: int = 2048

    def run(self) -> list[dict]:
        """Rate and binomial p-value per gate and level, and the rate of the family."""
        problem = self.problem.build()
        exact = el.quadrature_moments(problem, self.estimator)
        (name,) = exact.mean
        runs = Runs.of(self._draws(problem, name), exact.reference[name])
        p = p_values(runs, float(exact.variance[name].sum()))
        rows = [row for gate_name, values in p.items() for row in self._rates(gate_name, values)]
        family = torch.stack([(holm(one) < FAMILY_ERROR).any() for one in mean_p_values(runs)])
        return [*rows, *self._tested("mean, family", family, FAMILY_ERROR)]

    def _draws(self, problem: el.Problem, name: str) -> list[Tensor]:
        requests, like = record(problem, self.estimator), torch.empty(0, dtype=torch.float64)
        one = [RandomStream(seed).tables(requests, 0, self.draws, like) for seed in range(self.seeds)]
        each = self.draws // GROUPS
        blocks = []
        for group in range(GROUPS):
            part = slice(group * each, (group + 1) * each)
            tables = {key: torch.cat([tables[key][part] for tables in one]) for key in requests}
            drawn = gradients(problem, self.estimator, TableNoise, tables)[0][name]
            blocks.append(drawn.unflatten(0, (self.seeds, each)).transpose(0, 1).detach())
        return blocks

    def _rates(self, gate_name: str, p: Tensor) -> list[dict]:
        return [row for level in (0.05, 0.01) for row in self._tested(gate_name, p < level, level)]

    def _tested(self, quantity: str, hit: Tensor, level: float) -> list[dict]:
        title = f"{self.problem.name}, {self.estimator.name}"
        row = rate_row(title, "rejection_rate", quantity, hit, 0.0, level, self.draws, level)
        test = float(stats.binomtest(int(hit.sum()), len(hit), level).pvalue)
        return [row, row | {"statistic": "binomial_p", "value": test, "stderr": 0.0, "theory": None}]


def mean_p_values(runs: Runs) -> Tensor:
    """Of every coordinate's mean against the reference."""
    whole = runs.whole
    return gate(whole.mean - runs.reference, (whole.variance / whole.draws).sqrt())[1]


def p_values(runs: Runs, expected_variance: float) -> dict[str, Tensor]:
    """One p-value of each gate per replicate."""
    stderr = jackknife_errors(variance(runs.left_out))
    return {
        "mean": mean_p_values(runs)[:, 0],
        "variance": gate(variance(runs.whole) - expected_variance, stderr, GROUPS - 1)[1],
        "squared bias": squared_bias_p_value(runs.mean_error()),
    }


@final
@dataclass(frozen=True)
class Power(Cell):
    """How often each gate rejects a toy of three normal coordinates that is wrong by a number of standard errors.

    Attributes:
        effect: of the first coordinate's mean, and of the variance, in their standard errors.
    """

    effect: float
    draws: int = 2048
    replications: int = 2000
    seed: int = 0

    def run(self) -> list[dict]:
        """Rates, and what normal theory says of them."""
        toy = Light("normal")
        bias = torch.tensor([self.effect / math.sqrt(self.draws), 0.0, 0.0]).double()
        runs = simulate(toy, bias, self.draws, self.replications, self.seed)
        spread = 3 * (1 - self.effect * math.sqrt(2 / 3 / self.draws))
        p = p_values(runs, spread)
        p["mean"] = torch.stack([holm(one).min() for one in mean_p_values(runs)])
        theory = {"mean": self._of_mean(), "variance": self._of_variance(), "squared bias": self._of_square()}
        return [
            rate_row(toy.title, "rejection_rate", name, p[name] < FAMILY_ERROR, self.effect, FAMILY_ERROR, 2048, value)
            for name, value in theory.items()
        ]

    def _of_mean(self) -> float:
        """One coordinate is wrong, two are right: Bonferroni's bound, which Holm's first step shares."""
        bound, right = stats.norm.isf(FAMILY_ERROR / 6), (1 - FAMILY_ERROR / 3) ** 2
        return 1 - right * float(stats.norm.cdf(bound - self.effect) - stats.norm.cdf(-bound - self.effect))

    def _of_variance(self) -> float:
        bound = stats.t(GROUPS - 1).isf(FAMILY_ERROR / 2)
        below = stats.norm.cdf(-bound - self.effect)  # SciPy's noncentral t is NaN far below its mean
        return float(stats.nct(GROUPS - 1, self.effect).sf(bound) + below)

    def _of_square(self) -> float:
        return float(stats.ncx2.sf(stats.chi2.isf(FAMILY_ERROR, 3), 3, self.effect**2))


def summary(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Coverages, and false alarms of the gates."""
    cover = table[table["statistic"].isin(["coverage", "flagged_rate"])]
    wide = cover.pivot(index=["problem", "effect"], columns="quantity", values="value").round(4).reset_index()
    alarms = table[(table["effect"] == 0) & table["statistic"].isin(["rejection_rate", "binomial_p"])]
    shown = alarms[["problem", "quantity", "level", "statistic", "value"]]
    return [("Coverage of 95 % intervals; bias in standard errors", wide), ("False alarms", shown)]


TOYS = (Light("normal"), Light("uniform"), Light("two points"), Light("normal", (1.0, 2.0, 4.0)))
SMALL = Bits("three bits", el.Quadratic(linear=(0.5, -0.3, 0.8)), (0.7, -0.4, 0.2))
COVERAGES = (*(Coverage(toy, bias) for toy in TOYS for bias in BIASES), *(Coverage(Relaxed(t)) for t in TEMPERATURES))
ALARMS = tuple(FalseAlarms(SMALL, estimator) for estimator in (el.Reinforce(), el.DisARM()))
EFFECTS = tuple(i / 2 for i in range(17))
STUDY = Study(
    question="Do gates reject as often as they say, and do 95 % intervals cover 95 %?",
    answer=ANSWER,
    shows=summary,
    cells=(*COVERAGES, *ALARMS, *(Power(effect) for effect in EFFECTS)),
    smoke=(
        *(Coverage(toy, bias, replications=200) for toy in TOYS[:2] for bias in (0.0, 10.0)),
        Coverage(Relaxed(0.01), replications=200),
        FalseAlarms(SMALL, el.Reinforce(), seeds=50, draws=512),
        *(Power(effect, replications=100) for effect in (0.0, 4.0, 8.0)),
    ),
    columns=(
        Column("quantity", "quantity", "", "what the interval or the gate is about"),
        Column("effect", r"$\delta$", "standard errors", "bias, or error of the variance, in its standard errors"),
        Column("level", r"$\alpha$", "1", "nominal coverage of the interval, or false alarm rate of the gate"),
        Column("replications", r"$R$", "measurements", "number of independent measurements"),
        Column("theory", "theory", "that of the statistic", "what normal theory says the value should be"),
        Column("coverage", "coverage", "1", "share of measurements whose interval holds the true value"),
        Column("rejection_rate", r"$P(\mathrm{reject})$", "1", "share of measurements that the gate rejects"),
        Column("binomial_p", r"$p$", "1", "probability of a rate at least as far from the level, were it right"),
        Column("flagged_rate", "flagged", "1", "share of measurements that are flagged as heavy-tailed"),
    ),
)
