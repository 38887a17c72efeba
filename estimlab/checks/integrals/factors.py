"""Factors that read many uniforms per unit: moments given the state, channel by channel, where channels add up."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.checks.single_draws import close, mapped, tables_of
from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator, HardForward
from estimlab.measurement.exact.moments import exact_moments
from estimlab.measurement.measurement import Measurement
from estimlab.model.laws import NoiseLaw, PerUnit
from estimlab.model.problem import Problem
from estimlab.randomness.quadrature import Rule, interval_edges, node_between, tanh_sinh

AGREEMENT = 1e-11  # of two rules, and of a factor with the sum of its channels, relative to their size
POINTS = 64  # at which channels must add up: half of them random, half nodes, which crowd at the ends of (0, 1)


class NotReached(EstimlabError):
    """An integral that cannot be taken this way."""


@dataclass(frozen=True)
class Integrated(HardForward):
    """The hard-forward pass of an estimator, whose factor's moments are integrals of ``derivative()`` (our derivation).

    Let the factor of a unit, given its state, be a function J of K independent uniforms in which channels add up,
    ``J(u) = J(c) + sum_k g_k(u_k)`` with ``g_k(u_k) = J(c, u_k in place of c_k) - J(c)``, c = 1/2. Then

        E[J] = J(c) + sum_k E[g_k],        Var[J] = sum_k Var[g_k],

    2 K integrals over one uniform, where quadrature over all of them has 103^K nodes. A mean of K samples is such a
    factor. That channels add up is tested at ``POINTS`` points, and so is that a unit's factor is its own. Where the
    factor reads the uniform that decides the state, the integrals are over those that lead to it.

    Attributes:
        estimator: whose ``derivative`` is integrated; its own ``derivative_moments`` is not used.

    Errors:
        NotReached: channels do not add up, units mix, or two rules disagree.
    """

    estimator: HardForward

    @property
    def reads_uniform(self) -> bool:  # type: ignore[override]
        """That of the estimator."""
        return self.estimator.reads_uniform

    @property
    def extra_channels(self) -> int:
        """Those of the estimator."""
        return self.estimator.extra_channels

    def kinks(self, a: PerUnit, law: NoiseLaw) -> list[PerUnit]:
        """Those of the estimator."""
        return self.estimator.kinks(a, law)

    def derivative(self, a: PerUnit, bit: PerUnit, uniform: Float[Tensor, "..."], law: NoiseLaw) -> PerUnit:
        """That of the estimator."""
        return self.estimator.derivative(a, bit, uniform, law)

    def derivative_moments(
        self, a: PerUnit, law: NoiseLaw
    ) -> tuple[Float[Tensor, "2 *shape"], Float[Tensor, "2 *shape"]]:
        """Integrals over one uniform at a time."""
        if not self.reads_uniform:
            return super().derivative_moments(a, law)
        low_mean, low_square = self._given(torch.zeros_like(a), a, law)
        high_mean, high_square = self._given(torch.ones_like(a), a, law)
        return torch.stack((low_mean, high_mean)), torch.stack((low_square, high_square))

    def _given(self, bit: Tensor, a: Tensor, law: NoiseLaw) -> tuple[Tensor, Tensor]:
        moments = self._of_state_noise
        if self.extra_channels:
            self._require_units_apart(bit, a, law)
            self._require_additive(bit, a, law)
            moments = self._of_channels
        fine = moments(bit, a, law, tanh_sinh(1 / 32))
        coarse = moments(bit, a, law, tanh_sinh(1 / 24))
        if not all(_agree(one, other) for one, other in zip(fine, coarse, strict=True)):
            raise NotReached(f"{self.estimator!r}: two rules disagree on the moments of derivative().")
        return fine

    def _of_state_noise(self, bit: Tensor, a: Tensor, law: NoiseLaw, rule: Rule) -> tuple[Tensor, Tensor]:
        """Over the uniforms that lead to the bit."""
        p = law.cdf(a)
        nodes, weights = _composite([p, *self.kinks(a, law)], rule)
        weights = torch.where((nodes < p) == (bit > 0.5), weights, 0)
        values = self._at(nodes, bit, a, law)
        mass = weights.sum(0)
        mean = (weights * values).sum(0) / mass
        square = (weights * values**2).sum(0) / mass
        return mean, square

    def _of_channels(self, bit: Tensor, a: Tensor, law: NoiseLaw, rule: Rule) -> tuple[Tensor, Tensor]:
        nodes, weights = _composite(self.kinks(a, law) or [law.cdf(a)], rule)
        mean = start = self._at_anchor(bit, a, law)
        variance = torch.zeros_like(mean)
        for channel in range(self.extra_channels):
            moved = self._at(self._anchored(a, channel, nodes), bit, a, law) - start
            first = (weights * moved).sum(0)
            second = (weights * moved**2).sum(0)
            mean = mean + first
            variance = variance + second - first**2
        return mean, mean**2 + variance

    def _at(self, uniforms: Float[Tensor, "... points *shape"], bit: Tensor, a: Tensor, law: NoiseLaw) -> Tensor:
        shape = uniforms.shape[-1 - a.ndim :]
        return self.derivative(a.expand(shape), bit.expand(shape), uniforms, law)

    def _at_anchor(self, bit: Tensor, a: Tensor, law: NoiseLaw) -> Tensor:
        anchor = torch.full((self.extra_channels, *a.shape), 0.5, dtype=a.dtype)
        return self.derivative(a, bit, anchor, law)

    def _anchored(self, a: Tensor, channel: int, values: Tensor) -> Float[Tensor, "channels points *shape"]:
        """The anchor at all channels but one."""
        uniforms = torch.full((self.extra_channels, *values.shape), 0.5, dtype=a.dtype)
        uniforms[channel] = values
        return uniforms

    def _require_additive(self, bit: Tensor, a: Tensor, law: NoiseLaw) -> None:
        uniforms = self._test_points(a)
        start = self._at_anchor(bit, a, law)
        summed = start.expand(uniforms.shape[1:])
        for channel, values in enumerate(uniforms):
            moved = self._at(self._anchored(a, channel, values), bit, a, law)
            summed = summed + moved - start
        if not _agree(self._at(uniforms, bit, a, law), summed):
            raise NotReached(f"{self.estimator!r}: derivative() is no sum over its channels of noise.")

    def _test_points(self, a: Tensor) -> Float[Tensor, "channels points *shape"]:
        generator = torch.Generator().manual_seed(0)
        size = (self.extra_channels, POINTS // 2, *a.shape)
        anywhere = torch.rand(size, generator=generator, dtype=a.dtype).clamp(1e-6, 1 - 1e-6)
        nodes = tanh_sinh().nodes.to(a)
        at_nodes = nodes[torch.randint(len(nodes), size, generator=generator)]
        return torch.cat((anywhere, at_nodes), 1)

    def _require_units_apart(self, bit: Tensor, a: Tensor, law: NoiseLaw) -> None:
        uniforms = self._test_points(a)[:, 0]
        together = self.derivative(a, bit, uniforms, law)
        alone = self.derivative(a[..., :1], bit[..., :1], uniforms[..., :1], law)
        if not _agree(together[..., :1], alone):
            raise NotReached(f"{self.estimator!r}: derivative() of a unit depends on other units.")


def _composite(cuts: list[Tensor], rule: Rule) -> tuple[Tensor, Tensor]:
    """Nodes and weights on (0, 1), cut in pieces."""
    edges = interval_edges(cuts[0], cuts)
    column = (-1, *[1] * (edges.ndim - 1))
    points = rule.nodes.to(edges).reshape(column)
    weights = rule.weights.to(edges).reshape(column)
    spans = list(pairwise(edges))
    nodes = [node_between(low, high, points.expand(-1, *low.shape)) for low, high in spans]
    shares = [(high - low) * weights for low, high in spans]
    return torch.cat(nodes), torch.cat(shares)


def _agree(one: Tensor, other: Tensor) -> bool:
    return float((one - other).abs().max()) <= AGREEMENT * max(1.0, float(other.abs().max()))


def factor_moments(problem: Problem, estimator: Estimator) -> Measurement | None:
    """Exact moments with integrated factors; None where they cannot be had, or where draws are not made of factors.

    Nothing of the estimator but its draws and ``derivative()`` is used: that the draws are those of the hard-forward
    pass with this factor is tested on 64 of them.
    """
    if not isinstance(estimator, HardForward):
        return None
    integrated = Integrated(estimator)
    try:
        tables = tables_of(problem, estimator, 64, seed=0)
        if not close(mapped(problem, estimator, tables), mapped(problem, integrated, tables), 1e-12):
            return None
        return exact_moments(problem, integrated)
    except EstimlabError:
        return None
