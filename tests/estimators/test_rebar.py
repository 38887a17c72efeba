"""REBAR and RELAX: formulas, unbiasedness, and the limit of small temperature."""

import itertools

import networks
import pytest
import scipy.stats
import torch
from estimators_draws import LAWS, NAME, SMOOTH, UNIFORMS, draw, every_law, one_layer, relative_bias

import estimlab as el
from estimlab.estimators.rebar import conditional, free
from estimlab.estimators.rollout import rollout
from estimlab.randomness.noise import TableNoise

# ---- REBAR and RELAX

CONTROLS = [
    *(el.REBAR(tau, eta, coupling) for tau, eta in ((0.1, 1.0), (0.5, 1.0), (2.0, -0.6)) for coupling in ("common",)),
    *(
        el.REBAR(0.5),
        el.REBAR(0.2, 0.7),
        el.RELAX(),
        el.RELAX(1.0, 0.0, "common", ((0.3, 2.0, -0.5), (-1.0, 0.5, 0.1))),
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("estimator", CONTROLS, ids=repr)
@every_law
def test_conditional_controls_are_unbiased_for_one_unit(law, estimator):
    for value, coding in zip((0.7, -1.1, 0.2), networks.CODINGS, strict=True):
        measured = el.quadrature_moments(one_layer(law, networks.sines, (value,), coding), estimator)
        assert relative_bias(measured) < 1e-9
        assert float(measured.variance[NAME]) > 1e-6


@pytest.mark.parametrize("estimator", [el.REBAR(coupling="common"), el.RELAX(coupling="common")], ids=repr)
@pytest.mark.parametrize("law", SMOOTH, ids=repr)
def test_conditional_controls_are_unbiased_in_two_layers_and_for_two_units(law, estimator):
    deep = networks.classification((2, 1, 1), batch=2, units=el.BinaryUnits(law, 0, 1))
    for problem in (deep, one_layer(law)):
        assert relative_bias(el.quadrature_moments(problem, estimator)) < 1e-9


def test_without_a_control_it_is_reinforce():
    for uniforms in UNIFORMS:
        none = draw(one_layer(), el.REBAR(eta=0.0), uniforms, (0.3, 0.6))
        assert torch.equal(none, draw(one_layer(), el.Reinforce(), uniforms))


def test_relax_without_its_network_is_rebar():
    for uniforms in UNIFORMS:
        pair = [draw(one_layer(), e, uniforms, (0.3, 0.6)) for e in (el.REBAR(0.4), el.RELAX(0.4, hidden=()))]
        assert torch.equal(*pair)
        assert not torch.equal(pair[0], draw(one_layer(), el.RELAX(0.4), uniforms, (0.3, 0.6)))


def test_rebar_of_one_logistic_unit_is_the_published_formula():
    """z = a + logit(1 - u), z~ the same with u' uniform on the side of the state, by autograd from scratch."""
    tau, eta = 0.5, 0.8

    def f(x):
        return torch.sin(2 * x) + x**3

    problem = one_layer(f=lambda output, target: f(output[:, 0]), values=(0.6,))
    for u, v in itertools.product((0.1, 0.5, 0.9), (0.2, 0.7)):
        a = torch.tensor(0.6, dtype=torch.float64, requires_grad=True)
        p = torch.sigmoid(a)
        high = u < float(p.detach())
        given = v * p if high else 1 - v * (1 - p)
        z = a - torch.logit(torch.tensor(u, dtype=torch.float64))
        controls = [eta * f(torch.sigmoid(w / tau)) for w in (z, a - torch.logit(given))]
        log_p = torch.log(p if high else 1 - p)
        value = f(torch.tensor(float(high), dtype=torch.float64))
        surrogate = (value - controls[1]).detach() * log_p + controls[0] - controls[1]
        expected = torch.autograd.grad(surrogate, a)[0]
        found = draw(problem, el.REBAR(tau, eta), (u,), (v,))
        assert float(found) == pytest.approx(float(expected), rel=1e-12)


@every_law
def test_noise_given_the_state_stays_on_its_side_and_has_its_law(law):
    """``F(Z)`` given the state is uniform on the side of the state; tied to the main noise it is that noise."""
    problem = one_layer(law)
    for uniforms in UNIFORMS:
        noise = TableNoise({(0, 0): torch.tensor([uniforms], dtype=torch.float64)})
        layer = rollout(problem, noise)[1][0]
        a, p = layer.a.detach(), law.cdf(layer.a.detach())
        for v in (0.01, 0.5, 0.99):
            z = conditional(a, layer, torch.full_like(a, v))
            assert torch.equal(z > 0, layer.bit)
            expected = torch.where(layer.bit, v * p, 1 - v * (1 - p))
            assert torch.allclose(law.cdf(a - z), expected, rtol=1e-12)
        tail = torch.where(layer.bit, layer.uniform / p, (1 - layer.uniform) / (1 - p))
        assert torch.allclose(conditional(a, layer, tail), free(a, layer), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("coupling", ["independent", "common"])
def test_the_variance_tends_to_that_of_gumbel_softmax_with_the_temperature(coupling, degree):
    """So it is not bounded, as is claimed: ``tau Var`` tends to p(1-p) int f'^2 s(1-s) ds."""
    problem = one_layer(f=lambda output, target: output[:, 0] ** degree, values=(0.7,))
    p = float(torch.sigmoid(torch.tensor(0.7, dtype=torch.float64)))
    limit = p * (1 - p) * (1 / 6 if degree == 1 else 4 * (1 / 4 - 1 / 5))
    measured = [(tau, el.quadrature_moments(problem, el.REBAR(tau, coupling=coupling))) for tau in (0.02, 0.01)]
    deviations = [tau * float(one.variance[NAME]) / limit - 1 for tau, one in measured]
    assert deviations[0] / deviations[1] == pytest.approx(2, rel=0.05)  # first order in the temperature
    assert abs(deviations[1]) < 2 * 0.01
    assert el.REBAR().claims().bounded_variance is False


FAMILY, POWER, DRAWS = 1e-3, 0.999, 1 << 18
SAMPLED = [(el.REBAR(), LAWS[0]), (el.REBAR(0.3), el.Uniform(4.0)), (el.RELAX(), LAWS[1]), (el.RELAX(), LAWS[3])]


def centred(output, target):
    """A quadratic with a mean near zero: REINFORCE has little variance, and the gate has power."""
    return 2 * (output - 0.5).sum(1) + 0.3 * (output**2).sum(1)


@pytest.mark.slow
@pytest.mark.parametrize(("estimator", "law"), SAMPLED, ids=repr)
def test_conditional_controls_are_not_seen_to_be_biased_in_deep_networks(estimator, law, seed):
    """A z-gate over all coordinates, after a power gate: where quadrature does not reach."""
    network = networks.mlp((1, 2, 2), None, 111, el.BinaryUnits(law, 0, 1), scale=1.5)
    problem = el.Problem(network, centred, networks.normal(112, 1, 1))
    measured = el.measure(problem, estimator, draws=DRAWS, seed=seed)
    difference, truth = (networks.flat(blocks) for blocks in (measured.bias, measured.reference))
    stderr = (networks.flat(measured.variance) / measured.draws).sqrt()
    bound = scipy.stats.norm.isf(FAMILY / len(SAMPLED) / len(truth) / 2)
    for blocks in measured.layers.values():
        names = [name in blocks for name, p in problem.network.named_parameters() for _ in range(p.numel())]
        here = torch.tensor(names)
        seen = (bound + scipy.stats.norm.isf(1 - POWER)) * stderr[here] / truth[here].abs()
        assert float(seen.min()) < 0.05  # a bias of a twentieth of some coordinate would be found
    assert float((difference.abs() / stderr).max()) < bound
