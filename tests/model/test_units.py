"""Noise laws against their definition, against scipy and in the far tails; the coding of binary units."""

import networks
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

import estimlab as el
from estimlab.errors import EstimlabError

SCALES = (0.5, 1.0, 3.0)
LAWS = [law(scale) for law in networks.LAWS for scale in SCALES]
EPS = float(np.finfo(np.float64).eps)
POINTS = np.array([-7.0, -2.9, -1.4, -0.999, -0.5, -0.1, -1e-9, 0.0, 1e-9, 0.3, 0.5, 0.77, 1.0, 1.4, 2.9, 6.0])
FUNCTIONS = ("cdf", "log_cdf", "density", "score")
in_both_types = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def bounded(law):
    return isinstance(law, el.Uniform | el.Triangular)


def scipy_law(law):
    """The same law in another library."""
    match type(law).__name__:
        case "Logistic":
            return scipy.stats.logistic(scale=law.scale)
        case "Gaussian":
            return scipy.stats.norm(scale=law.scale)
        case "Uniform":
            return scipy.stats.uniform(-law.scale, 2 * law.scale)
        case _:
            return scipy.stats.triang(0.5, -law.scale, 2 * law.scale)


def numbers(values):
    return torch.as_tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_what_a_law_says_of_itself_is_what_is_derived_of_it(law):
    derived = el.NoiseLaw.reach.fget(law)
    assert law.reach == pytest.approx(derived, rel=1e-15)
    assert law.bounded == bounded(law)
    assert set(law.kinks) <= set(el.NoiseLaw.kinks.fget(law))
    assert law.variance == pytest.approx(scipy_law(law).var(), rel=1e-12)


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_matched_by_log_odds_is_matched_by_quantiles(law):
    own, a = el.Logistic(0.7), numbers([-0.9, -0.2, 0.0, 0.5, 0.8]) * law.scale
    for found, derived in zip(own.matched(a, law), el.NoiseLaw.matched(own, a, law), strict=True):
        assert torch.allclose(found, derived, rtol=1e-13, atol=1e-14)
    assert torch.allclose(own.cdf(own.matched(a, law)[0]), law.cdf(a), rtol=1e-13, atol=0)


def kinks_between(law, low, high):
    return [kink for kink in (-law.scale, 0.0, law.scale) if low < kink < high] or None


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_cdf_is_the_integral_of_the_density(law):
    for low, high in ((-3.0, -0.4), (-0.7, 0.9), (0.2, 5.0)):
        integral, error = scipy.integrate.quad(
            lambda z: float(law.density(numbers(z))), low, high, points=kinks_between(law, low, high), epsabs=1e-13
        )
        difference = float(law.cdf(numbers(high)) - law.cdf(numbers(low)))
        assert abs(difference - integral) <= error + 4 * EPS
        assert difference > 0 or bounded(law)


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_total_probability_is_one(law):
    integral, error = scipy.integrate.quad(
        lambda z: float(law.density(numbers(z))), -50 * law.scale, 50 * law.scale, points=[-law.scale, 0, law.scale]
    )
    assert abs(integral - 1) <= error + 4 * EPS


@pytest.mark.parametrize("law", LAWS, ids=repr)
@networks.examples(50)
@given(a=st.floats(-30, 30))
def test_laws_are_symmetric(law, a):
    one, other = numbers(a), numbers(-a)
    assert float(law.density(one)) == float(law.density(other))
    assert float(law.cdf(one) + law.cdf(other)) == pytest.approx(1, abs=2 * EPS)


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_the_quantile_inverts_the_cdf(law):
    u = numbers([1e-12, 1e-5, 0.03, 0.25, 0.5, 0.6, 0.9, 0.99999])
    assert torch.allclose(law.cdf(law.quantile(u)), u, rtol=1e-13, atol=EPS)
    inside = numbers([-0.9, -0.3, 0.0, 0.2, 0.8]) * law.scale
    assert torch.allclose(law.quantile(law.cdf(inside)), inside, rtol=1e-13, atol=8 * EPS * law.scale)


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_score_is_density_over_probability(law):
    a = numbers(POINTS)
    p = law.cdf(a)
    known = p > 0
    assert torch.allclose(law.score(a)[known], (law.density(a) / p)[known], rtol=1e-13, atol=0)
    assert not bool(law.score(a)[~known].any())


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_the_derivative_of_the_cdf_is_the_density_also_at_zero(law):
    """Biases begin at zero: references and relaxations differentiate ``cdf`` there."""
    leaf = (numbers([-0.6, 0.0, 0.3]) * law.scale).requires_grad_()
    (derivative,) = torch.autograd.grad(law.cdf(leaf).sum(), leaf)
    assert torch.allclose(law.density(leaf), derivative, rtol=1e-13, atol=0)


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_score_is_the_derivative_of_log_cdf(law):
    a = numbers([-0.85, -0.4, 0.1, 0.6]) * law.scale
    leaf = a.clone().requires_grad_()
    (derivative,) = torch.autograd.grad(law.log_cdf(leaf).sum(), leaf)
    assert torch.allclose(law.score(a), derivative, rtol=1e-13, atol=0)


@pytest.mark.parametrize("law", LAWS, ids=repr)
@pytest.mark.parametrize("name", ["cdf", "log_cdf", "density"])
def test_laws_equal_those_of_scipy(law, name):
    other = {"cdf": "cdf", "log_cdf": "logcdf", "density": "pdf"}[name]
    inside = POINTS[np.abs(POINTS) != law.scale]  # the density of a uniform law at its ends is a convention
    with np.errstate(divide="ignore"):
        expected = getattr(scipy_law(law), other)(inside)
    actual = getattr(law, name)(numbers(inside)).numpy()
    np.testing.assert_allclose(actual, expected, rtol=1e-13, atol=4 * EPS)


@pytest.mark.parametrize("scale", SCALES)
def test_far_tails_of_the_laws_of_unbounded_support(scale):
    a = numbers([-1e4, -800.0, -300.0, -37.0, -20.0]) * scale
    z = a.numpy() / scale
    logistic, gaussian = el.Logistic(scale), el.Gaussian(scale)
    np.testing.assert_allclose(logistic.log_cdf(a), scipy.stats.logistic.logcdf(z), rtol=1e-15)
    np.testing.assert_allclose(gaussian.log_cdf(a), scipy.stats.norm.logcdf(z), rtol=1e-14)
    np.testing.assert_allclose(logistic.cdf(a[2:]), scipy.stats.logistic.cdf(z[2:]), rtol=1e-13)
    # Phi(-37) is 1e-300: nearly the smallest normal number
    np.testing.assert_allclose(gaussian.cdf(a[3:]), scipy.stats.norm.cdf(z[3:]), rtol=1e-12)
    np.testing.assert_allclose(logistic.score(a), np.ones(5) / scale, rtol=1e-8)
    mills = np.exp(scipy.stats.norm.logpdf(z[3:]) - scipy.stats.norm.logcdf(z[3:])) / scale
    np.testing.assert_allclose(gaussian.score(a[3:]), mills, rtol=1e-12)
    # the ratio approaches |z| (1 + 1/z^2) from below
    np.testing.assert_allclose(gaussian.score(a[:2]) * scale, -z[:2] - 1 / z[:2], rtol=1e-10)


@pytest.mark.parametrize("law", LAWS, ids=repr)
@in_both_types
def test_every_function_is_finite_everywhere(law, dtype):
    extremes = [-1e4, -800.0, -40.0, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 40.0, 800.0, 1e4]
    a = torch.tensor(extremes, dtype=dtype)
    for name in FUNCTIONS:
        value = getattr(law, name)(a)
        assert value.dtype == dtype
        assert value.shape == a.shape
        impossible = torch.isinf(value)
        assert not bool(value.isnan().any()), name
        assert name == "log_cdf" or not bool(impossible.any()), name
        assert not bool(impossible[a > -law.scale].any())
        assert not bool(impossible.any()) or bounded(law)
    assert bool((law.cdf(a).diff() >= 0).all())
    assert bool((law.score(a) >= 0).all())


@pytest.mark.parametrize("law", LAWS, ids=repr)
@in_both_types
def test_derivatives_are_finite_everywhere(law, dtype):
    """Autograd through ``cdf`` serves relaxations: an infinity times zero must not appear."""
    a = torch.tensor([-1e4, -40.0, -1.0, 0.0, 0.3, 1.0, 40.0, 1e4], dtype=dtype, requires_grad=True)
    for name in ("cdf", "log_cdf"):
        (derivative,) = torch.autograd.grad(getattr(law, name)(a).sum(), a)
        assert bool(torch.isfinite(derivative).all()), name


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_float32_agrees_with_float64(law):
    a = torch.tensor([-2.7, -0.4, 0.0, 0.3, 0.45, 2.6])
    for name in FUNCTIONS:
        single, double = getattr(law, name)(a), getattr(law, name)(a.double())
        known = torch.isfinite(double)
        assert torch.allclose(single[known].double(), double[known], rtol=1e-5, atol=1e-7), name
        assert torch.equal(torch.isfinite(single), known)


@pytest.mark.parametrize("law", networks.LAWS)
@networks.examples(30)
@given(scale=st.floats(0.05, 20), z=st.floats(-4, 4))
def test_scale_multiplies_the_noise(law, scale, z):
    unit, scaled = law(), law(scale)
    a = numbers(z) * scale
    z = a / scale
    assert float(scaled.cdf(a)) == float(unit.cdf(z))
    assert float(scaled.log_cdf(a)) == float(unit.log_cdf(z))
    assert float(scaled.density(a)) == float(unit.density(z)) / scale
    assert float(scaled.score(a)) == float(unit.score(z)) / scale
    assert float(scaled.quantile(unit.cdf(z) * 0.8 + 0.1)) == float(unit.quantile(unit.cdf(z) * 0.8 + 0.1)) * scale


@pytest.mark.parametrize("law", networks.LAWS)
@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_is_not_a_positive_number_is_refused(law, scale):
    with pytest.raises(EstimlabError, match=rf"{law.__name__}.*{scale}.*(positive|NaN)"):
        law(scale)


def test_scales_for_which_the_slope_of_the_mean_state_is_one():
    zero = numbers(0.0)
    for law in (el.Uniform(1), el.Logistic(0.5), el.Triangular(2)):
        assert 2 * float(law.density(zero)) == 1
    a = numbers(POINTS)
    assert torch.allclose(2 * el.Logistic(0.5).cdf(a) - 1, torch.tanh(a), rtol=1e-13, atol=EPS)
    assert torch.allclose(2 * el.Triangular(2).density(a), torch.clamp(1 - a.abs() / 2, min=0), rtol=1e-14, atol=0)


@pytest.mark.parametrize("coding", [*networks.CODINGS, (0.1, 0.3)])
def test_codings_are_exact_at_the_corners(coding):
    units = el.BinaryUnits(low=coding[0], high=coding[1])
    states = units.state(torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert states.tolist() == list(coding)
    assert units.bit(states).tolist() == [0.0, 1.0]
    assert units.gap == coding[1] - coding[0]
    assert units.bit(states).dtype == torch.float64


def test_units_default_to_signs_and_logistic_noise():
    assert el.BinaryUnits() == el.BinaryUnits(el.Logistic(1.0), -1.0, 1.0)


@pytest.mark.parametrize("coding", [(1.0, 1.0), (1.0, 0.0), (float("nan"), 1.0)])
def test_a_coding_without_order_is_refused(coding):
    with pytest.raises(EstimlabError, match=r"low must be (smaller than high|a number)"):
        el.BinaryUnits(low=coding[0], high=coding[1])


@pytest.mark.parametrize("scale", SCALES)
def test_laws_are_values(scale):
    for law in networks.LAWS:
        assert eval(repr(law(scale)), vars(el) | {law.__name__: law}) == law(scale)
        assert hash(law(scale)) == hash(law(scale))
    assert el.Logistic() != el.Gaussian()
