"""``c (x - low)(x - high)`` is zero on the corners: it changes an objective's extension and not the objective."""

from __future__ import annotations

import torch
from torch import Tensor

from estimlab.checks.cases import CODINGS, PRE_ACTIVATIONS, Case, one_layer
from estimlab.checks.expectation import NOT_REACHED, TOLERANCE, WEAKEST
from estimlab.checks.gates import flat
from estimlab.checks.integrals import mean, settled
from estimlab.checks.report import Refuted, Undecided
from estimlab.estimators.base import Estimator
from estimlab.model.units import Logistic
from estimlab.randomness import Rule

C = 1.7
DEGREE = 2
SHOW_MOVE = """\
from estimlab.checks.integrals import mean


def plain(x, target):  # the same at the corners
    return objective(x, target) - {c} * ((x - {low}) * (x - {high})).sum(1)


print(mean(problem, estimator))
print("without the null extension", mean(el.Problem(network, plain), estimator))"""


def unmoved(estimator: Estimator, seed: int) -> str:
    """The mean of one layer does not move: asked of value-only estimators and of those exact to degree 2."""
    for size, coding in ((1, CODINGS[0]), (1, CODINGS[1]), (2, CODINGS[0])):
        case = one_layer(size, DEGREE, coding=coding, null=C)
        found = _moved(case, size, coding, estimator)
        if found is None and size == 1:
            raise Undecided(NOT_REACHED)
        if found is not None and float(found[0].abs().max()) > found[1]:
            show = SHOW_MOVE.format(c=C, low=coding[0], high=coding[1])
            said = f"the mean moves by {float(found[0].abs().max()):.3g} when {C} (x - low)(x - high) is added"
            raise Refuted(said, effect=float(found[0].norm()), snippet=case.snippet(estimator, show))
    return "the mean does not move"


def movement(estimator: Estimator, seed: int) -> str:
    """How far one unit's mean moves, in units of F' f'' gap^2: p - 1/2 for straight-through, 0 for ZGR."""
    found = _moved(one_layer(1, DEGREE, null=C), 1, CODINGS[0], estimator)
    if found is None:
        return NOT_REACHED
    a = torch.tensor(PRE_ACTIVATIONS[0], dtype=torch.float64)
    share = float(found[0]) / (2 * C * float(Logistic().density(a)))
    p = float(Logistic().cdf(a))
    return f"the mean moves by {share:+.4f} F' f'' (straight-through: p - 1/2 = {p - 0.5:+.4f}; ZGR: 0)"


def _moved(case: Case, size: int, coding: tuple[float, float], estimator: Estimator) -> tuple[Tensor, float] | None:
    """Mean with the extension minus mean without it, and what is no movement; None where no integral decides it."""
    problems = [one.build() for one in (case, one_layer(size, DEGREE, coding=coding))]

    def difference(rule: Rule) -> Tensor | None:
        with_it, without = (mean(problem, estimator, rule) for problem in problems)
        return None if with_it is None or without is None else flat(with_it) - flat(without)

    found = settled(difference, lambda moved: float(moved.norm()) <= TOLERANCE)
    if found is None:
        return None
    moved, error = found
    within = max(TOLERANCE, 10 * error)
    return (moved, within) if within <= WEAKEST or float(moved.abs().max()) > within else None
