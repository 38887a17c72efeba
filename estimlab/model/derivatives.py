"""A derivative put in place of another: what a backward rule of one's own is made of."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _ReplaceDerivative(torch.autograd.Function):
    """``state`` forward, ``factor * gradient`` backward: ``state + factor * (a - a.detach())`` makes inf * 0 a NaN."""

    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor, state: Tensor, factor: Tensor) -> Tensor:
        return state.view_as(state)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[2])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (factor,) = ctx.saved_tensors
        return torch.where(gradient == 0, 0, gradient * factor), None, None


def replace_derivative(a: Tensor, state: Tensor, factor: Tensor) -> Tensor:
    """The given states, whose derivative by ``a`` is the given factor."""
    return _ReplaceDerivative.apply(a, state, factor)
