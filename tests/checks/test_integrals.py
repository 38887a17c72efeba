"""Integrals behind verdicts: by hand, against quadrature over all noise, and where they must give up."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from mutants.moments import Jittered, OtherDraws, Tangled

import estimlab as el
from estimlab.checks.gates import flat
from estimlab.checks.integrals.decomposition import anchored_mean
from estimlab.checks.integrals.factors import Integrated, NotReached, factor_moments
from estimlab.checks.integrals.means import FINER, STANDARD, mean, moments, settled
from estimlab.checks.problems.cases import deep, one_layer
from estimlab.estimators.base import Estimator, HardForward
from estimlab.measurement.quadrature import quadrature_moments

A = torch.tensor([[0.7, -0.4], [2.0, -3.0]], dtype=torch.float64)


@dataclass(frozen=True)
class Weighted(HardForward):
    """``sum_k weight_k u_k^2``: mean weight / 3, variance 4 weight^2 / 45."""

    reads_uniform: ClassVar[bool] = True
    weights: tuple[float, ...] = (1.0, -2.0, 0.5)

    @property
    def extra_channels(self):
        return len(self.weights)

    def derivative(self, a, bit, uniform, law):
        return bit + sum(weight * u**2 for weight, u in zip(self.weights, uniform, strict=True))


@dataclass(frozen=True)
class Mixing(Weighted):
    """A unit's factor is that of the first unit."""

    def derivative(self, a, bit, uniform, law):
        found = super().derivative(a, bit, uniform, law) * a
        return found.mean(-1, keepdim=True).expand_as(found)


@dataclass(frozen=True)
class Product(Estimator):
    """The gradient times ``prod_j 2 u_j`` of a number of uniforms, of mean one."""

    count: int = 2

    def claims(self):
        return el.Claims(draws_states=False)

    def surrogate(self, problem, noise):
        a, _ = problem.network.preactivation(0, problem.network.initial(problem.inputs))
        scale = 1.0
        for channel in range(1, 1 + self.count):
            scale = scale * 2 * noise.uniform(0, channel, torch.full_like(a, 0.5), degree=1)
        return (scale * a * 3).flatten(1).sum(1)


def test_moments_of_a_factor_by_hand():
    found, second = Integrated(Weighted()).derivative_moments(A, el.Logistic())
    for bit in (0, 1):
        expected = bit + (1 - 2 + 0.5) / 3
        assert found[bit].numpy() == pytest.approx(expected, abs=1e-13)
        assert (second - found**2)[bit].numpy() == pytest.approx((1 + 4 + 0.25) * 4 / 45, abs=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("law", [el.Logistic(), el.Gaussian(0.5), el.Uniform(), el.Triangular()])
@pytest.mark.parametrize("temperature", [2.0, 0.5, 0.05])
def test_moments_of_ten_samples_are_those_of_their_closed_form(law, temperature):
    a = A[:1]  # inside the support of all laws
    estimator = el.GumbelRao(temperature)
    for one, other in zip(
        Integrated(estimator).derivative_moments(a, law), estimator.derivative_moments(a, law), strict=True
    ):
        assert torch.allclose(one, other, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("estimator", [el.GumbelRao(samples=1), el.STGumbelSoftmax(0.3), el.ZGR()])
def test_factor_moments_are_those_of_quadrature_over_all_noise(estimator):
    problem = deep((1, 1), 3, batch=1).build()
    one, other = factor_moments(problem, estimator), quadrature_moments(problem, estimator)
    for part in ("mean", "variance"):
        assert torch.allclose(flat(getattr(one, part)), flat(getattr(other, part)), rtol=1e-11, atol=1e-12)


def test_a_factor_whose_channels_or_units_do_not_separate_is_not_reached():
    with pytest.raises(NotReached, match="no sum over its channels"):
        Integrated(Tangled()).derivative_moments(A, el.Logistic())
    with pytest.raises(NotReached, match="other units"):
        Integrated(Mixing()).derivative_moments(A, el.Logistic())
    problem = one_layer(1, 2).build()
    assert factor_moments(problem, Jittered()) is not None
    for estimator in (Tangled(), OtherDraws(), el.Reinforce()):
        assert factor_moments(problem, estimator) is None


@pytest.mark.parametrize(
    ("estimator", "same_mean"),
    [
        (el.Reinforce(), el.Reinforce()),
        (el.ARM(), el.ARM()),
        (el.DisARM(), el.DisARM()),
        (el.STGumbelSoftmax(0.5), el.STGumbelSoftmax(0.5)),
        (el.Average(el.STGumbelSoftmax(1.0), 2), el.STGumbelSoftmax(1.0)),
    ],
)
def test_the_decomposition_is_quadrature_over_all_noise(estimator, same_mean):
    problem = one_layer(2, 3).build()
    truth = el.LayerwiseEnumeration().gradient(problem)
    found = anchored_mean(problem.with_expected(truth.expected), estimator, STANDARD)
    whole = quadrature_moments(problem, same_mean, truth)
    assert torch.allclose(flat(found), flat(whole.mean), rtol=1e-11, atol=1e-13)


def test_more_than_three_uniforms_that_interact_are_not_reached():
    problem = one_layer(1, 1).build()
    for count in (1, 2, 3):
        found = anchored_mean(problem, Product(count), STANDARD)
        assert float(flat(found)) == pytest.approx(3, rel=1e-12)
    assert anchored_mean(problem, Product(4), STANDARD) is None


def test_rebar_in_two_layers_is_integrated_at_any_temperature():
    problem = deep((1, 1), 3, batch=1).build()
    truth = flat(el.LayerwiseEnumeration().gradient(problem).value)
    for temperature in (0.05, 3.0):
        assert moments(problem, el.REBAR(temperature)) is None
        assert torch.allclose(flat(mean(problem, el.REBAR(temperature))), truth, rtol=0, atol=1e-10)


def test_a_finer_rule_is_asked_only_where_the_standard_one_is_not_enough():
    asked = []

    def integral(rule):
        asked.append(rule)
        return torch.tensor([1.0 if rule is STANDARD else 1.5])

    assert settled(integral, lambda value: True) == (torch.tensor([1.0]), 0.0)
    assert asked == [STANDARD]
    assert settled(integral, lambda value: False) == (torch.tensor([1.5]), 0.5)
    assert asked[1:] == [STANDARD, FINER]
    assert settled(lambda rule: None, lambda value: True) is None


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [el.RELAX(0.03), el.STGumbelSoftmax(0.001), el.GumbelRao(0.001), el.REBAR(10.0)])
def test_right_estimators_of_extreme_temperature_are_not_accused(estimator):
    report = el.check_estimator(estimator, on_fail=None)
    assert report.verdict == "holds", report.of("refuted") + report.of("undecided")
