"""Gumbel-Rao: straight-through Gumbel-Softmax averaged over the noise that leads to the drawn state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.errors import EstimlabError
from estimlab.estimators.base import HardForward
from estimlab.estimators.claims import Claims
from estimlab.estimators.temperature import check_temperature
from estimlab.model.laws import NoiseLaw, PerUnit


@final
@dataclass(frozen=True)
class GumbelRao(HardForward):
    """Gumbel-Rao (Paulus, Maddison & Krause 2021, arXiv 2010.04838, eqs. 7 and 10).

    A draw: hard states forward; backward the mean of K fresh draws of the relaxation's derivative given the state,
    ``1/K sum_k F'((a - Z_k) / tau) / tau`` with ``Z_k ~ Z | state``, from K extra channels of noise. K = 1 has the
    law of straight-through Gumbel-Softmax, though not its draws. Same mean for every K, the conditional variance
    divided by K; the variance at fixed K still grows like 1 / tau as tau goes to 0. Cost: one forward and one
    backward pass, K uniforms per unit.

    Attributes:
        temperature: tau > 0 of the backward relaxation, in units of the noise's scale.
        samples: K, at least 1.

    >>> import estimlab as el
    >>> problem = el.problems.load("quadratic/v1")
    >>> [round(el.exact_moments(problem, el.GumbelRao(0.1, k)).relative_std["0"], 2) for k in (1, 10, 100)]
    [8.59, 4.06, 3.28]
    """

    citation: ClassVar[str] = "Paulus, Maddison & Krause 2021, arXiv 2010.04838, eqs. 7 and 10"
    reads_uniform: ClassVar[bool] = True

    temperature: float = 1.0
    samples: int = 10

    def __post_init__(self) -> None:
        check_temperature("GumbelRao", self.temperature)
        if not (isinstance(self.samples, int) and self.samples >= 1):
            raise EstimlabError(
                f"GumbelRao(samples={self.samples!r}): a whole number of at least 1; for infinitely many use "
                "el.AnalyticGumbelRao()."
            )

    def claims(self) -> Claims:
        """Nothing of its bias; the variance grows as the temperature falls."""
        return Claims(exact_degree=0, bounded_variance=False)

    @property
    def extra_channels(self) -> int:
        """One per sample."""
        return self.samples

    def kinks(self, a: PerUnit, law: NoiseLaw) -> list[PerUnit]:
        """Those of the relaxation, in the uniforms that are scaled to the drawn side."""
        sides = [(side, law.cdf(side)) for side in (a, -a)]
        cuts = [(cut, p) for side, p in sides for cut in law.relaxation_kinks(side, self.temperature)]
        return [torch.where(cut < p, cut / p, 1) for cut, p in cuts]

    def derivative(self, a: PerUnit, bit: PerUnit, uniform: Float[Tensor, "samples *shape"], law: NoiseLaw) -> PerUnit:
        """The mean over the samples; the noise of the low state at a is minus that of the high state at -a."""
        side = torch.where(bit > 0.5, a, -a)
        noise = law.quantile(law.cdf(side) * uniform)
        return (law.density((side - noise) / self.temperature) / self.temperature).mean(0)

    def derivative_moments(
        self, a: PerUnit, law: NoiseLaw
    ) -> tuple[Float[Tensor, "2 *shape"], Float[Tensor, "2 *shape"]]:
        """The mean of one sample, and its variance divided by K: no sampling."""
        mean, second = law.slope_moments(torch.stack((-a, a)), self.temperature)
        return mean, mean * mean + (second - mean * mean) / self.samples


@final
@dataclass(frozen=True)
class AnalyticGumbelRao(HardForward):
    """Gumbel-Rao with infinitely many samples (Paulus et al. 2021, arXiv 2010.04838, eq. 7; our derivation).

    The name is that of Walker, Khajehnejad & Razi 2025 (arXiv 2505.17962). A draw: hard states forward, the
    conditional mean of the relaxation's derivative backward, ``A_b / P(b)`` with
    ``A_1 = int_{1/2}^1 F'(a - tau Q(x)) dx``, Q the quantile, and ``A_0(a) = A_1(-a)``: no noise beyond the state, and
    a variance that stays bounded as tau goes to 0, where it becomes ZGR. Not even linear objectives are exact: for
    logistic noise ``(A_0 + A_1) / F' = 1 + (pi^2 tau^2 / 6) (1 - 6 p (1-p)) + O(tau^4)``.

    Gaussian noise in closed form: with ``kappa = tau / sqrt(1 + tau^2)`` and a in units of the scale,
    ``A_1 = N(a; 0, 1 + tau^2) Phi(kappa a)``; other laws by a quadrature with 103 nodes, temperatures above 1 and laws
    of bounded support by one with several times as many. Cost: one forward and one backward pass.

    Attributes:
        temperature: tau > 0 of the backward relaxation, in units of the noise's scale.

    >>> import estimlab as el
    >>> problem = el.problems.load("quadratic/v1")
    >>> [round(el.exact_moments(problem, el.AnalyticGumbelRao(t)).relative_bias["0"], 3) for t in (1.0, 0.1)]
    [0.421, 0.058]
    """

    citation: ClassVar[str] = "Paulus et al. 2021, arXiv 2010.04838, eq. 7; our derivation (closed forms)"

    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_temperature("AnalyticGumbelRao", self.temperature)

    def claims(self) -> Claims:
        """Nothing of its bias; the variance stays bounded."""
        return Claims(exact_degree=0, bounded_variance=True)

    def derivative(self, a: PerUnit, bit: PerUnit, uniform: PerUnit, law: NoiseLaw) -> PerUnit:
        """``A_b / P(b)``."""
        side = torch.where(bit > 0.5, a, -a)
        return law.mean_slope(side, self.temperature)
