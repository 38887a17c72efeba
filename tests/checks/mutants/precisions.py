"""A precision lost."""

from dataclasses import dataclass

import torch

from estimlab.estimators.base import HardForward
from mutants.bases import PRECISION, Scored, Written, score_of


@dataclass(frozen=True)
class SingleFactor(HardForward):
    """The factor in float32."""

    def derivative(self, a, bit, uniform, law):
        return law.density(a.float()).to(a.dtype)


@dataclass(frozen=True)
class HalfFactor(HardForward):
    """The factor in half precision."""

    def derivative(self, a, bit, uniform, law):
        return law.density(a.half()).to(a.dtype)


@dataclass(frozen=True)
class BrainFactor(HardForward):
    """The factor in bfloat16."""

    def derivative(self, a, bit, uniform, law):
        return law.density(a.bfloat16()).to(a.dtype)


@dataclass(frozen=True)
class SingleScore(Scored):
    def score(self, problem, layers):
        return score_of(layers, lambda k, layer: layer.score.float().to(layer.a.dtype))


@dataclass(frozen=True)
class SingleReward(Scored):
    def reward(self, problem, layers, value):
        return value.float().to(value.dtype)


@dataclass(frozen=True)
class SingleValue(Written):
    """The output cast before the objective."""

    def value(self, problem, output):
        return problem.value(output.float().to(output.dtype))


@dataclass(frozen=True)
class SinglePreactivation(Written):
    def factor(self, k, a, units, problem):
        return units.gap * units.law.density(a.to(torch.float32)).to(a.dtype)


@dataclass(frozen=True)
class Cancelling(HardForward):
    """F' as a difference of two values of F, in a step that float32 does not resolve."""

    def derivative(self, a, bit, uniform, law):
        step = 1e-6 * law.scale
        return (law.cdf(a + step) - law.cdf(a - step)) / (2 * step)


CAUSED = {
    "a factor in float32": (SingleFactor(), PRECISION, "changes in steps", "precision"),
    "a factor in half precision": (HalfFactor(), PRECISION, "float16", "precision"),
    "a factor in bfloat16": (BrainFactor(), PRECISION, "float16", "precision"),
    "a score in float32": (SingleScore(), PRECISION, "changes in steps", "precision"),
    "a reward in float32": (SingleReward(), PRECISION, "changes in steps", "precision"),
    "a value in float32": (SingleValue(), PRECISION, "changes in steps", "precision"),
    "pre-activations in float32": (SinglePreactivation(), PRECISION, "changes in steps", "precision"),
    "a difference that cancels": (Cancelling(), PRECISION, "cancels", "precision"),
}
