"""Noise laws, and what a unit driven by one does.

A unit with pre-activation ``a`` is high where ``a - Z > 0``, Z drawn from a symmetric law with distribution function F,
so ``P(high) = F(a)``; with ``u = F(Z)`` uniform this reads: high if and only if ``u < F(a)``.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from estimlab.declared import Declared
from estimlab.errors import EstimlabError

PerUnit = Float[Tensor, "*shape"]  # a number for each unit: within one call, all of the same shape


@dataclass(frozen=True)
class NoiseLaw(Declared, abc.ABC):
    """A symmetric noise law with an explicit scale: the law of ``scale * Z``, Z standard.

    Every function takes pre-activations of any shape, and is finite and correct to rounding for all of them;
    ``cdf(-a)`` is the upper tail.
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


@final
@dataclass(frozen=True)
class Logistic(NoiseLaw):
    """Logistic noise, ``F(a) = 1 / (1 + exp(-a / scale))``; ``scale=0.5`` gives ``2F(a) - 1 = tanh(a)``."""

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
    """Gaussian noise of standard deviation ``scale``, ``F(a) = Phi(a / scale)``."""

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
    """Uniform noise on [-scale, scale]; in -1/+1 coding ``dx/da`` is then HardTanh' (for scale 1)."""

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
    """Triangular noise on [-scale, scale]; ``scale=2`` gives ``2F'(a) = max(0, 1 - |a| / 2)``, a scaled ApproxSign."""

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
