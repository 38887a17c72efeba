"""Local factors with a wrong expectation."""

from dataclasses import dataclass, replace

import torch

import estimlab as el
from estimlab.estimators.average import mean_of_draws
from estimlab.estimators.base import Cost, Estimator, HardForward
from mutants.bases import DEGREE, Density


@dataclass(frozen=True)
class SwappedZGR(HardForward):
    def claims(self):
        return el.Claims(exact_degree=2)

    def derivative(self, a, bit, uniform, law):
        return law.score(torch.where(bit > 0.5, -a, a)) / 2


@dataclass(frozen=True)
class HalvedReinMax(HardForward):
    """2 J((p + b) / 2) - J(p) in place of - J(p) / 2."""

    def claims(self):
        return el.Claims(exact_degree=2)

    def derivative(self, a, bit, uniform, law):
        q = (law.cdf(a) + bit) / 2
        return law.log_odds_slope(a) * 2 * q * (1 - q) - law.density(a)


@dataclass(frozen=True)
class WrongMeanDARN(HardForward):
    """DARN with the mean p where 1/2 makes quadratics exact."""

    def claims(self):
        return el.Claims(exact_degree=2)

    def derivative(self, a, bit, uniform, law):
        p = law.cdf(a)
        return (bit - p) * (bit - p) * law.log_odds_slope(a)


@dataclass(frozen=True)
class BoastfulRelaxation(Estimator):
    """The mean of six straight-through Gumbel-Softmax draws, said to be exact."""

    def claims(self):
        return el.Claims(draws_states=False)

    def cost(self, depth):
        return Cost(6 * (depth + 1), 6 * (depth + 1))

    def surrogate(self, problem, noise):
        return mean_of_draws(el.STGumbelSoftmax(1.0).surrogate, problem, noise, 6)


@dataclass(frozen=True)
class BoastfulZGR(el.ZGR):
    """ZGR that claims to be unbiased in all layers."""

    def claims(self):
        return replace(super().claims(), unbiased="all layers")


MUTANTS = {
    "ST x 2": (Density(2.0), DEGREE + "1", r"2\.0000 x the true gradient"),
    "ST x 1.05": (Density(1.05), DEGREE + "1", r"1\.0500 x the true gradient"),
    "ST x -1": (Density(-1.0), DEGREE + "1", r"-1\.0000 x the true gradient"),
    "ZGR with p and 1 - p swapped": (SwappedZGR(), DEGREE + "1", "x"),
    "ReinMax with a wrong factor": (HalvedReinMax(), DEGREE + "1", "x"),
    "DARN with a wrong mean": (WrongMeanDARN(), DEGREE + "2", "x"),
    "six relaxed draws said to be exact": (BoastfulRelaxation(), DEGREE + "1", r"0\.7159 x the true gradient"),
    "ZGR said to be unbiased": (BoastfulZGR(), "unbiased in all layers", "relative bias"),
}
