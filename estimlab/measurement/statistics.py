"""The statistics of a measurement as functions of moments, with their standard errors by the jackknife."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class AgainstTruth:
    """Moments of draws beside the truth, for some coordinates, with any leading dimensions (jackknife replicates).

    Attributes:
        mean: mean of the draws.
        variance: variance of one draw, per coordinate.
        reference: true gradient.
        reference_variance: squared standard error of the reference.
        draws: number of draws behind the mean; infinity where the moments are exact.

    >>> mean, truth, none = torch.tensor([1.0, 1.0]), torch.tensor([1.0, 0.0]), torch.zeros(2)
    >>> found = AgainstTruth(mean, variance=none, reference=truth, reference_variance=none, draws=math.inf)
    >>> f"{squared_bias(found):.1f} {cosine(found):.3f}"
    '1.0 0.707'
    """

    mean: Float[Tensor, "*replicates p"]
    variance: Float[Tensor, "*replicates p"]
    reference: Float[Tensor, " p"]
    reference_variance: Float[Tensor, " p"]
    draws: Tensor | float

    @property
    def noise(self) -> Tensor:
        """Variance of the mean, summed over coordinates."""
        return self.variance.sum(-1) / self.draws

    @property
    def reference_norm(self) -> Tensor:
        """Norm of the true gradient, without the reference's own noise."""
        return _root((self.reference**2).sum(-1) - self.reference_variance.sum(-1))

    @property
    def mean_norm(self) -> Tensor:
        """Norm of the expected draw, without the noise of the mean."""
        return _root((self.mean**2).sum(-1) - self.noise)

    @property
    def product(self) -> Tensor:
        """Inner product of mean and reference."""
        return (self.mean * self.reference).sum(-1)


def _root(square: Tensor) -> Tensor:
    """Root of a debiased square: NaN where noise exceeds signal, as nothing is known there."""
    return torch.where(square > 0, torch.where(square > 0, square, 1).sqrt(), math.nan)


def signed_root(square: Tensor) -> Tensor:
    """``sign(x) sqrt|x|``: a debiased square may be negative and is never clipped."""
    return torch.sign(square) * square.abs().sqrt()


def squared_bias(m: AgainstTruth) -> Tensor:
    """``|mean - truth|^2`` without the noise of the draws and of the reference."""
    return ((m.mean - m.reference) ** 2).sum(-1) - m.noise - m.reference_variance.sum(-1)


def variance(m: AgainstTruth) -> Tensor:
    """Trace of the covariance of one draw."""
    return m.variance.sum(-1)


def mse(m: AgainstTruth) -> Tensor:
    """Mean squared error of one draw: squared bias plus variance."""
    return squared_bias(m) + variance(m)


def cosine(m: AgainstTruth) -> Tensor:
    """Cosine of the angle between expected draw and true gradient."""
    return m.product / (m.mean_norm * m.reference_norm)


def descent_efficiency(m: AgainstTruth) -> Tensor:
    """``(E g . g*)^2 / (|g*|^2 E|g|^2)``: the progress of the best step along one draw, relative to the gradient's."""
    energy = (m.mean**2).sum(-1) + variance(m) - m.noise
    return m.product**2 / (m.reference_norm**2 * energy)


STATISTICS: dict[str, Callable[[AgainstTruth], Tensor]] = {
    "reference_norm": lambda m: m.reference_norm.expand(m.mean.shape[:-1]),
    "squared_bias": squared_bias,
    "relative_bias": lambda m: signed_root(squared_bias(m)) / m.reference_norm,
    "variance": variance,
    "relative_std": lambda m: variance(m).sqrt() / m.reference_norm,
    "mse": mse,
    "relative_rmse": lambda m: signed_root(mse(m)) / m.reference_norm,
    "cosine": cosine,
    "descent_efficiency": descent_efficiency,
    # |mean| rescaled to |truth|: |s m - g|^2 / |g|^2 = 2 - 2 cos
    "scale_invariant_bias": lambda m: (2 * (1 - cosine(m)).clamp(min=0)).sqrt(),
    "scale_invariant_std": lambda m: variance(m).sqrt() / m.mean_norm,
}


def jackknife(replicates: Float[Tensor, " groups"]) -> float:
    """Standard error from the values of a statistic with one group of draws left out at a time."""
    return float(jackknife_errors(replicates))


def jackknife_errors(replicates: Float[Tensor, "groups *places"]) -> Float[Tensor, "*places"]:
    """The same of many statistics at once."""
    groups = len(replicates)
    errors = ((groups - 1) / groups * ((replicates - replicates.mean(0)) ** 2).sum(0)).sqrt()
    # a statistic of the reference alone; the mean of equal numbers may differ from them by rounding
    return torch.where((replicates == replicates[0]).all(0), 0.0, errors)


def reference_error(statistic: Callable[[AgainstTruth], Tensor], m: AgainstTruth) -> float:
    """Standard error that the reference's noise adds to a statistic, to first order."""
    if not bool((m.reference_variance > 0).any()):
        return 0.0
    leaf = m.reference.clone().requires_grad_()
    value = statistic(AgainstTruth(m.mean, m.variance, leaf, m.reference_variance, m.draws))
    if not value.requires_grad:  # the variance, for one, does not read the reference
        return 0.0
    (slope,) = torch.autograd.grad(value, leaf)
    return math.sqrt(float((slope**2 * m.reference_variance).sum()))
