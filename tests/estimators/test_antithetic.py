"""REINFORCE, ARM and DisARM, draw for draw: their formulas, invariances, and how they are related."""

import itertools

import networks
import pytest
import torch

import estimlab as el
from estimlab.randomness.noise import TableNoise
from estimlab.randomness.quadrature import gauss_legendre

LAWS = [law(1.7) for law in networks.LAWS]
TAILS = ("independent", "common")
VALUES = (0.6, -0.9)


def objective(output, target):
    """Values that are multiples of 1/8 on 0/1 states, so that adding a constant rounds nothing."""
    return output @ output.new_tensor([0.5, -1.25]) + 0.375 * output[:, 0] * output[:, 1]


def raised(output, target):
    return objective(output, target) + 64.0


def one_layer(law=None, f=objective):
    return el.Problem(networks.logits(VALUES, law or el.Logistic()), f)


def draw(problem, estimator, *uniforms):
    tables = {(0, 0): torch.tensor([uniforms], dtype=torch.float64)}
    return networks.draw_of(problem, estimator, TableNoise(tables))["stages.0.logits"]


def value(bits):
    return float(objective(bits.double()[None], None))


def probabilities(law):
    a = torch.tensor(VALUES, dtype=torch.float64)
    return a, law.cdf(a)


UNIFORMS = list(itertools.product((0.05, 0.2, 0.4, 0.55, 0.7, 0.95), repeat=2))


@pytest.mark.parametrize("law", LAWS, ids=repr)
@pytest.mark.parametrize("baseline", [0.0, 0.4])
def test_reinforce_is_value_times_score(law, baseline):
    a, p = probabilities(law)
    for uniforms in UNIFORMS:
        bits = torch.tensor(uniforms, dtype=torch.float64) < p
        log_derivative = torch.where(bits, law.density(a) / p, -law.density(a) / (1 - p))
        expected = (value(bits) - baseline) * log_derivative
        assert torch.allclose(draw(one_layer(law), el.Reinforce(baseline), *uniforms), expected, rtol=1e-12)


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_arm_is_the_difference_of_the_twins_times_the_centred_uniform(law):
    a, p = probabilities(law)
    for uniforms in UNIFORMS:
        u = torch.tensor(uniforms, dtype=torch.float64)
        difference = value(u < p) - value(u > 1 - p)
        expected = difference * (0.5 - u) * law.density(a) / (p * (1 - p))
        assert torch.allclose(draw(one_layer(law), el.ARM(), *uniforms), expected, rtol=1e-12, atol=1e-15)


def test_disarm_of_logistic_units_is_the_published_formula():
    a, p = probabilities(el.Logistic())
    signs = []
    for uniforms in UNIFORMS:
        u = torch.tensor(uniforms, dtype=torch.float64)
        state, twin = u < p, u > 1 - p
        sign = torch.where(twin, -1.0, 1.0) * (state != twin)
        expected = 0.5 * (value(state) - value(twin)) * sign * torch.sigmoid(a.abs())
        assert torch.allclose(draw(one_layer(), el.DisARM(), *uniforms), expected, rtol=1e-12, atol=1e-15)
        signs += sign.tolist()
    assert set(signs) == {-1.0, 0.0, 1.0}


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_disarm_is_the_mean_of_arm_given_both_states(law):
    """Cell by cell: uniforms between the cuts p and 1 - p of each unit decide both states."""
    _, p = probabilities(law)
    rule = gauss_legendre(2)
    edges = [[0.0, *sorted((float(q), 1 - float(q))), 1.0] for q in p]
    cells = list(itertools.product(*(zip(e, e[1:], strict=False) for e in edges)))  # noqa: RUF007 - pairs of pairs
    assert len(cells) == 9
    for cell in cells:
        mean = torch.zeros(2, dtype=torch.float64)
        for nodes in itertools.product(range(2), repeat=2):
            uniforms = [low + (high - low) * float(rule.nodes[n]) for (low, high), n in zip(cell, nodes, strict=True)]
            mean += draw(one_layer(law), el.ARM(), *uniforms) * float(rule.weights[list(nodes)].prod())
        middle = draw(one_layer(law), el.DisARM(), *((low + high) / 2 for low, high in cell))
        assert torch.allclose(mean, middle, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_disarm_has_the_mean_of_arm_and_less_variance(law):
    arm, disarm = (el.quadrature_moments(one_layer(law), e) for e in (el.ARM(), el.DisARM()))
    name = "stages.0.logits"
    assert networks.close(arm.mean[name], disarm.mean[name], 1e-13)
    assert bool((disarm.variance[name] < 0.999 * arm.variance[name]).all())


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [e(tails) for e in (el.ARM, el.DisARM) for tails in TAILS], ids=repr)
def test_a_constant_leaves_every_draw_unchanged(estimator):
    for uniforms in UNIFORMS:
        plain, more = (draw(one_layer(f=f), estimator, *uniforms) for f in (objective, raised))
        assert torch.equal(plain, more)


def test_a_constant_does_not_leave_reinforce_unchanged():
    plain, more = (draw(one_layer(f=f), el.Reinforce(), 0.2, 0.4) for f in (objective, raised))
    assert float((more / plain).abs().min()) > 10
    same = draw(one_layer(f=raised), el.Reinforce(64.0), 0.2, 0.4)
    assert torch.equal(same, plain)


@pytest.mark.parametrize("estimator", [el.ARM, el.DisARM])
def test_tails_differ_in_deep_networks_and_not_in_shallow_ones(estimator):
    shallow = [draw(one_layer(), estimator(tails), 0.2, 0.7) for tails in TAILS]
    assert torch.equal(*shallow)
    problem = networks.classification((2, 2, 2), batch=1)
    moments = [el.quadrature_moments(problem, estimator(tails)) for tails in TAILS]
    assert networks.blocks_close(moments[0].mean, moments[1].mean, 1e-12)
    variances = [m.variance["stages.0.weight"] for m in moments]
    assert not torch.allclose(*variances, rtol=1e-3)


def test_common_tails_of_a_twin_in_the_same_state_contribute_nothing():
    """Where the twin's state equals the main one, common uniforms carry both through the same future."""
    problem = networks.classification((2, 1, 2), batch=1, scale=0.3)
    p = float(torch.sigmoid(problem.network.stages[0](problem.inputs)).detach())
    assert p > 0.5  # then u between 1 - p and p leaves both high
    tables = {(0, 0): torch.tensor([[0.5]], dtype=torch.float64), (1, 0): torch.tensor([[0.3, 0.6]]).double()}
    gradient = networks.draw_of(problem, el.ARM("common"), TableNoise(tables))
    assert not bool(gradient["stages.0.weight"].any())
    assert bool(gradient["stages.1.weight"].any())
