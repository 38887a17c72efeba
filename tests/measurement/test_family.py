"""Several estimators measured on one set of draws: what each has is what it has alone."""

import dataclasses

import networks
import pytest
import torch
from torch import nn

import estimlab as el
from estimlab.errors import EstimlabError
from estimlab.measurement.mapped import record
from estimlab.measurement.sampled.family import Family, shares_states
from estimlab.measurement.sampled.rows import NotFoldable, Rows, capture

FAMILY = (el.StraightThrough(), el.ZGR(), el.ReinMax(), el.DARN(), el.IWST(), el.GumbelRao(samples=3))
OTHERS = (el.GumbelSoftmax(), el.DisARM(), el.FouST())
DRAWS = 512


def same(one, other, tolerance=1e-12):
    """Equal means, variances, groups and per-draw sums."""
    assert one.estimator == other.estimator
    assert networks.blocks_close(one.mean, other.mean, tolerance)
    assert networks.blocks_close(one.variance, other.variance, tolerance)
    for layer, sums in other.groups.sums.items():
        assert networks.blocks_close(one.groups.sums[layer], sums, tolerance * DRAWS)
    for name, square in other.groups.square.items():
        assert networks.close(one.groups.square[name], square, tolerance)


def test_who_shares_states():
    assert all(map(shares_states, FAMILY))
    assert not any(map(shares_states, OTHERS))


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "coding"), [(1, (-1.0, 1.0)), (1, (-0.5, 2.0)), (3, (0.0, 1.0))])
def test_measured_together_is_measured_alone(batch, coding):
    units = el.BinaryUnits(low=coding[0], high=coding[1])
    network = el.Chain([nn.Linear(3, 4), nn.Linear(4, 3)], nn.Linear(3, 2, bias=False), units)
    problem = el.Problem(networks.fill(network, 1), el.Quadratic(), networks.normal(2, batch, 3))
    truth = el.LayerwiseEnumeration().gradient(problem)
    estimators = (*FAMILY, el.GumbelSoftmax())
    together = el.measure_many(problem, estimators, truth, DRAWS, seed=3)
    for estimator, one in zip(estimators, together, strict=True):
        same(one, el.measure(problem, estimator, truth, DRAWS, seed=3))


@pytest.mark.slow
def test_also_where_draws_are_not_rows():
    stage = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
    network = networks.fill(el.Chain([stage, nn.Linear(3, 2)], nn.Linear(2, 1)), 1)
    problem = el.Problem(network, el.Quadratic(), networks.normal(2, 1, 2))
    for one in el.measure_many(problem, FAMILY[:2], draws=DRAWS):
        same(one, el.measure(problem, one.estimator, draws=DRAWS))


def test_a_family_goes_forward_once():
    problem = el.Problem(networks.mlp((3, 4, 3), 1), el.Quadratic(), networks.normal(1, 1, 3))
    requests, stream, passes = record(problem, el.StraightThrough()), el.RandomStream(0), []
    problem.network.head.register_forward_hook(lambda *_: passes.append(1))
    family = Family(FAMILY[:4])
    value = family.surrogate(problem, stream.noise(requests, 0, problem.inputs))
    weight = problem.network.stages[0].weight
    gradients = [found[0] for found in family.gradients(value.sum(), [weight])]
    assert len(passes) == 1
    for estimator, gradient in zip(FAMILY[:4], gradients, strict=True):
        alone = networks.draw_of(problem, estimator, stream.noise(requests, 0, problem.inputs))
        assert torch.equal(gradient, alone["stages.0.weight"])
    assert not torch.equal(gradients[0], gradients[1])


def test_a_factor_that_is_not_finite_is_named():
    @dataclasses.dataclass(frozen=True)
    class Broken(el.HardForward):
        def derivative(self, a, bit, uniform, law):
            return torch.full_like(a, torch.nan)

    problem = el.Problem(networks.mlp((3, 4, 3), 1), el.Quadratic(), networks.normal(1, 1, 3))
    with pytest.raises(EstimlabError, match="Broken"):
        el.measure_many(problem, (el.StraightThrough(), Broken()), draws=DRAWS)
    with pytest.raises(EstimlabError, match="at least one estimator"):
        el.measure_many(problem, (), draws=DRAWS)


class Again(nn.Module):
    """One linear map, applied several times."""

    def __init__(self, times):
        super().__init__()
        self.map, self.times = nn.Linear(2, 2), times

    def forward(self, x):
        for _ in range(self.times):
            x = self.map(x)
        return x


def captured(times):
    """Eight draws through such a stage."""
    problem = el.Problem(networks.fill(el.Chain([Again(times)]), 1), el.Quadratic(), networks.normal(2, 1, 2))
    tables = el.RandomStream(0).tables(record(problem, el.ZGR()), 0, 8, torch.zeros((), dtype=problem.dtype))
    return capture(problem, [el.ZGR()], tables, 8)


def test_a_map_that_is_used_twice_cannot_be_folded():
    assert isinstance(captured(1), Rows)
    assert captured(2) == NotFoldable("the map 'stages.0.map' was used 2 times in a draw, not once")
