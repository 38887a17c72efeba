"""How rarely a deep Gumbel-Softmax gradient is not zero, and what BayesBiNN's defaults are in float32."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Float

from literature.tested import Quantity

POINTS, NODES = 1001, 200


def log_probability(layers: int, log_temperature: float, reach: float, a: float = 0.7) -> float:
    """log of the probability that a product of slopes of relaxed logistic units exceeds ``exp(-reach)`` of its largest.

    Each of the units, independent and all at pre-activation a, contributes the slope ``sigma'(t) / tau`` with
    ``t = (a - Z) / tau``, at most ``1 / (4 tau)``. With ``E(t) = -log 4 sigma'(t) = 2 log cosh(t / 2)`` the sum of all
    E must stay below ``reach``; its distribution is a repeated convolution,

        P_l(r) = int P_{l-1}(r - E(t)) F'(a - tau t) tau dt    over |t| < 2 arccosh(exp(r / 2)),

    by Gauss-Legendre in the arcsine of t on a grid of r. tau^layers is left to the logarithm. Our derivation.

    Args:
        layers: number of units in a row, L.
        log_temperature: log tau.
        reach: how far below its largest value, as a logarithm, the product may lie.
        a: pre-activation.
    """
    grid, tau = np.linspace(0, reach, POINTS), math.exp(log_temperature)
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    angle = nodes * np.pi / 2
    widest = grid + 2 * np.log1p(np.sqrt(-np.expm1(-grid)))  # 2 arccosh(exp(grid / 2))
    t = widest[:, None] * np.sin(angle)
    measure = widest[:, None] * np.cos(angle) * np.pi / 2 * weights * _density(a - tau * t)
    rest = grid[:, None] - 2 * (np.logaddexp(t / 2, -t / 2) - math.log(2))
    probability = np.ones(POINTS)
    for _ in range(layers):
        probability = (measure * np.interp(rest, grid, probability)).sum(1)
    return layers * log_temperature + math.log(probability[-1])


def _density(z: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    return 1 / (4 * np.cosh(z / 2) ** 2)


@final
@dataclass(frozen=True)
class NonZeroGradient(Quantity):
    """How the probability of a Gumbel-Softmax gradient above a threshold falls with the temperature.

    Attributes:
        layers: L, units in a row; the gradient is that of the first, over the product of the weights.
        threshold: ``relative``: a thousandth of the largest value ``(4 tau)^-L``; ``fixed``: 1.
        log_temperature: log tau, where the derivative is taken.
    """

    layers: int
    threshold: Literal["relative", "fixed"]
    log_temperature: float

    @property
    def name(self) -> str:
        """Exponent of tau, or number of logarithms."""
        if self.threshold == "relative":
            return f"exponent of tau in P(gradient > 1e-3 of its largest), L = {self.layers}"
        return f"factors log(1/tau) in P(gradient > 1), L = {self.layers}"

    @property
    def setting(self) -> dict[str, str | float]:
        """A closed form."""
        return {"problem": f"{self.layers} weakly coupled unit{'s in a row' if self.layers > 1 else ''}"}

    @property
    def temperatures(self) -> tuple[float, ...]:
        """Where the derivative is taken."""
        return (math.exp(self.log_temperature),)

    def measure(self) -> tuple[float, float]:
        """``d log P / d log tau``; for the fixed threshold what it lacks to L, times log(1 / tau)."""
        step = 0.02
        cold, warm = (self._log_probability(self.log_temperature + sign * step) for sign in (-1, 1))
        exponent = (warm - cold) / (2 * step)
        if self.threshold == "relative":
            return exponent, 0.0
        return (self.layers - exponent) * -self.log_temperature, 0.0

    def _log_probability(self, log_temperature: float) -> float:
        largest = -self.layers * (log_temperature + math.log(4))
        return log_probability(self.layers, log_temperature, math.log(1e3) if self.threshold == "relative" else largest)


@final
@dataclass(frozen=True)
class BayesBiNN(Quantity):
    """One step of BayesBiNN at its defaults, in float32.

    ``w = tanh((lambda + log(u / (1 - u)) / 2) / tau)`` with tau = 1e-10 and \\|lambda\\| = 10; the gradient by the mean
    ``mu = tanh lambda`` is ``N (1 - w^2 + eps) / (tau (1 - mu^2 + eps)) f'(w)`` with eps = 1e-10, and
    ``lambda <- (1 - step) lambda - step * gradient``. Formulas of the official code.

    Attributes:
        of: ``inside``: weights with \\|w\\| < 1; ``flipped``: weights of another sign than lambda; ``factor``: the
            largest distance of the gradient's factor from 1 / tau, relative; ``step``: that of the new lambda from
            ``(1 - step) lambda - step N f'(sign lambda) / tau``.
        weights: number of weights.
        seed: of their noise.
    """

    of: Literal["inside", "flipped", "factor", "step"]
    weights: int = 1_000_000
    seed: int = 0

    @property
    def name(self) -> str:
        """What is counted or compared."""
        return {
            "inside": "weights with |w| < 1",
            "flipped": "weights whose sign is not that of lambda",
            "factor": "largest distance of the factor from 1e10, relative",
            "step": "largest distance from deterministic identity ST with decay, relative",
        }[self.of]

    @property
    def setting(self) -> dict[str, str | float]:
        """The number of weights, and the seed of their noise."""
        return {"problem": f"{self.weights} weights at the defaults, float32", "seed": self.seed}

    @property
    def temperatures(self) -> tuple[float, ...]:
        """The default."""
        return (1e-10,)

    def measure(self) -> tuple[float, float]:
        """Draw all weights once."""
        generator = np.random.default_rng(self.seed)
        one, tau, eps, step, count = (np.float32(x) for x in (1, 1e-10, 1e-10, 1e-4, 1))
        sign = np.where(generator.random(self.weights) < 0.5, -one, one)
        slope = generator.standard_normal((2, self.weights), dtype=np.float32)  # f'(w) at w = -1 and +1
        u = np.maximum(generator.random(self.weights, dtype=np.float32), np.float32(2**-24))
        latent = np.float32(10) * sign
        w = np.tanh((latent + np.log(u / (one - u)) / np.float32(2)) / tau)
        if self.of == "inside":
            return float((np.abs(w) < 1).sum()), 0.0
        if self.of == "flipped":
            return float((np.sign(w) != sign).sum()), 0.0
        factor = (one - w * w + eps) / (tau * (one - np.tanh(latent) ** 2 + eps))
        if self.of == "factor":
            return float(np.abs(factor * 1e-10 - 1).max()), 0.0
        drawn = np.where(w > 0, slope[1], slope[0])
        moved = (one - step) * latent - step * count * factor * drawn
        fixed = np.where(sign > 0, slope[1], slope[0]).astype(np.float64)
        expected = (1 - 1e-4) * 10.0 * sign - 1e-4 * 1e10 * fixed
        return float((np.abs(moved - expected) / np.abs(expected)).max()), 0.0
