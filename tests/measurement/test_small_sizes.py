"""Parameters that are numbers or empty, draws without noise, examples that share a site, carries of any kind."""

from __future__ import annotations

from dataclasses import dataclass

import networks
import pytest
import torch
from torch import nn

import estimlab as el
from estimlab.errors import EstimlabError
from estimlab.randomness.noise import TableNoise


class Scaled(nn.Linear):
    """A linear map with a learned number, and a block without entries."""

    def __init__(self, *shape: int):
        super().__init__(*shape)
        self.gain = nn.Parameter(torch.tensor(1.3))
        self.empty = nn.Parameter(torch.zeros(0, 3))

    def forward(self, x):
        return self.gain * super().forward(x)


def scaled(batch: int = 2) -> el.Problem:
    chain = networks.fill(el.Chain([Scaled(2, 2), Scaled(2, 2)], Scaled(2, 3)), 1)
    return el.Problem(chain, el.CrossEntropy(), networks.normal(2, batch, 2), torch.arange(batch))


@pytest.mark.parametrize("batch", [1, 2])
def test_a_parameter_may_be_a_number_or_empty(batch):
    problem, estimator = scaled(batch), el.ZGR()
    exact = el.exact_moments(problem, estimator)
    assert networks.blocks_close(exact.reference, el.PathEnumeration().gradient(problem).value)
    by_paths = el.quadrature_moments(problem, estimator)
    assert networks.blocks_close(exact.variance, by_paths.variance)
    sampled = el.measure(problem, estimator, draws=4096)
    found, truth = sampled.statistics()["1"]["variance"], exact.statistics()["1"]["variance"][0]
    assert abs(found[0] - truth) <= 5 * found[1]
    assert sampled.mean["stages.0.gain"].shape == ()
    assert sampled.mean["head.empty"].shape == (0, 3)
    for place in ("layer", "block", "network"):
        assert sampled.table(place)["value"].notna().any()
        assert sampled.squared_bias_interval(by=place)
    el.attribute_bias(problem, estimator).table()
    sampled_truth = el.MonteCarloReference(draws=256).gradient(problem)
    el.measure(problem, el.Reinforce(), sampled_truth, draws=512).table()


@dataclass(frozen=True)
class SummedOut(el.Estimator):
    """The exact gradient of one unit, by the sum over its states: a draw that asks for no noise."""

    def surrogate(self, problem, noise):
        a, _ = problem.network.preactivation(0, problem.network.initial(problem.inputs))
        p, units = problem.sites[0].units.law.cdf(a)[:, 0], problem.sites[0].units
        low, high = (problem.value(problem.network.output(torch.full_like(a, x))) for x in (units.low, units.high))
        return (1 - p) * low + p * high


@pytest.mark.parametrize("mappable", [True, False])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_draw_may_ask_for_no_noise(batch, mappable, monkeypatch):
    monkeypatch.setattr(SummedOut, "mappable", mappable)
    problem = networks.classification((2, 1), batch)
    truth = el.PathEnumeration().gradient(problem).value
    for measured in (el.quadrature_moments(problem, SummedOut()), el.measure(problem, SummedOut(), draws=512)):
        assert networks.blocks_close(measured.mean, truth, 1e-14)
        assert float(networks.flat(measured.variance).max()) <= 1e-30


class Tied(el.StochasticNetwork):
    """A weight drawn once for all examples, then a unit of each example's own."""

    def __init__(self) -> None:
        super().__init__()
        self.eta = nn.Parameter(torch.tensor([0.4], dtype=torch.float64))
        self.bias = nn.Parameter(torch.tensor([-0.2], dtype=torch.float64))

    def sites(self, inputs):
        units = el.BinaryUnits()
        return el.Site((1,), units, shared=True), el.Site((1,), units)

    def initial(self, inputs):
        return inputs, inputs

    def preactivation(self, k, carry):
        inputs, state = carry
        return (self.eta, carry) if k == 0 else (inputs * state + self.bias, carry)

    def advance(self, k, carry, state):
        return carry[0], state

    def output(self, carry):
        return carry[1] + 0.3 * carry[0]


def tied(batch: int = 2) -> el.Problem:
    return el.Problem(Tied(), el.Quadratic(), networks.normal(1, batch, 1))


def by_paths(problem: el.Problem, estimator: el.Estimator) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance over all joint states of the weight and the units of both examples: the plainest sum."""
    network, total, square, moments = problem.network, 0.0, 0.0, []
    for index in range(2 ** (1 + problem.batch)):
        bits = torch.tensor([index >> i & 1 for i in range(1 + problem.batch)], dtype=torch.float64)
        p = torch.sigmoid(network.eta.detach())
        weight = p if bits[0] == 1 else 1 - p
        state = 2 * bits[0] - 1
        q = torch.sigmoid(problem.inputs[:, 0] * state + network.bias.detach())
        chances = torch.where(bits[1:] == 1, q, 1 - q)
        uniforms = {(0, 0): torch.where(bits[:1] == 1, p / 2, (1 + p) / 2)}
        uniforms[1, 0] = torch.where(bits[1:] == 1, q / 2, (1 + q) / 2)[:, None]
        draw = networks.flat(networks.draw_of(problem, estimator, TableNoise(uniforms)))
        moments.append((weight * chances.prod(), draw))
    total = sum(w * g for w, g in moments)
    square = sum(w * (g - total) ** 2 for w, g in moments)
    return total, square


@pytest.mark.parametrize("estimator", [el.StraightThrough(), el.ZGR(), el.Reinforce()], ids=repr)
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_examples_that_share_a_site_are_integrated_together(batch, estimator):
    problem = tied(batch)
    truth = el.PathEnumeration().gradient(problem)
    problem = problem.with_expected(truth.expected)
    found = el.quadrature_moments(problem, estimator, truth)
    mean, variance = by_paths(problem, estimator)
    assert networks.close(networks.flat(found.mean), mean, 1e-13)
    assert networks.close(networks.flat(found.variance), variance, 1e-13)


def test_the_quadrature_of_a_large_mean_keeps_the_variance():
    """A draw of about 1e7 with deviation 1e-3: the difference of second moment and squared mean is all rounding."""
    network = networks.logits([0.3])

    def steep(output, target):
        return (1e7 * output + 1e-3 * output**2).sum(1)

    found = el.quadrature_moments(el.Problem(network, steep), el.StraightThrough())
    p = torch.sigmoid(torch.tensor(0.3, dtype=torch.float64))
    slope, moved = p * (1 - p), 2e-3
    expected = float(p * (1 - p) * (slope * moved) ** 2)
    # the gradient itself is rounded to 1e7 * 2^-53, a millionth of its deviation
    assert float(found.variance["stages.0.logits"][0]) == pytest.approx(expected, rel=1e-5)


class Boxed(Tied):
    """A carry that holds something that is not a tensor."""

    def initial(self, inputs):
        return inputs, inputs, 0

    def preactivation(self, k, carry):
        return super().preactivation(k, carry[:2])[0], carry

    def advance(self, k, carry, state):
        return carry[0], state, carry[2] + 1


@pytest.mark.slow
def test_a_carry_that_cannot_be_forked_is_refused_in_words():
    problem = el.Problem(Boxed(), el.Quadratic(), networks.normal(1, 2, 1))
    truth = el.PathEnumeration().gradient(problem)
    with pytest.raises(EstimlabError, match=r"carry must be a tensor.*type int.*el\.Reinforce"):
        el.measure(problem, el.LocalExpectation(), truth, draws=512)
    for estimator in (el.ARM(), el.DisARM(), el.ARMS(), el.Reinforce(), el.StraightThrough()):
        found = el.measure(problem, estimator, truth, draws=512)  # other forks are carried in lists
        assert bool(torch.isfinite(networks.flat(found.mean)).all())
    el.MonteCarloReference(draws=64).gradient(problem)


@pytest.mark.parametrize("estimator", [el.StraightThrough("identity"), el.ZGR(), el.GumbelSoftmax(0.5)], ids=repr)
def test_an_activation_passes_nan_on(estimator):
    a = torch.tensor([[0.3, float("nan"), float("inf"), -float("inf")]], requires_grad=True)
    states = el.BinaryActivation(estimator)(a)
    assert states.isnan().tolist() == [[False, True, False, False]]
    assert states[0, 2:].tolist() == [1, -1]
