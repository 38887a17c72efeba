"""Chains, their sites, and every error that a Problem finds before any work."""

import networks
import pytest
import torch
from torch import nn

import estimlab as el
from estimlab.errors import EstimlabError

INPUTS = networks.normal(0, 4, 3)


def network(*stages, head=None, units=None):
    return networks.fill(el.Chain(list(stages) or [nn.Linear(3, 2)], head, units), 1)


def problem(net, inputs=INPUTS, targets=None, objective=None):
    return el.Problem(net, objective or el.Quadratic(), inputs, targets)


def test_sites_of_every_kind_of_stage():
    stages = [networks.Convolution(3, 2), nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), nn.Linear(3, 1)]
    units = [el.BinaryUnits(el.Gaussian(), 0, 1), el.BinaryUnits(), el.BinaryUnits(el.Uniform(2))]
    made = problem(network(*stages, units=units))
    assert [site.shape for site in made.sites] == [(2, 1, 2), (3,), (1,)]
    assert [site.size for site in made.sites] == [4, 3, 1]
    assert [site.units for site in made.sites] == units
    assert not any(site.shared for site in made.sites)


def test_stepping_a_chain_is_composing_its_stages():
    net = network(nn.Linear(3, 2), nn.Linear(2, 4), head=nn.Linear(4, 1))
    state = torch.sign(networks.normal(3, 4, 2))
    a, carry = net.preactivation(0, net.initial(INPUTS))
    assert torch.equal(a, net.stages[0](INPUTS))
    a, carry = net.preactivation(1, net.advance(0, carry, state))
    assert torch.equal(a, net.stages[1](state))
    last = torch.sign(a)
    assert torch.equal(net.output(net.advance(1, carry, last)), net.head(last))


def test_a_run_is_its_steps_and_may_start_at_any_site():
    net = network(nn.Linear(3, 2), nn.Linear(2, 4), head=nn.Linear(4, 1))
    made, seen = problem(net), []

    def more_probable(k, a, carry):
        seen.append((k, carry))
        return torch.sign(a)

    first = torch.sign(net.stages[0](INPUTS))
    last = torch.sign(net.stages[1](first))
    assert torch.equal(net.run(INPUTS, more_probable, sites=2), net.head(last))
    assert [k for k, _ in seen] == [0, 1]
    assert torch.equal(net.advance(1, seen[1][1], last), last)
    assert torch.equal(net.through(INPUTS, more_probable, 0, 1), first)
    assert torch.equal(net.through(first, more_probable, 1, 1), first)
    value = made.value(net.head(last))
    assert torch.equal(made.run(more_probable), value)
    assert torch.equal(made.run(more_probable, start=1, carry=first), value)
    assert torch.equal(made.run(more_probable, start=2, carry=last), value)


def test_layers_join_weight_and_bias():
    net = network(nn.Linear(3, 2), nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2)), head=nn.Linear(2, 1))
    layers = net.layers()
    assert list(layers) == ["0", "1", "head"]
    assert layers["1"] == ("stages.1.0.weight", "stages.1.0.bias", "stages.1.2.weight", "stages.1.2.bias")
    assert [name for blocks in layers.values() for name in blocks] == [name for name, _ in net.named_parameters()]


def test_logits_have_no_input():
    stage = el.Logits([0.3, -1.0])
    assert stage(None).tolist() == [pytest.approx([0.3, -1.0])]
    assert stage(INPUTS).shape == (4, 2)
    assert el.Logits(3)(None).tolist() == [[0.0, 0.0, 0.0]]
    assert stage.logits.requires_grad
    assert el.Logits(torch.zeros(2, dtype=torch.float64)).logits.dtype == torch.float64
    assert repr(el.Logits(4)) == "Logits(4)"
    assert problem(network(el.Logits(2)), inputs=None).batch == 1


def test_units_are_one_for_all_layers_or_one_each():
    units = el.BinaryUnits(el.Gaussian())
    assert el.Chain([nn.Linear(1, 1), nn.Linear(1, 1)], units=units).units == (units, units)
    with pytest.raises(EstimlabError, match="2 stages and 3 units"):
        el.Chain([nn.Linear(1, 1), nn.Linear(1, 1)], units=[units] * 3)
    with pytest.raises(EstimlabError, match="at least one stage"):
        el.Chain([])


def test_a_copy_in_another_type_shares_nothing():
    made = problem(network(head=nn.Linear(2, 1)), targets=networks.normal(2, 4, 1))
    made = made.with_expected(torch.arange(4.0))
    single = made.to(dtype=torch.float32)
    assert (single.dtype, single.inputs.dtype, single.targets.dtype) == (torch.float32,) * 3
    assert single.expected.dtype == torch.float32
    with torch.no_grad():
        single.network.head.weight.zero_()
    assert bool((made.network.head.weight != 0).all())
    labels = networks.classification().to(dtype=torch.float32).targets
    assert labels.dtype == torch.long


def test_one_example():
    made = networks.classification().with_expected(torch.arange(5.0))
    one = made.example(3)
    assert one.batch == 1
    assert torch.equal(one.inputs, made.inputs[3:4])
    assert (one.targets.tolist(), one.expected.tolist()) == ([0], [3.0])
    assert one.network is made.network


def with_nan(net):
    with torch.no_grad():
        net.stages[0].weight[1, 0] = float("nan")
    return net


BAD = INPUTS.clone()
BAD[0, 0], BAD[1, 1] = float("inf"), float("nan")
REFUSED = {
    "wrong width": (lambda: problem(network(nn.Linear(5, 2))), r"inputs of shape \(4, 3\).*input width"),
    "widths of layers": (lambda: problem(network(nn.Linear(3, 2), nn.Linear(3, 2))), "each layer's width"),
    "width of the head": (lambda: problem(network(head=nn.Linear(3, 1))), "cannot be evaluated"),
    "no inputs": (lambda: problem(network(), inputs=None), "no inputs"),
    "NaN weight": (lambda: problem(with_nan(network())), r"'stages\.0\.weight' holds 1 NaN.* of 6"),
    "NaN inputs": (lambda: problem(network(), inputs=BAD), "inputs holds 2 NaN or infinite"),
    "NaN targets": (lambda: problem(network(), targets=BAD[:, :2]), "targets holds 2"),
    "type of inputs": (lambda: problem(network(), inputs=INPUTS.float()), r"float32.*float64.*inputs\.to"),
    "number of targets": (lambda: problem(network(), targets=INPUTS[:2, :2]), "4 inputs and 2 targets"),
    "targets without inputs": (
        lambda: problem(network(el.Logits(2)), inputs=None, targets=INPUTS[:, :2]),
        "one example, but there are 4 targets",
    ),
    "scalar inputs": (lambda: problem(network(), inputs=torch.tensor(1.0)), "first dimension is the batch"),
    "empty inputs": (lambda: problem(network(), inputs=INPUTS[:0]), r"shape \(0, 3\)"),
    "no parameters": (lambda: problem(network(nn.Identity())), "no parameters"),
    "objective": (lambda: problem(network(), objective=lambda output, target: output.mean()), "do not average"),
    "labels": (
        lambda: problem(network(head=nn.Linear(2, 2)), targets=torch.full((4,), 2), objective=el.CrossEntropy()),
        r"must lie in 0 \.\. 1",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_with_the_fix(case):
    build, message = REFUSED[case]
    with pytest.raises(EstimlabError, match=message):
        build()


COUPLING = {
    "batch norm": lambda: nn.BatchNorm1d(2),
    "batch norm without statistics": lambda: nn.BatchNorm1d(2, track_running_stats=False),
    "dropout": lambda: nn.Dropout(0.5),
    "alpha dropout": lambda: nn.AlphaDropout(0.5),
}


def with_module(module):
    return el.Chain([nn.Sequential(nn.Linear(3, 2), module).double()], nn.Linear(2, 1).double())


@pytest.mark.parametrize("case", ["batch norm", "dropout", "alpha dropout"])
def test_modules_that_couple_examples_or_draw_noise_are_refused_by_name(case):
    made = problem(with_module(COUPLING[case]()).eval())
    made.check_independent()
    made.network.train()
    with pytest.raises(EstimlabError, match=rf"stages\.0\.1.*{type(made.network.stages[0][1]).__name__}.*eval"):
        made.check_independent()


@pytest.mark.parametrize("case", COUPLING)
def test_a_problem_in_training_mode_names_the_module_and_leaves_it_alone(case):
    """The probe is a pass of one example: batch norm fails on it without a name, or moves its running statistics."""
    module = COUPLING[case]()
    before = [buffer.clone() for buffer in module.buffers()]
    with pytest.raises(EstimlabError, match=rf"stages\.0\.1.*{type(module).__name__}.*eval"):
        problem(with_module(module).train()).check_independent()
    assert all(torch.equal(*pair) for pair in zip(module.buffers(), before, strict=True))


@pytest.mark.parametrize(
    "module", [nn.BatchNorm1d(2).eval(), nn.Dropout(0.5).eval(), nn.Dropout(0.0).train(), nn.LayerNorm(2)]
)
def test_modules_that_act_on_one_example_are_accepted(module):
    problem(el.Chain([nn.Sequential(nn.Linear(3, 2), module).double()])).check_independent()


def test_problems_are_compared_by_identity():
    made = networks.classification()
    assert made != networks.classification()
    assert made == made
    assert len({made, made.to(torch.float32)}) == 2
