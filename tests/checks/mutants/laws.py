"""A noise law assumed, or its scale forgotten."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

import estimlab as el
from estimlab.estimators.arm import Mirrored
from estimlab.estimators.base import HardForward
from mutants.bases import DEGREE, Scored, score_of, weighted_score


@dataclass(frozen=True)
class Sigmoid(HardForward):
    """The derivative of the sigmoid, whatever the noise."""

    def derivative(self, a, bit, uniform, law):
        return torch.sigmoid(a) * torch.sigmoid(-a)


@dataclass(frozen=True)
class Normal(HardForward):
    """The normal density, whatever the noise."""

    def derivative(self, a, bit, uniform, law):
        return torch.exp(-a * a / (2 * law.scale**2)) / (math.sqrt(2 * math.pi) * law.scale)


@dataclass(frozen=True)
class Unscaled(HardForward):
    """The scale forgotten."""

    def derivative(self, a, bit, uniform, law):
        return type(law)().density(a)


@dataclass(frozen=True)
class ScaledTwice(HardForward):
    def derivative(self, a, bit, uniform, law):
        return law.density(a) / law.scale


@dataclass(frozen=True)
class NotDivided(HardForward):
    """The density of the standard law at a / scale, without the inner derivative."""

    def derivative(self, a, bit, uniform, law):
        return law.density(a) * law.scale


@dataclass(frozen=True)
class Logit(HardForward):
    """1.702 a in a sigmoid for Gaussian noise."""

    def derivative(self, a, bit, uniform, law):
        z = 1.702 * a / law.scale
        logit = 1.702 / law.scale * torch.sigmoid(z) * torch.sigmoid(-z)
        return logit if isinstance(law, el.Gaussian) else law.density(a)


@dataclass(frozen=True)
class Endless(HardForward):
    """The support of the uniform law forgotten."""

    def derivative(self, a, bit, uniform, law):
        return torch.full_like(a, 0.5 / law.scale) if isinstance(law, el.Uniform) else law.density(a)


@dataclass(frozen=True)
class Below(HardForward):
    """The triangular law without its cut at zero."""

    def derivative(self, a, bit, uniform, law):
        straight = (1 - (a / law.scale).abs()) / law.scale
        return straight if isinstance(law, el.Triangular) else law.density(a)


@dataclass(frozen=True)
class StateMinusProbability(Scored):
    """b - p: the score of logistic units of scale one."""

    def score(self, problem, layers):
        return score_of(layers, lambda k, layer: layer.bit.to(layer.a.dtype) - layer.law.cdf(layer.a.detach()))


@dataclass(frozen=True)
class UnscaledScore(Scored):
    def score(self, problem, layers):
        return weighted_score(layers, lambda k, layer: layer.law.scale)


@dataclass(frozen=True)
class LogisticDisARM(Mirrored):
    """sigmoid(|a|), as printed for logistic units."""

    degree: ClassVar[float] = 0

    def coefficient(self, a, uniform, law):
        p = law.cdf(a)
        sign = (uniform < p).to(a.dtype) - (uniform > 1 - p).to(a.dtype)
        return sign * torch.sigmoid(a.abs()) / 2


CAUSED = {
    "the sigmoid's derivative for all laws": (Sigmoid(), DEGREE + "1", r"right without|right with", "law"),
    "the normal density for all laws": (Normal(), DEGREE + "1", "wrong with", "law"),
    "a scale forgotten": (Unscaled(), DEGREE + "1", r"wrong with .*scale", "law"),
    "a scale twice": (ScaledTwice(), DEGREE + "1", r"wrong with .*scale", "law"),
    "no inner derivative": (NotDivided(), DEGREE + "1", r"wrong with .*scale", "law"),
    "a logit for a probit": (Logit(), DEGREE + "1", "wrong with el.Gaussian", "law"),
    "a support forgotten": (Endless(), DEGREE + "1", "wrong with el.Uniform", "law"),
    "a density below zero": (Below(), DEGREE + "1", "wrong with el.Triangular", "law"),
    "the score of logistic units": (StateMinusProbability(), DEGREE + "1", "wrong with", "law"),
    "a score without scale": (UnscaledScore(), DEGREE + "1", r"wrong with .*scale", "law"),
    "DisARM of logistic units": (LogisticDisARM(), DEGREE + "1", "wrong with", "law"),
}
