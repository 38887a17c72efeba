"""Every problem proves at construction that its parts are functions of one example; the probe leaves no trace."""

import contextlib
import copy
import pickle

import networks
import pytest
import torch
import zoo
from torch import nn

import estimlab as el
from estimlab.errors import EstimlabError, ImpureError, Impurity
from estimlab.model.watch import numpy_state

CASES = [(reason, kind) for reason, kinds in zoo.IMPURE.items() for kind in kinds]
INPUTS = networks.normal(0, 4, 3)


def refusal(build) -> ImpureError:
    with pytest.raises(ImpureError) as caught:
        build()
    return caught.value


@pytest.mark.parametrize("kind", zoo.CORRECT)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_every_right_module_is_accepted_as_stage_and_as_head(kind, dtype):
    make = zoo.CORRECT[kind]
    chain = networks.fill(el.Chain([make(3, 2), make(2, 3)], make(3, 2)), 1).to(dtype)
    el.Problem(chain, el.Quadratic(), INPUTS.to(dtype))


PLACED = [(*case, number % 3) for number, case in enumerate(CASES)]


@pytest.mark.parametrize(("reason", "kind", "place"), PLACED, ids=[f"{kind}-{place}" for _, kind, place in PLACED])
def test_every_wrong_module_is_refused_with_its_reason_and_its_place(reason, kind, place):
    modules = [nn.Linear(3, 2), nn.Linear(2, 2), nn.Linear(2, 2)]
    modules[place] = zoo.IMPURE[reason][kind](3 if place == 0 else 2, 2)
    chain = networks.fill(el.Chain(modules[:2], modules[2]), 1)
    error = refusal(lambda: el.Problem(chain, el.Quadratic(), INPUTS.clone()))
    assert error.reason is reason
    assert ("head", "stages.0", "stages.1")[(place + 1) % 3] in str(error) or "numpy" in str(error)


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("width", [300, 3000])
def test_a_wide_linear_stage_is_accepted_whatever_its_precision(batch, dtype, width):
    chain = networks.fill(el.Chain([nn.Linear(width, 4)], nn.Linear(4, 1)), 0, 0.05).to(dtype)
    el.Problem(chain, el.Quadratic(), networks.normal(1, batch, width).to(dtype))


def test_a_single_example_that_is_coupled_is_refused_too():
    chain = networks.fill(el.Chain([zoo.IMPURE[Impurity.COUPLES]["centred"](3, 2)]), 0)
    assert refusal(lambda: el.Problem(chain, el.Quadratic(), INPUTS[:1])).reason is Impurity.COUPLES


def test_the_module_at_fault_is_named():
    chain = el.Chain([nn.Linear(3, 2), nn.Sequential(nn.Flatten(), nn.ReLU(inplace=True), nn.Linear(2, 2))]).double()
    error = refusal(lambda: el.Problem(chain, el.Quadratic(), INPUTS))
    assert (error.where, error.reason) == ("stages.1.1", Impurity.WRITES)
    assert "ReLU(inplace=True)" in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.reason, again.where) == (str(error), error.reason, error.where)


@pytest.mark.parametrize("kind", ["counting", "batch norm in evaluation"])
@pytest.mark.parametrize("fault", [None, *zoo.IMPURE])
def test_a_probe_leaves_no_trace(kind, fault):
    faulty = list(zoo.IMPURE[fault].values())[0] if fault else nn.Linear  # noqa: RUF015
    chain = el.Chain([zoo.CORRECT[kind](3, 2), faulty(2, 2)]).double().eval()
    chain.stages[1].train()
    state = copy.deepcopy(chain.state_dict())
    modes = [module.training for module in chain.modules()]
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in chain.modules()]
    before = torch.get_rng_state(), numpy_state()
    data, targets = INPUTS.clone(), INPUTS[:, :2].clone()
    with contextlib.nullcontext() if fault is None else pytest.raises(ImpureError):
        el.Problem(chain, el.Quadratic(), data, targets)
    assert torch.equal(before[0], torch.get_rng_state())
    assert numpy_state() == before[1]
    assert [module.training for module in chain.modules()] == modes
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in chain.modules()] == hooks
    assert all(torch.equal(value, state[name]) for name, value in chain.state_dict().items())
    assert getattr(chain.stages[0], "seen", 0) == 0
    assert torch.equal(data, INPUTS)
    assert torch.equal(targets, INPUTS[:, :2])


def test_weights_that_cannot_be_copied_are_probed_in_place():
    with pytest.warns(FutureWarning):
        stage = nn.utils.weight_norm(nn.Linear(3, 2).double())
    el.Problem(el.Chain([stage]), el.Quadratic(), INPUTS)
    bad = nn.Sequential(stage, nn.Flatten(), zoo.Then(2, 2, lambda x: x - x.mean(0)).double())
    assert refusal(lambda: el.Problem(el.Chain([bad]), el.Quadratic(), INPUTS)).reason is Impurity.COUPLES


class Tabulated(nn.Linear):
    """Holds to float32: its table is no parameter."""

    def __init__(self):
        super().__init__(3, 3)
        self.table = torch.eye(3)

    def forward(self, x):
        return super().forward(x) @ self.table


def test_a_stage_that_holds_to_its_own_precision_is_probed_in_it():
    el.Problem(el.Chain([Tabulated()]), el.Quadratic(), INPUTS.float())
    bad = nn.Sequential(Tabulated(), zoo.Then(3, 3, lambda x: x - x.mean(0)))
    assert refusal(lambda: el.Problem(el.Chain([bad]), el.Quadratic(), INPUTS.float())).reason is Impurity.COUPLES


OBJECTIVES = {
    "centred": (Impurity.COUPLES, lambda output, target: (output - output.mean(0)).square().sum(1)),
    "weights of examples": (Impurity.COUPLES, lambda output, target: output.sum(1) * torch.arange(len(output))),
    "batch mean": (Impurity.COUPLES, lambda output, target: output.sum(1) / len(output)),
    "dropout": (Impurity.DRAWS, lambda output, target: nn.functional.dropout(output).sum(1)),
    "in place": (Impurity.WRITES, lambda output, target: output.sub_(target).sum(1)),
    "in place on targets": (Impurity.WRITES, lambda output, target: target.sub_(output).sum(1)),
}


@pytest.mark.parametrize("case", OBJECTIVES)
def test_objectives_that_are_no_function_of_one_example_are_refused(case):
    reason, objective = OBJECTIVES[case]
    network = networks.mlp((3, 2), 2)
    error = refusal(lambda: el.Problem(network, objective, INPUTS, INPUTS[:, :2].clone()))
    assert (error.reason, error.where) == (reason, "The objective")


def test_an_objective_with_weights_by_closure_is_refused():
    weights = torch.arange(4.0, dtype=torch.float64)
    with pytest.raises(EstimlabError):
        el.Problem(networks.mlp((3, 2), 2), lambda output, target: weights * output.sum(1), INPUTS)


class Counter:
    """Counts its calls, and what it returns depends on their number."""

    def __init__(self):
        self.calls = 0

    def __call__(self, output, target):
        self.calls += 1
        return output.sum(1) * self.calls


def test_an_objective_that_keeps_state_is_refused():
    error = refusal(lambda: el.Problem(networks.mlp((3, 2), 2), Counter(), INPUTS))
    assert error.reason is Impurity.UNREPEATABLE


class Scan(el.StochasticNetwork):
    """Two sites whose carry is a dictionary; ``fault`` is what one of its methods does wrong."""

    def __init__(self, fault=None):
        super().__init__()
        self.first, self.second, self.fault = nn.Linear(3, 2), nn.Linear(2, 2), fault
        self.double()

    def sites(self, inputs):
        return (el.Site((2,), el.BinaryUnits()),) * 2

    def initial(self, inputs):
        return {"h": inputs, "sum": torch.zeros(len(inputs), 2, dtype=inputs.dtype)}

    def preactivation(self, k, carry):
        a = (self.first, self.second)[k](carry["h"])
        if self.fault == "couples" and k == 1:
            a = a - a.mean(0)
        if self.fault == "draws":
            a = a + 1e-12 * torch.rand_like(a)
        return a, carry

    def advance(self, k, carry, state):
        if self.fault == "writes":
            carry["sum"] += state
            return {"h": state, "sum": carry["sum"]}
        if self.fault == "writes into states":
            state.mul_(2)
        if self.fault == "container":
            carry["h"] = state
            return carry
        return {"h": state, "sum": carry["sum"] + state}

    def output(self, carry):
        return carry["sum"].relu_() if self.fault == "writes output" else carry["sum"]


SCANS = {
    "couples": Impurity.COUPLES,
    "draws": Impurity.DRAWS,
    "writes": Impurity.WRITES,
    "writes into states": Impurity.WRITES,
    "writes output": Impurity.WRITES,
    "container": Impurity.WRITES,
}


@pytest.mark.parametrize("fault", SCANS)
def test_networks_that_are_no_chains_are_probed_by_their_steps(fault):
    el.Problem(Scan(), el.Quadratic(), INPUTS)
    assert refusal(lambda: el.Problem(Scan(fault), el.Quadratic(), INPUTS)).reason is SCANS[fault]


def test_derived_problems_are_not_probed_again(monkeypatch):
    problem = networks.classification()
    monkeypatch.setattr("estimlab.model.problem.probe", lambda *arguments: pytest.fail("probed again"))
    for derived in (problem.example(0), problem.repeated(2), problem.to(torch.float32), problem.copy()):
        assert derived.sites == problem.sites
