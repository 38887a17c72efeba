"""A coding assumed."""

from dataclasses import dataclass

import torch

from estimlab.estimators.rollout import rollout
from mutants.bases import DEGREE, Scored, ValuesOnly, Written, score_of


@dataclass(frozen=True)
class GapOfTwo(Written):
    """2 F', as between -1 and 1."""

    def factor(self, k, a, units, problem):
        return 2 * units.law.density(a)


@dataclass(frozen=True)
class GapOfOne(Written):
    """F', as between 0 and 1."""

    def factor(self, k, a, units, problem):
        return units.law.density(a)


@dataclass(frozen=True)
class GapFromZero(Written):
    """The low state taken for zero."""

    def factor(self, k, a, units, problem):
        return units.high * units.law.density(a)


@dataclass(frozen=True)
class TwoCodings(Written):
    """Signs, else bits."""

    def factor(self, k, a, units, problem):
        return (2 if units.low < 0 else 1) * units.law.density(a)


@dataclass(frozen=True)
class SignAsBit(Scored):
    """(x + 1) / 2 for the bit."""

    def score(self, problem, layers):
        def term(k, layer):
            a, bit = layer.a.detach(), (layer.state + 1) / 2
            return bit * layer.law.score(a) - (1 - bit) * layer.law.score(-a)

        return score_of(layers, term)


@dataclass(frozen=True)
class StateAsBit(Scored):
    """x for the bit."""

    def score(self, problem, layers):
        def term(k, layer):
            a, bit = layer.a.detach(), layer.state
            return bit * layer.law.score(a) - (1 - bit) * layer.law.score(-a)

        return score_of(layers, term)


@dataclass(frozen=True)
class OneMinusState(ValuesOnly):
    """Local expectation in the last layer whose flip is 1 - x; REINFORCE below."""

    def surrogate(self, problem, noise):
        value, layers = rollout(problem, noise)
        last, x = layers[-1], layers[-1].state.flatten(1)
        flips = []
        for j in range(x.shape[1]):
            other = torch.cat((x[:, :j], self.flipped(x[:, j : j + 1]), x[:, j + 1 :]), 1).reshape(last.a.shape)
            flips.append(problem.value(problem.network.output(other)).detach())
        difference = value.detach()[:, None] - torch.stack(flips, 1)
        slope = last.towards(difference.reshape(last.a.shape) * last.law.density(last.a.detach()))
        linear = last.sum_units(slope * last.a)
        if len(layers) > 1:
            linear = linear + value.detach() * sum(one.sum_units(one.score * one.a) for one in layers[:-1])
        return value + linear - linear.detach()

    def flipped(self, x):
        return 1 - x


@dataclass(frozen=True)
class MinusState(OneMinusState):
    """-x for the flip."""

    def flipped(self, x):
        return -x


CAUSED = {
    "a gap of two": (GapOfTwo(), DEGREE + "1", "states", "coding"),
    "a gap of one": (GapOfOne(), DEGREE + "1", "wrong with states", "coding"),
    "a gap from zero": (GapFromZero(), DEGREE + "1", "wrong with states", "coding"),
    "a third coding": (TwoCodings(), DEGREE + "1", r"wrong with states -0\.5 and 2", "coding"),
    "a sign for a bit": (SignAsBit(), DEGREE + "1", "states", "coding"),
    "a state for a bit": (StateAsBit(), DEGREE + "1", "wrong with states", "coding"),
    "a flip of bits": (OneMinusState(), DEGREE + "1", "wrong with states", "coding"),
    "a flip of signs": (MinusState(), DEGREE + "1", "states", "coding"),
}
