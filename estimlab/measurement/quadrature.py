"""Moments of any estimator on a tiny network by quadrature over its noise: the code that trains, without sampling."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from estimlab.arguments import count, number, refusal
from estimlab.declared import checked
from estimlab.draws import merged
from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator
from estimlab.measurement import arguments
from estimlab.measurement.mapped import elements_per_draw, gradients, record
from estimlab.measurement.measurement import Measurement
from estimlab.model.problem import Problem
from estimlab.progress import track
from estimlab.randomness.quadrature import QuadratureGrid, Rule, tanh_sinh
from estimlab.references.reference import Gradient, Reference

WHO = "quadrature_moments"
CHUNK_ELEMENTS = 1 << 22
STEPS = tuple(2.0**-k for k in range(4, 10))  # of the double-exponential rule, until the tolerance is reached


@checked
def quadrature_moments(
    problem: Problem,
    estimator: Estimator | type[Estimator] | str,
    reference: Gradient | Reference | None = None,
    max_nodes: int = 1 << 22,
    smooth: Rule | None = None,
    tolerance: float = 1e-10,
) -> Measurement:
    """Mean and variance of one draw by integrating the estimator's own surrogate over its noise.

    Each unit's uniform is cut where a draw jumps; between cuts a draw that is constant takes one node (this is
    enumeration of the states), a polynomial a Gauss-Legendre rule that is exact for its square, and a smooth one the
    double-exponential rule, with 103 nodes and, until the tolerance is reached, twice, four times, ... as many. The
    joint nodes of all units are visited, so their number is the product.

    The error of a rule is bounded by what it differs from the rule of every other node: in the mean of a block over
    the root mean square of a draw, in the second moment over itself. The largest one is ``checks["quadrature_error"]``
    of the measurement; 0 where no draw is smooth between cuts.

    Args:
        problem: of very few units; computed on a float64 copy, example by example, or all examples together where they
            share a site: their draws are then not independent. A state whose probability rounds to 1 is certain here.
        estimator: any estimator, its class or its name.
        reference: the true gradient or a way to compute it; ``exact_reference(problem)`` where it is not given.
        max_nodes: refuse more joint nodes than this.
        smooth: rule for smooth draws instead of the double-exponential one: a Gauss-Legendre rule of few nodes reaches
            more units where draws have no singularity at the ends of (0, 1). It is taken as it is, whatever its error.
        tolerance: of the error, for the double-exponential rule.

    Errors:
        EstimlabError: too many nodes, or the tolerance is not reached with as many as are allowed; the reference
            belongs to another problem, or to this one before it changed.

    >>> import estimlab as el
    >>> problem = el.Problem(el.Chain([el.Logits([0.0, 1.0])]), el.Quadratic(linear=(1.0, 2.0)))
    >>> found = el.quadrature_moments(problem, el.Reinforce())
    >>> f"{found.relative_bias['0']:.3f}", f"{found.relative_std['0']:.3f}"
    ('0.000', '1.964')
    """
    problem, estimator = arguments.problem(problem, WHO), arguments.estimator(estimator, WHO)
    max_nodes, tolerance = count(max_nodes, WHO, "max_nodes", 1), number(tolerance, WHO, "tolerance")
    if smooth is not None and not isinstance(smooth, Rule):
        raise refusal(WHO, "smooth", smooth, "a Rule of estimlab.randomness.quadrature, such as gauss_legendre(8)")
    truth = arguments.truth(reference, problem, WHO)
    double = problem.to(dtype=torch.float64)
    if double.expected is None:
        double = double.with_expected(truth.expected)
    mean = {name: torch.zeros_like(p) for name, p in double.network.named_parameters()}
    variance = {name: torch.zeros_like(p) for name, p in mean.items()}
    worst = 0.0
    parts = _independent_parts(double)
    for example in parts:
        if smooth is None:
            found = _refined(example, estimator, max_nodes, tolerance)
            worst = max(worst, found.error)
        else:
            found = _integrate(example, estimator, QuadratureGrid(record(example, estimator), smooth), max_nodes)
        for name in mean:
            mean[name] += found.first[name][0] / len(parts)
            variance[name] += found.variance[name] / len(parts) ** 2
    measurement = Measurement.exact(problem, estimator, mean, variance, truth, "quadrature")
    return measurement if smooth is not None else replace(measurement, checks={"quadrature_error": worst})


def _independent_parts(problem: Problem) -> list[Problem]:
    """The examples, whose draws are independent; the whole batch where the examples share a site."""
    if any(site.shared for site in problem.sites):
        return [problem]
    return [problem.example(index) for index in range(problem.batch)]


@dataclass(frozen=True)
class _Integrals:
    """Moments of a draw per block.

    Attributes:
        first: mean, (2, \\*block): by the rules, and by the coarser ones.
        second: second moment, likewise.
        variance: by the rules; centred as it is summed, so that a large mean takes no digits.
    """

    first: dict[str, Tensor]
    second: dict[str, Tensor]
    variance: dict[str, Tensor]

    @property
    def error(self) -> float:
        """The larger relative difference of both rules, over the blocks."""
        return max(self._error(first, self.second[name]) for name, first in self.first.items())

    @staticmethod
    def _error(first: Tensor, second: Tensor) -> float:
        energy = float(second[0].sum())
        if energy == 0:
            return 0.0
        apart = float((first[0] - first[1]).norm()) / math.sqrt(energy)
        return max(apart, float((second[0] - second[1]).abs().sum()) / energy)


def _refined(problem: Problem, estimator: Estimator, max_nodes: int, tolerance: float) -> _Integrals:
    """By the first rule that reaches the tolerance."""
    requests, error = record(problem, estimator), math.inf
    for step in STEPS:
        grid = QuadratureGrid(requests, tanh_sinh(step))
        if grid.size > max_nodes and error < math.inf:
            break
        found = _integrate(problem, estimator, grid, max_nodes)
        error = found.error
        if error <= tolerance:
            return found
    raise EstimlabError(
        f"quadrature_moments: the moments of {estimator!r} have a relative error of up to {error:.2g} with at most "
        f"max_nodes = {max_nodes:.3g} joint nodes; tolerance = {tolerance:.2g}. Raise one of both, name the kinks of "
        "the draw in noise.uniform(cuts=...), use a network of fewer units, or el.measure."
    )


def _integrate(problem: Problem, estimator: Estimator, grid: QuadratureGrid, max_nodes: int) -> _Integrals:
    if grid.size > max_nodes:
        raise EstimlabError(
            f"quadrature_moments: {estimator!r} needs {grid.size:.3g} joint nodes on this network, at most "
            f"max_nodes = {max_nodes:.3g} are visited. Use a network of fewer units, or el.measure."
        )
    first = {name: p.new_zeros(2, *p.shape) for name, p in problem.network.named_parameters()}
    second = {name: torch.zeros_like(p) for name, p in first.items()}
    step = max(1, CHUNK_ELEMENTS // elements_per_draw(problem, grid.requests))
    starts, seen, moments = range(0, grid.size, step), 0.0, {name: torch.zeros_like(p) for name, p in first.items()}
    for start in track(starts, f"{estimator!r}", len(starts)):
        digits = grid.digits(start, min(start + step, grid.size), problem.device)
        draws, weights = gradients(problem, estimator, grid.noise, digits)
        weights = weights.double()
        both = torch.stack((weights, weights * grid.coarser(digits)))
        for name, block in draws.items():
            first[name] += torch.tensordot(both, block, 1)
            second[name] += torch.tensordot(both, block * block, 1)
            moments[name] = _merged(seen, moments[name], weights, block)
        seen += float(weights.sum())
    return _Integrals(first, second, {name: square for name, (_, square) in moments.items()})


def _merged(seen: float, moments: Tensor, weights: Tensor, draws: Tensor) -> Tensor:
    """Mean and weighted sum of squared deviations, stacked, after further draws."""
    weight = float(weights.sum())
    if weight == 0:
        return moments
    mean = torch.tensordot(weights, draws, 1) / weight
    square = torch.tensordot(weights, (draws - mean) ** 2, 1)
    return torch.stack(merged(seen, moments[0], moments[1], weight, mean, square))
