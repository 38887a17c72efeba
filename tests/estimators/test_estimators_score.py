"""Leave-one-out, MuProp, REBAR, RELAX and averages: formulas, unbiasedness, and what they have in common."""

import itertools
import math

import networks
import pytest
import scipy.stats
import torch
from torch import nn

import estimlab as el
import estimlab.estimators.muprop
from estimlab.errors import EstimlabError
from estimlab.estimators.average import CLAIMS
from estimlab.estimators.rebar import conditional, free
from estimlab.estimators.rollout import rollout
from estimlab.measurement.draws import gradients, record
from estimlab.randomness import QuadratureGrid, RandomStream, TableNoise

LAWS = [law(1.7) for law in networks.LAWS]
SMOOTH = [law(1.3) for law in networks.SMOOTH_LAWS]
every_law = pytest.mark.parametrize("law", LAWS, ids=repr)
VALUES = (0.6, -0.9)
NAME = "stages.0.logits"
ROUNDING = 1e-12  # sums of up to some thousand terms in float64
UNIFORMS = list(itertools.product((0.05, 0.4, 0.7, 0.95), repeat=2))


def objective(output, target):
    """Values that are multiples of 1/8 on 0/1 states, so that adding a constant rounds nothing."""
    return output @ output.new_tensor([0.5, -1.25]) + 0.375 * output[:, 0] * output[:, 1]


def one_layer(law=None, f=objective, values=VALUES, coding=(0.0, 1.0)):
    return el.Problem(networks.logits(values, law or el.Logistic(), *coding), f)


def draw(problem, estimator, *uniforms):
    """One draw of a single layer; a row of uniforms per channel."""
    tables = {(0, channel): torch.tensor([row], dtype=torch.float64) for channel, row in enumerate(uniforms)}
    return networks.draw_of(problem, estimator, TableNoise(tables))[NAME]


def parts(law, uniforms):
    """Value and score of the states that the uniforms decide."""
    a = torch.tensor(VALUES, dtype=torch.float64)
    p = law.cdf(a)
    bits = torch.tensor(uniforms, dtype=torch.float64) < p
    score = torch.where(bits, law.density(a) / p, -law.density(a) / (1 - p))
    return float(objective(bits.double()[None], None)), score


def relative_bias(measured):
    return max(float(b.norm() / measured.reference[name].norm()) for name, b in measured.bias.items())


def all_moments(problem, estimator):
    """Mean over all joint nodes of the noise of all examples at once, as shared sites need."""
    grid = QuadratureGrid(record(problem, estimator))
    draws, weights = gradients(problem, estimator, grid.noise, grid.digits(0, grid.size))
    return {name: torch.tensordot(weights, block, 1) for name, block in draws.items()}


# ---- leave-one-out


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
    assert el.REBAR.bounded_variance is False


FAMILY, POWER, DRAWS = 1e-3, 0.999, 1 << 18
SAMPLED = [(el.REBAR(), LAWS[0]), (el.REBAR(0.3), el.Uniform(4.0)), (el.RELAX(), LAWS[1]), (el.RELAX(), LAWS[3])]


def centred(output, target):
    """A quadratic with a mean near zero: REINFORCE has little variance, and the gate has power."""
    return 2 * (output - 0.5).sum(1) + 0.3 * (output**2).sum(1)


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


# ---- the mean of several draws

BASES = [el.StraightThrough(), el.Reinforce("exact_mean"), el.ARM(), el.DisARM("common"), el.MuProp()]


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
        for claim in CLAIMS:
            assert getattr(average, claim) == getattr(base, claim)
        assert average.cost(2).forward == 3 * base.cost(2).forward
    assert el.Average.exact_degree == el.Average().exact_degree


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


# ---- fields out of range

REFUSED = {
    "samples": (lambda: el.ReinforceLOO(1), r"ReinforceLOO\(samples=1\).*>= 2"),
    "draws": (lambda: el.Average(el.ZGR(), 0), r"Average\(draws=0\).*>= 1"),
    "temperature": (lambda: el.REBAR(0.0), r"REBAR\(temperature=0\.0\).*positive"),
    "eta": (lambda: el.RELAX(eta=math.inf), r"RELAX\(eta=inf\).*finite"),
    "hidden": (lambda: el.RELAX(hidden=((1.0, math.nan, 0.0),)), r"triples.*finite"),
}
TYPED = {
    "samples": (lambda: el.ReinforceLOO(2.5), "samples"),
    "estimator": (lambda: el.Average("zgr"), "estimator"),
    "coupling": (lambda: el.REBAR(coupling="tied"), "'independent'.*'common'"),
    "hidden": (lambda: el.RELAX(hidden=((1.0, 2.0),)), "hidden"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_fields_out_of_range_are_refused(case):
    build, message = REFUSED[case]
    with pytest.raises(EstimlabError, match=message):
        build()


@pytest.mark.parametrize("case", TYPED)
def test_fields_of_another_type_are_refused(case):
    """Under the test run the annotation is executed too, and may be the first to object."""
    build, message = TYPED[case]
    with pytest.raises((EstimlabError, TypeError), match=message):
        build()
