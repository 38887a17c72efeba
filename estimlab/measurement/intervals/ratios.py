"""Intervals for ratios of estimates, and for rank correlations."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.stats

NORMAL_95 = 1.959963984540054


@dataclass(frozen=True)
class Ratio:
    """A ratio of two estimates.

    Attributes:
        value: the ratio.
        stderr: its standard error to first order (delta method).
        low: lower end of Fieller's 95 % interval.
        high: upper end.
    """

    value: float
    stderr: float
    low: float
    high: float


def fieller(
    numerator: tuple[float, float],
    denominator: tuple[float, float],
    covariance: float = 0.0,
    z: float = NORMAL_95,
) -> Ratio:
    """The ratio of two jointly normal estimates, with Fieller's interval (Fieller 1954, J. R. Stat. Soc. B 16).

    The interval holds the ratios R for which ``a - R b`` is not more than z of its standard errors from zero: it is
    exact for normal estimates, and not symmetric. Where b may be zero the set is unbounded; both ends are infinite
    then.

    Args:
        numerator: a and its standard error.
        denominator: b and its standard error, b not zero.
        covariance: of both; 0 where they are independent.
        z: normal quantile of the confidence.

    >>> ratio = fieller((4.0, 0.0), (2.0, 0.1), z=2.0)
    >>> ratio.value, round(ratio.low, 3), round(ratio.high, 3)
    (2.0, 1.818, 2.222)
    """
    (a, a_error), (b, b_error) = numerator, denominator
    value = a / b
    stderr = math.sqrt(max(a_error**2 - 2 * value * covariance + (value * b_error) ** 2, 0.0)) / abs(b)
    # (a - R b)^2 <= z^2 Var(a - R b), a quadratic in R
    square, linear, constant = b**2 - (z * b_error) ** 2, a * b - z**2 * covariance, a**2 - (z * a_error) ** 2
    if square <= 0:
        return Ratio(value, stderr, -math.inf, math.inf)
    root = math.sqrt(max(linear**2 - square * constant, 0.0))
    return Ratio(value, stderr, (linear - root) / square, (linear + root) / square)


def kendall(x: np.ndarray, y: np.ndarray, resamples: int = 9999, seed: int = 0) -> tuple[float, float, float, float]:
    """Kendall's tau-b, its two-sided p-value by permutation, and a 95 % bootstrap interval over the pairs.

    Args:
        x: one number per configuration.
        y: likewise.
        resamples: permutations, and bootstrap samples.
        seed: of both.
    """
    generator = np.random.default_rng(seed)
    tau = float(scipy.stats.kendalltau(x, y).statistic)
    orders = generator.permuted(np.tile(np.arange(len(x)), (resamples, 1)), axis=1)
    chosen = generator.integers(len(x), size=(resamples, len(x)))
    as_far = np.abs(_taus(x[orders], y)) >= abs(tau) - 1e-12
    low, high = np.nanquantile(_taus(x[chosen], y[chosen]), (0.025, 0.975))
    return tau, float((1 + as_far.sum()) / (1 + resamples)), float(low), float(high)


def _taus(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Tau-b of each row: mean product of the signs of differences, over the roots of their mean squares."""
    above = np.triu_indices(x.shape[-1], 1)
    dx, dy = (np.sign(z[..., above[0]] - z[..., above[1]]) for z in (x, y))
    with np.errstate(invalid="ignore"):  # a sample of one pair alone has no order
        return (dx * dy).sum(-1) / np.sqrt((dx**2).sum(-1) * (dy**2).sum(-1))
