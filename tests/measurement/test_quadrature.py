"""Moments by quadrature reach their tolerance, or say that they do not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from scipy import integrate

import estimlab as el
from estimlab.errors import EstimlabError
from estimlab.measurement import quadrature
from estimlab.randomness.quadrature import tanh_sinh

A, NAME = 0.7, "stages.0.logits"


def one_bit(values=(A,)):
    logits = el.Logits(torch.tensor(values, dtype=torch.float64))
    units = el.BinaryUnits(el.Logistic(), 0.0, 1.0)
    return el.Problem(el.Chain([logits], units=units), lambda output, target: output.sum(1))


def expected(temperature, power):
    """Moment of a Gumbel-Softmax draw for f = b by SciPy, in v = (a - Z) / tau, where the draw is smooth."""
    density = el.Logistic().density

    def integrand(v):
        slope = float(density(torch.tensor(v, dtype=torch.float64))) / temperature
        return slope**power * temperature * float(density(torch.tensor(A - temperature * v, dtype=torch.float64)))

    pieces = ((-60, -5), (-5, 0), (0, 5), (5, 60))
    return sum(integrate.quad(integrand, *piece, epsabs=1e-13, epsrel=1e-12)[0] for piece in pieces)


@pytest.mark.parametrize("exponent", [-5, -4, -2.5, -1, 0.0, 1.0])
def test_small_temperatures_keep_their_digits(exponent):
    temperature = 10.0**exponent
    measured = el.quadrature_moments(one_bit(), el.GumbelSoftmax(temperature))
    first, second = (expected(temperature, power) for power in (1, 2))
    assert measured.checks["quadrature_error"] <= 1e-10
    assert float(measured.mean[NAME]) == pytest.approx(first, rel=1e-11)
    assert float(measured.variance[NAME]) == pytest.approx(second - first**2, rel=1e-9)


@pytest.mark.parametrize("temperature", [1e-4, 1e-3, 10**-2.5, 1e-2, 1e-1])
def test_the_stated_error_bounds_the_true_one_of_every_rule(temperature):
    problem, estimator = one_bit(), el.GumbelSoftmax(temperature)
    first, second = (expected(temperature, power) for power in (1, 2))
    for step in quadrature.STEPS[:3]:
        rule = tanh_sinh(step)
        grid = quadrature.QuadratureGrid(quadrature.record(problem.with_expected(torch.zeros(1)), estimator), rule)
        found = quadrature._integrate(problem.with_expected(torch.zeros(1)), estimator, grid, 1 << 16)
        apart = abs(float(found.first[NAME][0]) - first) / math.sqrt(second)
        assert max(apart, abs(float(found.second[NAME][0]) / second - 1)) <= found.error + 1e-11


def test_a_rule_that_cannot_be_refined_far_enough_is_refused_with_its_error():
    problem, estimator = one_bit(), el.GumbelSoftmax(1e-4)
    with pytest.raises(
        EstimlabError, match=r"relative error of up to 0\.00\d+ with at most max_nodes = 300 .*el\.meas"
    ):
        el.quadrature_moments(problem, estimator, max_nodes=300)
    rough = el.quadrature_moments(problem, estimator, max_nodes=300, tolerance=0.01)
    assert 1e-4 < rough.checks["quadrature_error"] < 0.01


@dataclass(frozen=True)
class Kinked(el.HardForward):
    """A factor with a jump that no cut names."""

    reads_uniform = True

    def derivative(self, a, bit, uniform, law):
        return torch.where(uniform > 0.37, 1.0, 0.2) * bit

    def derivative_moments(self, a, law):
        raise NotImplementedError


def test_a_jump_that_no_cut_names_is_refused():
    with pytest.raises(EstimlabError, match="name the kinks"):
        el.quadrature_moments(one_bit(), Kinked())


def test_enumeration_has_no_error_and_a_given_rule_is_not_judged():
    problem = one_bit((A, -0.2))
    assert el.quadrature_moments(problem, el.StraightThrough()).checks == {"quadrature_error": 0.0}
    assert el.quadrature_moments(problem, el.GumbelSoftmax(0.5), smooth=tanh_sinh(1 / 8)).checks == {}


def test_the_coarser_rule_is_the_rule_of_twice_the_step():
    fine, coarse = tanh_sinh(1 / 16), tanh_sinh(1 / 8)
    kept = fine.coarser > 0
    assert kept.sum() == len(coarse.nodes) == 51
    assert torch.allclose(fine.nodes[kept], coarse.nodes, rtol=0, atol=1e-16)
    assert torch.allclose((fine.weights * fine.coarser)[kept], coarse.weights, rtol=1e-13, atol=0)
