"""Gumbel-Softmax of binary units, relaxed and straight-through.

The relaxation is the noise law's own distribution function at a temperature: ``zeta_tau(v) = F(v / tau)`` with
``v = a - Z``. For logistic noise of scale 1 this is ``sigmoid((a - Z) / tau)``, the binary Gumbel-Softmax, as two
Gumbels differ by a logistic; temperatures are in units of the scale of the noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.estimators.base import HardForward, RelaxedForward
from estimlab.estimators.claims import Claims
from estimlab.estimators.temperature import check_temperature
from estimlab.model.laws import NoiseLaw, PerUnit
from estimlab.model.units import BinaryUnits


@final
@dataclass(frozen=True)
class GumbelSoftmax(RelaxedForward):
    """Gumbel-Softmax, or Concrete (Maddison et al. 2017, arXiv 1611.00712; Jang et al. 2017, arXiv 1611.01144).

    A draw: ``bit = F((a - Z) / tau)``, differentiated as it stands, the objective taken at the relaxed states.
    Bias O(tau), for linear objectives O(tau^2); variance O(1 / tau) as tau goes to 0. Cost: one forward and one
    backward pass.

    Attributes:
        temperature: tau > 0, in units of the noise's scale.

    >>> import estimlab as el
    >>> problem = el.Problem(el.Chain([el.Logits([0.7])]), el.Quadratic(linear=(1.0,)))
    >>> round(el.quadrature_moments(problem, el.GumbelSoftmax(temperature=0.5)).relative_bias["0"], 3)
    0.1
    """

    citation: ClassVar[str] = "Maddison et al. 2017, arXiv 1611.00712; Jang et al. 2017, arXiv 1611.01144"

    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_temperature("GumbelSoftmax", self.temperature)

    def claims(self) -> Claims:
        """Nothing of its bias; the variance grows as the temperature falls."""
        return Claims(exact_degree=0, bounded_variance=False, draws_states=False)

    def kinks(self, a: PerUnit, law: NoiseLaw) -> list[PerUnit]:
        """Those of the relaxation."""
        return law.relaxation_kinks(a, self.temperature)

    def activate(self, a: PerUnit, uniform: PerUnit, units: BinaryUnits) -> PerUnit:
        """The relaxed states."""
        return units.state(units.law.cdf((a - units.law.quantile(uniform)) / self.temperature))


@final
@dataclass(frozen=True)
class STGumbelSoftmax(HardForward):
    """Straight-through Gumbel-Softmax (Jang et al. 2017, 1611.01144; Paulus et al. 2021, 2010.04838, eq. 6).

    A draw: hard states forward, the derivative of the relaxation at the same noise backward,
    ``d bit / d a = F'((a - Z) / tau) / tau``. Exact for quadratics only in the limit tau to 0, where the variance
    grows like 1 / tau. Cost: one forward and one backward pass.

    There is one temperature: of separate ones for the forward and the backward pass only the backward one would act,
    as the hard state ``1[a - Z > 0]`` does not depend on it.

    Attributes:
        temperature: tau > 0 of the backward relaxation, in units of the noise's scale.

    >>> import estimlab as el
    >>> problem = el.problems.load("quadratic/v1")
    >>> round(el.exact_moments(problem, el.STGumbelSoftmax(temperature=0.5)).relative_bias["0"], 3)
    0.256
    """

    citation: ClassVar[str] = "Jang et al. 2017, arXiv 1611.01144; Paulus et al. 2021, arXiv 2010.04838, eq. 6"
    reads_uniform: ClassVar[bool] = True
    name: ClassVar[str] = "st_gumbel_softmax"

    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_temperature("STGumbelSoftmax", self.temperature)

    def claims(self) -> Claims:
        """Nothing of its bias; the variance grows as the temperature falls."""
        return Claims(exact_degree=0, bounded_variance=False)

    def kinks(self, a: PerUnit, law: NoiseLaw) -> list[PerUnit]:
        """Those of the relaxation."""
        return law.relaxation_kinks(a, self.temperature)

    def derivative(self, a: PerUnit, bit: PerUnit, uniform: PerUnit, law: NoiseLaw) -> PerUnit:
        """The relaxation's derivative at the noise that decided the state."""
        return law.density((a - law.quantile(uniform)) / self.temperature) / self.temperature

    def derivative_moments(
        self, a: PerUnit, law: NoiseLaw
    ) -> tuple[Float[Tensor, "2 *shape"], Float[Tensor, "2 *shape"]]:
        """By a quadrature that keeps its digits at small temperatures."""
        return law.slope_moments(torch.stack((-a, a)), self.temperature)
