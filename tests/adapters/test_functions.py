"""Other people's functions as estimators: the draws and moments of the catalogue's estimators that they are."""

import math
import pickle

import pytest
import torch
from torch.nn import functional

import estimlab as el


class Drawn(torch.autograd.Function):
    """A derived straight-through activation as people write it: old style, global generator, no rule for vmap."""

    @staticmethod
    def forward(ctx, a):
        ctx.save_for_backward(a)
        return torch.bernoulli(torch.sigmoid(a))

    @staticmethod
    def backward(ctx, gradient):
        p = torch.sigmoid(ctx.saved_tensors[0])
        return gradient * p * (1 - p)


class Wrong(Drawn):
    @staticmethod
    def backward(ctx, gradient):
        return 2 * Drawn.backward(ctx, gradient)


def spike(a):
    return (a > 0).to(a) + torch.sigmoid(a) - torch.sigmoid(a).detach()


def soft(logits):
    return functional.gumbel_softmax(logits)


def hard(logits):
    return functional.gumbel_softmax(logits, hard=True)


def problem(widths=(3, 2), low=-1.0):
    torch.manual_seed(0)
    sizes = (2, *widths)
    stages = [torch.nn.Linear(m, n, dtype=torch.float64) for m, n in zip(sizes, widths, strict=False)]
    head = torch.nn.Linear(widths[-1], 1, dtype=torch.float64)
    inputs = torch.randn(4, 2, dtype=torch.float64)
    network = el.Chain(stages, head, el.BinaryUnits(el.Logistic(), low, 1.0))
    return el.Problem(network, el.LogisticLoss(), inputs, torch.tensor([1.0, -1.0, 1.0, 1.0], dtype=torch.float64))


def bit(objective=None, start=0.7, units=None):
    units = units or el.BinaryUnits(el.Logistic(), 0.0, 1.0)
    logits = el.Logits(torch.tensor([start], dtype=torch.float64))
    return el.Problem(el.Chain([logits], units=units), objective or el.Multilinear(((1.0, (0,)),)))


def worst(one, other):
    return max(float((one[name] - other[name]).abs().max()) for name in one)


ADAPTED = el.SampledFunction(Drawn.apply, degree=1, label="theirs")


def test_an_adapted_straight_through_has_its_exact_moments_at_any_depth():
    theirs, ours = el.exact_moments(problem(), ADAPTED), el.exact_moments(problem(), el.StraightThrough())
    assert worst(theirs.mean, ours.mean) < 1e-15
    assert worst(theirs.variance, ours.variance) < 1e-15


def test_its_draws_are_those_of_straight_through_and_torch_is_not_asked():
    state = torch.random.get_rng_state()
    theirs = el.measure(problem(), ADAPTED, draws=512, seed=3)
    ours = el.measure(problem(), el.StraightThrough(), draws=512, seed=3)
    assert worst(theirs.mean, ours.mean) < 1e-15
    assert torch.equal(state, torch.random.get_rng_state())


def test_quadrature_over_its_noise_is_the_exact_recursion():
    exact, other = el.exact_moments(problem((2,)), ADAPTED), el.quadrature_moments(problem((2,)), ADAPTED)
    assert worst(exact.mean, other.mean) < 1e-14
    assert worst(exact.variance, other.variance) < 1e-14


@pytest.mark.slow
def test_it_passes_its_checks():
    report = el.check_estimator(ADAPTED, on_fail=None)
    assert report.verdict == "holds", report.rows
    (row,) = (row for row in report.rows if row.claim == "is a value")
    assert row.verdict == "not claimed"  # a function has no repr that rebuilds it


@pytest.mark.slow
@pytest.mark.parametrize(("function", "adapter"), [(hard, el.SampledFunction), (soft, el.RelaxedFunction)])
def test_correct_public_code_is_not_accused(function, adapter):
    """Torch's Gumbel-Softmax: two uniforms decide a unit together, so no integral cut at fixed uniforms is right."""
    report = el.check_estimator(adapter(function, "two logits"), on_fail=None)
    assert report.verdict == "holds", report.rows


@pytest.mark.slow
def test_a_claim_about_code_out_of_the_reach_of_integrals_is_refuted_by_sampling():
    report = el.check_estimator(el.SampledFunction(hard, "two logits", degree=1), on_fail=None)
    (row,) = report.of("refuted")
    assert row.claim == "exact within one layer, degree 1"
    assert abs(row.z) > 10


def test_it_trains():
    a = torch.zeros(5, 3, requires_grad=True)
    el.BinaryActivation(ADAPTED)(a).sum().backward()
    torch.testing.assert_close(a.grad, torch.full((5, 3), 0.5))  # 2 F'(0)


def test_a_rule_that_is_twice_too_large_is_found_out():
    wrong = el.SampledFunction(Wrong.apply, degree=1)
    measured = el.exact_moments(bit(), wrong)
    assert float(measured.mean["stages.0.logits"] / measured.reference["stages.0.logits"]) == pytest.approx(2)


def test_a_hard_gumbel_softmax_has_the_mean_of_st_gumbel_softmax():
    adapted = el.SampledFunction(hard, "two logits")
    assert adapted.extra_channels == 1
    measured = el.measure(bit(), adapted, draws=100_352)
    exact = el.exact_moments(bit(), el.STGumbelSoftmax(1.0))
    error = float(measured.mean["stages.0.logits"] - exact.mean["stages.0.logits"])
    stderr = math.sqrt(float(measured.variance["stages.0.logits"]) / measured.draws)
    assert stderr < 1e-3
    assert abs(error) < 4 * stderr
    with pytest.raises(el.EstimlabError, match=r"el\.measure"):
        el.exact_moments(bit(), adapted)


@pytest.mark.parametrize("interface", ["two logits", "centred logits"])
def test_a_relaxed_gumbel_softmax_has_the_moments_of_gumbel_softmax(interface):
    square = el.Quadratic()
    theirs = el.measure(bit(square), el.RelaxedFunction(soft, interface), draws=100_352)
    ours = el.quadrature_moments(bit(square), el.GumbelSoftmax(1.0))
    error = float(theirs.mean["stages.0.logits"] - ours.mean["stages.0.logits"])
    assert abs(error) < 4 * math.sqrt(float(ours.variance["stages.0.logits"]) / theirs.draws)
    ratio = float(theirs.variance["stages.0.logits"] / ours.variance["stages.0.logits"])
    assert ratio == pytest.approx(1, abs=0.05)


def exact_st():
    return el.exact_moments(problem(), el.StraightThrough())


def test_a_spike_function_is_straight_through_with_its_bump():
    theirs, ours = (
        el.exact_moments(problem(), el.SpikeFunction(spike)),
        el.exact_moments(problem(), el.StraightThrough()),
    )
    assert worst(theirs.mean, ours.mean) < 1e-15


def test_a_random_bump_takes_its_own_channels():
    def noisy(a):
        return (a > 0).to(a) + (a - a.detach()) * torch.rand_like(a)

    adapted = el.SpikeFunction(noisy)
    assert adapted.extra_channels == 1
    measured = el.measure(bit(), adapted, draws=10_240)
    assert float(measured.mean["stages.0.logits"]) == pytest.approx(0.5, abs=0.02)
    assert float(measured.variance["stages.0.logits"]) == pytest.approx(1 / 12, rel=0.1)


@pytest.mark.parametrize("law", [el.Gaussian(0.7), el.Uniform(2.0), el.Logistic(0.5)])
def test_under_another_law_it_is_called_at_the_preactivation_of_equal_probability(law):
    one = bit(el.Polynomial(3.0), units=el.BinaryUnits(law, 0.0, 1.0))
    theirs, ours = el.exact_moments(one, ADAPTED), el.exact_moments(one, el.StraightThrough())
    assert worst(theirs.mean, ours.mean) < 1e-14
    gaussian = el.SampledFunction(probit, law=el.Gaussian())
    assert worst(el.exact_moments(one, gaussian).mean, ours.mean) < 1e-12


def probit(a):
    p = el.Gaussian().cdf(a)
    return torch.bernoulli(p).detach() + p - p.detach()


def test_coding_and_probability_interfaces():
    def signs(p):
        return 2 * torch.bernoulli(p).detach() - 1 + 2 * (p - p.detach())

    adapted = el.SampledFunction(signs, "probability", low=-1.0)
    theirs, ours = el.exact_moments(problem(), adapted), el.exact_moments(problem(), el.StraightThrough())
    assert worst(theirs.mean, ours.mean) < 1e-15
    assert adapted.law_error(torch.linspace(-3, 3, 7, dtype=torch.float64), el.Logistic()) < 1e-15
    assert adapted.law_error(torch.linspace(-3, 3, 7, dtype=torch.float64), el.Gaussian()) > 0.05


def test_functions_that_couple_units_or_are_of_another_kind_are_refused():
    with pytest.raises(el.EstimlabError, match="unit by unit"):
        el.SampledFunction(lambda a: Drawn.apply(a - a.mean()))
    with pytest.raises(el.EstimlabError, match=r"el\.RelaxedFunction"):
        el.SampledFunction(soft, "two logits")
    with pytest.raises(el.EstimlabError, match=r"el\.SpikeFunction"):
        el.SampledFunction(spike)
    with pytest.raises(el.EstimlabError, match="poisson"):
        el.RelaxedFunction(lambda a: torch.poisson(a.exp()))
    with pytest.raises(el.EstimlabError, match="one state per unit"):
        el.RelaxedFunction(lambda a: a.sum())


def test_an_expression_prints_pickles_and_computes():
    one = el.SampledFunction(el.Expression("torch.nn.functional.gumbel_softmax(a, hard=True)"), "two logits")
    assert "gumbel_softmax(a, hard=True)" in repr(one)
    assert pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(el.EstimlabError, match="cannot be imported"):
        el.Expression("nowhere.f(a)", imports=("nowhere_at_all",))(1)
