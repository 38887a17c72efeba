"""What mutants are made from."""

import math
from dataclasses import dataclass

import estimlab as el
from estimlab.estimators.base import Estimator, HardForward, replace_derivative
from estimlab.estimators.rollout import log_score, rollout

DEGREE = "exact within one layer, degree "
ALL = "unbiased in all layers"
BATCH = "gradient of a batch = mean over its examples"
COUNTS = "every layer and target counts"
PRECISION = "float32 = float64 to rounding"


@dataclass(frozen=True)
class ValuesOnly(Estimator):
    """Claims everything that REINFORCE does."""

    def claims(self):
        return el.Claims(exact_degree=math.inf, unbiased="all layers", reads_extension=False)


@dataclass(frozen=True)
class Density(HardForward):
    """Straight-through; claims to be exact for linear objectives by default."""

    factor: float = 1.0

    def derivative(self, a, bit, uniform, law):
        return self.factor * law.density(a)


@dataclass(frozen=True)
class Scored(ValuesOnly):
    """REINFORCE in parts, each of which somebody gets wrong."""

    def reward(self, problem, layers, value):
        return value

    def score(self, problem, layers):
        return log_score(layers)

    def surrogate(self, problem, noise):
        value, layers = rollout(problem, noise)
        linear = self.reward(problem, layers, value.detach()) * self.score(problem, layers)
        return value + linear - linear.detach()


def weighted_score(layers, weight):
    """The score, each unit's term times a weight."""
    return score_of(layers, lambda k, layer: weight(k, layer) * layer.score)


def score_of(layers, term):
    """Terms in place of the score of each unit."""
    return sum(layer.sum_units(term(k, layer) * layer.a) for k, layer in enumerate(layers))


@dataclass(frozen=True)
class Written(Estimator):
    """Straight-through written by hand, as a loop over the layers."""

    def claims(self):
        return el.Claims(exact_degree=1)

    def factor(self, k, a, units, problem):
        return units.gap * units.law.density(a)

    def uniform(self, k, noise, p):
        return noise.uniform(k, 0, p)

    def value(self, problem, output):
        return problem.value(output)

    def surrogate(self, problem, noise):
        network, carry = problem.network, problem.network.initial(problem.inputs)
        for k, site in enumerate(problem.sites):
            a, carry = network.preactivation(k, carry)
            p = site.units.law.cdf(a.detach())
            states = site.units.state((self.uniform(k, noise, p) < p).to(a.dtype))
            states = replace_derivative(a, states, self.factor(k, a.detach(), site.units, problem))
            carry = network.advance(k, carry, states)
        return self.value(problem, network.output(carry))
