"""Exact moments of saturated units and of large means against a brute force in fifty digits."""

from __future__ import annotations

import math

import measurement_digits as digits
import mpmath as mp
import networks
import numpy as np
import pytest
import torch

import estimlab as el

ROUNDING = 2.0**-52
ROUNDINGS = 100  # of a draw: products and sums from the head down, and a pre-activation's in its probability
FLOOR = 1e-10  # a difference of moments that has lost four digits, and the rounding of a probability of 1e-300
UNDERFLOW = 1e-295  # sums of products of what float64 cannot hold


def straight_through(law, a, bit):
    return digits.density(law, a), 0


def zgr(law, a, bit):
    probability = digits.cdf(law, a if bit else -a)
    return (digits.density(law, a) / (2 * probability) if probability > 0 else mp.mpf(0)), 0


def random_factor(estimator):
    def factor(law, a, bit):
        mean, second = estimator.derivative_moments(torch.tensor([float(a)], dtype=torch.float64), law)
        mean, second = mp.mpf(float(mean[bit])), mp.mpf(float(second[bit]))
        return mean, mp.sqrt(max(second - mean**2, 0))

    return factor


ESTIMATORS = {
    "straight_through": (el.StraightThrough(), straight_through),
    "zgr": (el.ZGR(), zgr),
    "reinmax": (el.ReinMax(), zgr),
    "gumbel": (el.STGumbelSoftmax(0.7), random_factor(el.STGumbelSoftmax(0.7))),
    "gumbel_rao": (el.GumbelRao(0.7, 3), random_factor(el.GumbelRao(0.7, 3))),
}
# pre-activations at which the rarer state has the probability 1/2, some 1e-3, 6e-9, 3e-17, 1e-80, 1e-300
SATURATED = {
    "Logistic": (0.0, 7.0, 18.9, 38.0, 184.0, 690.0),
    "Gaussian": (0.0, 3.1, 5.7, 8.3, 18.9, 37.0),
    "Uniform": (0.0, 1 - 2e-3, 1 - 1.2e-8, 1 - 2.0**-50, 2.0, 9.0),
    "Triangular": (0.0, 1 - 4e-2, 1 - 1.1e-4, 1 - 8e-9, 1 - 2.0**-50, 2.0),
}


def saturated(law, level, coding, widths, batch, objective, weight=0.0):
    """Biases that saturate every second unit, up and down in turn; weights beside them move it a little."""
    units = el.BinaryUnits(getattr(el, law)(1.0), *coding)
    network = networks.mlp((2, *widths), 2, seed=3, units=units, scale=0.4)
    with torch.no_grad():
        for k, stage in enumerate(network.stages):
            stage.weight[1 - k % 2 :: 2] *= weight
            sign = torch.tensor([(-1.0) ** i for i in range(len(stage.bias))], dtype=torch.float64)
            stage.bias[1 - k % 2 :: 2] = (sign * SATURATED[law][level])[1 - k % 2 :: 2]
    return el.Problem(network, objective, networks.normal(5, batch, 2))


def assert_digits(problem, estimator, factor):
    """Each coordinate's variance to the rounding of its draws, weighed by what it does to the variance."""
    expected = digits.moments(problem, factor)
    found = el.exact_moments(problem, estimator)
    variance = networks.flat(found.variance).tolist()
    for got, true, condition in zip(variance, expected.variance, expected.condition, strict=True):
        bound = FLOOR + ROUNDINGS * ROUNDING * float(condition)
        assert abs(mp.mpf(got) - true) <= bound * true + UNDERFLOW
    return np.array(variance), expected


@pytest.mark.parametrize("name", ["straight_through", "zgr", "reinmax"])
@pytest.mark.parametrize("law", SATURATED)
def test_the_variance_of_saturated_units_has_all_its_digits(law, name):
    estimator, factor = ESTIMATORS[name]
    for level in range(6):
        problem = saturated(law, level, (-1.0, 1.0), (2,), 1, digits.Curved())
        assert_digits(problem, estimator, factor)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gumbel", "gumbel_rao"])
@pytest.mark.parametrize("law", SATURATED)
def test_so_has_that_of_random_factors(law, name):
    estimator, factor = ESTIMATORS[name]
    for level in range(6):
        assert_digits(saturated(law, level, (-1.0, 1.0), (2,), 1, digits.Curved()), estimator, factor)


def test_the_variance_of_a_random_factor_in_one_unit():
    assert_digits(saturated("Logistic", 5, (-1.0, 1.0), (1,), 1, digits.Curved()), *ESTIMATORS["gumbel"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["straight_through", "zgr"])
@pytest.mark.parametrize("coding", networks.CODINGS, ids=str)
@pytest.mark.parametrize(("widths", "batch"), [((2, 2), 1), ((2, 2), 3), ((1, 2, 1), 3)], ids=str)
def test_in_several_layers_codings_and_batches(widths, batch, coding, name):
    estimator, factor = ESTIMATORS[name]
    for law, level in (("Logistic", 5), ("Gaussian", 3), ("Triangular", 2)):
        assert_digits(saturated(law, level, coding, widths, batch, digits.Curved()), estimator, factor)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gumbel", "gumbel_rao"])
def test_random_factors_in_several_layers(name):
    estimator, factor = ESTIMATORS[name]
    for level in (2, 5):
        assert_digits(saturated("Logistic", level, (0.0, 1.0), (2, 2), 1, digits.Curved()), estimator, factor)


@pytest.mark.slow
@pytest.mark.parametrize("law", ["Logistic", "Gaussian"])
@pytest.mark.parametrize("slope", [1e1, 3e3, 1e6])
def test_a_mean_far_above_the_deviation_leaves_the_variance_its_digits(slope, law):
    """A large constant gradient: squares of the mean are up to 1e24 times the variance at the saturated units."""
    for level in (0, 2):
        problem = saturated(law, level, (-1.0, 1.0), (2, 2), 1, digits.Curved(slope, 1e-3))
        for name in ("straight_through", "zgr"):
            assert_digits(problem, *ESTIMATORS[name])


def test_the_bound_is_a_tight_one_where_draws_vary():
    """So that the tests above mean something: nine digits wherever the mean is not far above the deviation."""
    problem = saturated("Logistic", 2, (-1.0, 1.0), (2, 2), 1, digits.Curved())
    _, expected = assert_digits(problem, *ESTIMATORS["zgr"])
    bounds = FLOOR + ROUNDINGS * ROUNDING * expected.condition.astype(float)
    assert float(np.median(bounds)) <= 1e-9


def test_one_saturated_unit_beside_one_that_is_not_keeps_its_own_variance():
    """Under an identity head each unit's gradient is its own: the other's variance would drown it."""
    logits = torch.tensor([-60.0, 0.3], dtype=torch.float64)
    network = el.Chain([el.Logits(logits)])
    problem = el.Problem(network, el.Quadratic())
    slope = float(el.Logistic().density(logits)[0])
    rare = math.exp(-60) / (1 + math.exp(-60))
    variance = float(el.exact_moments(problem, el.StraightThrough()).variance["stages.0.logits"][0])
    gap = 2.0  # of the states: the gradient of the extension moves by twice the gap, times what a state moves by
    moved = float(curvature(problem)) * gap * gap * slope
    assert variance == pytest.approx(rare * (1 - rare) * moved**2, rel=1e-12)


def curvature(problem):
    state = torch.ones(1, 2, dtype=torch.float64)
    return torch.autograd.functional.hessian(lambda x: problem.value(x).sum(), state)[0, 0, 0, 0]
