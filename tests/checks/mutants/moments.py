"""Moments that are not those of the draws; some of factors that read ten uniforms."""

from dataclasses import dataclass
from typing import ClassVar

import estimlab as el
from estimlab.estimators.base import HardForward, replace_derivative
from mutants.bases import DEGREE


@dataclass(frozen=True)
class WrongSideGumbelRao(el.GumbelRao):
    """The conditional noise of the state that was not drawn."""

    def derivative(self, a, bit, uniform, law):
        return super().derivative(a, 1 - bit, uniform, law)


@dataclass(frozen=True)
class WrongSecondMoment(el.ZGR):
    def derivative_moments(self, a, law):
        mean, second = super().derivative_moments(a, law)
        return mean, 1.1 * second


@dataclass(frozen=True)
class ScaledGumbelRao(el.GumbelRao):
    """Ten samples, one per cent too large: the conditional mean is not the one that it states."""

    def derivative(self, a, bit, uniform, law):
        return 1.01 * super().derivative(a, bit, uniform, law)


@dataclass(frozen=True)
class SpreadGumbelRao(el.GumbelRao):
    """A second moment that is five per cent too large."""

    def derivative_moments(self, a, law):
        mean, second = super().derivative_moments(a, law)
        return mean, 1.05 * second


@dataclass(frozen=True)
class RepeatedGumbelRao(el.GumbelRao):
    """One sample taken ten times: the right mean, ten times the conditional variance."""

    def derivative(self, a, bit, uniform, law):
        return super().derivative(a, bit, uniform[:1].expand_as(uniform), law)


@dataclass(frozen=True)
class OtherDraws(el.GumbelRao):
    """Draws whose slope is not ``derivative()``, but one and a half times that."""

    def activate(self, a, uniform, units):
        states = super().activate(a, uniform, units).detach()
        bit = (states > (units.low + units.high) / 2).to(a.dtype)
        factor = 1.5 * self.derivative(a.detach(), bit, uniform[1:], units.law)
        return replace_derivative(a, states, units.gap * factor)


@dataclass(frozen=True)
class Jittered(HardForward):
    """Straight-through, times the mean of ten uniforms of mean 1; exact for linear objectives if ``size`` is 1."""

    reads_uniform: ClassVar[bool] = True
    size: float = 1.0

    @property
    def extra_channels(self):
        return 10

    def derivative(self, a, bit, uniform, law):
        return self.size * law.density(a) * (2 * uniform).mean(0)


@dataclass(frozen=True)
class Tangled(Jittered):
    """Straight-through, times the product of ten uniforms of mean 1: all interact, and no integral reaches them."""

    def derivative(self, a, bit, uniform, law):
        return self.size * law.density(a) * (2 * uniform).prod(0)


MUTANTS = {
    "Gumbel-Rao, noise of the other side": (WrongSideGumbelRao(samples=2), "exact moments", "recursion"),
    "a wrong second moment": (WrongSecondMoment(), "exact moments", "variance"),
    "ten samples x 1.01": (ScaledGumbelRao(), "exact moments", "mean of the recursion"),
    "ten samples, second moment x 1.05": (SpreadGumbelRao(), "exact moments", "variance of the recursion"),
    "one sample taken ten times": (RepeatedGumbelRao(), "exact moments", "variance of the recursion"),
    "draws that are not made of the factor": (OtherDraws(), "exact moments", r"derivative\(\) stands for"),
    "ten uniforms x 1.01": (Jittered(1.01), DEGREE + "1", r"1\.0100 x the true gradient"),
    "ten uniforms that interact x 1.2": (Tangled(1.2), DEGREE + "1", r"z = -?\d"),
}
