"""Leave-one-out, MuProp, and what score-function estimators have in common."""

import itertools

import networks
import pytest
import torch
from estimators_draws import (
    NAME,
    ROUNDING,
    UNIFORMS,
    VALUES,
    all_moments,
    draw,
    every_law,
    objective,
    one_layer,
    parts,
    relative_bias,
)
from torch import nn

import estimlab as el
import estimlab.estimators.muprop

# ---- leave-one-out


@pytest.mark.slow
@every_law
def test_two_samples_are_half_the_product_of_both_differences(law):
    for first, second in itertools.product(UNIFORMS, UNIFORMS):
        (f, s), (g, t) = parts(law, first), parts(law, second)
        expected = (f - g) * (s - t) / 2
        assert torch.allclose(draw(one_layer(law), el.ReinforceLOO(), first, second), expected, rtol=1e-12, atol=1e-15)


def test_many_samples_are_the_mean_of_reinforce_with_the_mean_of_the_others_as_baseline():
    law, rows = el.Gaussian(1.3), (UNIFORMS[0], UNIFORMS[1], UNIFORMS[12], UNIFORMS[15])
    values = [parts(law, row)[0] for row in rows]
    assert len(set(values)) == 4
    baselines = [(sum(values) - value) / 3 for value in values]
    alone = [draw(one_layer(law), el.Reinforce(b), row) for b, row in zip(baselines, rows, strict=True)]
    together = draw(one_layer(law), el.ReinforceLOO(4), *rows)
    assert torch.allclose(together, torch.stack(alone).mean(0), rtol=1e-13)


@pytest.mark.slow
def test_a_constant_leaves_every_draw_of_leave_one_out_unchanged():
    for first, second in itertools.product(UNIFORMS, UNIFORMS):
        pair = [
            draw(one_layer(f=f), el.ReinforceLOO(), first, second)
            for f in (objective, lambda output, target: objective(output, target) + 64.0)
        ]
        assert torch.equal(*pair)


@pytest.mark.parametrize("samples", [2, 3])
@every_law
def test_leave_one_out_is_unbiased_in_all_layers_and_averages_the_head(law, samples):
    problem = networks.classification((2, 1, 2), batch=2, units=el.BinaryUnits(law, -0.5, 2.0))
    measured = el.quadrature_moments(problem, el.ReinforceLOO(samples))
    assert relative_bias(measured) < 1e-10
    one = el.quadrature_moments(problem, el.Reinforce())
    assert torch.allclose(measured.variance["head.bias"], one.variance["head.bias"] / samples, rtol=ROUNDING)


# ---- MuProp


@pytest.mark.parametrize("coding", networks.CODINGS)
@every_law
def test_muprop_is_its_formula(law, coding):
    """One layer and a quadratic objective, whose slopes at the mean states are known."""
    problem = el.Problem(networks.logits(VALUES, law, *coding), el.Quadratic(None, (0.7, -0.2)))
    a = torch.tensor(VALUES, dtype=torch.float64)
    p, gap = law.cdf(a), coding[1] - coding[0]
    mean = coding[0] + gap * p
    slope = 2 * mean + torch.tensor([0.7, -0.2], dtype=torch.float64)
    for uniforms in UNIFORMS:
        x = coding[0] + gap * (torch.tensor(uniforms, dtype=torch.float64) < p)
        _, score = parts(law, uniforms)
        rest = ((x - mean) ** 2).sum()  # what a Taylor expansion of first order leaves of a square
        expected = score * rest + slope * gap * law.density(a)
        assert torch.allclose(draw(problem, el.MuProp(), uniforms), expected, rtol=1e-12)


@every_law
def test_muprop_does_not_vary_where_the_objective_is_linear(law):
    problem = one_layer(law, lambda output, target: 3 * output[:, 0] - 2 * output[:, 1])
    measured = el.quadrature_moments(problem, el.MuProp())
    assert relative_bias(measured) < ROUNDING
    assert float(measured.variance[NAME].max()) < ROUNDING
    assert float(el.quadrature_moments(problem, el.Reinforce()).variance[NAME].min()) > 0.01


@pytest.mark.parametrize("coding", networks.CODINGS)
@every_law
def test_muprop_is_unbiased_in_all_layers(law, coding):
    problem = networks.classification((2, 2, 2), batch=2, units=el.BinaryUnits(law, *coding), scale=0.6)
    measured, plain = (el.quadrature_moments(problem, e) for e in (el.MuProp(), el.Reinforce()))
    assert relative_bias(measured) < 1e-10
    assert measured.statistics()["1"]["variance"][0] < plain.statistics()["1"]["variance"][0]


def test_muprop_is_unbiased_whatever_the_slopes_are(monkeypatch):
    """The correction, and not the quality of the mean-field pass, is what makes it unbiased."""
    true = estimlab.estimators.muprop.mean_field

    def wrong(problem):
        value, means, slopes = true(problem)
        return value + 0.3, [mean + 0.2 for mean in means], [-0.7 * slope for slope in slopes]

    problem = networks.classification((2, 2, 2), batch=2)
    right = el.quadrature_moments(problem, el.MuProp())
    monkeypatch.setattr(estimlab.estimators.muprop, "mean_field", wrong)
    changed = el.quadrature_moments(problem, el.MuProp())
    assert relative_bias(changed) < 1e-10
    assert not networks.blocks_close(changed.variance, right.variance, 1e-3)


# ---- sites that all examples share: weights


class Weights(el.StochasticNetwork):
    """Two weights of +-1 that all examples share, then (or not) a unit of each example."""

    def __init__(self, units):
        super().__init__()
        self.weight, self.head, self.units = nn.Parameter(torch.zeros(1, 2)), nn.Linear(1, 3), units

    def sites(self, inputs):
        weights = el.Site((1, 2), el.BinaryUnits(), shared=True)
        return (weights, el.Site((1,), el.BinaryUnits(el.Gaussian(), 0.0, 1.0)))[: 1 + self.units]

    def initial(self, inputs):
        return inputs

    def preactivation(self, k, carry):
        return (self.weight if k == 0 else carry), carry

    def advance(self, k, carry, state):
        return carry @ state.T if k == 0 else state

    def output(self, carry):
        return self.head(carry)


SHARING = [
    el.Reinforce(),
    el.ReinforceLOO(),
    el.MuProp(),
    el.DisARM(pairs=2),
    el.ARMS(samples=3),
    el.LocalExpectation(),
]
SHARING += [el.ARM("common"), el.LocalExpectation("independent"), el.REBAR(coupling="common")]


@pytest.mark.parametrize("units", [False, True])
@pytest.mark.parametrize("estimator", SHARING, ids=repr)
def test_shared_sites_are_unbiased_too(estimator, units):
    if units and isinstance(estimator, el.REBAR):
        pytest.skip("too many joint nodes")
    network = networks.fill(Weights(units), 3, 0.7)
    problem = el.Problem(network, el.CrossEntropy(), networks.normal(4, 2, 2), torch.tensor([0, 2]))
    truth = el.PathEnumeration().gradient(problem)
    found = all_moments(problem, estimator)
    assert networks.blocks_close(found, truth.value, 1e-10)
    assert float(truth.value["weight"].abs().max()) > 0.01


class Membranes(el.StochasticNetwork):
    """Two steps of two spiking units: the carry is a dict, and what a state changes stays for all later steps."""

    def __init__(self):
        super().__init__()
        self.synapses, self.head = nn.Linear(2, 2), nn.Linear(2, 3)

    def sites(self, inputs):
        return (el.Site((2,), el.BinaryUnits(el.Gaussian(), 0.0, 1.0)),) * 2

    def initial(self, inputs):
        return {"inputs": inputs, "membrane": torch.zeros_like(inputs), "spikes": torch.zeros_like(inputs)}

    def preactivation(self, k, carry):
        membrane = 0.9 * carry["membrane"] + self.synapses(carry["inputs"] + carry["spikes"])
        return membrane, {**carry, "membrane": membrane}

    def advance(self, k, carry, state):
        return {**carry, "membrane": carry["membrane"] - state, "spikes": carry["spikes"] + state}

    def output(self, carry):
        return self.head(carry["spikes"] + carry["membrane"])


@pytest.mark.parametrize("estimator", [e for e in SHARING if not isinstance(e, el.REBAR)], ids=repr)
def test_networks_with_a_memory_are_unbiased_too(estimator):
    network = networks.fill(Membranes(), 5, 0.7)
    problem = el.Problem(network, el.CrossEntropy(), networks.normal(6, 1, 2), torch.tensor([2]))
    truth = el.PathEnumeration().gradient(problem)
    assert relative_bias(el.quadrature_moments(problem, estimator, truth)) < 1e-10
