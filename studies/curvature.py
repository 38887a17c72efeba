"""Which estimator wins on which objective: products, quadratics, powers and exponentials of independent bits."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
import torch
from statements.curvature import ANSWER
from torch import Tensor

import estimlab as el
from estimlab.cells import MedianMoments, ProblemMaker, build, median_interval
from estimlab.cells.makers import Bits
from estimlab.measurement.labels import estimator_columns
from estimlab.measurement.statistics import STATISTICS, AgainstTruth
from estimlab.model.objectives import Objective
from estimlab.results.columns import Column
from estimlab.results.matrix import Matrix
from estimlab.results.study import Cell, Study

KEPT = ("relative_bias", "relative_std", "relative_rmse", "scale_invariant_bias", "scale_invariant_std")
EXACT: tuple[el.HardForward, ...] = (
    el.StraightThrough(),
    el.DARN("mean"),
    el.ZGR(),
    el.MVE(1.0),
    el.AnalyticGumbelRao(0.5),
    el.STGumbelSoftmax(0.5),
)
SAMPLED = (el.GumbelSoftmax(0.5), el.Reinforce(baseline="exact_mean"), el.DisARM())
KINDS = ("multilinear", "quadratic", "power 1.5", "power 2", "power 3", "exponential")


@final
@dataclass(frozen=True)
class Exponential(Objective):
    """``exp(w . x)``: every derivative along w is the value itself times a power of w.

    Attributes:
        weights: w.
    """

    weights: tuple[float, ...]

    def __call__(self, output: Tensor, target: Tensor | None) -> Tensor:
        """Value per example."""
        x = output.flatten(1)
        return (x @ x.new_tensor(self.weights)).exp()


@final
@dataclass(frozen=True)
class RandomBits(ProblemMaker):
    """Independent 0/1 bits with logits N(0, 1), logistic noise, and a random objective of some kind.

    ``quadratic`` is z'Az + b'z with A = Q'Q, Q and b from N(0, 1): the formula of a toy of Hooper & Shekhovtsov
    (AISTATS 2026), whose z is one categorical variable, on which it is linear; on bits it is another problem, ours.
    ``power p`` is their |w.z - .45|^p with equal weights w that sum to one. ``multilinear`` sums twelve
    products of one to four bits, ``exponential`` is exp(w.z), w from N(0, 1).

    Attributes:
        kind: of the objective.
        units: number of bits.
        seed: of logits and objective.
    """

    kind: str
    units: int
    seed: int = 0

    def build(self) -> el.Problem:
        """In float64."""
        generator = np.random.default_rng(np.random.SeedSequence((self.seed, self.units, KINDS.index(self.kind))))
        logits = tuple(generator.normal(size=self.units).tolist())
        return Bits(self.kind, self._objective(generator), logits).build()

    def columns(self) -> dict[str, str | float]:
        """Kind and number of bits."""
        return {"problem": f"{self.units} bits", "objective": self.kind, "units": self.units}

    def _objective(self, generator: np.random.Generator) -> Objective:
        n = self.units
        if self.kind == "multilinear":
            orders = generator.integers(1, min(n, 4) + 1, size=12)
            products = [tuple(sorted(generator.choice(n, int(order), replace=False).tolist())) for order in orders]
            return el.Multilinear(tuple(zip(generator.normal(size=12).tolist(), products, strict=True)))
        if self.kind == "quadratic":
            q = generator.normal(size=(n, n))
            rows = tuple(map(tuple, (q.T @ q).tolist()))
            return el.Quadratic(rows, tuple(generator.normal(size=n).tolist()))
        if self.kind == "exponential":
            return Exponential(tuple(generator.normal(size=n).tolist()))
        return el.Polynomial(float(self.kind.removeprefix("power ")))


@final
@dataclass(frozen=True)
class PowerOfMany(Cell):
    """``power p`` of so many bits that states cannot be enumerated: exact moments by the law of their sum.

    With S_i the number of high bits other than i, whose law is a convolution, a draw of a hard-forward estimator has
    ``E g_i^m = sum_b P(b) E J_i(b)^m E h(S_i + b)^m``, h the objective's derivative, and the truth is
    ``F' E[f(S_i + 1) - f(S_i)]``.

    Attributes:
        problem: recipe of a power.
        estimator: what is measured.
        seeds: one per problem.
    """

    revision: ClassVar[int] = 2

    problem: RandomBits
    estimator: el.HardForward
    seeds: tuple[int, ...]

    @property
    def title(self) -> str:
        """Problem and estimator."""
        return f"{self.problem.kind} of {self.problem.units} bits: {self.estimator!r}"

    def run(self) -> list[dict[str, Any]]:
        """Rows as in ``MedianMoments``."""
        found = [self.moments(replace(self.problem, seed=seed).build()) for seed in self.seeds]
        head = {**self.problem.columns(), **estimator_columns(self.estimator), "method": "exact", "layer": "0"}
        head["networks"] = len(found)
        rows = []
        for name in KEPT:
            low, middle, high = median_interval([float(STATISTICS[name](moments)) for moments in found])
            rows.append({**head, "statistic": name, "value": middle, "low": low, "high": high})
        return rows

    def moments(self, problem: el.Problem) -> AgainstTruth:
        """Of one draw, by pre-activation."""
        (a,) = (p.detach() for p in problem.network.parameters())
        site, objective = problem.sites[0], problem.objective
        law, n = site.units.law, len(a)
        high = law.cdf(a)
        others = law_of_the_others(high)
        total = torch.arange(n + 1, dtype=a.dtype)
        states = (torch.arange(n) < total[:, None]).to(a.dtype).requires_grad_()
        values = objective(states, None)
        slopes = torch.autograd.grad(values.sum(), states)[0][:, 0]
        factor, square = self.estimator.derivative_moments(a, law)
        probability = torch.stack((law.cdf(-a), high))
        mean = sum(probability[b] * factor[b] * (others @ slopes[b : n + b]) for b in (0, 1))
        second = sum(probability[b] * square[b] * (others @ slopes[b : n + b] ** 2) for b in (0, 1))
        truth = law.density(a) * (others @ values.detach().diff())
        return AgainstTruth(mean, second - mean**2, truth, torch.zeros_like(truth), math.inf)


def law_of_the_others(high: Tensor) -> Tensor:
    """P(s of the other bits are high), (bits, number of others + 1), by adding one bit after another."""
    n = len(high)
    law = torch.zeros(n, n, dtype=high.dtype)
    law[:, 0] = 1
    for j in range(n):
        added = law * (1 - high[j])
        added[:, 1:] += law[:, :-1] * high[j]
        law = torch.where((torch.arange(n) == j)[:, None], law, added)
    return law


@final
@dataclass(frozen=True)
class Claim(Cell):
    """A number that the literature, or our derivation, gives for one or two bits, beside ours.

    Attributes:
        problem: the bits.
        estimator: what is measured.
        unit: whose pre-activation the statistic is about.
        statistic: ``signed_relative_bias`` or ``mean_over_truth``.
        published: the number.
    """

    revision: ClassVar[int] = 2

    problem: Bits
    estimator: el.Estimator
    published: float
    statistic: str = "signed_relative_bias"
    unit: int = 0

    def run(self) -> list[dict[str, Any]]:
        """One row, by quadrature over the noise."""
        problem, truth = build(self.problem)
        measured = el.quadrature_moments(problem, self.estimator, truth)
        ((mean, reference),) = [
            (measured.mean[name][self.unit], measured.reference[name][self.unit]) for name in measured.mean
        ]
        value = float(mean / reference) - (self.statistic == "signed_relative_bias")
        head = {**self.problem.columns(), **estimator_columns(self.estimator)}
        head |= {"method": measured.method, "layer": "0", "statistic": self.statistic, "value": value, "stderr": 0.0}
        return [{**head, "published": self.published}]


@final
@dataclass(frozen=True)
class SquareTimes(Objective):
    """``x_1^2 x_2``: on the corners of -1/+1 the same as ``x_2``."""

    def __call__(self, output: Tensor, target: Tensor | None) -> Tensor:
        """Value per example."""
        x = output.flatten(1)
        return x[:, 0] ** 2 * x[:, 1]


def claims() -> tuple[Claim, ...]:
    """ST-Gumbel-Softmax on b^2 at P = sigmoid(0.7); FouST on x_1^2 x_2; ZGR on cubics and quartics of one bit."""
    square, pair = Bits("b^2", el.Quadratic(), (0.7,)), Bits("x1^2 x2", SquareTimes(), (0.0, 0.0), low=-1.0)
    temperatures = ((0.1, 0.04027), (0.05, 0.02184), (0.02, 0.00910), (0.01, 0.00461))
    powers = ((3.0, 0.5), (4.0, 1.0))
    return (
        *(Claim(square, el.STGumbelSoftmax(tau), published) for tau, published in temperatures),
        *(Claim(Bits(f"b^{p:g}", el.Polynomial(p, 0.0), (0.7,)), el.ZGR(), published) for p, published in powers),
        Claim(pair, el.FouST(importance_weighted=False), 1 / 3, "mean_over_truth", 1),
        Claim(pair, el.StraightThrough(), 1.0, "mean_over_truth", 1),
    )


def cells(sizes: tuple[int, ...], kinds: tuple[str, ...], many: int, seeds: tuple[int, ...], draws: int) -> tuple:
    """Every kind on eight bits, quadratics of several sizes, and powers of many bits (published, on 128)."""
    recipes = list(dict.fromkeys([*(RandomBits(k, 8) for k in kinds), *(RandomBits("quadratic", n) for n in sizes)]))
    found: list = [MedianMoments(recipe, one, seeds, KEPT) for recipe in recipes for one in EXACT]
    found += [MedianMoments(recipe, one, seeds, KEPT, draws) for recipe in recipes for one in SAMPLED]
    powers = [RandomBits(kind, many) for kind in kinds if kind.startswith("power")]
    return (*found, *(PowerOfMany(recipe, one, seeds) for recipe in powers for one in EXACT), *claims())


STUDY = Study(
    question="Which estimator wins on which objective, as its curvature grows?",
    answer=ANSWER,
    shows=Matrix(("estimator",), ("objective",), ("relative_rmse",), ("problem=8 bits",)),
    cells=cells((4, 8, 12), KINDS, 128, tuple(range(12)), draws=16_384),
    smoke=cells((4,), ("power 1.5", "multilinear"), 16, (0, 1, 2), draws=512),
    columns=(
        Column("units", r"$n$", "bits", "number of independent bits"),
        Column("signed_relative_bias", r"$m / g^* - 1$", "1", "bias over the true derivative by one pre-activation"),
        Column("mean_over_truth", r"$m / g^*$", "1", "mean over the true derivative by one pre-activation"),
    ),
)
