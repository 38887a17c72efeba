"""Toys that studies and the frozen suite share: points about a curve, and networks normalised over their data.

The data and the initialisation of Shekhovtsov, Yanush & Flach (2020, arXiv 2006.03143).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from estimlab.model.chain import Chain

REPEATS = 32  # sampled states per example in the normalisation


def toy_points(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Half of the points below a cosine: class +1 x ~ U(-pi/2, pi/2), y ~ U(0, 1); class -1 y ~ U(-1, cos x).

    Class -1 takes the same law of x, and y ~ U(-1, 1) where y < cos x.
    """
    rng, half = np.random.default_rng(seed), count // 2
    above = np.column_stack((_angles(rng, half), rng.random(half)))
    proposed = np.column_stack((_angles(rng, 8 * half), 2 * rng.random(8 * half) - 1))
    below = proposed[proposed[:, 1] < np.cos(proposed[:, 0])][:half]
    return np.concatenate((above, below)), np.repeat(np.array([1, -1]), half)


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
        _normalise(stage, states)
        a = stage(states)
        states = units.state(((_uniform(rng, a.shape) + 1) / 2 < units.law.cdf(a)).to(a.dtype))
    assert states is not None
    _normalise(network.head, states)


def _normalise(stage: nn.Module, states: Tensor) -> None:
    layer = next(module for module in stage.modules() if isinstance(module, nn.Linear | nn.Conv2d))
    assert layer.bias is not None
    a = stage(states).transpose(0, 1).flatten(1)
    mean, std = a.mean(1), a.std(1)
    layer.weight.div_(std.reshape(-1, *(1,) * (layer.weight.ndim - 1)))
    layer.bias.sub_(mean).div_(std)


def _uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
    return torch.tensor(2 * rng.random(tuple(shape)) - 1).reshape(shape)
