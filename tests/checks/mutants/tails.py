"""A tail clipped, cut off, or floored."""

from dataclasses import dataclass

import torch

from estimlab.estimators.base import HardForward
from mutants.bases import DEGREE, Scored, weighted_score


@dataclass(frozen=True)
class Clamped(HardForward):
    """Pre-activations clipped for safety."""

    def derivative(self, a, bit, uniform, law):
        return law.density(a.clamp(-3.5 * law.scale, 3.5 * law.scale))


@dataclass(frozen=True)
class Cut(HardForward):
    """No gradient far out."""

    def derivative(self, a, bit, uniform, law):
        return law.density(a) * (a.abs() < 4 * law.scale)


@dataclass(frozen=True)
class Floored(HardForward):
    """A gradient everywhere."""

    def derivative(self, a, bit, uniform, law):
        return law.density(a).clamp(min=1e-3 / law.scale)


@dataclass(frozen=True)
class ClampedProbability(Scored):
    """Probabilities kept from zero and one."""

    def score(self, problem, layers):
        def ratio(k, layer):
            p = layer.law.cdf(layer.towards(layer.a.detach()))
            return p / p.clamp(1e-3, 1 - 1e-3)

        return weighted_score(layers, ratio)


@dataclass(frozen=True)
class Epsilon(Scored):
    """F' / (F + 1e-4)."""

    def score(self, problem, layers):
        def ratio(k, layer):
            p = layer.law.cdf(layer.towards(layer.a.detach()))
            return torch.where(p < 1e-2, p / (p + 1e-4), 1)

        return weighted_score(layers, ratio)


@dataclass(frozen=True)
class ClippedScore(Scored):
    """Scores beyond a limit are clipped."""

    def score(self, problem, layers):
        def ratio(k, layer):
            size = layer.score.abs() * layer.law.scale
            return torch.where(size > 3.5, 3.5 / size, 1)

        return weighted_score(layers, ratio)


CAUSED = {
    "pre-activations clipped": (Clamped(), DEGREE + "1", "tail", "tail"),
    "no gradient far out": (Cut(), DEGREE + "1", "tail", "tail"),
    "a floor under the gradient": (Floored(), DEGREE + "1", "tail", "tail"),
    "probabilities clipped": (ClampedProbability(), DEGREE + "1", "tail", "tail"),
    "an epsilon in a quotient": (Epsilon(), DEGREE + "1", "tail", "tail"),
    "scores clipped": (ClippedScore(), DEGREE + "1", "tail", "tail"),
}
