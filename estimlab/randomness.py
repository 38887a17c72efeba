"""Noise as an argument: one face for random streams, for quadrature over the noise, and for enumerated states.

An estimator asks ``noise.uniform(site, channel, probability)`` and gets uniforms strictly inside (0, 1). Channel 0
always decides the state, so that all estimators visit the same states for the same draw. Asking twice for one
(site, channel) is an error: the second answer could be neither fresh nor equal.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from estimlab.arguments import described
from estimlab.errors import EstimlabError

Key = tuple[int, int]
MEASUREMENT_STREAM, REFERENCE_STREAM = 0, 1


class Noise(abc.ABC):
    """What an estimator draws from. ``weight`` multiplies the draw where the source is a quadrature rule."""

    def __init__(self) -> None:
        self._asked: set[Key] = set()
        self.weight: Tensor | float = 1.0

    def uniform(
        self,
        site: int,
        channel: int,
        probability: Float[Tensor, "*shape"],
        cuts: Sequence[Float[Tensor, "*shape"]] | None = None,
        degree: float = 0,
    ) -> Float[Tensor, "*shape"]:
        """Uniforms strictly inside (0, 1), of the shape, dtype and device of ``probability``.

        Args:
            site: number of the site.
            channel: 0 for the uniforms that decide the state, any other number for further noise.
            probability: P(high) of each unit.
            cuts: where a draw jumps as a function of the uniform: ``[probability]`` by default, ``[]`` for nowhere.
            degree: degree of a draw as a polynomial in the uniform between two cuts: 0 where it is constant, infinity
                where it is smooth and not a polynomial, NaN where nothing is known, which rules quadrature out.
        """
        if (site, channel) in self._asked:
            raise EstimlabError(
                f"The noise of site {site}, channel {channel} was asked for twice in one draw. "
                "Keep the first answer, or ask for another channel."
            )
        self._asked.add((site, channel))
        return self._uniform((site, channel), probability.detach(), [probability] if cuts is None else cuts, degree)

    @abc.abstractmethod
    def _uniform(self, key: Key, probability: Tensor, cuts: Sequence[Tensor], degree: float) -> Tensor: ...


class TorchNoise(Noise):
    """Fresh uniforms from torch's generator of the tensor's device: what training uses."""

    def __init__(self, generator: torch.Generator | None = None):
        super().__init__()
        self.generator = generator

    def _uniform(self, key: Key, probability: Tensor, cuts: Sequence[Tensor], degree: float) -> Tensor:
        return open_uniform(probability, self.generator)


def open_uniform(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Uniforms strictly inside (0, 1); ``torch.rand`` alone returns exact zeros in float32."""
    u = torch.rand(like.shape, dtype=like.dtype, device=like.device, generator=generator)
    return into_open_interval(u)


def into_open_interval(u: Tensor, in_place: bool = False) -> Tensor:
    """Move 0 and 1, which rounding can produce, to their neighbours inside."""
    eps = torch.finfo(u.dtype).eps
    return torch.clamp(u, eps / 4, 1 - eps / 2, out=u if in_place else None)


@dataclass(frozen=True)
class Request:
    """What an estimator asked for: shape of the uniforms, number of cuts, degree between them."""

    shape: tuple[int, ...]
    cuts: int
    degree: float


class RecordingNoise(Noise):
    """Answers 1/2 everywhere and records what was asked: the plan of one draw."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: dict[Key, Request] = {}

    def _uniform(self, key: Key, probability: Tensor, cuts: Sequence[Tensor], degree: float) -> Tensor:
        self.requests[key] = Request(tuple(probability.shape), len(cuts), degree)
        return torch.full_like(probability, 0.5)


class TableNoise(Noise):
    """Uniforms given beforehand, one tensor per (site, channel)."""

    def __init__(self, tables: Mapping[Key, Tensor]):
        super().__init__()
        self.tables = tables

    def _uniform(self, key: Key, probability: Tensor, cuts: Sequence[Tensor], degree: float) -> Tensor:
        if key not in self.tables:
            raise EstimlabError(
                f"The estimator asked for the noise of site {key[0]}, channel {key[1]}, which it did not ask for in "
                "its first draw. What is asked must not depend on the draw."
            )
        return self.tables[key].to(probability)


@dataclass(frozen=True)
class RandomStream:
    """Random uniforms that are a function of (seed, stream, site, channel, number of the draw) and nothing else.

    A counter-based generator (Philox, Salmon et al. 2011) is keyed through ``numpy.random.SeedSequence``; draw i of m
    uniforms occupies positions i*m to (i+1)*m, so more draws extend a run and never change it, and any block of draws
    can be computed alone.

    Attributes:
        seed: any non-negative integer.
        stream: ``MEASUREMENT_STREAM`` or ``REFERENCE_STREAM``: a reference shares no noise with a measurement.
    """

    seed: int
    stream: int = MEASUREMENT_STREAM

    def __post_init__(self) -> None:
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise EstimlabError(f"seed={described(self.seed)}: a seed is a non-negative integer, for example seed=0.")

    def tables(self, requests: Mapping[Key, Request], start: int, stop: int, like: Tensor) -> dict[Key, Tensor]:
        """Uniforms of draws ``start .. stop - 1`` (start divisible by four), of shape (draws, \\*shape) per request."""
        return {key: self._table(key, request.shape, start, stop, like) for key, request in requests.items()}

    def noise(self, requests: Mapping[Key, Request], draw: int, like: Tensor) -> TableNoise:
        """The noise of one draw."""
        start = draw - draw % 4
        tables = self.tables(requests, start, start + 4, like)
        return TableNoise({key: table[draw - start] for key, table in tables.items()})

    def _table(self, key: Key, shape: tuple[int, ...], start: int, stop: int, like: Tensor) -> Tensor:
        # Philox makes four numbers per step of its counter: blocks must begin at a multiple of four
        assert start % 4 == 0
        generator = np.random.Philox(np.random.SeedSequence(self.seed, spawn_key=(self.stream, *key)))
        generator.advance(start * math.prod(shape) // 4)
        u = np.random.Generator(generator).random((stop - start, *shape))
        return into_open_interval(torch.from_numpy(u).to(dtype=like.dtype, device=like.device), in_place=True)


@dataclass(frozen=True, eq=False)
class Rule:
    """Nodes strictly inside (0, 1) and their weights, which sum to one.

    Attributes:
        nodes: where the integrand is evaluated.
        weights: one per node.
        coarser: factors, one per node, that turn the weights into those of a coarser rule on some of the same nodes:
            what both rules differ by bounds the error. None for a rule that is exact for what it is given.
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
