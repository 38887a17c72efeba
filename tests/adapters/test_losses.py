"""Surrogate losses of other people: the moments of the estimators that they are, by quadrature and by sampling."""

import pytest
import torch
from torch.distributions import Bernoulli

import estimlab as el
from estimlab.adapters.interception import Intercepted, UnitNoise
from estimlab.adapters.losses import from_gradient
from estimlab.estimators.base import Cost


def score(problem):
    """REINFORCE as people write it, for one stochastic layer of bits."""
    network = problem.network
    a, carry = network.preactivation(0, network.initial(problem.inputs))
    law = Bernoulli(logits=a)
    bits = law.sample()
    value = problem.value(network.output(network.advance(0, carry, bits)))
    return value + value.detach() * (log := law.log_prob(bits).sum(1)) - (value * log).detach()


def bits(objective=None, count=2):
    start = torch.tensor([0.7, -0.4, 1.1][:count], dtype=torch.float64)
    units = el.BinaryUnits(el.Logistic(), 0.0, 1.0)
    return el.Problem(el.Chain([el.Logits(start)], units=units), objective or el.Polynomial(3.0))


BLOCK = "stages.0.logits"


def test_an_adapted_score_function_is_reinforce_by_quadrature_and_draw_by_draw():
    theirs, ours = el.SurrogateLoss(score), el.Reinforce()
    a, b = el.quadrature_moments(bits(), theirs), el.quadrature_moments(bits(), ours)
    torch.testing.assert_close(a.mean[BLOCK], b.reference[BLOCK], rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(a.variance[BLOCK], b.variance[BLOCK], rtol=1e-12, atol=1e-15)
    drawn, same = (el.measure(bits(), one, draws=1024, seed=2) for one in (theirs, ours))
    torch.testing.assert_close(drawn.mean[BLOCK], same.mean[BLOCK], rtol=1e-12, atol=1e-15)


def test_draws_as_further_examples_equal_draws_one_by_one():
    problem = el.problems.load("quadratic/v1")
    units = el.BinaryUnits(el.Logistic(), 0.0, 1.0)
    problem = el.Problem(el.Chain([problem.network.stages[0]], units=units), el.Polynomial(2.0))
    fast = el.measure(problem, el.SurrogateLoss(score), draws=512)
    slow = el.measure(problem, el.Reinforce(), draws=512)
    torch.testing.assert_close(fast.mean[BLOCK], slow.mean[BLOCK], rtol=1e-10, atol=1e-14)


def test_its_cost_is_counted():
    assert el.SurrogateLoss(score).cost(1) == Cost(2, 2)


def test_a_gradient_by_the_preactivations_becomes_a_loss():
    def estimate(problem):
        return from_gradient(problem, lambda a: torch.bernoulli(torch.sigmoid(a)) - 0.25)

    moments = el.quadrature_moments(bits(count=1), el.SurrogateLoss(estimate))
    p = torch.sigmoid(torch.tensor([0.7], dtype=torch.float64))
    torch.testing.assert_close(moments.mean[BLOCK], p - 0.25, rtol=1e-12, atol=0)
    torch.testing.assert_close(moments.variance[BLOCK], p * (1 - p), rtol=1e-12, atol=0)


def test_wrong_losses_are_refused():
    with pytest.raises(el.EstimlabError, match="one value per example"):
        el.measure(bits(), el.SurrogateLoss(lambda problem: torch.rand(1, 2)), draws=512)
    with pytest.raises(el.EstimlabError, match="draws nothing"):
        el.measure(bits(), el.SurrogateLoss(lambda problem: problem.network.stages[0].logits.sum()), draws=512)


LAWS = {
    "rand": (lambda n: torch.rand(n), 0.5, 1 / 12),
    "uniform_": (lambda n: torch.empty(n).uniform_(-1, 3), 1.0, 16 / 12),
    "randn": (lambda n: torch.randn(n), 0.0, 1.0),
    "normal_": (lambda n: torch.empty(n).normal_(2.0, 0.5), 2.0, 0.25),
    "normal": (lambda n: torch.normal(torch.full((n,), -1.0), 2.0), -1.0, 4.0),
    "exponential_": (lambda n: torch.empty(n).exponential_(2.0), 0.5, 0.25),
    "bernoulli": (lambda n: torch.bernoulli(torch.full((n,), 0.3)), 0.3, 0.21),
    "bernoulli_": (lambda n: torch.empty(n).bernoulli_(0.3), 0.3, 0.21),
    "multinomial": (
        lambda n: torch.multinomial(torch.tensor([[2.0, 5.0, 3.0]]).expand(n, 3), 1)[:, 0].float(),
        1.1,
        0.49,
    ),
    "two": (lambda n: torch.multinomial(torch.tensor([[7.0, 3.0]]).expand(n, 2), 1)[:, 0].float(), 0.3, 0.21),
}


@pytest.mark.parametrize("name", LAWS)
def test_an_intercepted_operation_has_its_law(name):
    draw, mean, variance = LAWS[name]
    grid = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000  # a midpoint rule over the uniform
    with Intercepted(UnitNoise((100_000,), grid[:, None])):
        drawn = draw(100_000)
    assert float(drawn.double().mean()) == pytest.approx(mean, abs=1e-4)
    assert float(drawn.double().var()) == pytest.approx(variance, rel=2e-3)
