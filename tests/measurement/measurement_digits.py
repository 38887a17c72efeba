"""Brute force in fifty digits: mean and variance of a hard-forward draw, path by path."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import mpmath as mp
import numpy as np

mp.mp.dps = 50


def exact(tensor):
    """A float64 tensor as an array of numbers in fifty digits."""
    return np.vectorize(mp.mpf, otypes=[object])(tensor.detach().numpy())


def cdf(law, a):
    """F(a), in fifty digits of its own."""
    z = a / mp.mpf(law.scale)
    match type(law).__name__:
        case "Logistic":
            return 1 / (1 + mp.exp(-z))
        case "Gaussian":
            return mp.erfc(-z / mp.sqrt(2)) / 2
        case "Uniform":
            return min(max((1 + z) / 2, mp.mpf(0)), mp.mpf(1))
    tail = max(1 - abs(z), mp.mpf(0)) ** 2 / 2
    return tail if z < 0 else 1 - tail


def density(law, a):
    """F'(a)."""
    z, scale = a / mp.mpf(law.scale), mp.mpf(law.scale)
    match type(law).__name__:
        case "Logistic":
            return cdf(law, a) * cdf(law, -a) / scale
        case "Gaussian":
            return mp.npdf(z) / scale
        case "Uniform":
            return (mp.mpf(1) / 2 if abs(z) < 1 else mp.mpf(0)) / scale
    return max(1 - abs(z), mp.mpf(0)) / scale


@dataclass(frozen=True)
class Moments:
    """Per coordinate: mean and variance of one draw, and how much a relative error of a draw weighs in the variance.

    The last is ``2 max|g| sum P |g - m| / Var``: to first order, what multiplies the relative error of the draws.
    """

    mean: np.ndarray
    variance: np.ndarray
    condition: np.ndarray


def moments(problem, factor):
    """Moments of the batch's gradient by every parameter of a chain of ``Linear`` stages and head.

    Args:
        problem: its objective is ``tests.measurement_digits.Curved``.
        factor: maps law, a and bit to mean and deviation of the local factor of 0/1 coding. A random factor takes two
            values: a draw is linear in each factor, so its first two moments are all that matters.
    """
    each = [_example(problem, exact(problem.inputs[i]), factor) for i in range(problem.batch)]
    size = problem.batch
    mean = sum(one.mean for one in each) / size
    variance = sum(one.variance for one in each) / size**2
    condition = np.max([one.condition for one in each], 0)
    return Moments(mean, variance, condition)


def _example(problem, inputs, factor):
    network = problem.network
    linears = [(exact(s.weight), exact(s.bias)) for s in (*network.stages, network.head)]
    draws, weights = [], []
    for weight, states, factors in _paths(linears[:-1], network.units, inputs, factor):
        weights.append(weight)
        draws.append(_gradient(problem.objective, linears, states, factors))
    draws, weights = np.array(draws), np.array(weights)[:, None]
    mean = (weights * draws).sum(0)
    apart = draws - mean
    variance = (weights * apart**2).sum(0)
    share = 2 * np.abs(draws).max(0) * (weights * np.abs(apart)).sum(0)
    return Moments(
        mean, variance, np.array([s / v if v > 0 else mp.mpf(0) for s, v in zip(share, variance, strict=True)])
    )


def _paths(stages, units, state, factor):
    """Probability, states and factors of every path; each bit with both values of a random factor."""
    if not stages:
        yield mp.mpf(1), [state], []
        return
    weight, bias = stages[0]
    a = weight @ state + bias
    law, low, high = units[0].law, mp.mpf(units[0].low), mp.mpf(units[0].high)
    sides = [[_outcome(law, x, bit, factor) for bit in (0, 1)] for x in a]
    for bits in product((0, 1), repeat=len(a)):
        reached = np.array([high if bit else low for bit in bits])
        for values in product(*(sides[i][bit][1] for i, bit in enumerate(bits))):
            chance = mp.mpf(1)
            for i, bit in enumerate(bits):
                chance *= sides[i][bit][0] / len(sides[i][bit][1])
            gaps = np.array(values) * (high - low)
            for rest, states, factors in _paths(stages[1:], units[1:], reached, factor):
                yield chance * rest, [state, *states], [gaps, *factors]


def _outcome(law, a, bit, factor):
    """Probability of a bit, and the values that its factor takes."""
    mean, deviation = factor(law, a, bit)
    return cdf(law, a if bit else -a), [mean] if deviation == 0 else [mean - deviation, mean + deviation]


def _gradient(objective, linears, states, factors):
    weight, bias = linears[-1]
    delta = objective.slope(weight @ states[-1] + bias)
    blocks = [np.concatenate((np.outer(delta, states[-1]).ravel(), delta))]
    beta = weight.T @ delta
    for (below, _), state, factor in zip(linears[-2::-1], states[-2::-1], factors[::-1], strict=True):
        delta = factor * beta
        blocks.append(np.concatenate((np.outer(delta, state).ravel(), delta)))
        beta = below.T @ delta
    return np.concatenate(blocks[::-1])


@dataclass(frozen=True)
class Curved:
    """``sum_i slope out_i + curvature (i + 1) out_i^2``: a gradient of any size beside its variation."""

    slope_everywhere: float = 0.0
    curvature: float = 1.0

    def __call__(self, output, target):
        index = output.new_tensor(range(1, output.shape[1] + 1))
        return (self.slope_everywhere * output + self.curvature * index * output**2).sum(1)

    def slope(self, output):
        """The gradient, in fifty digits."""
        index = np.arange(1, len(output) + 1)
        return mp.mpf(self.slope_everywhere) + 2 * mp.mpf(self.curvature) * index * output
