"""Gapped straight-through: a softmax at logits that are moved until they agree with the draw."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from estimlab.errors import EstimlabError
from estimlab.estimators.base import HardForward, drawn_side
from estimlab.estimators.claims import Claims
from estimlab.estimators.temperature import check_temperature
from estimlab.model.laws import NoiseLaw, PerUnit


@final
@dataclass(frozen=True)
class GappedST(HardForward):
    """Gapped straight-through (Fan, Chi, Rudnicky & Ramadge 2022, arXiv 2206.07235); for binary units our reading.

    A draw: hard states forward; backward the relaxation's derivative at a pre-activation that is moved to the side of
    the drawn state, and at least by the gap: ``F'(v / tau) / tau`` with ``v = max(a, gap)`` on the high state and
    ``v = max(-a, gap)`` on the low one, the move being constant for the derivative. It stands for the noise of
    Gumbel-Softmax, without its variance. The published rule is for two logits with the difference a, logistic noise of
    scale 1; other laws put their own F in its place. Not even linear objectives are exact. Cost: one forward and one
    backward pass.

    Attributes:
        temperature: tau > 0, in units of the noise's scale.
        gap: positive, in units of the noise's scale, or ``"probability"`` for ``-log(1 - P(b)) / P(b)`` of the drawn b.

    >>> import estimlab as el
    >>> problem = el.problems.load("quadratic/v1")
    >>> round(el.exact_moments(problem, el.GappedST()).relative_bias["0"], 3)
    0.428
    """

    citation: ClassVar[str] = "Fan, Chi, Rudnicky & Ramadge 2022, arXiv 2206.07235; our reading (binary units)"
    name: ClassVar[str] = "gapped_st"

    temperature: float = 1.0
    gap: float | Literal["probability"] = 1.0

    def __post_init__(self) -> None:
        check_temperature("GappedST", self.temperature, "1 is usual")
        number = isinstance(self.gap, float | int) and math.isfinite(self.gap) and self.gap > 0
        if not (number or self.gap == "probability"):
            raise EstimlabError(f"GappedST(gap={self.gap!r}): give a positive number (1 is usual) or 'probability'.")

    def claims(self) -> Claims:
        """Not even linear objectives are exact."""
        return Claims(exact_degree=0, bounded_variance=True)

    def derivative(self, a: PerUnit, bit: PerUnit, uniform: PerUnit, law: NoiseLaw) -> PerUnit:
        """The relaxation's derivative at the moved pre-activation."""
        side = drawn_side(a, bit)
        moved = side.clamp(min=self._gap(side, law))
        return law.density(moved / self.temperature) / self.temperature

    def _gap(self, side: Tensor, law: NoiseLaw) -> float | Tensor:
        """In units of the pre-activation."""
        if not isinstance(self.gap, str):
            return law.scale * self.gap
        p = law.cdf(side)
        return law.scale * torch.where(p > 0, -law.log_cdf(-side) / p, 1)  # the limit for rare states
