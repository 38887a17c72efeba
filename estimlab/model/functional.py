"""The gradient of every draw: a function of one draw, mapped over draws, with the network's parameters as arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
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
