"""The randomness contract: uniforms are a function of (seed, stream, site, channel, draw), and quadrature is exact."""

import math
from itertools import pairwise
from typing import ClassVar

import networks
import numpy as np
import pytest
import scipy.stats
import torch

import estimlab as el
from estimlab.errors import EstimlabError
from estimlab.measurement.mapped import record
from estimlab.randomness.noise import RecordingNoise, Request, TableNoise, TorchNoise, into_open_interval, open_uniform
from estimlab.randomness.quadrature import (
    QuadratureGrid,
    gauss_legendre,
    interval_edges,
    node_between,
    rule_for,
    tanh_sinh,
)
from estimlab.randomness.streams import MEASUREMENT_STREAM, REFERENCE_STREAM, RandomStream

REQUESTS = {(0, 0): Request((3, 5), 1, 0), (1, 0): Request((1,), 1, 0), (1, 2): Request((2, 3, 2), 1, 0)}
DOUBLE, SINGLE = torch.empty(0, dtype=torch.float64), torch.empty(0)


def test_blocks_of_draws_make_up_the_whole():
    stream = RandomStream(7)
    whole = stream.tables(REQUESTS, 0, 16, DOUBLE)
    for cuts in ((0, 16), (0, 4, 16), (0, 8, 12, 16)):
        blocks = [stream.tables(REQUESTS, start, stop, DOUBLE) for start, stop in pairwise(cuts)]
        for key, table in whole.items():
            assert torch.equal(torch.cat([block[key] for block in blocks]), table)
            assert table.shape == (16, *REQUESTS[key].shape)


def test_a_single_draw_is_the_row_of_its_table():
    stream = RandomStream(7)
    whole = stream.tables(REQUESTS, 0, 16, DOUBLE)
    for draw in (0, 3, 9, 15):
        noise = stream.noise(REQUESTS, draw, DOUBLE)
        for (site, channel), table in whole.items():
            assert torch.equal(noise.uniform(site, channel, table[0]), table[draw])


def test_what_else_is_asked_does_not_matter():
    alone = RandomStream(7).tables({(1, 2): REQUESTS[1, 2]}, 0, 8, DOUBLE)
    assert torch.equal(alone[1, 2], RandomStream(7).tables(REQUESTS, 0, 8, DOUBLE)[1, 2])


def test_seeds_streams_sites_and_channels_differ():
    request, places = Request((2,), 1, 0), [(0, 0), (0, 1), (1, 0), (2, 0)]
    streams = [RandomStream(s, t) for s in (0, 1, 2**40) for t in (MEASUREMENT_STREAM, REFERENCE_STREAM)]
    tables = [table for s in streams for table in s.tables(dict.fromkeys(places, request), 0, 64, DOUBLE).values()]
    values = torch.stack(tables).flatten()
    assert len(values.unique()) == len(values) == 6 * 4 * 128
    correlations = np.corrcoef(torch.stack(tables).flatten(1).numpy())
    pairs = np.abs(correlations[np.triu_indices(24, 1)])
    # 276 correlations of 128 pairs, each about normal with variance 1/128: family-wise error 1e-3
    assert pairs.max() < scipy.stats.norm.isf(1e-3 / 276 / 2) / math.sqrt(128)


def test_uniforms_are_uniform(seed):
    table = RandomStream(seed).tables({(0, 0): Request((64,), 1, 0)}, 0, 1024, DOUBLE)[0, 0]
    assert scipy.stats.kstest(table.flatten().numpy(), "uniform").pvalue > 1e-3


class Extremes:
    """A generator that returns what rounding can produce at worst."""

    def random(self, shape):
        return np.resize([0.0, 2.0**-53, 0.5, 1 - 2.0**-53], shape)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_uniforms_are_strictly_inside_the_interval(dtype, monkeypatch):
    monkeypatch.setattr(np.random, "Generator", lambda _: Extremes())
    table = RandomStream(0).tables({(0, 0): Request((4,), 1, 0)}, 0, 4, torch.empty(0, dtype=dtype))[0, 0]
    assert table.dtype == dtype
    assert float(table.min()) > 0
    assert float(table.max()) < 1
    law = el.Logistic()
    assert bool(torch.isfinite(law.quantile(table)).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_zero_and_one_move_to_the_inside_and_nothing_else_moves(dtype):
    u = torch.tensor([0.0, 1e-6, 0.25, 0.75, 1.0], dtype=dtype)
    inside = into_open_interval(u)
    assert 0 < float(inside[0]) < 1e-7
    assert 1 - 1e-7 < float(inside[-1]) < 1
    assert torch.equal(inside[1:-1], u[1:-1])


def test_uniforms_of_training_follow_the_generator():
    like = torch.empty(1000, dtype=torch.float32)
    one, same, other = (open_uniform(like, torch.Generator().manual_seed(s)) for s in (3, 3, 4))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert (one.dtype, one.shape) == (like.dtype, like.shape)


@pytest.mark.parametrize("seed", [-1, 1.5, "0"])
def test_a_seed_is_a_non_negative_integer(seed):
    with pytest.raises((EstimlabError, TypeError)):
        RandomStream(seed)


def noises():
    table = torch.full((2,), 0.5)
    grid = QuadratureGrid({(0, 0): Request((2,), 1, 0)})
    return [
        TorchNoise(torch.Generator().manual_seed(0)),
        RecordingNoise(),
        TableNoise({(0, 0): table}),
        RandomStream(0).noise({(0, 0): Request((2,), 1, 0)}, 0, SINGLE),
        grid.noise({(0, 0): torch.zeros(2, dtype=torch.long)}),
    ]


@pytest.mark.parametrize("noise", noises(), ids=lambda noise: type(noise).__name__)
def test_asking_twice_is_an_error(noise):
    probability = torch.tensor([0.3, 0.6])
    u = noise.uniform(0, 0, probability)
    assert (u.shape, u.dtype) == (probability.shape, probability.dtype)
    with pytest.raises(EstimlabError, match=r"site 0, channel 0 was asked for twice"):
        noise.uniform(0, 0, probability)


def test_what_is_asked_must_not_depend_on_the_draw():
    with pytest.raises(EstimlabError, match=r"site 1, channel 0.*must not depend on the draw"):
        TableNoise({}).uniform(1, 0, torch.tensor([0.5]))


def test_global_random_state_is_untouched():
    problem, small = networks.classification(), networks.classification((1, 1))
    torch.manual_seed(11)
    np.random.seed(11)  # noqa: NPY002 - the global state is what is tested
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()  # noqa: NPY002
    for estimator in (el.StraightThrough(), el.GumbelSoftmax(), el.ARM()):
        el.measure(problem, estimator, draws=512)
    el.exact_moments(problem, el.ZGR())
    el.quadrature_moments(small, el.STGumbelSoftmax())
    el.PathEnumeration().gradient(problem)
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), numpy_state, strict=True))  # noqa: NPY002


class Visited(el.Chain):
    """Remembers the states that ``advance`` was called with."""

    visited: ClassVar[dict[int, list[torch.Tensor]]] = {}

    def advance(self, k, carry, state):
        Visited.visited.setdefault(k, []).append(state.detach().clone())
        return super().advance(k, carry, state)


@pytest.mark.parametrize("draw", range(3))
def test_all_estimators_visit_the_same_states_for_the_same_draw(draw):
    problem = networks.classification((2, 4, 3), batch=6)
    problem.network.__class__ = Visited
    problem = problem.with_expected(torch.zeros(6, dtype=torch.float64))
    hard = [el.StraightThrough(), el.ZGR(), el.STGumbelSoftmax(0.3), el.Reinforce("exact_mean"), el.ARM(), el.DisARM()]
    first = None
    for estimator in hard:
        noise = RandomStream(5).noise(record(problem, estimator), draw, DOUBLE)
        Visited.visited.clear()
        estimator.surrogate(problem, noise)
        # of the passes of an antithetic estimator, the main one advances last
        states = [Visited.visited[k][-1] for k in range(2)]
        first = first or states
        assert all(torch.equal(*pair) for pair in zip(states, first, strict=True))
    assert all(0 < float((state > 0).double().mean()) < 1 for state in first)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_gauss_legendre_is_exact_up_to_its_degree_and_not_beyond(count):
    rule = gauss_legendre(count)
    for power in range(2 * count):
        assert float(rule.weights @ rule.nodes**power) == pytest.approx(1 / (power + 1), rel=1e-14)
    beyond = float(rule.weights @ rule.nodes ** (2 * count))
    assert abs(beyond - 1 / (2 * count + 1)) > 1e-10


INTEGRALS = {
    "constant": (torch.ones_like, 1.0),
    "exponential": (torch.exp, math.e - 1),
    "power 20": (lambda u: u**20, 1 / 21),
    "logarithm": (torch.log, -1.0),
    "squared logarithm": (lambda u: torch.log(u) ** 2, 2.0),
    "squared logit": (lambda u: torch.logit(u) ** 2, math.pi**2 / 3),
    "squared probit": (lambda u: torch.special.ndtri(u) ** 2, 1.0),
    "root": (torch.sqrt, 2 / 3),
    "relaxation": (lambda u: torch.sigmoid(torch.logit(u) / 0.1), 0.5),
}


@pytest.mark.parametrize("name", INTEGRALS)
def test_the_double_exponential_rule_integrates_what_relaxations_need(name):
    function, integral = INTEGRALS[name]
    rule = tanh_sinh()
    inside = rule.nodes.clamp(max=1 - 2.0**-53)
    assert float(rule.weights @ function(inside)) == pytest.approx(integral, rel=2e-14, abs=2e-14)


@pytest.mark.parametrize("rule", [tanh_sinh(), gauss_legendre(5)], ids=["tanh_sinh", "gauss_legendre"])
def test_rules_are_symmetric_positive_and_inside(rule):
    assert float(rule.weights.sum()) == pytest.approx(1, abs=1e-15)
    assert bool((rule.weights > 0).all())
    assert bool((rule.nodes.diff() >= 0).all())
    assert torch.allclose(rule.nodes + rule.nodes.flip(0), torch.ones(1, dtype=torch.float64), rtol=0, atol=4e-16)
    assert float(rule.nodes.min()) > 0
    assert float(rule.nodes.max()) < 1


def test_the_rule_integrates_the_square_of_a_draw_of_its_degree():
    assert [len(rule_for(degree).nodes) for degree in (0, 1, 2, math.inf)] == [1, 2, 3, 103]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_nodes_stay_on_their_side_of_the_cut(dtype):
    p = torch.tensor([1e-30, 1e-9, 0.3, 0.999999, 1.0], dtype=dtype)
    for node in (1e-17, 0.5, 1.0):
        below = node_between(torch.zeros_like(p), p, torch.full_like(p, node))
        above = node_between(p, torch.ones_like(p), torch.full_like(p, node))
        assert bool((below < p).all())
        assert bool((above >= p)[p < 1].all())
        for u in (below, above):
            assert float(u.min()) > 0
            assert float(u.max()) < 1


def test_edges_are_sorted():
    cuts = [torch.tensor([0.7, 0.2]), torch.tensor([0.3, 0.8])]
    assert torch.allclose(interval_edges(cuts[0], cuts), torch.tensor([[0, 0], [0.3, 0.2], [0.7, 0.8], [1, 1]]))
    assert torch.equal(interval_edges(cuts[0], []), torch.tensor([[0.0, 0.0], [1.0, 1.0]]))


def test_the_grid_visits_every_joint_interval_once_with_its_probability():
    """Without smooth requests, quadrature is enumeration of the states."""
    grid = QuadratureGrid({(0, 0): Request((1, 2), 1, 0), (1, 0): Request((1,), 2, 0)})
    assert grid.size == 2 * 2 * 3
    p, cuts = (
        torch.tensor([[0.2, 0.9]], dtype=torch.float64),
        [torch.tensor([c], dtype=torch.float64) for c in (0.5, 0.1)],
    )
    digits, total, seen = grid.digits(0, 12), {}, set()
    for row in range(12):
        noise = grid.noise({key: digit[row] for key, digit in digits.items()})
        u = noise.uniform(0, 0, p)
        v = noise.uniform(1, 0, cuts[0], cuts)
        state = tuple((u < p).flatten().tolist())
        total[state] = total.get(state, 0.0) + float(noise.weight)
        seen.add((*state, int(v > 0.1) + int(v > 0.5)))
    assert len(seen) == 12
    for state, probability in total.items():
        expected = math.prod(q if high else 1 - q for q, high in zip((0.2, 0.9), state, strict=True))
        assert probability == pytest.approx(expected, rel=1e-15)
