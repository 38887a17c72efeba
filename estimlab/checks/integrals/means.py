"""Means and moments of draws without sampling, by whichever integral over the noise reaches them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from estimlab.checks.integrals.decomposition import anchored_mean
from estimlab.checks.integrals.factors import factor_moments
from estimlab.estimators.base import Estimator
from estimlab.measurement.mapped import record
from estimlab.measurement.measurement import Measurement
from estimlab.measurement.quadrature import quadrature_moments
from estimlab.model.problem import Problem
from estimlab.randomness.noise import Key, Request
from estimlab.randomness.quadrature import QuadratureGrid, Rule, tanh_sinh
from estimlab.references.choice import exact_reference
from estimlab.references.reference import Gradient

QUICK_NODES = 1 << 16
STANDARD, FINER = tanh_sinh(), tanh_sinh(1 / 32)

Means = Mapping[str, Tensor]
MeanOf = Callable[[Problem, Estimator, Gradient, Rule], Means | None]


def reached(problem: Problem, estimator: Estimator) -> bool:
    """Whether the joint nodes of the noise of one example are few enough for a quick check."""
    requests = _requests(problem, estimator)
    return not _unknown(requests) and QuadratureGrid(requests).size <= QUICK_NODES


def _requests(problem: Problem, estimator: Estimator) -> dict[Key, Request]:
    return record(problem.example(0).with_expected(torch.zeros(1)), estimator)


def _unknown(requests: dict[Key, Request]) -> bool:
    """Whether it is not said how a draw depends on its uniforms: other people's code may jump wherever it likes."""
    return any(math.isnan(request.degree) for request in requests.values())


def moments(
    problem: Problem, estimator: Estimator, truth: Gradient | None = None, rule: Rule = STANDARD
) -> Measurement | None:
    """Mean and variance by quadrature over all noise, else factor by factor; None where neither reaches.

    Args:
        problem: a small one.
        estimator: any.
        truth: the true gradient, computed where it is not given.
        rule: for uniforms in which a draw is smooth.
    """
    if reached(problem, estimator):
        return quadrature_moments(problem, estimator, truth, smooth=rule)
    return factor_moments(problem, estimator)


def quick_mean(problem: Problem, estimator: Estimator, truth: Gradient, rule: Rule) -> Means | None:
    """That of ``moments``."""
    found = moments(problem, estimator, truth, rule)
    return None if found is None else found.mean


def decomposed_mean(problem: Problem, estimator: Estimator, truth: Gradient, rule: Rule) -> Means | None:
    """By an anchored decomposition, of a single example."""
    if problem.batch > 1 or not estimator.mappable or _unknown(_requests(problem, estimator)):
        return None
    served = problem if problem.expected is not None else problem.with_expected(truth.expected)
    return anchored_mean(served, estimator, rule)


def mean(problem: Problem, estimator: Estimator, rule: Rule = STANDARD) -> Means | None:
    """The mean by the first integral that reaches it, None where none does."""
    truth = exact_reference(problem)
    quick = quick_mean(problem, estimator, truth, rule)
    return decomposed_mean(problem, estimator, truth, rule) if quick is None else quick


def settled(integral: Callable[[Rule], Tensor | None], enough: Callable[[Tensor], bool]) -> tuple[Tensor, float] | None:
    """An integral and its error: zero where the standard rule is enough, else what a finer rule changes.

    Small temperatures ask for more nodes than the standard rule has; what seems wrong must not be its error.
    """
    first = integral(STANDARD)
    if first is None or enough(first):
        return None if first is None else (first, 0.0)
    finer = integral(FINER)
    return None if finer is None else (finer, float((finer - first).norm()))
