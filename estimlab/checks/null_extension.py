"""``c (x - low)(x - high)`` is zero on the corners: it changes an objective's extension and not the objective."""

from __future__ import annotations

import torch
from torch import Tensor

from estimlab.checks.cases import CODINGS, PRE_ACTIVATIONS, Case, one_layer
from estimlab.checks.expectation import TOLERANCE, reached
from estimlab.checks.gates import flat
from estimlab.checks.report import Refuted, Undecided
from estimlab.estimators.base import Estimator
from estimlab.measurement.quadrature import quadrature_moments
from estimlab.model.units import Logistic

C = 1.7
DEGREE = 2
SHOW_MOVE = """\
def plain(x, target):  # the same at the corners
    return objective(x, target) - {c} * ((x - {low}) * (x - {high})).sum(1)


print(el.quadrature_moments(problem, estimator).mean)
print("without the null extension", el.quadrature_moments(el.Problem(network, plain), estimator).mean)"""


def unmoved(estimator: Estimator) -> str:
    """The mean of one layer does not move: asked of value-only estimators and of those exact to degree 2."""
    for size, coding in ((1, CODINGS[0]), (1, CODINGS[1]), (2, CODINGS[0])):
        case = one_layer(size, DEGREE, coding=coding, null=C)
        moved = _moved(case, size, coding, estimator)
        if moved is None and size == 1:
            raise Undecided("too many joint nodes for a quick check")
        if moved is not None and float(moved.abs().max()) > TOLERANCE:
            show = SHOW_MOVE.format(c=C, low=coding[0], high=coding[1])
            said = f"the mean moves by {float(moved.abs().max()):.3g} when {C} (x - low)(x - high) is added"
            raise Refuted(said, effect=float(moved.norm()), snippet=case.snippet(estimator, show))
    return "the mean does not move"


def movement(estimator: Estimator) -> str:
    """How far one unit's mean moves, in units of F' f'' gap^2: p - 1/2 for straight-through, 0 for ZGR."""
    moved = _moved(one_layer(1, DEGREE, null=C), 1, CODINGS[0], estimator)
    if moved is None:
        return "too many joint nodes for a quick check"
    a = torch.tensor(PRE_ACTIVATIONS[0], dtype=torch.float64)
    share = float(moved) / (2 * C * float(Logistic().density(a)))
    p = float(Logistic().cdf(a))
    return f"the mean moves by {share:+.4f} F' f'' (straight-through: p - 1/2 = {p - 0.5:+.4f}; ZGR: 0)"


def _moved(case: Case, size: int, coding: tuple[float, float], estimator: Estimator) -> Tensor | None:
    """Mean with the extension minus mean without it; None where quadrature does not reach."""
    problem, plain = case.build(), one_layer(size, DEGREE, coding=coding).build()
    if not reached(problem, estimator):
        return None
    return flat(quadrature_moments(problem, estimator).mean) - flat(quadrature_moments(plain, estimator).mean)
