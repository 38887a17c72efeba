"""DARN: the score times a first-order expansion of the objective about a point."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch

from estimlab.errors import EstimlabError
from estimlab.estimators.claims import Claims
from estimlab.estimators.iw_st import ImportanceWeightedST
from estimlab.model.laws import NoiseLaw, PerUnit


@final
@dataclass(frozen=True)
class DARN(ImportanceWeightedST):
    """DARN (Gregor et al. 2014, arXiv 1310.8499; Gu et al. 2016 (MuProp), arXiv 1511.05176, eqs. 5-7).

    A draw: the factor ``d log P(b) / da (b - xbar)``, that is ``F'/p (1 - xbar)`` on the high state and
    ``F'/(1-p) xbar`` on the low one: the importance-weighted straight-through with ``p1 = 1 - xbar``. Linear
    objectives are exact for every xbar, quadratics for 1/2 (ZGR); at the mean, xbar = p, the bias of a quadratic is
    that of straight-through with the opposite sign.

    Attributes:
        xbar: the point of expansion in 0/1 coding, a number, or ``"mean"`` for P(high).

    >>> import estimlab as el
    >>> problem = el.problems.load("quadratic/v1")
    >>> round(el.exact_moments(problem, el.DARN("mean")).relative_bias["0"], 3)
    0.417
    """

    citation: ClassVar[str] = "Gregor et al. 2014, arXiv 1310.8499; Gu et al. 2016, arXiv 1511.05176, eqs. 5-7"

    xbar: float | Literal["mean"] = 0.5

    def __post_init__(self) -> None:
        if self.xbar != "mean" and not (isinstance(self.xbar, float | int) and math.isfinite(self.xbar)):
            raise EstimlabError(f"DARN(xbar={self.xbar!r}): give a finite number (0.5 is ZGR) or 'mean'.")

    def claims(self) -> Claims:
        """Only the midpoint makes quadratics exact."""
        return Claims(exact_degree=2 if self.xbar == 0.5 else 1)

    @property
    def symmetric(self) -> bool:  # type: ignore[override]
        """At the midpoint."""
        return self.xbar == 0.5

    def high_weight(self, a: PerUnit, law: NoiseLaw) -> PerUnit:
        """``1 - xbar``."""
        return law.cdf(-a) if isinstance(self.xbar, str) else torch.full_like(a, 1 - self.xbar)
