"""Hard forward, local backward: members that coincide, and rules as they were published."""

import math

import networks
import pytest
import scipy.integrate
import torch
from estimators_factors import LAWS, A, every_law, factors, problem_of, same_moments

import estimlab as el
from estimlab.estimators.iw_st import ConstantWeight

# ---- estimators that are the same one

ZGRS = [el.ReinMax(1.0), el.DARN(0.5), el.STZGR(1.0), el.MVE(1e16)]
SAME = [*((one, el.ZGR()) for one in ZGRS), (el.STZGR(0.0), el.StraightThrough())]
SAME += [(el.DARN(0.3), el.IWST(ConstantWeight(0.7)))]
SAME += [(el.GumbelRao(tau, samples=1), el.STGumbelSoftmax(tau)) for tau in (0.2, 1.0, 2.5)]


@pytest.mark.slow
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
    assert el.ReinMax(temperature).claims().exact_degree == 0


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


# ---- BayesBiNN


def bayesbinn(half_logit, uniform, temperature):
    """The relaxed weight of Meng, Bachmann & Khan (2020), from half of the log-odds."""
    return torch.tanh((half_logit + torch.log(uniform / (1 - uniform)) / 2) / temperature)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_the_relaxation_of_bayesbinn_is_gumbel_softmax_of_the_same_temperature(temperature):
    """With half of the pre-activation; its noise is minus ours. tanh((a - Z) / T) of all of it is at T / 2."""
    u = torch.linspace(0.03, 0.97, len(A), dtype=torch.float64)
    a = A.clone().requires_grad_()
    units = el.BinaryUnits(el.Logistic(), -1.0, 1.0)
    ours = el.GumbelSoftmax(temperature).activate(a, u, units)
    theirs = bayesbinn(a / 2, 1 - u, temperature)
    whole = torch.tanh((a - el.Logistic().quantile(u)) / (2 * temperature))
    slopes = [torch.autograd.grad(w.sum(), a)[0] for w in (ours, theirs, whole)]
    for weight, slope in zip((theirs, whole), slopes[1:], strict=True):
        assert torch.allclose(weight, ours, rtol=1e-12, atol=1e-14)
        assert torch.allclose(slope, slopes[0], rtol=1e-9, atol=1e-14)
    assert not torch.allclose(el.GumbelSoftmax(2 * temperature).activate(a, u, units), ours, rtol=1e-3)


def test_the_gradient_of_bayesbinn_is_that_of_gumbel_softmax_by_the_mean():
    """``(1 - w^2) / (tau (1 - mu^2)) f'(w)`` times d mu / d a, over the same noise: f(w) = w^3 + w."""
    tau, a = 0.5, 0.6

    def objective(output, target):
        return output[:, 0] ** 3 + output[:, 0]

    measured = el.quadrature_moments(
        el.Problem(networks.logits([a], None, -1.0, 1.0), objective), el.GumbelSoftmax(tau)
    )

    def gradient(u):
        w = float(bayesbinn(torch.tensor(a / 2, dtype=torch.float64), torch.tensor(u, dtype=torch.float64), tau))
        mu = math.tanh(a / 2)
        by_mean = (1 - w * w) / (tau * (1 - mu * mu)) * (3 * w * w + 1)
        return by_mean * (1 - mu * mu) / 2  # d mu / d a, a the full log-odds

    expected = scipy.integrate.quad(gradient, 0, 1, epsabs=1e-12)[0]
    assert float(measured.mean["stages.0.logits"]) == pytest.approx(expected, rel=1e-10)
