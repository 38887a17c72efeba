"""Toys that studies and the frozen suite share: points about a curve, and networks normalised over their data.

The data and the initialisation of Shekhovtsov, Yanush & Flach (2020, arXiv 2006.03143).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from estimlab.model.chain import Chain
from estimlab.model.units import BinaryUnits

REPEATS = 32  # sampled states per example in the normalisation


def toy_points(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Half of the points below a cosine: class +1 x ~ U(-pi/2, pi/2), y ~ U(0, 1); class -1 y ~ U(-1, cos x).

    Class -1 takes the same law of x, and y ~ U(-1, 1) where y < cos x.
    """
    rng = np.random.default_rng(seed)
    half = count // 2
    above = _points(_angles(rng, half), rng.random(half))
    proposed = _points(_angles(rng, 8 * half), 2 * rng.random(8 * half) - 1)
    x, y = proposed.T
    below = proposed[y < np.cos(x)][:half]
    classes = np.repeat(np.array([1, -1]), half)
    return np.concatenate((above, below)), classes


def _points(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.column_stack((x, y))


def _angles(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.pi * (rng.random(count) - 0.5)


@torch.no_grad()
def initialise(network: Chain, inputs: Tensor | None, rng: np.random.Generator) -> None:
    """Parameters from U(-1, 1), then unit by unit normalised over the data and sampled states, layer after layer."""
    for parameter in network.parameters():
        parameter.copy_(_uniform(rng, parameter.shape))
    states = None if inputs is None else inputs.repeat_interleave(REPEATS, 0)
    for stage, units in zip(network.stages, network.units, strict=True):
        if states is None:
            return
        assert isinstance(units, BinaryUnits)
        _normalise(stage, states)
        a = stage(states)
        uniform = (_uniform(rng, a.shape) + 1) / 2
        states = units.state((uniform < units.law.cdf(a)).to(a.dtype))
    assert states is not None
    _normalise(network.head, states)


def _normalise(stage: nn.Module, states: Tensor) -> None:
    layer = next(module for module in stage.modules() if isinstance(module, nn.Linear | nn.Conv2d))
    assert layer.bias is not None
    a = stage(states).transpose(0, 1).flatten(1)
    mean = a.mean(1)
    std = a.std(1)
    per_kernel = (-1, *(1,) * (layer.weight.ndim - 1))
    layer.weight.div_(std.reshape(per_kernel))
    layer.bias.sub_(mean).div_(std)


def _uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
    u = rng.random(tuple(shape))
    return torch.tensor(2 * u - 1).reshape(shape)
