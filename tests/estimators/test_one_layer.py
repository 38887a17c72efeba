"""Expectations within one layer by quadrature over the noise: what is exact, what is not, and by how much."""

import math
from dataclasses import dataclass

import networks
import pytest
import scipy.integrate
import torch
from torch import Tensor

import estimlab as el
import estimlab.estimators
from estimlab.estimators.iw_st import ConstantWeight, PowerWeight
from estimlab.measurement.mapped import record
from estimlab.randomness.quadrature import QuadratureGrid

CATALOGUE = [cls() for cls in estimlab.estimators.catalogue()]
VARIANTS = [
    *(el.IWST(ConstantWeight(p1)) for p1 in (0.0, 0.3, 1.0)),
    *(el.IWST(PowerWeight(alpha)) for alpha in (-1.0, 1.0)),
    *(el.MVE(0.0), el.MVE(30.0)),
    *(el.Reinforce(0.7), el.Reinforce("exact_mean"), el.ARM("common"), el.DisARM("common")),
]
CLAIMING = [estimator for estimator in CATALOGUE + VARIANTS if estimator.claims().exact_degree >= 1]
UNBIASED = [estimator for estimator in CLAIMING if math.isinf(estimator.claims().exact_degree)]
P = torch.sigmoid(torch.tensor(0.7, dtype=torch.float64))
PQ = float(P * (1 - P))


@dataclass(frozen=True, eq=False)
class PerUnit:
    """A polynomial whose degree in each unit is at most ``len(coefficients) - 1``, with all products between units."""

    coefficients: Tensor

    def __call__(self, output: Tensor, target: Tensor | None) -> Tensor:
        powers = torch.stack([output**k for k in range(len(self.coefficients))], -1)
        value = self.coefficients.expand(len(output), *self.coefficients.shape)
        for unit in range(output.shape[1]):
            value = torch.einsum("bk,bk...->b...", powers[:, unit], value)
        return value


@dataclass(frozen=True)
class Power:
    """``(x_0)^degree``."""

    degree: int

    def __call__(self, output: Tensor, target: Tensor | None) -> Tensor:
        return output[:, 0] ** self.degree


@dataclass(frozen=True)
class Product:
    """``prod_i (x_i)^degree``."""

    degree: int

    def __call__(self, output: Tensor, target: Tensor | None) -> Tensor:
        return output.prod(1) ** self.degree


def moments(estimator, objective, values=(0.7,), law=None, coding=(0.0, 1.0)):
    return all_nodes(el.Problem(networks.logits(values, law, *coding), objective), estimator)


def all_nodes(problem, estimator):
    """By quadrature; by recursion where one unit has more noise than a grid of joint nodes can hold."""
    many = getattr(estimator, "extra_channels", 0) > 1
    return (el.exact_moments if many else el.quadrature_moments)(problem, estimator)


def mean(measured):
    return float(measured.mean["stages.0.logits"])


def variance(measured):
    return float(measured.variance["stages.0.logits"])


def bias(measured):
    return measured.bias["stages.0.logits"]


def relative_bias(measured):
    return float(bias(measured).norm() / measured.reference["stages.0.logits"].norm())


def random_degree(estimator, degree, units, seed):
    """Relative bias for a random objective of the given degree in every unit."""
    law = networks.LAWS[seed % 4](2.0)
    values = networks.normal(seed, units, scale=0.7).tolist()
    objective = PerUnit(networks.normal(seed + 1, *(int(degree) + 1,) * units))
    return relative_bias(moments(estimator, objective, values, law, networks.CODINGS[seed % 3]))


def joint_nodes(problem, estimator):
    problem = problem.with_expected(torch.zeros(problem.batch)).example(0)
    return QuadratureGrid(record(problem, estimator)).size


def units_within_reach(estimator):
    """The largest number of units, at most three, whose joint nodes are few enough to be quick."""
    layers = {n: el.Problem(networks.logits([0.5] * n), networks.sines) for n in (3, 2)}
    return next((n for n, problem in layers.items() if joint_nodes(problem, estimator) <= 50_000), 1)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", CLAIMING, ids=repr)
@pytest.mark.parametrize("seed", range(12))
def test_one_layer_is_exact_up_to_the_claimed_degree(estimator, seed):
    units = units_within_reach(estimator)
    for degree in range(1, int(min(estimator.claims().exact_degree, 4)) + 1):
        assert random_degree(estimator, degree, units, seed) < 1e-10


@pytest.mark.parametrize("estimator", [e for e in CATALOGUE if math.isfinite(e.claims().exact_degree)], ids=repr)
def test_the_claimed_degree_is_the_largest(estimator):
    """Of one unit; or of each of two in a product, where one unit alone is exact for every objective."""
    degree = int(estimator.claims().exact_degree) + 1
    alone = relative_bias(moments(estimator, Power(degree)))
    assert alone > 1e-3 or relative_bias(moments(estimator, Product(degree), (0.7, -0.4))) > 1e-3


@pytest.mark.parametrize("proxy", ["identity", "hard_tanh", "tanh", "approx_sign", "sign_swish"])
def test_a_proxy_that_is_not_the_density_claims_nothing_and_is_biased_already_for_linear_objectives(proxy):
    estimator = el.StraightThrough(proxy)
    assert estimator.claims().exact_degree == 0
    assert relative_bias(moments(estimator, Power(1))) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("law", [law(1.5) for law in networks.LAWS], ids=repr)
@pytest.mark.parametrize("estimator", UNBIASED, ids=repr)
def test_unbiased_estimators_are_exact_for_every_objective_and_law(estimator, law):
    for coding in networks.CODINGS:
        values = (0.9, -0.4)[: units_within_reach(estimator)]
        measured = moments(estimator, networks.sines, values, law, coding)
        assert relative_bias(measured) < 1e-10
        assert float(measured.variance["stages.0.logits"].min()) > 1e-6


@pytest.mark.parametrize("law", [law(4.0) for law in networks.LAWS], ids=repr)
@pytest.mark.parametrize("estimator", [e for e in UNBIASED if e.claims().unbiased == "all layers"], ids=repr)
def test_unbiased_in_all_layers_is_unbiased_in_all_layers(estimator, law):
    problem = networks.classification((2, 2, 2), batch=2, units=el.BinaryUnits(law, 0, 1))
    if joint_nodes(problem, estimator) > 50_000:
        problem = networks.classification((1, 1, 1), batch=2, units=el.BinaryUnits(law, 0, 1))
    if joint_nodes(problem, estimator) > 50_000:
        pytest.skip("too many joint nodes; test_rebar.py has the statistical gate")
    measured = el.quadrature_moments(problem, estimator)
    for name, difference in measured.bias.items():
        assert float(difference.norm() / measured.reference[name].norm()) < 1e-10, name


@pytest.mark.parametrize("estimator", [e for e in CATALOGUE if e.claims().unbiased == "nowhere"], ids=repr)
def test_who_claims_nothing_is_biased_in_some_deep_network(estimator):
    if getattr(estimator, "reads_uniform", False):
        problem = networks.classification((1, 1, 1), batch=1)
    else:
        problem = networks.classification((2, 3, 2), batch=2)
    measured = all_nodes(problem, estimator)
    assert max(abs(rows["relative_bias"][0]) for rows in measured.statistics().values()) > 1e-3


# ---- numbers of the literature: 0/1 coding, one unit, P(high) = sigmoid(0.7); relative to the true gradient p (1 - p)


def slope_at(v, temperature):
    """Derivative of the relaxed bit by v = a - Z."""
    bit = 1 / (1 + math.exp(-v / temperature))
    return bit * (1 - bit) / temperature


def expectation(function):
    """By scipy, over v = a - Z with logistic Z, cut where a hard state jumps."""

    def weighted(v):
        z = 0.7 - v
        return function(v) * math.exp(-z) / (1 + math.exp(-z)) ** 2

    pieces = [scipy.integrate.quad(weighted, *ends, epsabs=1e-12, limit=200)[0] for ends in ((-6, 0), (0, 6))]
    return math.fsum(pieces)


@pytest.mark.parametrize(("temperature", "published"), [(0.1, 0.0274), (0.05, 0.0154), (0.02, 0.0065), (0.01, 0.0033)])
def test_gumbel_softmax_bias_for_a_quadratic(temperature, published):
    measured = mean(moments(el.GumbelSoftmax(temperature), Power(2)))
    by_scipy = expectation(lambda v: 2 / (1 + math.exp(-v / temperature)) * slope_at(v, temperature))
    assert measured == pytest.approx(by_scipy, abs=1e-10)
    assert measured / PQ - 1 == pytest.approx(published, abs=1e-4)  # a unit of the last digit that was printed


@pytest.mark.parametrize(
    ("temperature", "published"), [(0.1, 0.04027), (0.05, 0.02184), (0.02, 0.00910), (0.01, 0.00461)]
)
def test_straight_through_gumbel_softmax_bias_for_a_quadratic(temperature, published):
    measured = mean(moments(el.STGumbelSoftmax(temperature), Power(2)))
    by_scipy = expectation(lambda v: 2 * (v > 0) * slope_at(v, temperature))
    assert measured == pytest.approx(by_scipy, abs=1e-10)
    assert measured / PQ - 1 == pytest.approx(published, abs=1e-5)


@pytest.mark.parametrize("estimator", [el.GumbelSoftmax, el.STGumbelSoftmax])
def test_gumbel_softmax_bias_for_a_linear_objective_is_quadratic_in_the_temperature(estimator):
    leading = math.pi**2 / 6 * (1 - 6 * PQ)
    rest = [mean(moments(estimator(tau), Power(1))) / PQ - 1 - leading * tau**2 for tau in (0.1, 0.05)]
    assert rest[0] / rest[1] == pytest.approx(16, rel=0.1)  # what is left is of fourth order
    assert abs(rest[1]) < 0.01 * leading * -(0.05**2)


def test_straight_through_gumbel_softmax_at_temperature_one_is_biased_for_linear_objectives():
    assert mean(moments(el.STGumbelSoftmax(1.0), Power(1))) / PQ - 1 == pytest.approx(-0.28, abs=0.005)


@pytest.mark.parametrize(("degree", "limit"), [(3, 0.5), (4, 1.0)])
def test_the_limit_of_small_temperature_is_zgr(degree, limit):
    assert mean(moments(el.ZGR(), Power(degree))) / PQ - 1 == pytest.approx(limit, rel=1e-12)
    errors = [mean(moments(el.STGumbelSoftmax(tau), Power(degree))) / PQ - 1 - limit for tau in (0.02, 0.01)]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.02)  # first order in the temperature


LIMITS = {
    "gumbel_softmax, linear": (el.GumbelSoftmax, 1, PQ / 6),
    "gumbel_softmax, quadratic": (el.GumbelSoftmax, 2, PQ * 4 * (1 / 4 - 1 / 5)),
    "st_gumbel_softmax, linear": (el.STGumbelSoftmax, 1, PQ * (1 + 1) / 12),
    "st_gumbel_softmax, quadratic": (el.STGumbelSoftmax, 2, PQ * 4 / 12),
}


@pytest.mark.parametrize("case", LIMITS)
def test_variance_grows_like_one_over_the_temperature(case):
    """``tau Var`` tends to p(1-p) int f'^2 s(1-s) ds, and to p(1-p) [f'(0)^2 + f'(1)^2] / 12 for hard states."""
    estimator, degree, limit = LIMITS[case]
    deviations = [tau * variance(moments(estimator(tau), Power(degree))) / limit - 1 for tau in (0.02, 0.01)]
    assert deviations[0] / deviations[1] == pytest.approx(2, rel=0.05)
    assert abs(deviations[1]) < 2 * 0.01


WEIGHTS = [ConstantWeight(0.0), ConstantWeight(0.8), PowerWeight(0.5), PowerWeight(-1.0)]
FAMILY = [el.StraightThrough(), el.ZGR(), el.MVE(0.7), *(el.IWST(weight) for weight in WEIGHTS)]
LAW, A = el.Gaussian(1.3), 0.6


def weight_of(estimator):
    """p1, p and the density at the pre-activation."""
    a = torch.tensor(A, dtype=torch.float64)
    p = float(LAW.cdf(a))
    p1 = p if isinstance(estimator, el.StraightThrough) else float(estimator.high_weight(a, LAW))
    return p1, p, float(LAW.density(a))


@pytest.mark.parametrize("estimator", FAMILY, ids=repr)
def test_importance_weighted_bias_for_quadratics(estimator):
    p1, _, density = weight_of(estimator)
    measured = moments(estimator, PerUnit(torch.tensor([0.4, -1.3, 2.1], dtype=torch.float64)), (A,), LAW)
    assert float(bias(measured)) == pytest.approx(density * 4.2 * (p1 - 0.5), rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("estimator", FAMILY, ids=repr)
def test_importance_weighted_variance_for_a_constant_slope(estimator):
    p1, p, density = weight_of(estimator)
    measured = moments(estimator, PerUnit(torch.tensor([0.4, -1.3], dtype=torch.float64)), (A,), LAW)
    expected = density**2 * 1.3**2 * (p1 - p) ** 2 / (p * (1 - p))
    assert variance(measured) == pytest.approx(expected, rel=1e-12, abs=1e-15)
    assert abs(float(bias(measured))) < 1e-15


def test_zgr_bias_for_cubics():
    density = weight_of(el.ZGR())[2]
    measured = moments(el.ZGR(), PerUnit(torch.tensor([0.4, -1.3, 2.1, 0.9], dtype=torch.float64)), (A,), LAW)
    assert float(bias(measured)) == pytest.approx(density * 6 * 0.9 / 12, rel=1e-12)


@pytest.mark.parametrize("t", [0.2, 1.0, 5.0])
def test_mve_minimises_variance_plus_weighted_squared_bias(t):
    """With slope 1 and f'' = 1 the weight of the squared bias is 4 t."""

    def functional(p1):
        estimator = el.IWST(ConstantWeight(p1))
        quadratic = moments(estimator, PerUnit(torch.tensor([0.0, 0.0, 0.5], dtype=torch.float64)), (A,), LAW)
        return variance(moments(estimator, Power(1), (A,), LAW)) + 4 * t * float(bias(quadratic)) ** 2

    best = weight_of(el.MVE(t))[0]
    p = weight_of(el.MVE(t))[1]
    expected = (p + 4 * t * p * (1 - p) / 2) / (1 + 4 * t * p * (1 - p))
    assert best == pytest.approx(expected, rel=1e-14)
    assert functional(best) < min(functional(best - 0.01), functional(best + 0.01))


# ---- members of families that are the same estimator

SAME = [
    (el.IWST(ConstantWeight(0.5)), el.ZGR(), 0),
    (el.IWST(PowerWeight(1.0)), el.ZGR(), 1e-15),
    (el.IWST(PowerWeight(0.0)), el.StraightThrough(), 1e-13),
    (el.MVE(0.0), el.StraightThrough(), 1e-14),
    (el.MVE(1e16), el.ZGR(), 1e-14),
]


@pytest.mark.parametrize(("one", "other", "tolerance"), SAME, ids=repr)
@pytest.mark.parametrize("law", [law(3.0) for law in networks.LAWS], ids=repr)
def test_members_of_a_family_that_coincide(one, other, tolerance, law):
    a = networks.normal(0, 40)
    for bit in (0.0, 1.0):
        factors = [e.derivative(a, torch.full_like(a, bit), torch.full_like(a, 0.5), law) for e in (one, other)]
        assert torch.allclose(*factors, rtol=tolerance, atol=tolerance)
        assert float(factors[0].min()) > 0


def test_zgr_of_logistic_units_is_reinmax():
    a = networks.normal(0, 40)
    p, uniform = torch.sigmoid(a), torch.full_like(a, 0.5)
    for bit in (torch.zeros_like(a), torch.ones_like(a)):
        factor = el.ZGR().derivative(a, bit, uniform, el.Logistic())
        middle = (p + bit) / 2
        reinmax = 2 * middle * (1 - middle) - p * (1 - p) / 2
        assert torch.allclose(factor, (bit * (1 - p) + (1 - bit) * p) / 2, rtol=1e-13)
        assert torch.allclose(factor, reinmax, rtol=1e-12)


PROXIES = {"tanh": el.Logistic(0.5), "hard_tanh": el.Uniform(1.0), "approx_sign": el.Triangular(1.0)}


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_proxy_is_the_derived_factor_of_its_own_noise(proxy):
    a = networks.normal(0, 200, scale=2.0)
    factor = el.StraightThrough(proxy).derivative(a, torch.ones_like(a), a, el.Gaussian())
    assert torch.allclose(factor, PROXIES[proxy].density(a), rtol=1e-13, atol=0)
    assert bool((factor > 0.01).any())


def test_identity_is_one_half_per_bit():
    a = networks.normal(0, 5)
    assert el.StraightThrough("identity").derivative(a, a, a, el.Logistic()).tolist() == [0.5] * 5
