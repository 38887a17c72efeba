"""What a noise law is, and what is derived of one from its distribution function, density and quantile.

A unit with pre-activation ``a`` is high where ``a - Z > 0``, Z drawn from a symmetric law with distribution function F,
so ``P(high) = F(a)``; with ``u = F(Z)`` uniform this reads: high if and only if ``u < F(a)``.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.declared import Declared
from estimlab.errors import EstimlabError
from estimlab.randomness.integrals import RULE, conditional_moments, sum_over_nodes
from estimlab.randomness.noise import into_open_interval
from estimlab.randomness.quadrature import tanh_sinh

DEEP = tanh_sinh(reach=6.0)
"""Down to a tail of 1e-275, which a law of heavy tails needs."""
PerUnit = Float[Tensor, "*shape"]  # a number for each unit: within one call, all of the same shape


@dataclass(frozen=True)
class NoiseLaw(Declared, abc.ABC):
    """A symmetric noise law with an explicit scale: the law of ``scale * Z``, Z standard.

    Every function takes pre-activations of any shape, and is finite and correct to rounding for all of them;
    ``cdf(-a)`` is the upper tail. A law of one's own writes the five abstract methods, for scale 1; all else is derived
    from them, and overridden where a closed form is faster or keeps more digits.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise EstimlabError(
                f"{type(self).__name__}(scale={self.scale!r}): the scale of a noise law must be a positive number."
            )

    def cdf(self, a: PerUnit) -> PerUnit:
        """F(a), the probability of the high state."""
        return self._cdf(self._standard(a))

    def log_cdf(self, a: PerUnit) -> PerUnit:
        """log F(a); minus infinity where the law of bounded support gives probability zero."""
        return self._log_cdf(self._standard(a))

    def density(self, a: PerUnit) -> PerUnit:
        """F'(a), in units of one over the pre-activation."""
        return self._standard(self._density(self._standard(a)))

    def score(self, a: PerUnit) -> PerUnit:
        """F'(a) / F(a), the derivative of log P(high); zero where F(a) is. ``-score(-a)`` is that of log P(low)."""
        return self._standard(self._score(self._standard(a)))

    def log_odds(self, a: PerUnit) -> PerUnit:
        """log F(a) - log F(-a); huge but finite where a law of bounded support is certain."""
        return self._log_odds(self._standard(a))

    def log_odds_slope(self, a: PerUnit) -> PerUnit:
        """F' / (F (1 - F)), the derivative of the log odds; zero where the state is certain."""
        return self._standard(self._log_odds_slope(self._standard(a)))

    def quantile(self, u: PerUnit) -> PerUnit:
        """The inverse of F, for u strictly inside (0, 1)."""
        return self._quantile(u) * self.scale

    @property
    def reach(self) -> float:
        """The noise lies between ``-reach`` and ``reach``; infinite where the support is not bounded.

        Derived: a quantile beyond which the distribution function is exactly zero.
        """
        edge = self.quantile(torch.tensor(1e-100, dtype=torch.float64))
        return -float(edge) if float(self.cdf(1.01 * edge)) == 0 else math.inf

    @property
    def bounded(self) -> bool:
        """Whether the support is."""
        return math.isfinite(self.reach)

    @property
    def kinks(self) -> tuple[float, ...]:
        """Pre-activations at which the density may jump or have a kink; by default zero and the ends of the support."""
        return (self.reach, 0.0, -self.reach) if self.bounded else (0.0,)

    @property
    def variance(self) -> float:
        """Of ``scale * Z``, by quadrature of the squared quantile; infinite where the law has none."""
        for rule in (RULE, DEEP):
            squares = self.quantile(rule.nodes / 2) ** 2  # of a half, the other being its mirror
            variance = float(rule.weights @ squares)
            if rule.weights[0] * squares[0] < 1e-12 * variance:  # what lies beyond the first node is negligible
                return variance
        return math.inf

    def matched(self, a: PerUnit, law: NoiseLaw) -> tuple[PerUnit, PerUnit]:
        """Where this law has the probability that another law has at ``a``, and the derivative of that by ``a``."""
        own = self.quantile(into_open_interval(law.cdf(a)))
        return own, law.density(a) / self.density(own)

    def relaxation_kinks(self, a: PerUnit, temperature: float) -> list[PerUnit]:
        """Uniforms, beside P(high), at which the relaxation ``F((a - Z) / temperature)`` may have a kink."""
        moved = [self.cdf(a - temperature * kink) for kink in self.kinks if kink]
        own = [self.cdf(torch.full_like(a, kink)) for kink in self.kinks if abs(kink) < self.reach]
        return moved + own

    def mean_slope(self, side: PerUnit, temperature: float) -> PerUnit:
        """The first of ``slope_moments``."""
        return self.slope_moments(side, temperature)[0]

    def slope_moments(self, side: PerUnit, temperature: float) -> tuple[PerUnit, PerUnit]:
        """Mean and second moment of ``zeta_tau'(side - Z)`` given ``Z < side``, by quadrature (our derivation).

        ``zeta_tau(v) = F(v / tau)`` is the relaxation of a binary unit. ``side`` is ``a`` for the high state and, by
        symmetry, ``-a`` for the low one. The first moment is the factor ``A_b / P(b)`` of Gumbel-Rao with infinitely
        many samples. Up to temperature 1 the integral is taken in the relaxed state ``x = zeta_tau(v)``, in which it
        stays smooth as the temperature goes to zero:

            E[g | Z < side] = int_{1/2}^1 g(v(x)) F'(side - v(x)) / F(side) dx,    v(x) = tau Q(x), Q the quantile.

        At higher temperatures, and where kinks must be cut out, in the noise. For logistic and Gaussian noise, and
        states of a probability above 1e-300, the error is below 1e-13 of the larger of the moment and one over the
        scale.
        """
        if temperature > 1 or self.kinks:
            return self._slope_moments_in_noise(side, temperature)
        nodes, weights = (column.to(side.device) for column in (RULE.nodes, RULE.weights))
        quantiles = self.quantile(nodes / 2)  # of 1 - x: no digit is lost where x is close to one
        log_p = self.log_cdf(side)

        def terms(q: Tensor, slope: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
            noise = side + temperature * q
            # F' / F(side) as a score times a ratio of probabilities, which is finite for rare states
            term = weight * self.score(noise) * torch.exp(self.log_cdf(noise) - log_p)
            return term, slope * term

        first, second = sum_over_nodes(terms, side, quantiles, self.density(quantiles) / temperature, weights / 2)
        return first, second

    def _slope_moments_in_noise(self, side: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        p = self.cdf(side)

        def slope(bit: Tensor, uniform: Tensor) -> Tensor:
            return self.density((side - self.quantile(uniform)) / temperature) / temperature

        mean, second = conditional_moments(slope, p, [p, *self.relaxation_kinks(side, temperature)])
        return mean[1], second[1]

    def _standard(self, a: Tensor) -> Tensor:
        return a if self.scale == 1 else a / self.scale  # a division by one would be a pass over memory

    def _log_odds(self, z: Tensor) -> Tensor:
        return self._log_cdf(z).clamp(min=-1e30) - self._log_cdf(-z).clamp(min=-1e30)

    def _log_odds_slope(self, z: Tensor) -> Tensor:
        return self._score(z) + self._score(-z)

    @abc.abstractmethod
    def _cdf(self, z: Tensor) -> Tensor: ...

    @abc.abstractmethod
    def _log_cdf(self, z: Tensor) -> Tensor: ...

    @abc.abstractmethod
    def _density(self, z: Tensor) -> Tensor: ...

    @abc.abstractmethod
    def _score(self, z: Tensor) -> Tensor: ...

    @abc.abstractmethod
    def _quantile(self, u: Tensor) -> Tensor: ...
