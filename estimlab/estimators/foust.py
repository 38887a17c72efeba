"""FouST: the objective's derivative on the way from the midpoint to the drawn state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from estimlab.estimators.base import RelaxedForward, drawn_side, replace_derivative
from estimlab.model.laws import PerUnit
from estimlab.model.units import BinaryUnits


@final
@dataclass(frozen=True)
class FouST(RelaxedForward):
    """FouST (Pervez, Cohen & Gavves 2020, ICML, PMLR 119:7632); our reading.

    A draw: the state is drawn, and its distance from the midpoint of the coding multiplied by a uniform in (0, 1); the
    objective and its derivative are taken at the scaled states, and ``d state / d a`` is ``F'(a) / (2 P(b))`` per bit.
    At P = 1/2 this weight is straight-through's F'; elsewhere it is the importance weight that makes both sides of the
    midpoint count alike:

        sum_b P(b) int_0^1 f'(u b) du F' / P(b) = F' (f(1) - f(-1))      (-1/+1 coding),

    so one unit alone is unbiased for every objective and every P. With several units it is not, not even for products
    of two: each derivative is taken at scaled values of the other units. Cost: one forward and one backward pass.

    The multiplier is what the bit leaves of its own uniform: given ``U < p``, ``U / p`` is uniform in (0, 1) whatever
    p, and so is ``(1 - U) / (1 - p)`` given the opposite.

    Attributes:
        importance_weighted: False leaves F'(a) in the weight's place: unbiased for one unit at P = 1/2 only.

    >>> import estimlab as el
    >>> problem = el.Problem(el.Chain([el.Logits([0.7])]), el.Quadratic(linear=(1.0,)))
    >>> round(el.quadrature_moments(problem, el.FouST()).relative_bias["0"], 3)
    0.0
    """

    citation: ClassVar[str] = "Pervez, Cohen & Gavves 2020, ICML, PMLR 119:7632; our reading"
    name: ClassVar[str] = "foust"

    importance_weighted: bool = True

    def activate(self, a: PerUnit, uniform: PerUnit, units: BinaryUnits) -> PerUnit:
        """The scaled states."""
        fixed, law = a.detach(), units.law
        bit = (uniform < law.cdf(fixed)).to(a.dtype)
        side = drawn_side(fixed, bit)
        # -1 to 1; P(b) and 1 - U round apart where P(b) is tiny
        signed = ((uniform - (1 - bit)) / law.cdf(side)).clamp(-1, 1)
        factor = law.score(side) / 2 if self.importance_weighted else law.density(fixed)
        state = (units.low + units.high) / 2 + units.gap / 2 * signed
        return replace_derivative(a, state, units.gap * factor)
