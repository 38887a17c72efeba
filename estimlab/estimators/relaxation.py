"""The relaxation of a binary unit, ``zeta_tau(v) = F(v / tau)`` of ``v = a - Z``, and its slope given the state."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from estimlab.errors import EstimlabError
from estimlab.estimators.base import RULE, conditional_moments, sum_over_nodes
from estimlab.model.laws import NoiseLaw, PerUnit, Triangular, Uniform


def check_temperature(
    who: str, temperature: float, limit: str = "for the limit at zero temperature use el.ZGR()"
) -> None:
    """Raise unless the temperature is a positive number; ``limit`` says what to do instead."""
    if not (math.isfinite(temperature) and temperature > 0):
        raise EstimlabError(f"{who}(temperature={temperature!r}): the temperature must be a positive number; {limit}.")


def relaxation_kinks(a: Tensor, law: NoiseLaw, temperature: float) -> list[Tensor]:
    """For laws of bounded support, where the relaxation and the quantile have kinks."""
    if not _bounded(law):
        return []
    reach = temperature * law.scale
    return [law.cdf(a - reach), law.cdf(a + reach), torch.full_like(a, 0.5)]


def slope_moments(side: PerUnit, law: NoiseLaw, temperature: float) -> tuple[PerUnit, PerUnit]:
    """Mean and second moment of ``zeta_tau'(side - Z)`` given ``Z < side``, by quadrature (our derivation).

    ``side`` is ``a`` for the high state and, by symmetry, ``-a`` for the low one. The first moment is the factor
    ``A_b / P(b)`` of Gumbel-Rao with infinitely many samples. Up to temperature 1 the integral is taken in the relaxed
    state ``x = zeta_tau(v)``, in which it stays smooth as the temperature goes to zero:

        E[g | Z < side] = int_{1/2}^1 g(v(x)) F'(side - v(x)) / F(side) dx,    v(x) = tau Q(x), Q the quantile.

    At higher temperatures, and where kinks must be cut out, in the noise. For logistic and Gaussian noise, and states
    of a probability above 1e-300, the error is below 1e-13 of the larger of the moment and one over the scale.
    """
    if temperature > 1 or _bounded(law):
        p = law.cdf(side)

        def slope(bit: Tensor, uniform: Tensor) -> Tensor:
            return law.density((side - law.quantile(uniform)) / temperature) / temperature

        mean, second = conditional_moments(slope, p, [p, *relaxation_kinks(side, law, temperature)])
        return mean[1], second[1]
    nodes, weights = (column.to(side.device) for column in (RULE.nodes, RULE.weights))
    quantiles = law.quantile(nodes / 2)  # of 1 - x: no digit is lost where x is close to one
    log_p = law.log_cdf(side)

    def terms(q: Tensor, slope: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        noise = side + temperature * q
        # F' / F(side) as a score times a ratio of probabilities, which is finite for rare states
        term = weight * law.score(noise) * torch.exp(law.log_cdf(noise) - log_p)
        return term, slope * term

    first, second = sum_over_nodes(terms, side, quantiles, law.density(quantiles) / temperature, weights / 2)
    return first, second


def _bounded(law: NoiseLaw) -> bool:
    return isinstance(law, Uniform | Triangular)
