"""What references refuse, and what they say then."""

import dataclasses

import networks
import pytest
import torch
from torch import nn

import estimlab as el
from estimlab.errors import EstimlabError
from estimlab.references.plan import plan_enumeration


class Residual(el.StochasticNetwork):
    """Not a chain: the carry is the sum of states."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 1)

    def sites(self, inputs):
        return (el.Site((2,), el.BinaryUnits()),) * 2

    def initial(self, inputs):
        return inputs

    def preactivation(self, k, carry):
        return (self.first if k == 0 else self.second)(carry), carry

    def advance(self, k, carry, state):
        return carry + state

    def output(self, carry):
        return self.head(carry)


def residual_problem():
    return el.Problem(networks.fill(Residual(), 0), el.Quadratic(), networks.normal(1, 3, 2))


def test_a_wide_network_is_refused_with_its_cost():
    problem = el.Problem(networks.mlp((2, 20, 20), 1), el.Quadratic(), networks.normal(1, 1, 2))
    with pytest.raises(EstimlabError) as error:
        el.LayerwiseEnumeration(max_seconds=1e-3).gradient(problem)
    message = str(error.value)
    plan = el.LayerwiseEnumeration().plan(problem)
    assert plan.states == 2**20
    assert plan.pairs == 2**40 + 2**20
    for part in ("20-20", "1.05e+06 states", "1.1e+12 pairs", "flops", "GB", "max_seconds", "force=True"):
        assert part in message


def test_memory_is_a_reason_of_its_own():
    problem = el.Problem(networks.mlp((2, 12), 1), el.Quadratic(), networks.normal(1, 1, 2))
    with pytest.raises(EstimlabError, match=r"MB|kB"):
        el.LayerwiseEnumeration(max_bytes=1e4).gradient(problem)


def test_force_ignores_the_budget():
    problem = networks.classification()
    strict = el.LayerwiseEnumeration(max_seconds=1e-12)
    with pytest.raises(EstimlabError, match="budget"):
        strict.gradient(problem)
    forced = strict.gradient(problem, force=True)
    assert networks.blocks_close(forced.value, el.LayerwiseEnumeration().gradient(problem).value, 1e-15)


def test_the_plan_counts_distinct_targets():
    problem = networks.classification(batch=5)
    assert el.LayerwiseEnumeration().plan(problem).targets == 3
    one = dataclasses.replace(problem, targets=torch.zeros(5, dtype=torch.long))
    assert el.LayerwiseEnumeration().plan(one).targets == 1


def test_a_plan_times_its_blocks_and_leaves_random_numbers_alone():
    problem = el.Problem(networks.mlp((2, 6, 60, 60), 1), el.Quadratic(), networks.normal(1, 1, 2))
    state = torch.get_rng_state()
    plan = el.LayerwiseEnumeration().plan(problem)
    assert torch.equal(torch.get_rng_state(), state)
    products = plan_enumeration(problem, 1024, torch.float64, calibrate=False).seconds
    assert 0.1 < plan.seconds / products < 10  # layers this wide are matrix products


def test_too_many_paths_are_refused():
    problem = el.Problem(networks.mlp((2, 12, 12), 1), el.Quadratic(), networks.normal(1, 1, 2))
    with pytest.raises(EstimlabError, match=r"24 binary units .* 2\^24 paths"):
        el.PathEnumeration().gradient(problem)


def test_what_is_not_a_chain_is_refused_by_layers_and_served_by_paths():
    problem = residual_problem()
    with pytest.raises(EstimlabError, match=r"el.Chain.*Residual.*PathEnumeration"):
        el.LayerwiseEnumeration().gradient(problem)
    gradient = el.PathEnumeration().gradient(problem)
    assert list(gradient.value) == [name for name, _ in problem.network.named_parameters()]


def test_paths_of_a_residual_network_equal_differences():
    problem, step = residual_problem(), 1e-3
    gradient = el.PathEnumeration().gradient(problem).value["first.weight"]

    def objective(shift):
        moved = problem.copy()
        with torch.no_grad():
            moved.network.first.weight[0, 1] += shift
        return el.PathEnumeration().gradient(moved).objective

    f = [objective(k * step) for k in (-2, -1, 1, 2)]
    assert float(gradient[0, 1]) == pytest.approx((f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * step), abs=1e-8)


@pytest.mark.parametrize("reference", [el.LayerwiseEnumeration(), el.PathEnumeration()], ids=lambda r: type(r).__name__)
def test_batch_norm_in_training_mode_is_refused(reference):
    stage = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    network = networks.fill(el.Chain([stage], nn.Linear(2, 1)), 0)
    problem = el.Problem(network, el.Quadratic(), networks.normal(1, 3, 2))
    reference.gradient(problem)
    network.train()
    with pytest.raises(EstimlabError, match=r"stages\.0\.1.*BatchNorm1d.*eval"):
        reference.gradient(problem)


@pytest.mark.parametrize("reference", [el.LayerwiseEnumeration(), el.PathEnumeration()], ids=lambda r: type(r).__name__)
def test_a_parameter_that_became_nan_is_named(reference):
    problem = networks.classification()
    with torch.no_grad():
        problem.network.stages[1].weight[0, 0] = float("nan")
    with pytest.raises(EstimlabError, match=r"stages\.1\.weight.*1 NaN"):
        reference.gradient(problem)


def test_a_gradient_is_exact_only_without_standard_error():
    gradient = el.LayerwiseEnumeration().gradient(networks.classification())
    assert gradient.exact
    noisy = dict(gradient.stderr)
    noisy["head.bias"] = noisy["head.bias"].clone()
    noisy["head.bias"][0] = 1e-9
    assert not dataclasses.replace(gradient, stderr=noisy).exact


def test_the_norm_runs_over_all_blocks():
    gradient = el.LayerwiseEnumeration().gradient(networks.classification())
    assert gradient.norm() == pytest.approx(sum(float((v**2).sum()) for v in gradient.value.values()) ** 0.5, rel=1e-14)
    assert gradient.reference == repr(el.LayerwiseEnumeration())
