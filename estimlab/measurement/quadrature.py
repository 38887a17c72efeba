"""Moments of any estimator on a tiny network by quadrature over its noise: the code that trains, without sampling."""

from __future__ import annotations

import torch
from torch import Tensor

from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator
from estimlab.measurement.draws import elements_per_draw, gradients, record
from estimlab.measurement.measurement import Measurement
from estimlab.model.problem import Problem
from estimlab.progress import track
from estimlab.randomness import QuadratureGrid, Rule
from estimlab.references.base import Gradient
from estimlab.references.layers import LayerwiseEnumeration

CHUNK_ELEMENTS = 1 << 22


def quadrature_moments(
    problem: Problem,
    estimator: Estimator,
    reference: Gradient | None = None,
    max_nodes: int = 1 << 22,
    smooth: Rule | None = None,
) -> Measurement:
    """Mean and variance of one draw by integrating the estimator's own surrogate over its noise.

    Each unit's uniform is cut where a draw jumps; between cuts a draw that is constant takes one node (this is
    enumeration of the states), a polynomial a Gauss-Legendre rule that is exact for its square, and a smooth one the
    double-exponential rule with 103 nodes. The joint nodes of all units are visited, so their number is the product.

    Args:
        problem: of very few units; computed on a float64 copy, example by example.
        estimator: any estimator.
        reference: the true gradient, ``LayerwiseEnumeration().gradient(problem)`` where it is not given.
        max_nodes: refuse more joint nodes than this.
        smooth: rule for smooth draws instead of the double-exponential one: a Gauss-Legendre rule of few nodes reaches
            more units where draws have no singularity at the ends of (0, 1).

    Errors:
        EstimlabError: too many nodes.
    """
    truth = LayerwiseEnumeration().gradient(problem) if reference is None else reference
    truth.check_blocks(problem)
    double = problem.to(dtype=torch.float64)
    if double.expected is None:
        double = double.with_expected(truth.expected)
    mean = {name: torch.zeros_like(p) for name, p in double.network.named_parameters()}
    variance = {name: torch.zeros_like(p) for name, p in mean.items()}
    for index in range(double.batch):
        first, second = _one_example(double.example(index), estimator, max_nodes, smooth)
        for name in mean:
            mean[name] += first[name] / double.batch
            variance[name] += (second[name] - first[name] ** 2) / double.batch**2
    return Measurement.exact(problem, estimator, mean, variance, truth, "quadrature")


def _one_example(
    problem: Problem, estimator: Estimator, max_nodes: int, smooth: Rule | None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    requests = record(problem, estimator)
    grid = QuadratureGrid(requests, smooth)
    if grid.size > max_nodes:
        raise EstimlabError(
            f"quadrature_moments: {estimator!r} needs {grid.size:.3g} joint nodes on this network, at most "
            f"max_nodes = {max_nodes:.3g} are visited. Use a network of fewer units, or el.measure."
        )
    first = {name: torch.zeros_like(p) for name, p in problem.network.named_parameters()}
    second = {name: torch.zeros_like(p) for name, p in first.items()}
    step = max(1, CHUNK_ELEMENTS // elements_per_draw(problem, requests))
    starts = range(0, grid.size, step)
    for start in track(starts, f"{estimator!r}", len(starts)):
        digits = grid.digits(start, min(start + step, grid.size), problem.device)
        draws, weights = gradients(problem, estimator, grid.noise, digits)
        for name, block in draws.items():
            first[name] += torch.tensordot(weights, block, 1)
            second[name] += torch.tensordot(weights, block * block, 1)
    return first, second
