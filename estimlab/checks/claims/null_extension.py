"""``c (x - low)(x - high)`` is zero on the corners: it changes an objective's extension and not the objective."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from estimlab.checks.claims.expectation import NOT_REACHED, judge, last_stage
from estimlab.checks.comparisons import TOLERANCE, WEAKEST
from estimlab.checks.gates import flat
from estimlab.checks.integrals.means import mean, settled
from estimlab.checks.problems.covering import COVERING
from estimlab.checks.problems.settings import CENTRE, PLAIN
from estimlab.estimators.base import Estimator
from estimlab.model.laws import Logistic
from estimlab.randomness.quadrature import Rule

C = 1.7
DEGREE = 2


def unmoved(estimator: Estimator, seed: int) -> str:
    """The mean of one layer does not move: asked of value-only estimators and of those exact to degree 2."""
    settings = [replace(one, null=C, degree=DEGREE) for one in COVERING if one.depth == 1]
    return judge(settings, estimator, seed, last_stage)


def movement(estimator: Estimator, seed: int) -> str:
    """How far one unit's mean moves, in units of F' f'' gap^2: p - 1/2 for straight-through, 0 for ZGR."""
    found = _moved(estimator)
    if found is None:
        return NOT_REACHED
    a = torch.tensor(CENTRE[0], dtype=torch.float64)
    share = float(found) / (2 * C * float(Logistic().density(a)))
    p = float(Logistic().cdf(a))
    return f"the mean moves by {share:+.4f} F' f'' (straight-through: p - 1/2 = {p - 0.5:+.4f}; ZGR: 0)"


def _moved(estimator: Estimator) -> Tensor | None:
    """Mean with the extension minus mean without it, of one unit; None where no integral decides it."""
    with_it, without = (replace(PLAIN, null=c).case.build() for c in (C, 0.0))

    def difference(rule: Rule) -> Tensor | None:
        one, other = (mean(problem, estimator, rule) for problem in (with_it, without))
        return None if one is None or other is None else flat(one) - flat(other)

    found = settled(difference, lambda moved: float(moved.norm()) <= TOLERANCE)
    if found is None:
        return None
    moved, error = found
    within = max(TOLERANCE, 10 * error)
    return moved if within <= WEAKEST or float(moved.abs().max()) > within else None
