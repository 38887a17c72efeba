"""The mean of several draws, and what it claims."""

import networks
import pytest
import torch
from estimators_draws import NAME, ROUNDING, one_layer

import estimlab as el
from estimlab.measurement.mapped import gradients, record
from estimlab.randomness.noise import TableNoise
from estimlab.randomness.streams import RandomStream

# ---- the mean of several draws

BASES = [el.StraightThrough(), el.Reinforce("exact_mean"), el.ARM(), el.DisARM("common"), el.MuProp()]


@pytest.mark.slow
@pytest.mark.parametrize("base", BASES, ids=repr)
def test_the_variance_of_an_average_is_that_of_one_draw_over_their_number(base):
    problem = networks.classification((2, 1, 1), batch=2, units=el.BinaryUnits(el.Gaussian(), 0, 1))
    one = el.quadrature_moments(problem, base)
    for draws in (2, 3):
        several = el.quadrature_moments(problem, el.Average(base, draws))
        assert networks.blocks_close(several.mean, one.mean, ROUNDING)
        expected = {name: variance / draws for name, variance in one.variance.items()}
        assert networks.blocks_close(several.variance, expected, ROUNDING)
    assert float(networks.flat(one.variance).max()) > 1e-3


def test_the_variance_of_an_average_of_relaxed_draws():
    problem = one_layer(f=networks.sines, values=(0.4,))
    one, two = (el.quadrature_moments(problem, e) for e in (el.GumbelSoftmax(), el.Average(el.GumbelSoftmax(), 2)))
    assert float(two.variance[NAME]) == pytest.approx(float(one.variance[NAME]) / 2, rel=1e-10)


def test_an_average_of_averages_uses_every_channel_once():
    problem = networks.classification((1, 1, 1), batch=1)
    nested = el.Average(el.Average(el.ARM(), 2), 3)
    flat = el.Average(el.ARM(), 6)
    assert list(record(problem, nested)) == list(record(problem, flat))
    tables = RandomStream(3).tables(record(problem, flat), 0, 4, problem.inputs)
    draws = [gradients(problem, e, TableNoise, tables)[0] for e in (nested, flat)]
    assert networks.blocks_close(*draws, 1e-14)


@pytest.mark.parametrize("base", [*BASES, el.GumbelSoftmax(), el.ReinforceLOO()], ids=repr)
def test_the_first_draw_of_an_average_is_the_estimators_own(base):
    problem = networks.classification((2, 3, 2)).with_expected(torch.ones(5))
    requests = record(problem, el.Average(base, 2))
    for number in range(4):
        own = RandomStream(0).noise(record(problem, base), number, problem.inputs)
        single = networks.draw_of(problem, base, own)
        assert networks.blocks_close(
            networks.draw_of(problem, el.Average(base, 1), TableNoise(own.tables)), single, 1e-15
        )
        both = RandomStream(0).noise(requests, number, problem.inputs)
        value = el.Average(base, 2).surrogate(problem, both)
        assert torch.equal(value, base.surrogate(problem, TableNoise(own.tables)))


def test_an_average_claims_what_its_estimator_claims():
    for base in (el.StraightThrough("tanh"), el.ZGR(), el.DisARM(), el.PSA(), el.GumbelSoftmax()):
        average = el.Average(base, 3)
        assert average.claims() == base.claims()
        assert average.cost(2).forward == 3 * base.cost(2).forward
