"""ReinMax: straight-through to second order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch

from estimlab.estimators.base import HardForward, drawn_side
from estimlab.estimators.claims import Claims
from estimlab.estimators.temperature import check_temperature
from estimlab.model.laws import NoiseLaw, PerUnit


@final
@dataclass(frozen=True)
class ReinMax(HardForward):
    """ReinMax of binary units (Liu et al. 2023, arXiv 2304.08612).

    A draw: hard states forward; backward, by the logit of p, ``2 J((p_tau + b) / 2) - J(p) / 2`` with ``J(q) = q(1-q)``
    and ``p_tau = sigmoid(logit(p) / tau)``, times ``d logit(p) / da``. For logistic noise of scale s the logit is
    ``a / s`` and this is the published rule; for other laws, where the units are softmax units of the logit of F(a), it
    is our reading. Temperature 1 is ZGR for every law and exact for quadratics; at any other not even linear objectives
    are exact, unless p = 1/2: the mean factor is ``d logit(p) / da (p (1-p_tau) + (1-p) p_tau + p_tau (1-p_tau) -
    p (1-p)) / 2``. Cost: one forward and one backward pass.

    Attributes:
        temperature: tau > 0 of the sampled term.

    >>> import estimlab as el
    >>> problem = el.problems.load("quadratic/v1")
    >>> round(el.exact_moments(problem, el.ReinMax()).relative_bias["0"], 3)
    0.0
    """

    citation: ClassVar[str] = "Liu et al. 2023, arXiv 2304.08612"
    name: ClassVar[str] = "reinmax"

    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_temperature("ReinMax", self.temperature, "1 is exact for quadratics")

    def claims(self) -> Claims:
        """Exact for quadratics at temperature 1 alone."""
        return Claims(exact_degree=2 if self.temperature == 1 else 0, bounded_variance=True)

    def derivative(self, a: PerUnit, bit: PerUnit, uniform: PerUnit, law: NoiseLaw) -> PerUnit:
        """Of the drawn side: with q = 1 - p_tau there, ``2 J = (2 - q) q / 2``, which keeps its digits near 0."""
        side = drawn_side(a, bit)
        other = torch.sigmoid(law.log_odds(side) * (-1 / self.temperature))
        twice = (2 - other).mul_(other).mul_(law.log_odds_slope(a))  # in place: new memory costs more than the product
        return twice.sub_(law.density(a)).div_(2)
