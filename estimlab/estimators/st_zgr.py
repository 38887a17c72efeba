"""The mixture of straight-through and ZGR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from estimlab.errors import EstimlabError
from estimlab.estimators.iw_st import ImportanceWeightedST
from estimlab.model.laws import NoiseLaw, PerUnit


@final
@dataclass(frozen=True)
class STZGR(ImportanceWeightedST):
    """``(1 - c) ST + c ZGR`` (Shekhovtsov 2023, GCPR, "Cold analysis of Rao-Blackwellized ST Gumbel-Softmax").

    A draw: ``p1 = (1 - c) p + c / 2``. The bias of a quadratic is 1 - c times that of straight-through,
    ``(1 - c) F' f'' (p - 1/2)`` (0/1 coding); the variance at a constant slope is c^2 times that of ZGR.

    Attributes:
        mix: c between 0 (straight-through) and 1 (ZGR, which is exact for quadratics too).

    >>> import estimlab as el
    >>> problem = el.problems.load("quadratic/v1")
    >>> round(el.exact_moments(problem, el.STZGR(mix=0.5)).relative_bias["0"], 3)
    0.208
    """

    citation: ClassVar[str] = "Shekhovtsov 2023, GCPR"
    name: ClassVar[str] = "st_zgr"
    symmetric: ClassVar[bool] = True

    mix: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.mix <= 1:
            raise EstimlabError(
                f"STZGR(mix={self.mix!r}): a share of ZGR between 0 (el.StraightThrough) and 1 (el.ZGR)."
            )

    def high_weight(self, a: PerUnit, law: NoiseLaw) -> PerUnit:
        """p1 of the mixture."""
        return (1 - self.mix) * law.cdf(a) + self.mix / 2
