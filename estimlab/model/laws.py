"""Noise laws, with what is known of each in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from estimlab.model.noise_law import NoiseLaw, PerUnit


@final
@dataclass(frozen=True)
class Logistic(NoiseLaw):
    """Logistic noise, ``F(a) = 1 / (1 + exp(-a / scale))``; ``scale=0.5`` gives ``2F(a) - 1 = tanh(a)``.

    >>> law = Logistic(scale=0.5)
    >>> law.density(torch.tensor([0.0, 2.0])), round(law.variance, 4)
    (tensor([0.5000, 0.0353]), 0.8225)
    """

    @property
    def reach(self) -> float:
        """Infinite."""
        return math.inf

    @property
    def kinks(self) -> tuple[float, ...]:
        """None."""
        return ()

    def matched(self, a: PerUnit, law: NoiseLaw) -> tuple[PerUnit, PerUnit]:
        """By log odds, which keep their digits in the tails."""
        return self.scale * law.log_odds(a), self.scale * law.log_odds_slope(a)

    def _cdf(self, z: Tensor) -> Tensor:
        return torch.sigmoid(z)

    def _log_cdf(self, z: Tensor) -> Tensor:
        return functional.logsigmoid(z)

    def _density(self, z: Tensor) -> Tensor:
        tail = torch.sigmoid(-z.abs())  # the smaller probability: 1 - tail loses nothing
        return tail * (1 - tail)

    def _score(self, z: Tensor) -> Tensor:
        return torch.sigmoid(-z)

    def _log_odds(self, z: Tensor) -> Tensor:
        return z

    def _log_odds_slope(self, z: Tensor) -> Tensor:
        return z.new_ones(()).expand_as(z)  # one number in memory

    def _quantile(self, u: Tensor) -> Tensor:
        return torch.log(u) - torch.log1p(-u)


@final
@dataclass(frozen=True)
class Gaussian(NoiseLaw):
    """Gaussian noise of standard deviation ``scale``, ``F(a) = Phi(a / scale)``.

    >>> law = Gaussian()
    >>> law.cdf(torch.tensor([-1.0, 0.0, 1.0]))
    tensor([0.1587, 0.5000, 0.8413])
    """

    @property
    def reach(self) -> float:
        """Infinite."""
        return math.inf

    @property
    def kinks(self) -> tuple[float, ...]:
        """None."""
        return ()

    def mean_slope(self, side: PerUnit, temperature: float) -> PerUnit:
        """``N(a; 0, s^2 (1 + tau^2)) Phi(kappa a / s) / Phi(a / s)``, s the scale, ``kappa = tau / sqrt(1 + tau^2)``.

        Below zero the exponents of the three factors cancel; a quotient of scores leaves them out and stays finite
        where all three are zero.
        """
        wide = math.hypot(1, temperature)
        kappa = temperature / wide
        below, above = side.clamp(max=0), side.clamp(min=0)
        rare = self.score(below) / self.score(kappa * below) / (self.scale * wide * math.sqrt(2 * math.pi))
        likely = Gaussian(self.scale * wide).density(above) * self.cdf(kappa * above) / self.cdf(above)
        return torch.where(side < 0, rare, likely)

    def _cdf(self, z: Tensor) -> Tensor:
        return torch.special.erfc(z * -math.sqrt(0.5)) / 2

    def _log_cdf(self, z: Tensor) -> Tensor:
        # erfcx keeps the lower tail to rounding; torch.special.log_ndtr cannot be mapped over draws by torch.vmap
        low, high = z.clamp(max=-1), z.clamp(min=-1)
        tail = torch.log(torch.special.erfcx(low * -math.sqrt(0.5)) / 2) - low * low / 2
        return torch.where(z < -1, tail, torch.log1p(torch.special.erfc(high * math.sqrt(0.5)) / -2))

    def _density(self, z: Tensor) -> Tensor:
        return torch.exp(-z * z / 2) / math.sqrt(2 * math.pi)

    def _score(self, z: Tensor) -> Tensor:
        # exp(log_density - log_cdf) would subtract numbers of size z^2; erfcx keeps the ratio to rounding
        return math.sqrt(2 / math.pi) / torch.special.erfcx(z * -math.sqrt(0.5))

    def _quantile(self, u: Tensor) -> Tensor:
        return torch.special.ndtri(u)


@final
@dataclass(frozen=True)
class Uniform(NoiseLaw):
    """Uniform noise on [-scale, scale]; in -1/+1 coding ``dx/da`` is then HardTanh' (for scale 1).

    >>> law = Uniform(scale=2.0)
    >>> law.bounded, law.cdf(torch.tensor([-3.0, 1.0, 3.0]))
    (True, tensor([0.0000, 0.7500, 1.0000]))
    """

    @property
    def reach(self) -> float:
        """The scale."""
        return self.scale

    def _cdf(self, z: Tensor) -> Tensor:
        return torch.clamp((1 + z) / 2, 0, 1)

    def _log_cdf(self, z: Tensor) -> Tensor:
        return _log(self._cdf(z))

    def _density(self, z: Tensor) -> Tensor:
        return (z.abs() < 1).to(z.dtype) / 2

    def _score(self, z: Tensor) -> Tensor:
        inside = z.abs() < 1
        return torch.where(inside, 1 / torch.where(inside, 1 + z, 1), 0)

    def _quantile(self, u: Tensor) -> Tensor:
        return 2 * u - 1


@final
@dataclass(frozen=True)
class Triangular(NoiseLaw):
    """Triangular noise on [-scale, scale]; ``scale=2`` gives ``2F'(a) = max(0, 1 - |a| / 2)``, a scaled ApproxSign.

    >>> law = Triangular(scale=2.0)
    >>> 2 * law.density(torch.tensor([0.0, 1.0, 3.0]))
    tensor([1.0000, 0.5000, 0.0000])
    """

    @property
    def reach(self) -> float:
        """The scale."""
        return self.scale

    def _cdf(self, z: Tensor) -> Tensor:
        # each side by its own formula: one in |z| would lose the derivative at 0, where that of |z| is none
        below, above = torch.clamp(1 + z, min=0) ** 2 / 2, torch.clamp(1 - z, min=0) ** 2 / 2
        return torch.where(z > 0, 1 - above, below)

    def _log_cdf(self, z: Tensor) -> Tensor:
        return _log(self._cdf(z))

    def _density(self, z: Tensor) -> Tensor:
        return torch.clamp(1 - z.abs(), min=0)

    def _score(self, z: Tensor) -> Tensor:
        below = (z > -1) & (z <= 0)
        ratio = 2 / torch.where(below, 1 + z, 1)
        return torch.where(below, ratio, torch.where(z > 0, self._density(z) / self._cdf(z.clamp(min=0)), 0))

    def _quantile(self, u: Tensor) -> Tensor:
        lower = torch.sqrt(2 * torch.minimum(u, 1 - u)) - 1
        return torch.where(u < 0.5, lower, -lower)


def _log(probability: Tensor) -> Tensor:
    """Logarithm whose derivative is zero, not NaN, where the probability is zero."""
    positive = probability > 0
    return torch.where(positive, torch.log(torch.where(positive, probability, 1)), -math.inf)
