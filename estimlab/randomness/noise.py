"""Noise as an argument: one face for random streams, for quadrature over the noise, and for enumerated states.

An estimator asks ``noise.uniform(site, channel, probability)`` and gets uniforms strictly inside (0, 1). Channel 0
always decides the state, so that all estimators visit the same states for the same draw. Asking twice for one
(site, channel) is an error: the second answer could be neither fresh nor equal.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.errors import EstimlabError

Key = tuple[int, int]


class Noise(abc.ABC):
    """What an estimator draws from. ``weight`` multiplies the draw where the source is a quadrature rule.

    A unit is high where ``uniform(site, 0, p) < p``; any other channel is further noise of that site.

    Errors:
        EstimlabError: the same site and channel asked for twice.

    >>> import estimlab as el
    >>> noise, p = el.TorchNoise(), torch.tensor([0.2, 0.9])
    >>> high = noise.uniform(site=0, channel=0, probability=p) < p
    >>> try:
    ...     noise.uniform(site=0, channel=0, probability=p)
    ... except el.EstimlabError as error:
    ...     print(error)
    The noise of site 0, channel 0 was asked for twice in one draw. Keep the first answer, or ask for another channel.
    """

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
    """Fresh uniforms from torch's generator of the tensor's device: what training uses.

    Args:
        generator: of the same device; None: torch's own.

    >>> import estimlab as el
    >>> p = torch.tensor([0.2, 0.9])
    >>> one, same = (el.TorchNoise(torch.Generator().manual_seed(0)).uniform(0, 0, p) for _ in range(2))
    >>> torch.equal(one, same)
    True
    """

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
    """Answers 1/2 everywhere and records what was asked: the plan of one draw.

    >>> noise = RecordingNoise()
    >>> noise.uniform(0, 0, torch.tensor([0.2, 0.9])).tolist(), noise.requests
    ([0.5, 0.5], {(0, 0): Request(shape=(2,), cuts=1, degree=0)})
    """

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
