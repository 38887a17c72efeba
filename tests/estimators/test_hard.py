"""Hard forward, local backward: exactness of every member, numbers at the edge, and fields."""

import math
from dataclasses import dataclass
from typing import ClassVar

import networks
import pytest
import torch
from estimators_factors import FACTORS, NEW, every_law, factors, same_moments
from torch import Tensor

import estimlab as el
from estimlab.errors import EstimlabError
from estimlab.estimators.iw_st import ConstantWeight

# ---- exactness, and the sampled draw against the recursion


@pytest.mark.slow
@every_law
@pytest.mark.parametrize("estimator", FACTORS, ids=repr)
def test_exact_moments_are_the_enumeration_of_all_paths(estimator, law):
    problem = networks.classification((2, 2, 2), batch=2, units=el.BinaryUnits(law, -0.5, 2.0), scale=0.6)
    assert same_moments(el.exact_moments(problem, estimator), el.quadrature_moments(problem, estimator))


def test_an_instance_claims_less_than_its_class_where_it_must():
    assert [e.claims().exact_degree for e in (el.DARN(), el.DARN("mean"), el.DARN(0.4))] == [2, 1, 1]
    assert [e.claims().exact_degree for e in (el.ReinMax(), el.ReinMax(1.01))] == [2, 0]


@dataclass(frozen=True)
class Squares:
    """A multilinear objective of four units with products of all orders, plus c times the sum of squares."""

    c: float

    def __call__(self, output: Tensor, target: Tensor | None) -> Tensor:
        weights = networks.normal(1, 16)
        value = output.new_zeros(len(output))
        for number in range(16):
            chosen = [i for i in range(4) if number >> i & 1]
            value = value + weights[number] * output[:, chosen].prod(1)
        return value + self.c * (output * output).sum(1)


@every_law
def test_squares_are_constants_on_the_corners_that_st_and_darn_mistake_with_opposite_signs(law):
    estimators = (el.StraightThrough(), el.DARN("mean"), el.ZGR())
    network = networks.logits([0.5, -0.8, 1.1, 0.2], law, -1.0, 1.0)
    plain, more = ([el.exact_moments(el.Problem(network, Squares(c)), e) for e in estimators] for c in (0.0, 1.3))
    name = "stages.0.logits"
    assert all(networks.close(m.bias[name], torch.zeros(4, dtype=torch.float64), 1e-14) for m in plain)
    st, darn, zgr = (m.bias[name] for m in more)
    a = torch.tensor([0.5, -0.8, 1.1, 0.2], dtype=torch.float64)
    assert torch.allclose(st, 4 * law.density(a) * 2.6 * (law.cdf(a) - 0.5), rtol=1e-12)
    assert torch.allclose(darn, -st, rtol=1e-12)
    assert float(zgr.abs().max()) < 1e-14


@dataclass(frozen=True)
class OneUnit:
    """A polynomial of the first unit."""

    coefficients: tuple[float, ...]

    def __call__(self, output: Tensor, target: Tensor | None) -> Tensor:
        value = output.new_zeros(len(output))
        for power, coefficient in enumerate(self.coefficients):
            value = value + coefficient * output[:, 0] ** power
        return value


def one_unit(estimator, coefficients, law, a=0.6):
    """Bias and variance for one unit in 0/1 coding."""
    measured = el.exact_moments(el.Problem(networks.logits([a], law), OneUnit(coefficients)), estimator)
    return float(measured.bias["stages.0.logits"]), float(measured.variance["stages.0.logits"])


def shares(estimator, law, a=0.6):
    """p1, p and F'."""
    at = torch.tensor(a, dtype=torch.float64)
    return float(estimator.high_weight(at, law)), float(law.cdf(at)), float(law.density(at))


@every_law
@pytest.mark.parametrize("estimator", [el.DARN(), el.DARN(0.2), el.DARN("mean"), el.STZGR(), el.STZGR(0.9)], ids=repr)
def test_bias_and_variance_of_a_member_of_the_importance_weighted_family(estimator, law):
    p1, p, density = shares(estimator, law)
    bias, variance = one_unit(estimator, (0.4, -1.3), law)
    assert abs(bias) < 1e-15
    assert variance == pytest.approx(density**2 * 1.3**2 * (p1 - p) ** 2 / (p * (1 - p)), rel=1e-12, abs=1e-16)
    assert one_unit(estimator, (0.0, -1.3, 2.1), law)[0] == pytest.approx(
        density * 4.2 * (p1 - 0.5), rel=1e-12, abs=1e-15
    )
    if p1 == 0.5:
        assert one_unit(estimator, (0.0, -1.3, 2.1, 0.9), law)[0] == pytest.approx(density * 5.4 / 12, rel=1e-12)


@every_law
@pytest.mark.parametrize("weight", [0.3, 2.0])
def test_the_weight_that_is_best_for_a_true_quadratic(law, weight):
    """Variance plus weight times squared bias is a parabola in p1; its minimum is where the formula says."""
    linear, curvature = -1.3, 2.1

    def functional(p1):
        bias, variance = one_unit(el.IWST(ConstantWeight(p1)), (0.0, linear, curvature / 2), law)
        return variance + weight * bias**2

    left, middle, right = (functional(p1) for p1 in (0.0, 0.5, 1.0))
    minimum = 0.5 - (right - left) / (4 * (right - 2 * middle + left))
    _, p, _ = shares(el.DARN(), law)
    q, d = 1 - p, (1 - p) * (linear + curvature) + p * linear
    expected = (d * linear * p + weight * p * q * curvature**2 / 2) / (d**2 + weight * p * q * curvature**2)
    assert minimum == pytest.approx(expected, rel=1e-10)


# ---- numbers at the edge, and fields

EXTREME = torch.tensor([0.0, 1e-8, 1.0, 2.3, 5.0, 40.0, 90.0, 800.0, 1e4])


@pytest.mark.slow
@pytest.mark.parametrize("law", [law(scale) for law in networks.LAWS for scale in (1.0, 0.3)], ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("estimator", NEW, ids=repr)
def test_saturated_units_have_finite_factors_on_both_states(estimator, dtype, law):
    """Rare states too: their probability may round to zero, their weight must not be infinite or NaN."""
    a = torch.cat((EXTREME, -EXTREME)).to(dtype).requires_grad_()
    for deciding in (1e-6, 0.5, 1 - 1e-6):
        u = torch.full_like(a, deciding).detach()
        if estimator.extra_channels:
            u = torch.stack(
                [u, *(torch.full_like(u, w) for w in torch.linspace(1e-6, 1 - 1e-6, estimator.extra_channels))]
            )
        state = estimator.activate(a, u, el.BinaryUnits(law, 0, 1))
        (gradient,) = torch.autograd.grad(state.sum(), a)
        assert bool(torch.isfinite(state).all())
        assert bool(torch.isfinite(gradient).all())
        assert gradient.dtype == dtype
    if isinstance(estimator, el.HardForward) and not estimator.extra_channels:
        for factor in factors(estimator, law, a.detach()):
            assert bool(torch.isfinite(factor).all())


def test_a_rare_state_has_the_weight_of_zgr_although_its_probability_rounds_to_zero():
    a = torch.tensor([-40.0, -100.0, -1e4])
    for estimator in (el.ReinMax(), el.DARN(), el.STZGR(1.0), el.AnalyticGumbelRao(1e-9)):
        assert torch.allclose(factors(estimator, el.Logistic(), a)[1], torch.full_like(a, 0.5), rtol=1e-3)
        expected = -a / 2  # the score of a Gaussian tail, up to 1 / a^2
        assert torch.allclose(factors(estimator, el.Gaussian(), a)[1], expected, rtol=1e-3)


@dataclass(frozen=True)
class Hoarding(el.HardForward):
    """Asks for a further uniform and does not say what its moments are."""

    reads_uniform: ClassVar[bool] = True

    @property
    def extra_channels(self):
        return 1

    def derivative(self, a, bit, uniform, law):
        return uniform[0]


def test_an_estimator_with_extra_channels_must_give_its_moments():
    with pytest.raises(EstimlabError, match=r"Hoarding.*write derivative_moments"):
        el.exact_moments(networks.classification(), Hoarding())


REFUSED = {
    "xbar NaN": (lambda: el.DARN(math.nan), r"DARN\(xbar=nan\).*'mean'"),
    "mix": (lambda: el.STZGR(1.5), r"STZGR\(mix=1\.5\).*between 0.*and 1"),
    "mix NaN": (lambda: el.STZGR(math.nan), "mix must be a number"),
    "reinmax": (lambda: el.ReinMax(0.0), r"ReinMax\(temperature=0\.0\).*positive"),
    "gumbel_rao": (lambda: el.GumbelRao(-1.0), r"GumbelRao\(temperature=-1\.0\).*ZGR"),
    "samples": (lambda: el.GumbelRao(1.0, 0), r"GumbelRao\(samples=0\).*at least 1.*AnalyticGumbelRao"),
    "analytic": (lambda: el.AnalyticGumbelRao(math.inf), r"AnalyticGumbelRao\(temperature=inf\).*ZGR"),
    "gapped": (lambda: el.GappedST(math.nan), "GappedST.*temperature must be a number"),
    "gap": (lambda: el.GappedST(gap=0.0), r"GappedST\(gap=0\.0\).*positive.*'probability'"),
    "slope": (lambda: el.SurrogateGradient("atan", 0.0), r"slope=0\.0.*positive"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_fields_out_of_range_are_refused_with_what_is_allowed(case):
    build, message = REFUSED[case]
    with pytest.raises(EstimlabError, match=message):
        build()


TYPED = {
    "xbar": (lambda: el.DARN("median"), "mean"),
    "samples": (lambda: el.GumbelRao(1.0, 2.5), "samples"),
    "gap": (lambda: el.GappedST(gap="p"), "probability"),
    "shape": (lambda: el.SurrogateGradient("step"), "sigmoid.*gaussian"),
}


@pytest.mark.parametrize("case", TYPED)
def test_fields_of_another_type_are_refused(case):
    """Under the test run the annotation is executed too, and may be the first to object."""
    build, message = TYPED[case]
    with pytest.raises((EstimlabError, TypeError), match=message):
        build()


def test_names():
    classes = (el.DARN, el.STZGR, el.ReinMax, el.GumbelRao, el.AnalyticGumbelRao, el.GappedST, el.FouST)
    names = ["darn", "st_zgr", "reinmax", "gumbel_rao", "analytic_gumbel_rao", "gapped_st", "foust"]
    assert [cls.name for cls in (*classes, el.SurrogateGradient)] == [*names, "surrogate_gradient"]
