"""Importance-weighted straight-through: the derived factor times a weight that depends on the drawn state."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch

from estimlab.declared import Declared
from estimlab.errors import EstimlabError
from estimlab.estimators.base import HardForward, drawn_side
from estimlab.estimators.claims import Claims
from estimlab.model.laws import NoiseLaw, PerUnit


@dataclass(frozen=True)
class ImportanceWeightedST(HardForward):
    """The family: factor ``F'(a) p1 / p`` on the high state and ``F'(a) (1 - p1) / (1 - p)`` on the low one.

    The name is that of Walker, Khajehnejad & Razi 2025 (arXiv 2505.17962), the formula our derivation. The factor has
    mean ``F'(a)`` for every p1, so linear objectives are exact; ``p1 = p`` is the derived straight-through, and p1 =
    1/2 makes quadratics exact. Bias for a quadratic: ``F' f'' (p1 - 1/2)`` per unit (0/1 coding); variance at a
    constant slope c: ``F'^2 c^2 (p1 - p)^2 / (p (1 - p))``.

    Attributes:
        symmetric: whether ``p1(-a) = 1 - p1(a)``; the weight of either state is then p1 on its side, which is cheaper.
    """

    symmetric: ClassVar[bool] = False

    def claims(self) -> Claims:
        """Exact for linear objectives."""
        return Claims(exact_degree=1)

    @abc.abstractmethod
    def high_weight(self, a: PerUnit, law: NoiseLaw) -> PerUnit:
        """p1 as a function of the pre-activation."""

    def derivative(self, a: PerUnit, bit: PerUnit, uniform: PerUnit, law: NoiseLaw) -> PerUnit:
        """The weighted factor; ``F'/p`` and ``F'/(1-p)`` are formed as scores, which stay finite."""
        side = drawn_side(a, bit)
        if self.symmetric:
            return self.high_weight(side, law) * law.score(side)
        p1 = self.high_weight(a, law)
        return torch.where(bit > 0.5, p1, 1 - p1) * law.score(side)


@final
@dataclass(frozen=True)
class ZGR(ImportanceWeightedST):
    """Zero-temperature Gumbel-Rao (Shekhovtsov 2023, GCPR, "Cold analysis of Rao-Blackwellized ST Gumbel-Softmax").

    ``p1 = 1/2``: the factor is ``F'/(2p)`` on the high state and ``F'/(2(1-p))`` on the low one. For binary units the
    same as DARN with x-bar = 1/2 (Gregor et al. 2014) and as ReinMax (Liu et al. 2023, arXiv 2304.08612).
    Exact within one layer for quadratic objectives; cubic bias ``F' f''' / 12`` (0/1 coding).

    >>> import estimlab as el
    >>> problem = el.problems.load("quadratic/v1")
    >>> round(el.exact_moments(problem, el.ZGR()).relative_bias["0"], 3)
    0.0
    """

    citation: ClassVar[str] = "Shekhovtsov 2023, GCPR; = ReinMax, Liu et al. 2023, arXiv 2304.08612"
    symmetric: ClassVar[bool] = True

    def claims(self) -> Claims:
        """Exact for quadratics."""
        return Claims(exact_degree=2)

    def high_weight(self, a: PerUnit, law: NoiseLaw) -> PerUnit:
        """One half."""
        return torch.full_like(a, 0.5)


@final
@dataclass(frozen=True)
class MVE(ImportanceWeightedST):
    """Minimum-variance estimator (Hooper & Shekhovtsov, AISTATS 2026): between ST (t = 0) and ZGR (t to infinity).

    ``p1 = (p + 2 t p (1-p)) / (1 + 4 t p (1-p))``, the minimiser of variance plus t times the squared quadratic bias.

    Attributes:
        t: weight of the bias, non-negative.

    >>> import estimlab as el
    >>> problem = el.problems.load("quadratic/v1")
    >>> round(el.exact_moments(problem, el.MVE(t=1.0)).relative_bias["0"], 3)
    0.221
    """

    citation: ClassVar[str] = "Hooper & Shekhovtsov 2026, AISTATS"
    symmetric: ClassVar[bool] = True

    t: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.t) and self.t >= 0):
            raise EstimlabError(f"MVE(t={self.t!r}): t must be a finite number >= 0; t = 0 is ST, large t is ZGR.")

    def high_weight(self, a: PerUnit, law: NoiseLaw) -> PerUnit:
        """p1 of the trade-off."""
        p = law.cdf(a)
        pq = p * (1 - p)  # where this loses digits, p1 = p to rounding
        return torch.add(p, pq, alpha=2 * self.t) / (4 * self.t * pq).add_(1)


@dataclass(frozen=True)
class HighWeight(Declared, abc.ABC):
    """p1 as a value: a function of the pre-activation that prints, pickles and hashes.

    Attributes:
        symmetric: whether ``p1(-a) = 1 - p1(a)``.
    """

    symmetric: ClassVar[bool] = False

    @classmethod
    def called(cls) -> str:
        """What one is called in a sentence."""
        return (
            "a HighWeight such as ConstantWeight(0.5) or PowerWeight(0.5) from estimlab.estimators.iw_st, or a frozen "
            "dataclass of your own that extends HighWeight"
        )

    @abc.abstractmethod
    def __call__(self, a: PerUnit, law: NoiseLaw) -> PerUnit:
        """p1 at the pre-activation."""


@final
@dataclass(frozen=True)
class ConstantWeight(HighWeight):
    """``p1 = value``: 1/2 is ZGR, 1 and 0 the right and left stochastic derivative (Arya et al. 2022, 2210.08572).

    >>> import estimlab as el
    >>> ConstantWeight(0.25)(torch.zeros(2), el.Logistic())
    tensor([0.2500, 0.2500])
    """

    value: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 1:
            raise EstimlabError(f"ConstantWeight(value={self.value!r}): p1 is a probability, between 0 and 1.")

    def __call__(self, a: PerUnit, law: NoiseLaw) -> PerUnit:
        """The constant."""
        return torch.full_like(a, self.value)


@final
@dataclass(frozen=True)
class PowerWeight(HighWeight):
    """``p1 = p^(1-alpha) / (p^(1-alpha) + (1-p)^(1-alpha))``: ST at alpha = 0, ZGR at 1 (our derivation).

    >>> import estimlab as el
    >>> [round(float(PowerWeight(alpha)(torch.ones(()), el.Logistic())), 3) for alpha in (0.0, 1.0)]
    [0.731, 0.5]
    """

    symmetric: ClassVar[bool] = True

    alpha: float = 0.5

    def __call__(self, a: PerUnit, law: NoiseLaw) -> PerUnit:
        """The tempered probability."""
        return torch.sigmoid((1 - self.alpha) * law.log_odds(a))


@final
@dataclass(frozen=True)
class IWST(ImportanceWeightedST):
    """Importance-weighted straight-through with a p1 of one's own (Walker, Khajehnejad & Razi 2025, arXiv 2505.17962).

    Attributes:
        p1: a ``HighWeight``: ``ConstantWeight(value)``, ``PowerWeight(alpha)``, or a frozen dataclass of one's own.

    >>> import estimlab as el
    >>> problem = el.problems.load("quadratic/v1")
    >>> round(el.exact_moments(problem, IWST(ConstantWeight(0.5))).relative_bias["0"], 3)
    0.0
    """

    citation: ClassVar[str] = "Walker, Khajehnejad & Razi 2025, arXiv 2505.17962 (name); our derivation (formula)"
    name: ClassVar[str] = "iw_st"

    p1: HighWeight = PowerWeight(0.5)

    def __post_init__(self) -> None:
        if not isinstance(self.p1, HighWeight):
            raise EstimlabError(
                f"IWST(p1={self.p1!r}): p1 is a HighWeight such as ConstantWeight(0.5) or PowerWeight(0.5) from "
                "estimlab.estimators.iw_st, or a frozen dataclass of your own that extends HighWeight."
            )

    @property
    def symmetric(self) -> bool:  # type: ignore[override]
        """That of ``p1``."""
        return self.p1.symmetric

    def high_weight(self, a: PerUnit, law: NoiseLaw) -> PerUnit:
        """What ``p1`` says."""
        return self.p1(a, law)
