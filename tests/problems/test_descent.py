"""Descent along the exact gradient."""

import pytest
import torch
from torch import nn

import estimlab as el
from estimlab.problems import exact_descent


def test_objectives_are_those_of_the_reference():
    problem = el.problems.load("quadratic/v1")
    before = el.problems.truth("quadratic/v1")
    start = problem.network.stages[0].logits.detach().clone()
    objectives = exact_descent(problem, steps=5, learning_rate=0.1)
    assert len(objectives) == 6
    assert objectives[0] == pytest.approx(before.objective, abs=1e-12)
    assert objectives[-1] == el.LayerwiseEnumeration().gradient(problem).objective
    assert objectives[-1] < objectives[0]
    assert not torch.equal(problem.network.stages[0].logits, start)


def test_first_step_of_adam_has_the_sign_of_the_gradient():
    problem = el.problems.load("quadratic/v1")
    start = problem.network.stages[0].logits.detach().clone()
    exact_descent(problem, steps=1, learning_rate=0.1)
    step = problem.network.stages[0].logits.detach() - start
    expected = -0.1 * el.problems.truth("quadratic/v1").value["stages.0.logits"].sign()
    torch.testing.assert_close(step, expected, rtol=1e-6, atol=0)


def test_it_is_deterministic_and_leaves_no_gradient():
    runs = []
    for _ in range(2):
        problem = el.problems.load("conv-late/v1")
        state = torch.get_rng_state()
        runs.append(exact_descent(problem, steps=3, learning_rate=0.01))
        assert torch.equal(torch.get_rng_state(), state)
        assert all(p.grad is None for p in problem.network.parameters())
    assert runs[0] == runs[1]


def test_frozen_parameters_stay():
    problem = el.problems.load("toy-init/v1")
    problem.network.head.requires_grad_(False)
    weight = problem.network.head.weight.clone()
    exact_descent(problem, steps=2, learning_rate=0.1)
    assert torch.equal(problem.network.head.weight, weight)


def test_any_reference_will_do():
    layers, paths = el.problems.load("polynomial/v1"), el.problems.load("polynomial/v1")
    by_layers = exact_descent(layers, steps=3, learning_rate=0.1)
    by_paths = exact_descent(paths, steps=3, learning_rate=0.1, reference=el.PathEnumeration())
    assert by_layers == pytest.approx(by_paths, abs=1e-10)


def test_no_steps_leave_the_network_as_it_is():
    problem = el.problems.load("polynomial/v1")
    assert len(exact_descent(problem, steps=0, learning_rate=0.1)) == 1


@pytest.mark.parametrize(
    ("steps", "rate", "message"), [(-1, 0.1, "0 or more"), (1, 0.0, "positive"), (1, float("nan"), "positive")]
)
def test_arguments_out_of_range_are_refused(steps, rate, message):
    with pytest.raises(el.EstimlabError, match=message):
        exact_descent(el.problems.load("polynomial/v1"), steps=steps, learning_rate=rate)


def test_single_precision_is_refused():
    network = el.Chain([nn.Linear(2, 3)], nn.Linear(3, 1))
    problem = el.Problem(network, el.LogisticLoss(), torch.zeros(1, 2), torch.ones(1))
    with pytest.raises(el.EstimlabError, match="float64"):
        exact_descent(problem, steps=1, learning_rate=0.1)
