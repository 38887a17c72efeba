"""A reference is accepted by its own problem alone: in any precision, as a copy, and not once anything has changed."""

import functools
import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import networks
import pytest
import torch
from torch import nn

import estimlab as el
from estimlab.errors import EstimlabError
from estimlab.model.fingerprint import Fingerprint, identity

TYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
ENTRIES = {
    "measure": lambda problem, truth: el.measure(problem, el.ZGR(), truth, draws=512),
    "measure_many": lambda problem, truth: el.measure_many(problem, [el.ZGR()], truth, 512),
    "exact_moments": lambda problem, truth: el.exact_moments(problem, el.ZGR(), truth),
    "quadrature_moments": lambda problem, truth: el.quadrature_moments(problem, el.ZGR(), truth),
}


def problem(dtype=torch.float64, **changes):
    given = {"network": networks.mlp((2, 2), 3, dtype=dtype), "objective": el.CrossEntropy()}
    given |= {"inputs": networks.normal(1, 3, 2).to(dtype), "targets": torch.arange(3)}
    return el.Problem(**(given | changes))


def truth(of):
    return el.LayerwiseEnumeration().gradient(of)


@pytest.mark.parametrize("dtype", TYPES[:2], ids=str)
@pytest.mark.parametrize("other", TYPES, ids=str)
def test_a_reference_belongs_to_its_problem_in_any_precision(dtype, other):
    made = problem(dtype)
    found = truth(made)
    moved = made.to(other)
    for same in (moved, moved.copy(), moved.with_expected(found.expected), problem(dtype).to(other)):
        found.check_problem(same)
        pickle.loads(pickle.dumps(found)).check_problem(same)


@pytest.mark.parametrize(
    "reference", [el.LayerwiseEnumeration(), el.PathEnumeration(), el.MonteCarloReference(draws=64)]
)
def test_every_reference_carries_a_fingerprint(reference):
    for dtype in TYPES[:2]:
        made = problem(dtype)
        found = reference.gradient(made)
        assert found.fingerprint == Fingerprint.of(made)
        found.check_problem(made)


def trained(dtype=torch.float64, step=1e-6):
    made = problem(dtype)
    with torch.no_grad():
        made.network.head.bias += step
    return made


def with_units(units):
    network = networks.mlp((2, 2), 3, units=units)
    return problem(network=network)


CHANGED = {
    "parameters (head.bias)": trained,
    "inputs": lambda: problem(inputs=networks.normal(2, 3, 2)),
    "targets": lambda: problem(targets=torch.tensor([0, 1, 1])),
    "objective": lambda: problem(objective=networks.sines, targets=torch.arange(3)),
    "network": lambda: with_units(el.BinaryUnits(el.Gaussian())),
    "inputs and targets": lambda: problem().example(0),
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("what", CHANGED)
def test_a_reference_of_another_problem_is_refused_and_told_apart(entry, what):
    with pytest.raises(EstimlabError, match=f"other {what.replace('(', '.').replace(')', '.')}.*Compute it again"):
        ENTRIES[entry](CHANGED[what](), truth(problem()))


@pytest.mark.parametrize("entry", ["measure", "exact_moments", "quadrature_moments"])
def test_references_of_the_problem_and_references_made_by_hand_are_accepted(entry):
    found = truth(problem())
    ENTRIES[entry](problem(), found)
    ENTRIES[entry](trained(), replace(found, fingerprint=None))


@pytest.mark.parametrize("dtype", TYPES[:2], ids=str)
def test_one_step_of_training_is_seen(dtype):
    made = problem(dtype)
    found = truth(made)
    for parameter in made.network.parameters():
        parameter.grad = torch.ones_like(parameter)
    torch.optim.SGD(made.network.parameters(), lr=1e-3).step()
    with pytest.raises(EstimlabError, match="other parameters"):
        found.check_problem(made)


def test_running_statistics_are_part_of_the_network_and_counters_are_not():
    stage = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    made = problem(network=networks.fill(el.Chain([stage], nn.Linear(2, 3)), 0))
    found = truth(made)
    stage[1].num_batches_tracked += 1
    found.check_problem(made)
    stage[1].running_mean += 1
    with pytest.raises(EstimlabError, match=r"network \(buffers stages\.0\.1\.running_mean\)"):
        found.check_problem(made)


def test_an_example_of_a_problem_of_one_is_the_problem():
    one = problem().example(1)
    truth(one).check_problem(problem().example(1))
    truth(one).check_problem(one.example(0).copy())
    with pytest.raises(EstimlabError, match="inputs and targets"):
        truth(one).check_problem(problem().example(2))


def scaled(factor):
    return lambda output, target: factor * output.sum(1)


@dataclass(frozen=True)
class Scaled:
    factor: float

    def __call__(self, output, target):
        return self.factor * output.sum(1)


class Module(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor, self.weight = factor, torch.ones(3)

    def forward(self, output, target):
        return self.factor * (output * self.weight).sum(1)


def weighted(output, target, factor=1.0):
    return factor * output.sum(1)


FACTOR = 1.0


def reads_a_global(output, target):
    return FACTOR * output.sum(1)


OBJECTIVES = {
    "closure": scaled,
    "tensor by closure": lambda factor: scaled(torch.full((1,), factor)),
    "dataclass": Scaled,
    "module": Module,
    "partial": lambda factor: functools.partial(weighted, factor=factor),
    "method": lambda factor: Scaled(factor).__call__,
    "polynomial": lambda factor: el.Polynomial(factor),
}


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_objectives_are_told_apart_by_what_they_hold(kind):
    make = OBJECTIVES[kind]
    assert identity(make(2.0)) == identity(make(2.0)) != identity(make(3.0))


def test_other_code_and_other_numbers_of_the_module_are_other_objectives(monkeypatch):
    one, same, other = (lambda o, t: o.sum(1)), (lambda o, t: o.sum(1)), (lambda o, t: o.mean(1))
    assert identity(one) == identity(same) != identity(other)
    before = identity(reads_a_global)
    monkeypatch.setitem(globals(), "FACTOR", 2.0)
    assert identity(reads_a_global) != before


def test_a_class_may_move_to_another_module(monkeypatch):
    before = identity(Scaled(2.0))
    monkeypatch.setattr(Scaled, "__module__", "elsewhere")
    assert identity(Scaled(2.0)) == before
    text = repr(Fingerprint.of(problem()))
    assert "estimlab." not in text
    assert str(Path(__file__).parent) not in text


class Counter:
    """Counts its calls: what it returns does not depend on them."""

    def __init__(self):
        self.calls = 0

    def __call__(self, output, target):
        self.calls += 1
        return output.sum(1)


def test_an_objective_that_counts_its_calls_is_not_compared():
    made = problem(objective=Counter())
    found = truth(made)
    assert found.fingerprint.objective is None
    el.exact_moments(made, el.ZGR(), found)
    el.exact_moments(made, el.StraightThrough(), found)


@pytest.mark.parametrize("name", ["toy-late/v1", "conv-late/v1", "multilinear/v1"])
def test_the_frozen_suite_stamps_its_references(name):
    stored = el.problems.truth(name)
    loaded = el.problems.load(name)
    stored.check_problem(loaded)
    stored.check_problem(loaded.to(torch.float32))
    with torch.no_grad():
        next(loaded.network.parameters()).mul_(1.001)
    with pytest.raises(EstimlabError, match="other parameters"):
        stored.check_problem(loaded)
