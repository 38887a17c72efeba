"""The gradient of every draw, and moments of draws that are merged chunk by chunk."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, grad

Tables = Mapping[Any, Tensor]
Surrogate = Callable[[Tables], tuple[Tensor, Any]]


class _Call(nn.Module):
    """A function of one draw as a module that owns the network: a functional call swaps the network's parameters."""

    def __init__(self, network: nn.Module, surrogate: Surrogate):
        super().__init__()
        self.network, self.surrogate = network, surrogate

    def forward(self, tables: Tables) -> tuple[Tensor, Any]:
        return self.surrogate(tables)


def per_draw_gradients(network: nn.Module, surrogate: Surrogate, tables: Tables) -> tuple[dict[str, Tensor], Any]:
    """Gradient of every draw by the network's parameters, and what the surrogate returns besides.

    Args:
        network: whose ``named_parameters()`` are differentiated by; it is not changed.
        surrogate: maps the tables of one draw to a scalar and further results (tensors). It calls the network, and is
            written in tensor operations that ``torch.vmap`` can map.
        tables: what differs between draws, (draws, ...) per key.

    Returns:
        One tensor (draws, \\*block) per block, and the further results with draws as their first dimension.
    """
    call = _Call(network, surrogate)
    parameters = {f"network.{name}": p.detach() for name, p in network.named_parameters()}

    def draw(parameters: dict[str, Tensor], tables: Tables) -> tuple[Tensor, Any]:
        return functional_call(call, parameters, (tables,))

    mapped = torch.vmap(grad(draw, has_aux=True), in_dims=(None, 0), randomness="error")
    blocks, aux = mapped(parameters, dict(tables))
    return {name.removeprefix("network."): block for name, block in blocks.items()}, aux


def in_rows(blocks: Tensor) -> Float[Tensor, "lead p"]:
    """Blocks, one for each number of the first dimension, each as one row: numbers and empty blocks too."""
    return blocks.reshape(len(blocks), math.prod(blocks.shape[1:]))


def merged(
    count: float, mean: Tensor, square: Tensor, more: float, their_mean: Tensor, their_square: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean and sum of squared deviations of two sets of draws together (Chan, Golub & LeVeque 1979)."""
    shift, share = their_mean - mean, more / (count + more)
    return mean + shift * share, square + their_square + shift**2 * (count * share)


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and sum of squared deviations of a number of draws, per block; those of two sets of draws merge.

    Attributes:
        count: number of draws.
        mean: mean per block.
        square: sum of squared deviations from it, per coordinate.
        sums: per layer, sums over the draws of quantities that are not functions of moments.
    """

    count: float = 0
    mean: dict[str, Tensor] = field(default_factory=dict)
    square: dict[str, Tensor] = field(default_factory=dict)
    sums: dict[str, dict[str, Tensor]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, draws: Mapping[str, Float[Tensor, "draws ..."]], sums: dict[str, dict[str, Tensor]] | None = None
    ) -> Moments:
        """Moments of draws in the type that they have."""
        mean = {name: block.mean(0) for name, block in draws.items()}
        square = {name: ((block - mean[name]) ** 2).sum(0) for name, block in draws.items()}
        return cls(len(next(iter(draws.values()))), mean, square, sums or {})

    def merge(self, more: Moments) -> Moments:
        """Of these draws and more of the same blocks and layers."""
        if not self.count:
            return more
        mean, square = {}, {}
        for name, block in self.mean.items():
            theirs = more.mean[name], more.square[name]
            mean[name], square[name] = merged(self.count, block, self.square[name], more.count, *theirs)
        sums = {
            layer: {name: value + more.sums[layer][name] for name, value in found.items()}
            for layer, found in self.sums.items()
        }
        return Moments(self.count + more.count, mean, square, sums)

    @property
    def stderr(self) -> dict[str, Tensor]:
        """Standard error of each mean; zero of a single draw, as is taken where one is exact."""
        return {name: (square / max(self.count - 1, 1) / self.count).sqrt() for name, square in self.square.items()}

    @property
    def noise(self) -> float:
        """Squared standard errors, summed over all coordinates."""
        return sum(float((error**2).sum()) for error in self.stderr.values())

    @property
    def square_norm(self) -> float:
        """Squared norm of the mean: too large, on average, by the noise."""
        return sum(float((mean**2).sum()) for mean in self.mean.values())

    def relative_error(self) -> float:
        """Root of the noise over the norm of what the mean estimates; infinite where noise hides it."""
        signal = self.square_norm - self.noise
        return 0.0 if self.noise == 0 else math.sqrt(self.noise / signal) if signal > 0 else math.inf
