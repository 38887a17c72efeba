"""Both enumerations against fourth-order central differences of the expected objective."""

import networks
import pytest
import torch
from torch import nn

import estimlab as el

STEP = 1e-3  # truncation step^4 f'''''/30 ~ 1e-13, rounding 1e-16 / step ~ 1e-13
REFERENCES = (el.LayerwiseEnumeration(), el.PathEnumeration())


def linear(law, coding=(-1.0, 1.0), outputs=3, objective=None, targets=(0, 2, 2)):
    network = networks.mlp((2, 3, 2), outputs, seed=3, units=el.BinaryUnits(law, *coding), scale=0.6)
    targets = None if targets is None else torch.tensor(targets)
    return el.Problem(network, objective or el.CrossEntropy(), networks.normal(4, 3, 2), targets)


def convolution(law):
    stages = [networks.Convolution(3, 1), nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2))]
    network = networks.fill(el.Chain(stages, nn.Linear(2, 1), el.BinaryUnits(law, 0, 1)), 5, scale=0.7)
    return el.Problem(network, el.LogisticLoss(), networks.normal(6, 2, 3), torch.tensor([1, -1]))


def logits(law):
    stages = [el.Logits(torch.tensor([0.3, -0.8], dtype=torch.float64)), nn.Linear(2, 3)]
    return el.Problem(networks.fill(el.Chain(stages, units=el.BinaryUnits(law, 0, 1)), 7, scale=0.5), networks.sines)


PROBLEMS = {
    "linear-logistic": linear(el.Logistic(0.7)),
    "linear-gaussian": linear(el.Gaussian(1.3), (0.0, 1.0), None, networks.sines, None),
    "quadratic-gaussian": linear(el.Gaussian(), (-0.5, 2.0), 2, el.Quadratic(), None),
    "convolution-logistic": convolution(el.Logistic(0.5)),
    "logits-gaussian": logits(el.Gaussian(0.8)),
    "linear-uniform": linear(el.Uniform(2.0)),
    "linear-triangular": linear(el.Triangular(3.0), (0.0, 1.0)),
    "convolution-triangular": convolution(el.Triangular(2.0)),
    "logits-uniform": logits(el.Uniform(1.5)),
}


def shifted_objective(reference, problem, name, index, shift):
    moved = problem.copy()
    with torch.no_grad():
        moved.network.get_parameter(name).view(-1)[index] += shift
    return reference.gradient(moved).objective


def difference(reference, problem, name, index):
    f = [shifted_objective(reference, problem, name, index, step * STEP) for step in (-2, -1, 1, 2)]
    return (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * STEP)


def distance_to_kinks(problem):
    """Smallest distance of any pre-activation, on any state, to a point where the law's density is not smooth."""
    nearest, inputs = [], problem.inputs
    for stage, site in zip(problem.network.stages, problem.sites, strict=True):
        a, scale = stage(inputs).detach().flatten(), site.units.law.scale
        kinks = {el.Uniform: (-scale, scale), el.Triangular: (-scale, 0.0, scale)}.get(type(site.units.law), ())
        nearest += [float((a - kink).abs().min()) for kink in kinks]
        values = torch.tensor([site.units.low, site.units.high], dtype=a.dtype)
        inputs = torch.cartesian_prod(*[values] * site.size).reshape(-1, *site.shape)
    return min(nearest, default=float("inf"))


@pytest.mark.slow
@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("reference", REFERENCES, ids=lambda r: type(r).__name__)
def test_gradient_is_the_derivative_of_the_expected_objective(reference, name):
    problem = PROBLEMS[name]
    assert distance_to_kinks(problem) > 10 * STEP
    gradient = reference.gradient(problem)
    for block, value in gradient.value.items():
        numeric = [difference(reference, problem, block, i) for i in range(value.numel())]
        assert networks.close(value.flatten(), torch.tensor(numeric, dtype=torch.float64), 1e-8), block
    assert gradient.norm() > 1e-2


def test_the_mean_over_examples_is_what_is_differentiated():
    problem = PROBLEMS["linear-logistic"]
    each = [el.PathEnumeration().gradient(problem.example(i)) for i in range(problem.batch)]
    whole = el.LayerwiseEnumeration().gradient(problem)
    mean = {name: torch.stack([g.value[name] for g in each]).mean(0) for name in whole.value}
    assert networks.blocks_close(whole.value, mean)
    assert networks.close(whole.expected, torch.tensor([g.objective for g in each], dtype=torch.float64))
    assert whole.objective == pytest.approx(float(whole.expected.mean()), rel=1e-15)


def test_the_expected_objective_of_one_unit_by_hand():
    network = networks.logits([0.7])
    problem = el.Problem(network, el.Quadratic(linear=(2.0,)))
    gradient = el.LayerwiseEnumeration().gradient(problem)
    p = torch.sigmoid(torch.tensor(0.7, dtype=torch.float64))
    assert gradient.objective == pytest.approx(3 * float(p), rel=1e-15)
    assert float(gradient.value["stages.0.logits"]) == pytest.approx(3 * float(p * (1 - p)), rel=1e-15)
