"""Random streams: the uniforms of any draw are a function of seed and number alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from estimlab.arguments import described
from estimlab.errors import EstimlabError
from estimlab.randomness.noise import Key, Request, TableNoise, into_open_interval

MEASUREMENT_STREAM, REFERENCE_STREAM = 0, 1


@dataclass(frozen=True)
class RandomStream:
    """Random uniforms that are a function of (seed, stream, site, channel, number of the draw) and nothing else.

    A counter-based generator (Philox, Salmon et al. 2011) is keyed through ``numpy.random.SeedSequence``; draw i of m
    uniforms occupies positions i*m to (i+1)*m, so more draws extend a run and never change it, and any block of draws
    can be computed alone.

    Attributes:
        seed: any non-negative integer.
        stream: ``MEASUREMENT_STREAM`` or ``REFERENCE_STREAM``: a reference shares no noise with a measurement.

    >>> import estimlab as el
    >>> requests, like = {(0, 0): Request(shape=(3,), cuts=1, degree=0)}, torch.zeros(())
    >>> few, more = (el.RandomStream(seed=0).tables(requests, 0, draws, like)[0, 0] for draws in (4, 8))
    >>> torch.equal(few, more[:4])
    True
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
