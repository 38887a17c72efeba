"""Quadrature over the noise: rules on (0, 1), their products over all uniforms of a draw, and noise at one node."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from estimlab.errors import EstimlabError
from estimlab.randomness.noise import Key, Noise, Request


@dataclass(frozen=True, eq=False)
class Rule:
    """Nodes strictly inside (0, 1) and their weights, which sum to one.

    Attributes:
        nodes: where the integrand is evaluated.
        weights: one per node.
        coarser: factors, one per node, that turn the weights into those of a coarser rule on some of the same nodes:
            what both rules differ by bounds the error. None for a rule that is exact for what it is given.

    >>> rule = gauss_legendre(2)
    >>> f"{float((rule.weights * rule.nodes**3).sum()):.6f}"
    '0.250000'
    """

    nodes: Float[Tensor, " nodes"]
    weights: Float[Tensor, " nodes"]
    coarser: Float[Tensor, " nodes"] | None = None


def gauss_legendre(count: int) -> Rule:
    """The Gauss-Legendre rule on (0, 1), exact for polynomials of degree ``2 * count - 1``."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return Rule(torch.from_numpy((1 + nodes) / 2), torch.from_numpy(weights / 2))


def tanh_sinh(step: float = 1 / 16, reach: float = 3.2) -> Rule:
    """The double-exponential rule on (0, 1) of Takahasi & Mori (1974), by default with 103 nodes.

    Nodes crowd at both ends, where quantiles have logarithmic singularities and where, next to the cut, a relaxation
    of small temperature changes over a width of the size of that temperature. Twice the step is the coarser rule.
    """
    index = np.arange(-int(reach / step), int(reach / step) + 1)
    t = index * step
    s = np.pi / 2 * np.sinh(t)
    nodes = np.minimum(1 / (1 + np.exp(-2 * s)), 1 - 2.0**-53)  # the last ones round to one
    weights = np.cosh(t) / np.cosh(s) ** 2
    weights /= weights.sum()
    kept = index % 2 == 0
    return Rule(*map(torch.from_numpy, (nodes, weights, kept / weights[kept].sum())))


def rule_for(degree: float, smooth: Rule | None = None) -> Rule:
    """The rule that integrates the square of a draw of the given degree: exact, or to rounding where it is infinite.

    ``smooth`` takes the place of the double-exponential rule for an infinite degree.
    """
    if math.isnan(degree):
        raise EstimlabError(
            "It is not known how a draw depends on its uniforms, so it cannot be integrated over them: use el.measure."
        )
    if math.isinf(degree):
        return tanh_sinh() if smooth is None else smooth
    return gauss_legendre(int(degree) + 1)


@dataclass(eq=False)
class QuadratureGrid:
    """All joint nodes of the noise of one draw, as a mixed-radix number: unit by unit, interval times node.

    With constant draws between the cuts there is one node per interval, and this *is* enumeration of the states.
    """

    requests: Mapping[Key, Request]
    smooth: Rule | None = None
    rules: dict[Key, Rule] = field(init=False)

    def __post_init__(self) -> None:
        self.rules = {key: rule_for(request.degree, self.smooth) for key, request in self.requests.items()}

    @property
    def size(self) -> int:
        """Number of joint nodes."""
        return math.prod(self._radix(key) ** math.prod(r.shape) for key, r in self.requests.items())

    def digits(
        self, start: int, stop: int, device: torch.device | str = "cpu"
    ) -> dict[Key, Int[Tensor, "rows *shape"]]:
        """The digits of the joint nodes ``start .. stop - 1``, one tensor per request."""
        index = torch.arange(start, stop, device=device)
        result: dict[Key, Tensor] = {}
        for key, request in self.requests.items():
            columns = []
            for _ in range(math.prod(request.shape)):
                columns.append(index % self._radix(key))
                index = index // self._radix(key)
            result[key] = torch.stack(columns, 1).reshape(-1, *request.shape)
        return result

    def noise(self, digits: Mapping[Key, Tensor]) -> QuadratureNoise:
        """The noise of one joint node; works under ``torch.vmap`` over the digits."""
        return QuadratureNoise(self.rules, digits)

    def coarser(self, digits: Mapping[Key, Tensor]) -> Float[Tensor, " rows"] | float:
        """Factors that turn the weights of joint nodes into those of the coarser rules; 1 where there are none."""
        factor: Tensor | float = 1.0
        for key, rule in self.rules.items():
            if rule.coarser is not None:
                factors = rule.coarser.to(digits[key].device)[digits[key] % len(rule.nodes)]
                factor = factor * factors.flatten(1).prod(1)
        return factor

    def _radix(self, key: Key) -> int:
        return (self.requests[key].cuts + 1) * len(self.rules[key].nodes)


class QuadratureNoise(Noise):
    """One joint node of a quadrature over the noise of a single example; ``weight`` is a scalar."""

    def __init__(self, rules: Mapping[Key, Rule], digits: Mapping[Key, Tensor]):
        super().__init__()
        self.rules, self.digits = rules, digits

    def _uniform(self, key: Key, probability: Tensor, cuts: Sequence[Tensor], degree: float) -> Tensor:
        uniform, width, weight = self._node(key, self.digits[key], probability, cuts)
        self.weight = self.weight * (width * weight).prod()
        return uniform

    def _node(
        self, key: Key, digit: Tensor, probability: Tensor, cuts: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The uniform at a digit, the width of its interval, and the weight of its node within the interval."""
        rule, edges = self.rules[key], interval_edges(probability, cuts)
        interval = torch.div(digit, len(rule.nodes), rounding_mode="floor")
        node = digit % len(rule.nodes)
        low = edges.gather(0, interval[None])[0]
        high = edges.gather(0, interval[None] + 1)[0]
        return node_between(low, high, rule.nodes.to(low)[node]), high - low, rule.weights.to(low)[node]


def interval_edges(like: Tensor, cuts: Sequence[Tensor]) -> Float[Tensor, "edges *shape"]:
    """0, the cuts in ascending order, 1, for each entry of ``like``; there may be no cuts."""
    inner = [torch.stack([cut.detach() for cut in cuts]).sort(0).values] if cuts else []
    return torch.cat([torch.zeros_like(like)[None], *inner, torch.ones_like(like)[None]])


def node_between(low: Tensor, high: Tensor, node: Tensor) -> Tensor:
    """The point of the interval at the given fraction: below ``high`` (so that u < p decides right), inside (0, 1)."""
    eps = torch.finfo(low.dtype).eps
    u = torch.minimum(low + (high - low) * node, high * (1 - eps))
    return u.clamp(torch.finfo(low.dtype).tiny, 1 - eps / 2)
