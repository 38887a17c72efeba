"""The contraction against sums over all joint states written out, for binary and categorical units of any number."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import estimlab as el
from estimlab.references.contraction import LayerTables, Workspace

ROWS, TARGETS = 5, 2
ROUNDING = 1e-13  # a few hundred additions of numbers of size one


def random_units(sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    weights = [torch.rand(size, ROWS, generator=generator, dtype=torch.float64) for size in sizes]
    return [weight / weight.sum(0) for weight in weights]


def joint(units):
    """P(y | row) of every joint state, (rows, states), by one Kronecker product per row."""
    rows = []
    for row in range(ROWS):
        total = np.ones(1)
        for unit in units:
            total = np.kron(total, unit[:, row].numpy())
        rows.append(total)
    return torch.from_numpy(np.array(rows))


def conditional(units, values, j, state):
    """E[values | unit j in the state], (targets, rows)."""
    fixed = [unit.clone() for unit in units]
    fixed[j] = torch.zeros_like(units[j])
    fixed[j][state] = 1
    return values @ joint(fixed).T


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 6), size=st.integers(2, 5), seed=st.integers(0, 2**31))
def test_units_of_any_number_of_states(count, size, seed):
    sizes = [size] * count
    units = random_units(sizes, seed)
    values = torch.randn(
        TARGETS, int(np.prod(sizes)), dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    tables = LayerTables.build(torch.stack(units))
    value, conditionals = tables.value_and_conditionals(values)
    conditionals = conditionals.split(sizes, 1)
    assert torch.allclose(tables.probabilities(), joint(units), atol=ROUNDING, rtol=0)
    assert torch.allclose(value, values @ joint(units).T, atol=ROUNDING * len(values[0]), rtol=0)
    for j, size in enumerate(sizes):
        for state in range(size):
            expected = conditional(units, values, j, state)
            assert torch.allclose(conditionals[j][:, state], expected, atol=ROUNDING * len(values[0]), rtol=0)


@pytest.mark.parametrize("units", range(1, 13))
def test_binary_layers_of_every_width(units):
    """From nine units on a half is split into quarters."""
    generator = torch.Generator().manual_seed(units)
    a = 3 * torch.randn(ROWS, units, generator=generator, dtype=torch.float64)
    a[0] = 800 * a[0].sign()  # certain states
    values = torch.randn(TARGETS, 2**units, generator=generator, dtype=torch.float64)
    law, workspace = el.Logistic(), Workspace()
    tables = LayerTables.build(el.BinaryUnits(law).probabilities(a), workspace)
    pairs = [torch.stack((law.cdf(-column), law.cdf(column))) for column in a.T]
    value, conditionals = tables.value_and_conditionals(values)
    difference = conditionals[:, 1::2] - conditionals[:, ::2]
    assert torch.allclose(value, values @ joint(pairs).T, atol=ROUNDING * 2**units, rtol=0)
    for j in range(units):
        expected = conditional(pairs, values, j, 1) - conditional(pairs, values, j, 0)
        assert torch.allclose(difference[:, j], expected, atol=ROUNDING * 2**units, rtol=0)
    weights = torch.rand(TARGETS, ROWS, generator=generator, dtype=torch.float64)
    total = torch.zeros(TARGETS, 2**units, dtype=torch.float64)
    tables.add_marginal(weights, total)
    assert torch.allclose(total, weights @ joint(pairs), atol=ROUNDING, rtol=0)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(widths=st.lists(st.integers(1, 11), min_size=1, max_size=3), scale=st.sampled_from([0.3, 3.0, 800.0]))
def test_wide_chains_equal_dense_transition_matrices(widths, scale):
    """Chains too wide for paths, against automatic differentiation through all transition matrices written out."""
    generator = torch.Generator().manual_seed(sum(widths))
    sizes = [2, *widths, 1]
    linears = [torch.nn.Linear(m, n, dtype=torch.float64) for m, n in pairwise(sizes)]
    with torch.no_grad():
        for linear in linears[:-1]:
            for parameter in linear.parameters():
                parameter.copy_(scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    network = el.Chain(linears[:-1], linears[-1])
    problem = el.Problem(network, el.LogisticLoss(), torch.randn(3, 2, dtype=torch.float64), torch.tensor([1, -1, 1]))
    expected, gradient = by_transition_matrices(problem)
    found = el.LayerwiseEnumeration(block_rows=100).gradient(problem)
    assert found.objective == pytest.approx(expected, rel=1e-12)
    for name, value in gradient.items():
        assert torch.allclose(found.value[name], value, atol=1e-12 * max(1.0, float(value.abs().max())), rtol=0), name


def by_transition_matrices(problem):
    network, law = problem.network, problem.network.units[0].law
    marginal, x = None, problem.inputs
    for stage in network.stages:
        a = stage(x)
        states = 2.0 * ((torch.arange(2 ** a.shape[1])[:, None] >> torch.arange(a.shape[1])) & 1).double() - 1
        high = (states > 0)[None]
        transition = torch.where(high, law.cdf(a)[:, None], law.cdf(-a)[:, None]).prod(2)
        marginal = transition if marginal is None else marginal @ transition
        x = states
    output = network.head(x)[:, 0]
    losses = torch.nn.functional.softplus(-problem.targets[:, None] * output)
    objective = (marginal * losses).sum(1).mean()
    names, parameters = zip(*network.named_parameters(), strict=True)
    return float(objective.detach()), dict(zip(names, torch.autograd.grad(objective, parameters), strict=True))
