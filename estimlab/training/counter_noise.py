"""Noise for training as a function of (seed, step, example, site, channel, unit), without a generator's state.

A counter-based generator (Salmon et al. 2011) in 32-bit integer operations, which are the same on every device: a run
that resumes, a run on several processes and a backward pass that computes the noise again instead of storing it all see
the same uniforms. Each example has two keys; a unit's number is mixed with both by the rounds of the hash ``triple32``
(Wellons 2018, hash-prospector), the second key entering after two of its three multiplications.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from estimlab.randomness.noise import Noise

_BITS = 23  # of a uniform: (k + 1/2) / 2^23 is exact in float32 and strictly inside (0, 1)
AUGMENTATION, EVALUATION = 1 << 20, 1 << 21
"""Sites that no network has: noise that moves images; steps from which draws of an evaluation are counted."""


def _signed(word: int) -> int:
    """A 32-bit word as the int32 number of the same bits."""
    return word - (1 << 32) if word >= 1 << 31 else word


_FACTORS = tuple(map(_signed, (0xED5AD4BB, 0xAC4C1B51, 0x31848BAB)))


def _fold(x: Tensor, shift: int) -> Tensor:
    """``x ^ (x >> shift)`` with zeros shifted in, where int32 shifts in the sign."""
    kept = (1 << (32 - shift)) - 1
    return x ^ ((x >> shift) & kept)


def mix(x: Int[Tensor, "*shape"], key: Int[Tensor, "*keys"] | int) -> Int[Tensor, "*shape"]:
    """``triple32`` of int32 words, the key added after its second multiplication; int32 products wrap."""
    first, second, third = _FACTORS
    x = _fold(x, 17) * first
    x = _fold(x, 11) * second + key
    x = _fold(x, 15) * third
    return _fold(x, 14)


def words(*key: int, count: int = 2) -> list[int]:
    """32-bit words (as int32 numbers) that depend on every part of a key of non-negative integers."""
    state = np.random.SeedSequence(key).generate_state(count)
    return [_signed(int(word)) for word in state]


def row_keys(seed: int, step: int, positions: Int[Tensor, " batch"]) -> Int[Tensor, "batch 2"]:
    """Two keys per example from its position in the global batch: how the batch is divided changes nothing."""
    first, second, third, fourth = words(seed, step, count=4)
    x = positions.to(torch.int32)
    one = mix(x ^ first, second)
    other = mix(x ^ third, fourth)
    return torch.stack((one, other), 1)


def uniforms(
    rows: Int[Tensor, "batch 2"], salt: Sequence[int], shape: Sequence[int], dtype: torch.dtype = torch.float32
) -> Float[Tensor, "batch ..."]:
    """Uniforms strictly inside (0, 1), multiples of 2^-23 plus 2^-24, one per example and unit.

    Args:
        rows: keys of the examples, of ``row_keys``.
        salt: two words that tell sites and channels apart, of ``words(site, channel)``.
        shape: of the units of one example.
        dtype: floating type.
    """
    first, second = salt
    units = torch.arange(math.prod(shape), dtype=torch.int32, device=rows.device).reshape(1, *shape)
    keys = rows.reshape(len(rows), 2, *(1,) * len(shape))
    x = mix(units ^ (keys[:, 0] + first), keys[:, 1] + second)
    highest = (x >> (32 - _BITS)) & ((1 << _BITS) - 1)
    return (highest.to(dtype) + 0.5) * 2.0**-_BITS


class CounterNoise(Noise):
    """The face that estimators ask: the uniforms of one step for the examples with the given keys.

    >>> keys, p = row_keys(seed=0, step=7, positions=torch.arange(4)), torch.full((4, 3), 0.5)
    >>> all_rows, some = CounterNoise(keys).uniform(0, 0, p), CounterNoise(keys[2:]).uniform(0, 0, p[2:])
    >>> torch.equal(all_rows[2:], some)
    True
    """

    def __init__(self, rows: Int[Tensor, "batch 2"]):
        super().__init__()
        self.rows = rows

    def _uniform(self, key: tuple[int, int], probability: Tensor, cuts: Sequence[Tensor], degree: float) -> Tensor:
        return uniforms(self.rows, words(*key), probability.shape[1:], probability.dtype)
