"""The networks that are timed."""

from __future__ import annotations

import torch
from torch import nn

import estimlab as el


def chain(widths: list[int], inputs: int = 10, batch: int = 1, dtype: torch.dtype = torch.float64) -> el.Problem:
    """Linear stages of the given widths, one logistic output, one target."""
    generator = torch.Generator().manual_seed(0)
    sizes = [inputs, *widths]
    linears = [nn.Linear(m, n, dtype=dtype) for m, n in zip(sizes, [*widths, 1], strict=True)]
    with torch.no_grad():
        for linear in linears:
            for parameter in linear.parameters():
                shape, scale = parameter.shape, linear.in_features**-0.5
                parameter.copy_(torch.randn(shape, generator=generator, dtype=torch.float64) * scale)
    network = el.Chain(linears[:-1], linears[-1])
    data = torch.randn(batch, inputs, generator=generator, dtype=torch.float64).to(dtype)
    return el.Problem(network, el.LogisticLoss(), data, torch.ones(batch, dtype=dtype))


def largest_difference(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """Largest difference of two gradients over the largest coordinate."""
    scale = max(float(value.abs().max()) for value in b.values())
    return max(float((a[name].cpu() - b[name].cpu()).abs().max()) for name in b) / scale
