"""Gumbel-Rao: its samples, its limits, and closed forms."""

import math

import networks
import pytest
import scipy.integrate
import scipy.stats
import torch
from estimators_factors import SMOOTH, A, every_law, factors, problem_of, same_moments

import estimlab as el

# ---- Gumbel-Rao


@pytest.mark.slow
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


@pytest.mark.slow
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
        for power, moment in enumerate(law.slope_moments(side, temperature), start=1):
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
    assert torch.allclose(closed, law.slope_moments(sides, temperature)[0], rtol=0, atol=1e-12)


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
        claimed = estimator(1e-2).claims().bounded_variance
        assert claimed == (estimator in bounded)
        assert ratio < 1.1 if claimed else ratio > 50


@pytest.mark.slow
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
