"""What must not change the true gradient, or changes it in a known way."""

import dataclasses

import networks
import pytest
import torch
from torch import nn

import estimlab as el

LAYERS, PATHS = el.LayerwiseEnumeration(), el.PathEnumeration()
LAWS = [law(scale) for law, scale in zip(networks.LAWS, (0.8, 1.2, 2.5, 3.0), strict=True)]


def problem_of(law, coding=(-1.0, 1.0), seed=0, shift=0.0):
    problem = networks.classification((2, 3, 2), seed=seed, units=el.BinaryUnits(law, *coding), scale=0.7)
    objective = shifted(problem.objective, shift)
    return dataclasses.replace(problem, objective=objective)


def shifted(objective, constant):
    return lambda output, target: objective(output, target) + constant


def changed(problem, change):
    """A copy of the problem whose network went through ``change``."""
    copy = problem.copy()
    with torch.no_grad():
        change(copy.network)
    return copy


def negate_stage(stage, rows):
    stage.weight[rows] *= -1
    stage.bias[rows] *= -1


def mirror_inputs(linear, columns, low_plus_high):
    """Read ``low + high - x`` in place of x."""
    linear.bias += linear.weight[:, columns].sum(1) * low_plus_high
    linear.weight[:, columns] *= -1


@pytest.mark.parametrize("coding", networks.CODINGS)
@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_mirroring_units_negates_their_gradient(law, coding):
    problem, rows, total = problem_of(law, coding), [0, 2], sum(coding)

    def mirror(network):
        negate_stage(network.stages[0], rows)
        mirror_inputs(network.stages[1], rows, total)

    before, after = LAYERS.gradient(problem), LAYERS.gradient(changed(problem, mirror))
    assert after.objective == pytest.approx(before.objective, rel=1e-13)
    expected = {name: value.clone() for name, value in before.value.items()}
    for name in ("stages.0.weight", "stages.0.bias"):
        expected[name][rows] *= -1
    # a = W (low + high - x) + b: the weight's gradient holds the bias's
    expected["stages.1.weight"][:, rows] = (
        total * before.value["stages.1.bias"][:, None] - expected["stages.1.weight"][:, rows]
    )
    assert networks.blocks_close(after.value, expected, 1e-13)
    assert before.value["stages.0.weight"][rows].abs().min() > 1e-5


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_permuting_units_permutes_the_gradient(law):
    problem, order = problem_of(law), [2, 0, 1]

    def permute(network):
        network.stages[0].weight.copy_(network.stages[0].weight[order])
        network.stages[0].bias.copy_(network.stages[0].bias[order])
        network.stages[1].weight.copy_(network.stages[1].weight[:, order])

    before, after = LAYERS.gradient(problem).value, LAYERS.gradient(changed(problem, permute)).value
    expected = dict(before)
    for name in ("stages.0.weight", "stages.0.bias"):
        expected[name] = before[name][order]
    expected["stages.1.weight"] = before["stages.1.weight"][:, order]
    assert networks.blocks_close(after, expected, 1e-13)
    assert not networks.close(before["stages.0.weight"], expected["stages.0.weight"], 1e-6)


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_both_codings_of_a_network_have_the_same_objective_and_gradient(law):
    signs = problem_of(law, (-1.0, 1.0))
    bits = problem_of(law, (0.0, 1.0))
    with torch.no_grad():  # x = 2 b - 1: the weight doubles, the bias gives up the row sum
        for part in (bits.network.stages[1], bits.network.head):
            part.bias -= part.weight.sum(1)
            part.weight *= 2
    one, other = LAYERS.gradient(signs), LAYERS.gradient(bits)
    assert other.objective == pytest.approx(one.objective, rel=1e-13)
    expected = dict(other.value)
    for name in ("stages.1", "head"):
        expected[f"{name}.weight"] = 2 * other.value[f"{name}.weight"] - other.value[f"{name}.bias"][:, None]
    assert networks.blocks_close(one.value, expected, 1e-13)


@pytest.mark.parametrize("reference", [LAYERS, PATHS], ids=lambda r: type(r).__name__)
@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_a_constant_changes_the_objective_and_not_the_gradient(law, reference):
    plain, shifted = (reference.gradient(problem_of(law, shift=shift)) for shift in (0.0, 64.0))
    assert shifted.objective - plain.objective == pytest.approx(64, abs=1e-12)
    # values of 64 leave 1e-14 of rounding in differences of values
    assert networks.blocks_close(shifted.value, plain.value, 64 * 1e-14)


@pytest.mark.parametrize("reference", [LAYERS, PATHS], ids=lambda r: type(r).__name__)
@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_examples_add(law, reference):
    problem = problem_of(law)
    parts = [reference.gradient(problem.example(i)) for i in range(problem.batch)]
    whole = reference.gradient(problem)
    mean = {name: torch.stack([part.value[name] for part in parts]).mean(0) for name in whole.value}
    assert networks.blocks_close(whole.value, mean, 1e-13)
    assert not networks.close(parts[0].value["head.weight"], parts[1].value["head.weight"], 1e-6)


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_saturated_units_equal_paths_and_are_not_nan(law):
    extreme = el.Logits(torch.tensor([800.0, -800.0, 0.2], dtype=torch.float64))
    network = networks.fill(el.Chain([extreme, nn.Linear(3, 2)], nn.Linear(2, 1), el.BinaryUnits(law)), 2)
    with torch.no_grad():
        extreme.logits.copy_(torch.tensor([800.0, -800.0, 0.2]))
        network.stages[1].bias[0] = 800.0
    problem = el.Problem(network, el.Quadratic())
    layers, paths = LAYERS.gradient(problem), PATHS.gradient(problem)
    assert networks.blocks_close(layers.value, paths.value)
    assert float(layers.value["stages.0.logits"][:2].abs().max()) == 0
    assert float(layers.value["stages.0.logits"][2].abs()) > 1e-3


def test_rare_states_keep_their_relative_accuracy():
    """P(low) = 4e-18 is lost in 1 - P(high); the gradient of a unit at +40 is that of the mirrored unit at -40."""
    rare = [el.Problem(networks.logits([a]), networks.sines) for a in (40.0, -40.0)]
    high, low = (LAYERS.gradient(problem).value["stages.0.logits"] for problem in rare)
    assert torch.allclose(high, low, rtol=1e-13, atol=0)
    assert 0 < float(high.abs()) < 1e-16


def test_small_blocks_of_rows_give_the_same_gradient():
    problem = networks.classification((2, 4, 5, 3), batch=7, units=el.BinaryUnits(el.Gaussian()), scale=0.5)
    small = el.LayerwiseEnumeration(block_rows=3).gradient(problem)
    paths = el.PathEnumeration(block_paths=100).gradient(problem)
    whole = LAYERS.gradient(problem)
    assert networks.blocks_close(small.value, whole.value, 1e-13)
    assert networks.blocks_close(paths.value, whole.value)


def test_stages_that_share_a_weight_equal_paths():
    stage = nn.Linear(2, 2)
    network = networks.fill(el.Chain([stage, stage], nn.Linear(2, 1)), 3)
    problem = el.Problem(network, el.Quadratic(), networks.normal(1, 3, 2))
    layers, paths = LAYERS.gradient(problem), PATHS.gradient(problem)
    assert list(layers.value) == ["stages.0.weight", "stages.0.bias", "head.weight", "head.bias"]
    assert networks.blocks_close(layers.value, paths.value)


def test_frozen_parameters_have_the_same_gradient():
    """``requires_grad`` is a choice of training; the true gradient by a parameter exists either way."""
    problem = problem_of(el.Logistic())
    truth = LAYERS.gradient(problem).value
    problem.network.stages[0].requires_grad_(False)
    for reference in (LAYERS, PATHS):
        assert networks.blocks_close(reference.gradient(problem).value, truth)


def test_the_problem_is_left_alone():
    problem = networks.classification().to(dtype=torch.float32)
    before = networks.flat(dict(problem.network.named_parameters())).clone()
    for reference in (LAYERS, PATHS):
        gradient = reference.gradient(problem)
        assert {value.dtype for value in gradient.value.values()} == {torch.float64}
    assert torch.equal(networks.flat(dict(problem.network.named_parameters())), before)
    assert all(parameter.grad is None for parameter in problem.network.parameters())
