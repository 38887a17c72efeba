"""Hard forward, local backward: members that coincide, Gumbel-Rao and its limits, surrogate gradients, FouST."""

import math
from dataclasses import dataclass
from typing import ClassVar

import networks
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch import Tensor

import estimlab as el
from estimlab.errors import EstimlabError
from estimlab.estimators.iw_st import ConstantWeight
from estimlab.estimators.relaxation import slope_moments

LAWS = [law(2.3) for law in networks.LAWS]
SMOOTH = [el.Logistic(), el.Logistic(0.6), el.Gaussian(), el.Gaussian(1.7)]
every_law = pytest.mark.parametrize("law", LAWS, ids=repr)
A = torch.linspace(-2.2, 2.2, 25, dtype=torch.float64)  # inside the support of every law
ROUNDING = 1e-12  # sums of some hundred terms in float64


def factors(estimator, law, a=A):
    """The factor on the low and on the high state, of an estimator that reads no further noise."""
    hidden = torch.full_like(a, math.nan)
    return [estimator.derivative(a, torch.full_like(a, bit), hidden, law) for bit in (0.0, 1.0)]


def same_moments(one, other, tolerance=ROUNDING):
    return networks.blocks_close(one.mean, other.mean, tolerance) and networks.blocks_close(
        one.variance, other.variance, tolerance
    )


def problem_of(law, seed=0, widths=(2, 3, 3), coding=(-1.0, 1.0)):
    return networks.classification(widths, batch=3, seed=seed, units=el.BinaryUnits(law, *coding), scale=0.7)


# ---- estimators that are the same one

ZGRS = [el.ReinMax(1.0), el.DARN(0.5), el.STZGR(1.0), el.MVE(1e16)]
SAME = [*((one, el.ZGR()) for one in ZGRS), (el.STZGR(0.0), el.StraightThrough())]
SAME += [(el.DARN(0.3), el.IWST(ConstantWeight(0.7)))]
SAME += [(el.GumbelRao(tau, samples=1), el.STGumbelSoftmax(tau)) for tau in (0.2, 1.0, 2.5)]


@pytest.mark.parametrize(("one", "other"), SAME, ids=repr)
@pytest.mark.parametrize("seed", range(4))
def test_the_same_estimator_has_the_same_mean_and_variance_in_every_network(one, other, seed):
    problem = problem_of(LAWS[seed], seed, coding=networks.CODINGS[seed % 3])
    first, second = (el.exact_moments(problem, estimator) for estimator in (one, other))
    assert same_moments(first, second)
    assert float(networks.flat(first.variance).max()) > 1e-6
    assert not same_moments(first, el.exact_moments(problem, el.MVE(0.5)), 1e-4)


@every_law
@pytest.mark.parametrize("mix", [0.2, 0.75])
def test_st_zgr_is_the_mixture_of_both(law, mix):
    parts = zip(factors(el.StraightThrough(), law), factors(el.ZGR(), law), strict=True)
    for factor, (st, zgr) in zip(factors(el.STZGR(mix), law), parts, strict=True):
        assert torch.allclose(factor, (1 - mix) * st + mix * zgr, rtol=1e-13, atol=1e-15)


@every_law
@pytest.mark.parametrize("xbar", [-0.4, 0.5, 0.8, "mean"])
def test_darn_is_the_score_times_the_distance_from_its_point(law, xbar):
    p, density = law.cdf(A), law.density(A)
    point = p if xbar == "mean" else xbar
    low, high = factors(el.DARN(xbar), law)
    assert torch.allclose(low, -density / (1 - p) * (0 - point), rtol=1e-12)
    assert torch.allclose(high, density / p * (1 - point), rtol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 0.4])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_reinmax_is_the_published_rule_for_two_logits(scale, temperature):
    """``2 J((p_tau + b) / 2) - J(p) / 2``, J the Jacobian of a softmax."""
    for bit in (0, 1):
        for a, factor in zip(
            A.tolist(), factors(el.ReinMax(temperature), el.Logistic(scale))[bit].tolist(), strict=True
        ):
            logits = torch.tensor([0.0, a / scale], dtype=torch.float64)
            p, p_tau = torch.softmax(logits, 0), torch.softmax(logits / temperature, 0)
            middle = (p_tau + torch.nn.functional.one_hot(torch.tensor(bit), 2)) / 2
            jacobian = 2 * (middle.diag() - middle.outer(middle)) - (p.diag() - p.outer(p)) / 2
            assert factor == pytest.approx(float(jacobian[1, 1]) / scale, rel=1e-12)


@every_law
@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_reinmax_at_another_temperature_is_biased_for_linear_objectives(law, temperature):
    p = law.cdf(A)
    odds = torch.sigmoid(torch.logit(p) / temperature)
    low, high = factors(el.ReinMax(temperature), law)
    mean = (1 - p) * low + p * high
    slope = law.density(A) / (p * (1 - p))
    assert torch.allclose(mean, slope * (p * (1 - odds) + (1 - p) * odds + odds * (1 - odds) - p * (1 - p)) / 2)
    assert float(((mean / law.density(A) - 1)[A.abs() > 0.4]).abs().min()) > 1e-3
    assert float(mean[12]) == pytest.approx(float(law.density(A[12])), rel=1e-14)  # a = 0: p = 1/2
    assert el.ReinMax(temperature).exact_degree == 0


@pytest.mark.parametrize("gap", [1.0, 0.3, "probability"])
@pytest.mark.parametrize("temperature", [0.4, 1.0])
def test_gapped_straight_through_moves_two_logits_until_they_agree_with_the_draw(gap, temperature):
    for bit in (0, 1):
        for a, factor in zip(
            A.tolist(), factors(el.GappedST(temperature, gap), el.Logistic())[bit].tolist(), strict=True
        ):
            logits = torch.tensor([0.0, a], dtype=torch.float64, requires_grad=True)
            fixed, drawn = logits.detach(), torch.nn.functional.one_hot(torch.tensor(bit), 2)
            p = torch.softmax(fixed, 0)[bit]
            distance = -torch.log(1 - p) / p if gap == "probability" else gap
            up = (fixed.max() - fixed) * drawn
            down = (fixed - fixed.max() + distance).clamp(min=0) * (1 - drawn)
            soft = torch.softmax((logits + up - down) / temperature, 0)
            (gradient,) = torch.autograd.grad(soft[1], logits)
            assert factor == pytest.approx(float(gradient[1]), rel=1e-12)


def test_sign_swish_is_the_derivative_of_its_forward_function():
    """``2 sigma(x) (1 + x (1 - sigma(x))) - 1`` at x = 5 a, halved for bits."""
    a = A.clone().requires_grad_()
    s = torch.sigmoid(5 * a)
    (derivative,) = torch.autograd.grad((2 * s * (1 + 5 * a * (1 - s)) - 1).sum(), a)
    assert torch.allclose(
        factors(el.StraightThrough("sign_swish"), el.Logistic())[1], derivative / 2, rtol=1e-10, atol=1e-13
    )
    assert float(factors(el.StraightThrough("sign_swish"), el.Logistic())[0].min()) < 0  # it is not monotone


# ---- Gumbel-Rao


@every_law
@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.0, 2.0])
def test_more_samples_leave_the_mean_and_divide_the_variance(law, temperature):
    limit, _ = el.AnalyticGumbelRao(temperature).derivative_moments(A, law)
    one, second = el.STGumbelSoftmax(temperature).derivative_moments(A, law)
    for samples in (1, 3, 1000):
        mean, square = el.GumbelRao(temperature, samples).derivative_moments(A, law)
        assert torch.allclose(mean, limit, rtol=1e-11, atol=1e-13)
        assert torch.allclose(square - limit**2, (second - one**2) / samples, rtol=1e-9, atol=1e-13)
    # uniform noise at a high temperature: the relaxation is linear wherever the noise can be
    assert float((second - one**2).max()) > 1e-5 or (isinstance(law, el.Uniform) and temperature == 2.0)


@every_law
def test_a_draw_is_the_mean_over_noise_that_leads_to_the_drawn_state(law):
    estimator = el.GumbelRao(0.7, samples=3)
    w = torch.tensor([0.03, 0.4, 0.97], dtype=torch.float64)[:, None].expand(3, len(A))
    for bit in (0.0, 1.0):
        p = law.cdf(A)
        u = p * w if bit else 1 - (1 - p) * w
        noise = law.quantile(u)
        assert bool(((A - noise > 0) == (bit == 1)).all())
        expected = (law.density((A - noise) / 0.7) / 0.7).mean(0)
        assert torch.allclose(estimator.derivative(A, torch.full_like(A, bit), w, law), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("law", SMOOTH, ids=repr)
@pytest.mark.parametrize("temperature", [0.02, 0.3, 1.0, 1.5])
def test_the_conditional_mean_is_the_integral(law, temperature):
    """By scipy, over v = a - Z > 0; the second moment too."""
    for a in (-4.0, -0.6, 1.3, 5.0):

        def value(number, function):
            return float(function(torch.tensor(number, dtype=torch.float64)))

        def weighted(v, a=a, power=1):
            slope = value(v / temperature, law.density) / temperature
            return slope**power * value(a - v, law.density)

        side = torch.tensor([a], dtype=torch.float64)
        scales = (0, temperature * law.scale, 6 * temperature * law.scale, 40 * temperature * law.scale, 60 * law.scale)
        for power, moment in enumerate(slope_moments(side, law, temperature), start=1):
            pieces = [
                scipy.integrate.quad(lambda v: weighted(v, power=power), *ends, epsabs=0, epsrel=1e-12, limit=200)  # noqa: B023
                for ends in zip(scales, sorted(scales)[1:], strict=False)
                if ends[1] > ends[0]
            ]
            total = math.fsum(piece for piece, _ in pieces) / float(law.cdf(side))
            error = math.fsum(error for _, error in pieces) / float(law.cdf(side))
            assert float(moment) == pytest.approx(total, rel=1e-11, abs=error + 1e-14)


def test_the_logistic_mean_at_temperature_one_in_closed_form():
    """``A_1 = r / (r-1)^2 (I_1 + I_2 - 2 I_3)`` with r = exp(-a), by partial fractions of the integrand in exp(-v)."""
    a = torch.tensor([-4.0, -2.0, -1.0, 1.0, 2.0, 4.0], dtype=torch.float64)
    r = torch.exp(-a)
    logs = torch.log1p(r) - torch.log(r)
    inner = math.log(2) - 0.5 + logs - 1 / (1 + r) - 2 * (r * logs - math.log(2)) / (r - 1)
    closed = r / (r - 1) ** 2 * inner / torch.sigmoid(a)
    # the closed form cancels: terms of size 1 leave (r-1)^2 / r times the factor
    assert torch.allclose(factors(el.AnalyticGumbelRao(1.0), el.Logistic(), a)[1], closed, rtol=1e-11)


@pytest.mark.parametrize("law", [el.Gaussian(), el.Gaussian(1.3)], ids=repr)
@pytest.mark.parametrize("temperature", [1e-3, 0.05, 0.4, 1.0, 2.0, 7.0])
def test_the_gaussian_closed_form_is_the_quadrature(law, temperature):
    sides = torch.stack((-A, A))
    closed = torch.stack(factors(el.AnalyticGumbelRao(temperature), law))
    assert torch.allclose(closed, slope_moments(sides, law, temperature)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("law", [el.Gaussian(), el.Gaussian(1.3)], ids=repr)
@pytest.mark.parametrize("temperature", [0.3, 1.0, 1e9])
def test_the_gaussian_mean_normalised_lies_between_zgr_and_straight_through(law, temperature):
    """Its share on the high state is ``p1 = Phi(kappa a / s)``: 1/2 for kappa = 0 is ZGR, p for kappa = 1 is ST."""
    p = law.cdf(A)
    low, high = factors(el.AnalyticGumbelRao(temperature), law)
    total = p * high + (1 - p) * low
    kappa = temperature / math.hypot(1, temperature)
    assert torch.allclose(p * high / total, law.cdf(kappa * A), rtol=1e-12)
    if kappa == 1:
        for factor in (low, high):
            assert torch.allclose(factor / total * law.density(A), law.density(A), rtol=1e-12)


@every_law
def test_the_limit_of_small_temperature_is_zgr_and_first_order(law):
    """For uniform noise the two are equal as soon as the relaxation fits into the support."""
    limit = torch.stack(factors(el.ZGR(), law))
    taus = (0.02, 0.01, 1e-5)
    errors = [float((el.GumbelRao(tau, 4).derivative_moments(A, law)[0] - limit).abs().max()) for tau in taus]
    if isinstance(law, el.Uniform):
        rounding = [10 * torch.finfo(torch.float64).eps / tau for tau in taus]  # a - Z is of the size of tau
        assert all(error < bound for error, bound in zip(errors, rounding, strict=True))
    else:
        assert errors[0] / errors[1] == pytest.approx(2, rel=0.05)
        assert errors[1] / errors[2] == pytest.approx(1000, rel=0.05)


def test_the_expansion_in_the_temperature_for_logistic_noise():
    """``A_1 = F' [1/2 + tau ln 2 (2p-1)] + O(tau^2)``; ``(A_0 + A_1) / F'`` up to O(tau^4)."""
    p, density = torch.sigmoid(A), el.Logistic().density(A)
    share, total = [], []
    for tau in (0.02, 0.01):
        low, high = factors(el.AnalyticGumbelRao(tau), el.Logistic())
        share.append(float((p * high / density - 0.5 - tau * math.log(2) * (2 * p - 1)).norm()))
        second = math.pi**2 / 6 * tau**2 * (1 - 6 * p * (1 - p))
        total.append(float(((p * high + (1 - p) * low) / density - 1 - second).norm()))
    assert share[0] / share[1] == pytest.approx(4, rel=0.05)
    assert total[0] / total[1] == pytest.approx(16, rel=0.05)
    assert total[1] > 1e4 * torch.finfo(torch.float64).eps


def test_the_variance_stays_bounded_as_claimed():
    """From temperature 1e-2 to 1e-4: it hardly grows where it is bounded, a hundred times elsewhere."""
    problem = problem_of(el.Logistic())
    bounded = [el.AnalyticGumbelRao, el.ReinMax, el.GappedST]
    for estimator in (*bounded, el.GumbelRao, el.STGumbelSoftmax):
        variances = [networks.flat(el.exact_moments(problem, estimator(tau)).variance).sum() for tau in (1e-2, 1e-4)]
        ratio = float(variances[1] / variances[0])
        assert estimator.bounded_variance == (estimator in bounded)
        assert ratio < 1.1 if estimator.bounded_variance else ratio > 50


@pytest.mark.parametrize("samples", [1, 3])
def test_sampled_draws_agree_with_the_exact_moments(samples, seed):
    law = el.Triangular(2.5)
    problem, draws = networks.classification((1, 2, 2), batch=1, seed=6, units=el.BinaryUnits(law, 0, 1)), 1 << 16
    estimator = el.GumbelRao(0.5, samples)
    exact, measured = el.exact_moments(problem, estimator), el.measure(problem, estimator, draws=draws, seed=seed)
    stderr = (networks.flat(exact.variance) / draws).sqrt()
    varies = stderr > 0
    z = (networks.flat(measured.mean) - networks.flat(exact.mean))[varies] / stderr[varies]
    assert float(z.abs().max()) < scipy.stats.norm.isf(1e-3 / len(z) / 8)
    other = el.exact_moments(problem, el.GumbelRao(0.5, 4 - samples))
    for layer in ("0", "1"):
        value, error = measured.statistics()[layer]["variance"]
        bound = scipy.stats.t.isf(1e-3 / 16, 63) * error
        assert abs(value - exact.statistics()[layer]["variance"][0]) < bound
        assert abs(value - other.statistics()[layer]["variance"][0]) > bound  # the gate sees the number of samples


@every_law
def test_one_sample_by_quadrature_over_its_own_noise(law):
    """The cuts of the extra channel are where bounded laws have kinks: nothing else makes this exact."""
    problem = networks.classification((1, 1), batch=2, seed=3, units=el.BinaryUnits(law, 0, 1))
    estimator = el.GumbelRao(0.6, samples=1)
    assert same_moments(el.quadrature_moments(problem, estimator), el.exact_moments(problem, estimator), 1e-11)


# ---- exactness, and the sampled draw against the recursion

FACTORS = [
    *(el.DARN(0.2), el.DARN("mean"), el.STZGR(), el.ReinMax(0.5), el.ReinMax(2.0)),
    *(el.AnalyticGumbelRao(0.3), el.AnalyticGumbelRao(1.5), el.GappedST(0.7), el.GappedST(gap="probability")),
    el.StraightThrough("sign_swish"),
]
SHAPES = ("sigmoid", "atan", "fast_sigmoid", "superspike", "triangle", "boxcar", "gaussian")
SURROGATES = [el.SurrogateGradient(shape, 1.2) for shape in SHAPES]
NEW = [*FACTORS, el.GumbelRao(), el.GumbelRao(0.2, 2), el.FouST(), el.FouST(False), *SURROGATES]


@every_law
@pytest.mark.parametrize("estimator", FACTORS, ids=repr)
def test_exact_moments_are_the_enumeration_of_all_paths(estimator, law):
    problem = networks.classification((2, 2, 2), batch=2, units=el.BinaryUnits(law, -0.5, 2.0), scale=0.6)
    assert same_moments(el.exact_moments(problem, estimator), el.quadrature_moments(problem, estimator))


@pytest.mark.parametrize("estimator", NEW, ids=repr)
def test_the_checker_finds_nothing_to_refute(estimator):
    assert el.check_estimator(estimator).passed


def test_an_instance_claims_less_than_its_class_where_it_must():
    assert [e.exact_degree for e in (el.DARN(), el.DARN("mean"), el.DARN(0.4))] == [2, 1, 1]
    assert [e.exact_degree for e in (el.ReinMax(), el.ReinMax(1.01))] == [2, 0]


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


# ---- surrogate gradients

ESCAPE = {
    "sigmoid": lambda k: el.Logistic(1 / k),
    "gaussian": lambda k: el.Gaussian(1 / (k * math.sqrt(2))),
    "triangle": lambda k: el.Triangular(1 / k),
    "boxcar": lambda k: el.Uniform(1 / (2 * k)),
}
NEURON = [*((shape, law) for shape in ESCAPE for law in ESCAPE), *(("atan", law) for law in ESCAPE)]


@pytest.mark.parametrize(("shape", "law"), NEURON)
def test_one_neuron_is_exact_if_and_only_if_the_surrogate_is_the_escape_noise_derivative(shape, law):
    network = networks.mlp((2, 1), None, seed=2, units=el.BinaryUnits(ESCAPE[law](0.3), 0, 1), scale=0.5)
    problem = el.Problem(network, lambda output, target: output[:, 0], networks.normal(3, 5, 2))
    measured = el.quadrature_moments(problem, el.SurrogateGradient(shape, 0.3))
    relative = float(networks.flat(measured.bias).norm() / networks.flat(measured.reference).norm())
    assert relative < 1e-13 if shape == law else relative > 1e-3


@pytest.mark.parametrize("shape", ESCAPE)
def test_with_the_escape_noise_derivative_a_surrogate_is_straight_through_without_the_draw(shape):
    for slope in (0.5, 3.0):
        bump = el.SurrogateGradient(shape, slope).bump(A)
        assert torch.allclose(bump, ESCAPE[shape](slope).density(A), rtol=1e-12, atol=1e-15)


DEFAULTS = {"sigmoid": 25, "atan": 2, "fast_sigmoid": 25, "superspike": 100, "triangle": 1, "boxcar": 1, "gaussian": 2}


@pytest.mark.parametrize("shape", DEFAULTS)
def test_defaults_and_integrals_of_the_shapes(shape):
    default, given = el.SurrogateGradient(shape), el.SurrogateGradient(shape, float(DEFAULTS[shape]))
    assert torch.equal(default.bump(A), given.bump(A))
    edge = 0.5 / DEFAULTS[shape]

    def bump(x):
        return float(default.bump(torch.tensor(x, dtype=torch.float64)))

    pieces = [
        scipy.integrate.quad(bump, *ends)[0] for ends in ((0, edge), (edge, 2 * edge), (2 * edge, 1), (1, math.inf))
    ]
    integral = 2 / DEFAULTS[shape] if shape in ("fast_sigmoid", "superspike") else 1
    assert 2 * math.fsum(pieces) == pytest.approx(integral, rel=1e-7)  # quad's own accuracy on tails like 1 / x^2


def test_nothing_is_drawn():
    problem = problem_of(el.Logistic())
    estimator = el.SurrogateGradient("atan")
    by_nodes, measured = el.quadrature_moments(problem, estimator), el.measure(problem, estimator, draws=512)
    carry = problem.inputs
    for stage in problem.network.stages:
        carry = (stage(carry) > 0).double() * 2 - 1
    assert torch.equal(estimator.surrogate(problem, el.TorchNoise()), problem.value(problem.network.head(carry)))
    for moments in (by_nodes, measured):
        assert networks.blocks_close(moments.mean, by_nodes.mean, 1e-13)
        rounding = 16 * torch.finfo(torch.float64).eps * float((networks.flat(by_nodes.mean) ** 2).max())
        assert float(networks.flat(moments.variance).abs().max()) < rounding
    assert float(networks.flat(measured.mean).abs().max()) > 1e-3


@pytest.mark.parametrize("who", [el.exact_moments, el.attribute_bias])
@pytest.mark.parametrize("estimator", [el.SurrogateGradient(), el.FouST()], ids=repr)
def test_what_has_no_drawn_state_and_local_factor_is_refused_by_exact_recursions(who, estimator):
    with pytest.raises(EstimlabError, match=r"serves hard-forward estimators.*Use el\.measure"):
        who(networks.classification(), estimator)


# ---- FouST


def ratios(estimator, objective, values, law=None):
    """Mean over truth for each unit, -1/+1 coding."""
    problem = el.Problem(networks.logits(values, law, -1.0, 1.0), objective)
    measured = el.quadrature_moments(problem, estimator)
    return (measured.mean["stages.0.logits"] / measured.reference["stages.0.logits"]).tolist()


def product_of_a_square(output, target):
    return output[:, 0] ** 2 * output[:, 1]


def test_foust_of_a_square_times_another_unit_is_a_third_where_straight_through_is_exact():
    network = networks.logits([0.0, 0.0], None, -1.0, 1.0)
    problem = el.Problem(network, product_of_a_square)
    means = [el.quadrature_moments(problem, e).mean["stages.0.logits"] for e in (el.FouST(), el.StraightThrough())]
    truth = el.LayerwiseEnumeration().gradient(problem).value["stages.0.logits"]
    assert torch.allclose(means[0], truth * torch.tensor([0.0, 1 / 3], dtype=torch.float64), rtol=1e-12, atol=1e-15)
    assert torch.allclose(means[1], truth, rtol=1e-12, atol=1e-15)
    assert float(truth[1]) == pytest.approx(0.5)


@every_law
def test_foust_is_unbiased_for_one_unit_and_every_objective(law):
    for a in (0.0, 0.9, -1.4):
        assert ratios(el.FouST(), networks.sines, [a], law) == pytest.approx([1], rel=1e-12)


def test_foust_without_importance_weights_is_unbiased_at_one_half_only():
    a = math.log(4)  # P(high) = 0.8
    assert ratios(el.FouST(False), networks.sines, [0.0]) == pytest.approx([1], rel=1e-12)
    assert abs(ratios(el.FouST(False), networks.sines, [a])[0] - 1) > 0.01
    assert ratios(el.FouST(), networks.sines, [a]) == pytest.approx([1], rel=1e-12)


def test_foust_of_a_product_of_two_units_halves_the_gradient():
    """The mean of the other unit's multiplier."""
    assert ratios(el.FouST(), lambda x, target: x[:, 0] * x[:, 1], [0.4, -0.7]) == pytest.approx([0.5, 0.5], rel=1e-12)


# ---- numbers at the edge, and fields

EXTREME = torch.tensor([0.0, 1e-8, 1.0, 2.3, 5.0, 40.0, 90.0, 800.0, 1e4])


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
    "mix NaN": (lambda: el.STZGR(math.nan), "between 0"),
    "reinmax": (lambda: el.ReinMax(0.0), r"ReinMax\(temperature=0\.0\).*positive"),
    "gumbel_rao": (lambda: el.GumbelRao(-1.0), r"GumbelRao\(temperature=-1\.0\).*ZGR"),
    "samples": (lambda: el.GumbelRao(1.0, 0), r"GumbelRao\(samples=0\).*at least 1.*AnalyticGumbelRao"),
    "analytic": (lambda: el.AnalyticGumbelRao(math.inf), r"AnalyticGumbelRao\(temperature=inf\).*ZGR"),
    "gapped": (lambda: el.GappedST(math.nan), "GappedST.*positive"),
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
