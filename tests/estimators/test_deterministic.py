"""Mean field, moment propagation and local reparametrisation: published numbers, formulas, limits, refusals."""

import math

import networks
import numpy as np
import pytest
import torch
from torch import nn

import estimlab as el
from estimlab.errors import EstimlabError
from estimlab.randomness.noise import TableNoise, TorchNoise

LAWS = [law(1.7) for law in networks.LAWS]
MOMENTS = [el.MomentPropagation(), el.LocalReparametrization()]
ROUNDING = 1e-13  # a few matrix products in float64


def draw(problem, estimator, seed=0):
    """One draw; of a deterministic estimator it is the mean."""
    return networks.draw_of(problem, estimator, TorchNoise(torch.Generator().manual_seed(seed)))


def value(problem, estimator, uniform=0.5):
    """Values per example with every uniform alike."""
    shapes = [(problem.batch, *site.shape) for site in problem.sites]
    tables = {(k, 0): torch.full(shape, uniform, dtype=torch.float64) for k, shape in enumerate(shapes)}
    return estimator.surrogate(problem, TableNoise(tables)).detach()


# ---- the published toy: relative bias of layers 0, 1, 2 (and the head)


PUBLISHED = {1: (0.324, 0.471, 1.012, 0.815), 100: (0.248, 0.415, 0.485)}


@pytest.mark.parametrize("epoch", PUBLISHED)
def test_the_bias_of_mean_field_on_the_published_toy(epoch):
    problem = networks.published_toy(epoch)
    truth = el.LayerwiseEnumeration().gradient(problem).value
    found = draw(problem, el.MeanField())
    for blocks, number in zip(problem.network.layers().values(), PUBLISHED[epoch], strict=False):
        flat = [torch.cat([gradient[block].flatten() for block in blocks]) for gradient in (found, truth)]
        relative = float((flat[0] - flat[1]).norm() / flat[1].norm())
        assert abs(relative - number) <= 0.0005  # half a unit of the last printed digit


# ---- mean field


def test_mean_field_is_a_network_of_sigmoids_or_tanhs():
    inputs = networks.normal(3, 4, 2)
    for units, activation in (
        (el.BinaryUnits(el.Logistic(), 0, 1), torch.sigmoid),
        (el.BinaryUnits(el.Logistic(0.5)), torch.tanh),
    ):
        network = networks.mlp((2, 3, 3), 1, seed=2, units=units)
        problem = el.Problem(network, el.Quadratic(), inputs)
        state = inputs
        for stage in network.stages:
            state = activation(stage(state))
        expected = (network.head(state) ** 2).sum(1)
        assert torch.allclose(value(problem, el.MeanField()), expected, rtol=ROUNDING)
        gradient = torch.autograd.grad(expected.mean(), list(network.parameters()))
        found = draw(problem, el.MeanField())
        assert all(networks.close(g, f, ROUNDING) for g, f in zip(gradient, found.values(), strict=True))


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_mean_field_as_an_activation_gives_the_mean_state(law):
    activation = el.BinaryActivation(el.MeanField(), el.BinaryUnits(law, -0.5, 2.0))
    a = networks.normal(1, 3, 4)
    assert torch.equal(activation(a), activation.expected(a))


@pytest.mark.parametrize("estimator", [el.MeanField(), *MOMENTS], ids=repr)
def test_one_layer_is_exact_for_affine_heads_of_the_state_and_not_for_squares(estimator):
    network = networks.mlp((2, 3), 2, seed=4)
    for objective, exact in ((lambda output, target: output[:, 0] - 2 * output[:, 1], True), (el.Quadratic(), False)):
        problem = el.Problem(network, objective, networks.normal(5, 3, 2))
        truth = el.LayerwiseEnumeration().gradient(problem).value
        assert networks.blocks_close(draw(problem, estimator), truth, 1e-12) == exact


@pytest.mark.parametrize("estimator", [el.MeanField(), el.MomentPropagation()], ids=repr)
def test_deterministic_estimators_do_not_depend_on_the_noise(estimator):
    problem = networks.classification()
    assert estimator.claims().deterministic
    pair = [draw(problem, estimator, seed) for seed in (0, 1)]
    assert all(torch.equal(pair[0][name], pair[1][name]) for name in pair[0])
    assert not el.LocalReparametrization().claims().deterministic
    assert not torch.equal(*(networks.flat(draw(problem, el.LocalReparametrization(), seed)) for seed in (0, 1)))


# ---- moments


def by_hand(network, inputs, argument):
    """Means and variances in 0/1 coding, in numpy; ``argument(mean, variance)`` of a layer gives the logit."""
    mean, variance = inputs.numpy(), np.zeros_like(inputs.numpy())
    for stage in network.stages:
        weight, bias = (p.detach().numpy() for p in (stage.weight, stage.bias))
        z = argument(mean @ weight.T + bias, variance @ (weight**2).T)
        mean = 1 / (1 + np.exp(-z))
        variance = mean * (1 - mean)
    return network.head(torch.from_numpy(mean)).detach()


def test_moment_propagation_is_the_matched_sigmoid():
    """``sigmoid(x pi / sqrt 3)`` of the pre-activation over its deviation, the logistic noise's pi^2/3 included."""
    network = networks.mlp((2, 4, 3, 3), 2, seed=6, units=el.BinaryUnits(el.Logistic(), 0, 1))
    inputs = networks.normal(7, 5, 2)
    problem = el.Problem(network, lambda output, target: output[:, 0] + 0.3 * output[:, 1] ** 3, inputs)
    output = by_hand(network, inputs, lambda m, v: math.pi / math.sqrt(3) * m / np.sqrt(v + math.pi**2 / 3))
    expected = output[:, 0] + 0.3 * output[:, 1] ** 3
    assert torch.allclose(value(problem, el.MomentPropagation()), expected, rtol=ROUNDING)
    assert not torch.allclose(value(problem, el.MeanField()), expected, rtol=1e-3)


def test_local_reparametrization_shifts_pre_activations_by_their_deviation():
    network = networks.mlp((2, 4, 3, 3), 2, seed=6, units=el.BinaryUnits(el.Logistic(), 0, 1))
    inputs = networks.normal(7, 5, 2)
    problem = el.Problem(network, lambda output, target: output[:, 0], inputs)
    output = by_hand(network, inputs, lambda m, v: m - 1.5 * np.sqrt(v))
    uniform = float(torch.special.ndtr(torch.tensor(-1.5, dtype=torch.float64)))
    assert torch.allclose(value(problem, el.LocalReparametrization(), uniform), output[:, 0], rtol=ROUNDING)
    assert torch.equal(value(problem, el.LocalReparametrization()), value(problem, el.MeanField()))


VARIANCES = {el.Logistic: math.pi**2 / 3, el.Gaussian: 1.0, el.Uniform: 1 / 3, el.Triangular: 1 / 6}


@pytest.mark.parametrize("law", VARIANCES)
def test_pre_activations_shrink_by_the_variance_of_the_noise(law):
    scaled, a = law(1.7), torch.tensor([0.8, -2.0], dtype=torch.float64)
    v = torch.tensor([0.0, 2.5], dtype=torch.float64)
    z = el.MomentPropagation().argument(a, v, a, scaled)
    assert torch.allclose(z, a / torch.sqrt(1 + v / (VARIANCES[law] * 1.7**2)), rtol=1e-13)


def test_both_agree_in_the_mean_for_gaussian_noise_and_an_affine_last_layer():
    """``E Phi((a + sqrt(v) eps) / s) = Phi(a / sqrt(s^2 + v))``: the draw averages to the propagated moment."""
    network = networks.mlp((2, 2, 1), 1, seed=8, units=el.BinaryUnits(el.Gaussian(0.7)))
    problem = el.Problem(network, lambda output, target: output[:, 0], networks.normal(9, 2, 2))
    drawn, propagated = (el.quadrature_moments(problem, e) for e in reversed(MOMENTS))
    assert networks.blocks_close(drawn.mean, propagated.mean, 1e-12)
    rounding = 16 * torch.finfo(torch.float64).eps * networks.flat(propagated.mean) ** 2
    assert bool((networks.flat(propagated.variance).abs() <= rounding).all())
    assert float(networks.flat(drawn.variance).max()) > 1e-6


@pytest.mark.parametrize("estimator", [el.MeanField(), *MOMENTS], ids=repr)
def test_the_coding_of_the_same_network_does_not_matter(estimator):
    """With 0/1 weights W, b the same network in another coding has W / gap and b - low W 1 / gap."""
    low, gap = -0.5, 2.5
    plain = networks.mlp((2, 3, 3), 2, seed=11, units=el.BinaryUnits(el.Gaussian(), 0, 1))
    other = networks.mlp((2, 3, 3), 2, seed=11, units=el.BinaryUnits(el.Gaussian(), low, low + gap))
    with torch.no_grad():
        for module in (other.stages[1], other.head):
            module.weight /= gap
            module.bias -= low * module.weight.sum(1)
    problems = [el.Problem(network, el.Quadratic(), networks.normal(12, 4, 2)) for network in (plain, other)]
    one, two = (draw(problem, estimator) for problem in problems)
    biases = [name for name in one if name.endswith("bias")]
    assert all(networks.close(one[name], two[name], ROUNDING) for name in biases)
    assert networks.close(one["stages.0.weight"], two["stages.0.weight"], ROUNDING)


@pytest.mark.parametrize("estimator", MOMENTS, ids=repr)
def test_units_that_are_certain_give_finite_gradients(estimator):
    network = networks.mlp((1, 2, 2), 1, units=el.BinaryUnits(el.Uniform(), 0, 1))
    with torch.no_grad():
        network.stages[0].bias.copy_(torch.tensor([50.0, -50.0]))
    problem = el.Problem(network, el.Quadratic(), networks.normal(0, 3, 1))
    assert bool(torch.isfinite(networks.flat(draw(problem, estimator))).all())


# ---- what they cannot serve


class Residual(el.StochasticNetwork):
    """Adds up its states."""

    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])

    def sites(self, inputs):
        return (el.Site((2,), el.BinaryUnits()),) * 2

    def initial(self, inputs):
        return inputs

    def preactivation(self, k, carry):
        return self.stages[k](carry), carry

    def advance(self, k, carry, state):
        return carry + state

    def output(self, carry):
        return carry


@pytest.mark.parametrize("estimator", [*MOMENTS, el.PSA()], ids=repr)
def test_networks_that_are_no_chains_of_linear_stages_are_refused(estimator):
    nonlinear = el.Chain([nn.Linear(2, 2), nn.Sequential(nn.Tanh(), nn.Linear(2, 2))])
    spatial = el.Chain([nn.Unflatten(1, (1, 2)), nn.Linear(2, 2)], nn.Flatten())
    spatial.scale = nn.Parameter(torch.ones(()))
    for network, message in (
        (Residual(), r"needs an el\.Chain.*Residual.*StraightThrough"),
        (nonlinear, r"stage 1 is a Sequential.*StraightThrough"),
        (spatial, r"units of shape \(1, 2\)"),
    ):
        problem = el.Problem(network.double(), networks.sines, networks.normal(0, 3, 2))
        with pytest.raises(EstimlabError, match=message):
            estimator.surrogate(problem, TorchNoise())


@pytest.mark.parametrize("estimator", [*MOMENTS, el.PSA()], ids=repr)
def test_the_first_stage_may_be_any_module(estimator):
    convolution = nn.Sequential(networks.Convolution(3, 1), nn.Flatten())
    network = networks.fill(el.Chain([convolution, nn.Linear(2, 2)], nn.Linear(2, 1)), 5)
    problem = el.Problem(network, el.Quadratic(), networks.normal(6, 3, 3))
    assert float(draw(problem, estimator)["stages.0.0.2.weight"].abs().max()) > 1e-3
