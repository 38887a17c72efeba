"""Estimators that read values of the objective only, wrong in their expectation."""

import math
from dataclasses import dataclass
from typing import ClassVar
from unittest import mock

import torch

import estimlab as el
from estimlab.estimators import local_expectation, psa
from estimlab.estimators.arm import Mirrored
from estimlab.estimators.base import Cost, Estimator
from estimlab.estimators.forks import flipped
from estimlab.estimators.rollout import log_score, rollout
from mutants.bases import DEGREE, ValuesOnly


@dataclass(frozen=True)
class FlippedARM(Mirrored):
    degree: ClassVar[float] = 1

    def coefficient(self, a, uniform, law):
        return (uniform - 0.5) * law.log_odds_slope(a)


@dataclass(frozen=True)
class EqualStatesDisARM(Mirrored):
    """The indicator of equal states instead of different ones."""

    def coefficient(self, a, uniform, law):
        p = law.cdf(a)
        high, twin = uniform < p, uniform > 1 - p
        return torch.where(high == twin, torch.where(high, 1, -1), 0) * law.score(-a.abs()) / 2


@dataclass(frozen=True)
class OtherScoreDisARM(Mirrored):
    """sigmoid(-|a|) instead of sigmoid(|a|)."""

    def coefficient(self, a, uniform, law):
        p = law.cdf(a)
        sign = (uniform < p).to(a.dtype) - (uniform > 1 - p).to(a.dtype)
        return sign * law.score(a.abs()) / 2


@dataclass(frozen=True)
class MismatchedARM(Mirrored):
    """The twin is drawn with u < 1 - p, not with 1 - u < p."""

    degree: ClassVar[float] = 1

    def coefficient(self, a, uniform, law):
        return (0.5 - uniform) * law.log_odds_slope(a)

    def draw_twins(self, k, a, uniform, law, noise):
        return [(uniform < 1 - law.cdf(a), self.coefficient(a, uniform, law))]


@dataclass(frozen=True)
class SelfishReinforce(ValuesOnly):
    """A baseline that reads the drawn states."""

    def surrogate(self, problem, noise):
        value, layers = rollout(problem, noise)
        baseline = 0.3 * layers[0].bit.to(value.dtype).flatten(1)[:, 0]
        linear = (value.detach() - baseline) * log_score(layers)
        return value + linear - linear.detach()


@dataclass(frozen=True)
class InclusiveLOO(ValuesOnly):
    """The sample itself is part of its baseline's mean."""

    def cost(self, depth):
        return Cost(2 * (depth + 1), 2 * (depth + 1))

    def surrogate(self, problem, noise):
        passes = [rollout(problem, noise, channel) for channel in range(2)]
        mean = sum(value.detach() for value, _ in passes) / 2
        total = sum(value + (value.detach() - mean) * log_score(layers) for value, layers in passes) / 2
        return passes[0][0].detach() + (total - total.detach())


@dataclass(frozen=True)
class MissingUnit(ValuesOnly):
    """Local expectation that leaves out the last unit of every layer."""

    def cost(self, depth):
        return el.LocalExpectation().cost(depth)

    def surrogate(self, problem, noise):
        def forget_last(site, bit):
            return torch.cat((flipped(site, bit)[:-1], bit[None]))

        with mock.patch.object(local_expectation, "flipped", forget_last):
            return el.LocalExpectation().surrogate(problem, noise)


@dataclass(frozen=True)
class WrongFlip(Estimator):
    """PSA with all units of the last layer flipped at once."""

    def claims(self):
        return el.Claims(exact_degree=math.inf, unbiased="last layer", reads_extension=False)

    def cost(self, depth):
        return Cost(depth + 2, depth + 2)

    def surrogate(self, problem, noise):
        def flip_all(problem, last):
            states = last.site.units.state((~last.bit).to(last.a.dtype))
            value = problem.value(problem.network.output(states))
            return value[:, None].expand(-1, last.site.size)

        with mock.patch.object(psa, "_flipped_values", flip_all):
            return el.PSA().surrogate(problem, noise)


MUTANTS = {
    "ARM with its sign flipped": (FlippedARM(), DEGREE + "1", r"-1\.0000 x the true gradient"),
    "ARM with another twin": (MismatchedARM(), DEGREE + "1", "x"),
    "DisARM with the indicator of equal states": (EqualStatesDisARM(), DEGREE + "1", "x"),
    "DisARM with the other score": (OtherScoreDisARM(), DEGREE + "1", "x"),
    "REINFORCE, baseline of the drawn state": (SelfishReinforce(), DEGREE + "1", "x"),
    "REINFORCE-LOO with its own sample": (InclusiveLOO(), DEGREE + "1", r"0\.5000 x the true gradient"),
    "local expectation without one unit": (MissingUnit(), DEGREE + "1", r"0\.0* to"),
    "PSA with a wrong flip": (WrongFlip(), "exact at the head", "wrong with 2 units in a layer"),
}
