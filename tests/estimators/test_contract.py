"""The contract of every estimator: the catalogue finds them by itself, and each must keep all of it."""

import dataclasses
import importlib
import pickle
import pkgutil

import networks
import pytest
import torch
from torch import nn

import estimlab as el
import estimlab.estimators
from estimlab.errors import EstimlabError
from estimlab.estimators.base import ActivationEstimator
from estimlab.estimators.iw_st import ConstantWeight, PowerWeight
from estimlab.measurement.counting import count_passes
from estimlab.measurement.mapped import gradients, record
from estimlab.randomness.noise import TableNoise, TorchNoise
from estimlab.randomness.streams import RandomStream

VARIANTS = [
    *(el.StraightThrough(proxy) for proxy in ("identity", "hard_tanh", "tanh", "approx_sign", "sign_swish")),
    *(el.IWST(ConstantWeight(p1)) for p1 in (0.0, 0.5, 1.0)),
    *(el.IWST(PowerWeight(alpha)) for alpha in (0.0, 1.0)),
    *(el.MVE(t) for t in (0.0, 30.0)),
    *(el.GumbelSoftmax(tau) for tau in (0.1, 3.0)),
    *(el.STGumbelSoftmax(tau) for tau in (0.1, 3.0)),
    *(el.DARN(xbar) for xbar in (0.2, "mean")),
    *(el.STZGR(mix) for mix in (0.0, 1.0)),
    *(el.ReinMax(tau) for tau in (0.1, 3.0)),
    *(el.GumbelRao(tau, samples) for tau, samples in ((0.1, 1), (3.0, 2))),
    *(el.AnalyticGumbelRao(tau) for tau in (0.1, 3.0)),
    *(el.GappedST(0.3), el.GappedST(0.7, "probability"), el.FouST(importance_weighted=False)),
    *(el.SurrogateGradient(shape, 1.5) for shape in ("sigmoid", "atan", "triangle", "boxcar", "gaussian")),
    *(el.Reinforce(baseline) for baseline in (0.3, "exact_mean")),
    *(el.ARM("common"), el.DisARM("common")),
]
ESTIMATORS = [cls() for cls in estimlab.estimators.catalogue()] + VARIANTS
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
in_both_types = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def problem_of(dtype=torch.float64, depth=2, batch=5, law=None, objective=None, scale=1.0):
    """A network with a head, 0/1 coding and the expected objective that a baseline may read."""
    units = el.BinaryUnits(law or el.Logistic(), 0, 1)
    network = networks.mlp((2, *(3,) * depth), 1, seed=1, units=units, dtype=dtype, scale=scale)
    problem = el.Problem(network, objective or el.Quadratic(), networks.normal(2, batch, 2).to(dtype))
    return problem.with_expected(torch.linspace(0, 1, batch))


def noise_of(problem, estimator, draw=0, seed=0):
    like = torch.empty(0, dtype=problem.dtype)
    return RandomStream(seed).noise(record(problem, estimator), draw, like)


def draws_of(problem, estimator, count):
    like = torch.empty(0, dtype=problem.dtype)
    tables = RandomStream(0).tables(record(problem, estimator), 0, count, like)
    return gradients(problem, estimator, TableNoise, tables)[0]


def test_the_catalogue_finds_every_final_class_by_itself():
    found = set(estimlab.estimators.catalogue())
    public = [getattr(el, name) for name in el.__all__]
    named = {cls for cls in public if isinstance(cls, type) and cls.__module__.startswith("estimlab.estimators.")}
    final = {cls for cls in named if issubclass(cls, el.Estimator) and not getattr(cls, "__abstractmethods__", None)}
    assert final
    assert final <= found
    assert len({cls.name for cls in found}) == len(found)


@every_estimator
@in_both_types
def test_one_value_per_example_in_the_type_of_the_network(estimator, dtype):
    problem = problem_of(dtype)
    value = estimator.surrogate(problem, noise_of(problem, estimator))
    assert value.shape == (5,)
    assert value.dtype == dtype
    draw = networks.draw_of(problem, estimator, noise_of(problem, estimator))
    assert {block.dtype for block in draw.values()} == {dtype}
    assert all(float(block.abs().max()) > 0 for block in draw.values())


@every_estimator
def test_the_value_is_the_objective_at_the_drawn_states(estimator):
    problem = problem_of()
    noise = noise_of(problem, estimator)
    if not estimator.claims().draws_states:
        pytest.skip("the objective is taken at states that are relaxed or not drawn")
    carry = problem.inputs
    for k, stage in enumerate(problem.network.stages):
        carry = (noise.tables[k, 0] < torch.sigmoid(stage(carry))).double()
    expected = problem.value(problem.network.head(carry))
    assert torch.equal(estimator.surrogate(problem, noise), expected)


@every_estimator
def test_the_same_noise_gives_the_same_gradient_and_changes_nothing(estimator):
    problem = problem_of()
    before = [p.clone() for p in problem.network.parameters()]
    first = networks.draw_of(problem, estimator, noise_of(problem, estimator))
    second = networks.draw_of(problem, estimator, noise_of(problem, estimator))
    other = networks.draw_of(problem, estimator, noise_of(problem, estimator, seed=1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(networks.flat(first), networks.flat(other)) == estimator.claims().deterministic
    assert all(torch.equal(p, q) for p, q in zip(problem.network.parameters(), before, strict=True))
    assert all(p.grad is None for p in problem.network.parameters())


@every_estimator
def test_mapped_draws_are_single_draws(estimator):
    problem = problem_of()
    mapped = draws_of(problem, estimator, 8)
    for number in (0, 5):
        single = networks.draw_of(problem, estimator, noise_of(problem, estimator, number))
        assert networks.blocks_close({name: block[number] for name, block in mapped.items()}, single, 1e-13)


@every_estimator
def test_an_example_depends_on_its_own_noise_only(estimator):
    problem = problem_of()
    noise = noise_of(problem, estimator)
    changed = {key: table.clone() for key, table in noise.tables.items()}
    for table in changed.values():
        table[2] = 1 - table[2]
    one, other = (estimator.surrogate(problem, TableNoise(tables)) for tables in (noise.tables, changed))
    for index in range(problem.batch):
        parameters = list(problem.network.parameters())
        pair = [torch.autograd.grad(s[index], parameters, retain_graph=True) for s in (one, other)]
        same = all(torch.equal(*blocks) for blocks in zip(*pair, strict=True))
        assert same == (index != 2 or estimator.claims().deterministic)


@every_estimator
def test_examples_are_averaged(estimator):
    problem = problem_of()
    noise = noise_of(problem, estimator)
    whole = networks.draw_of(problem, estimator, TableNoise(noise.tables))
    alone = [
        networks.draw_of(problem.example(i), estimator, TableNoise({k: t[i : i + 1] for k, t in noise.tables.items()}))
        for i in range(problem.batch)
    ]
    mean = {name: torch.stack([draw[name] for draw in alone]).mean(0) for name in whole}
    assert networks.blocks_close(whole, mean, 1e-14)


@pytest.mark.slow
@every_estimator
@pytest.mark.parametrize("law", networks.LAWS)
def test_saturated_pre_activations_give_finite_gradients_in_float32(estimator, law):
    values = torch.tensor([40.0, -40.0, 0.2, 800.0, -800.0, 1.0, -1.0])
    stages = [el.Logits(values), networks.fill(nn.Linear(7, 2), 3).float()]
    with torch.no_grad():
        stages[1].bias.copy_(torch.tensor([40.0, -40.0]))
    head = networks.fill(nn.Linear(2, 1), 4).float()
    problem = el.Problem(el.Chain(stages, head, el.BinaryUnits(law(), 0, 1)), el.Quadratic())
    problem = problem.with_expected(torch.tensor([1.0]))
    for name, block in draws_of(problem, estimator, 64).items():
        assert bool(torch.isfinite(block).all()), name
    assert float(draws_of(problem, estimator, 64)["head.weight"].abs().max()) > 0


@pytest.mark.slow
@every_estimator
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_declared_cost_is_what_is_counted(estimator, depth):
    assert estimator.cost(depth) == count_passes(problem_of(depth=depth), estimator)


NAMESPACE = {name: getattr(el, name) for name in el.__all__ if name != "check_estimator"}
for _module in pkgutil.iter_modules(estimlab.estimators.__path__):
    NAMESPACE |= vars(importlib.import_module(f"estimlab.estimators.{_module.name}"))


@every_estimator
def test_an_estimator_is_a_value(estimator):
    assert eval(repr(estimator), NAMESPACE) == estimator
    assert pickle.loads(pickle.dumps(estimator)) == estimator
    assert hash(pickle.loads(pickle.dumps(estimator))) == hash(estimator)
    with pytest.raises(dataclasses.FrozenInstanceError):
        estimator.anything = 1
    assert estimator.name.islower()
    assert estimator.citation


def test_different_fields_are_different_values():
    assert len(set(ESTIMATORS)) == len({repr(estimator) for estimator in ESTIMATORS})
    assert el.MVE(1.0) != el.MVE(2.0)


class Poisoned(torch.autograd.Function):
    """The sum of sines; its derivative is NaN, so that whoever differentiates it shows it."""

    generate_vmap_rule = True

    @staticmethod
    def forward(states):
        return torch.sin(states * torch.arange(1, 4)).sum(1)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx, gradient):
        return ctx.saved_tensors[0] * float("nan") + gradient[:, None]


def headless(objective):
    network = networks.mlp((2, 3, 3), None, seed=5)
    problem = el.Problem(network, objective, networks.normal(6, 4, 2))
    return problem.with_expected(torch.linspace(0, 1, 4))


@every_estimator
def test_estimators_that_use_values_only_do_not_differentiate_the_objective(estimator):
    clean = draws_of(headless(lambda output, target: Poisoned.forward(output)), estimator, 8)
    poisoned_problem = headless(lambda output, target: Poisoned.apply(output))
    if isinstance(estimator, el.MuProp | el.REBAR | el.RELAX):  # the derivative enters the value itself
        with pytest.raises(el.EstimlabError, match="NaN"):
            draws_of(poisoned_problem, estimator, 8)
        return
    poisoned = draws_of(poisoned_problem, estimator, 8)
    if estimator.claims().reads_extension:
        assert any(bool(block.isnan().any()) for block in poisoned.values())
    else:
        assert all(torch.equal(clean[name], poisoned[name]) for name in clean)
        assert all(float(block.abs().max()) > 0 for block in clean.values())


@every_estimator
def test_the_head_gets_the_derivative_at_the_drawn_states(estimator):
    """Every estimator differentiates the head by its own parameters as autograd does."""
    if isinstance(estimator, el.Average | el.ReinforceLOO | el.PSA):
        pytest.skip("the head's derivative is a mean over several states; test_one_layer.py has its mean")
    if not estimator.claims().draws_states:
        pytest.skip("the head is differentiated at states that are relaxed or not drawn")
    problem = problem_of()
    noise = noise_of(problem, estimator)
    draw = networks.draw_of(problem, estimator, noise)
    carry = problem.inputs
    for k, stage in enumerate(problem.network.stages):
        carry = (noise.tables[k, 0] < torch.sigmoid(stage(carry))).double()
    value = problem.value(problem.network.head(carry.detach())).mean()
    weight, bias = torch.autograd.grad(value, list(problem.network.head.parameters()))
    assert networks.close(draw["head.weight"], weight, 1e-14)
    assert networks.close(draw["head.bias"], bias, 1e-14)


ACTIVATIONS = [estimator for estimator in ESTIMATORS if isinstance(estimator, ActivationEstimator)]


@pytest.mark.parametrize("estimator", ACTIVATIONS, ids=repr)
@in_both_types
def test_the_activation_that_trains_is_the_code_that_is_measured(estimator, dtype):
    problem = problem_of(dtype)
    units, generator = problem.sites[0].units, torch.Generator()
    layers = [part for s in problem.network.stages for part in (s, el.BinaryActivation(estimator, units, generator))]
    model = nn.Sequential(*layers, problem.network.head)
    generator.manual_seed(9)
    value = problem.value(model(problem.inputs)).mean()
    trained = torch.autograd.grad(value, list(problem.network.parameters()))
    measured = networks.draw_of(problem, estimator, TorchNoise(torch.Generator().manual_seed(9)))
    assert all(torch.equal(*pair) for pair in zip(trained, measured.values(), strict=True))
    assert float(networks.flat(measured).abs().max()) > 0


@pytest.mark.parametrize("estimator", [e for e in ESTIMATORS if e not in ACTIVATIONS], ids=repr)
def test_what_needs_values_of_the_objective_is_no_activation(estimator):
    with pytest.raises(el.EstimlabError, match=r"cannot act as an activation.*StraightThrough"):
        el.BinaryActivation(estimator)


def test_the_mean_state_of_an_activation():
    activation = el.BinaryActivation(el.StraightThrough(), el.BinaryUnits(el.Gaussian(2.0), -0.5, 2.0))
    a = networks.normal(0, 4, 3)
    assert torch.allclose(activation.expected(a), -0.5 + 2.5 * torch.special.ndtr(a / 2), rtol=1e-14)
    assert "StraightThrough" in repr(activation)
    assert set(activation(a).unique().tolist()) <= {-0.5, 2.0}
    assert el.BinaryActivation(el.ZGR()).units == el.BinaryUnits()


REFUSED = {
    "temperature 0": (lambda: el.GumbelSoftmax(0.0), r"GumbelSoftmax\(temperature=0\.0\).*ZGR"),
    "temperature -1": (lambda: el.GumbelSoftmax(-1.0), "positive"),
    "temperature NaN": (lambda: el.STGumbelSoftmax(float("nan")), "STGumbelSoftmax.*temperature must be a number"),
    "temperature infinity": (lambda: el.STGumbelSoftmax(float("inf")), "positive"),
    "t": (lambda: el.MVE(-0.5), r"MVE\(t=-0\.5\).*>= 0"),
    "p1 above": (lambda: ConstantWeight(1.5), "between 0 and 1"),
    "p1 below": (lambda: ConstantWeight(-0.1), "between 0 and 1"),
    "p1 NaN": (lambda: ConstantWeight(float("nan")), "value must be a number"),
    "baseline NaN": (lambda: el.Reinforce(float("nan")), "a number or 'exact_mean'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_fields_out_of_range_are_refused_with_what_is_allowed(case):
    build, message = REFUSED[case]
    with pytest.raises(el.EstimlabError, match=message):
        build()


TYPED = {
    "proxy": (lambda: el.StraightThrough("sigmoid"), "derived.*identity.*hard_tanh.*tanh.*approx_sign"),
    "baseline": (lambda: el.Reinforce("mean"), "exact_mean"),
    "tails": (lambda: el.ARM("shared"), "'independent'.*'common'"),
    "p1": (lambda: el.IWST(0.5), "HighWeight"),
}


@pytest.mark.parametrize("case", TYPED)
def test_fields_of_another_type_are_refused(case):
    """Under the test run the annotation is executed too, and may be the first to object."""
    build, message = TYPED[case]
    with pytest.raises((EstimlabError, TypeError), match=message):
        build()


def test_the_exact_mean_baseline_asks_for_the_expected_objective():
    problem = networks.classification()
    with pytest.raises(el.EstimlabError, match=r"problem\.with_expected"):
        el.Reinforce("exact_mean").surrogate(problem, noise_of(problem, el.Reinforce()))


def test_names_are_snake_case():
    names = {cls.__name__: cls.name for cls in estimlab.estimators.catalogue()}
    expected = {
        "StraightThrough": "straight_through",
        "GumbelSoftmax": "gumbel_softmax",
        "STGumbelSoftmax": "st_gumbel_softmax",
        "ZGR": "zgr",
        "MVE": "mve",
        "IWST": "iw_st",
        "Reinforce": "reinforce",
        "ARM": "arm",
        "DisARM": "disarm",
    }
    assert expected.items() <= names.items()
