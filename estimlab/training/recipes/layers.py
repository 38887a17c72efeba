"""Layers that several recipes share."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from estimlab.model.chain import Chain
from estimlab.model.laws import NoiseLaw
from estimlab.model.units import BinaryUnits


def scaled_linear(inputs: int, outputs: int, gain: float = 1.0) -> nn.Linear:
    """Weights N(0, gain^2 / inputs), biases zero: pre-activations of -1/+1 states have standard deviation ``gain``.

    >>> layer = scaled_linear(400, 100, gain=2.0)
    >>> tuple(layer.weight.shape), 0.09 < float(layer.weight.detach().std()) < 0.11
    ((100, 400), True)
    """
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        layer.weight.normal_(0.0, gain / inputs**0.5)
        layer.bias.zero_()
    return layer


def linear_chain(inputs: int, widths: tuple[int, ...], law: NoiseLaw, gain: float, outputs: int = 10) -> Chain:
    """Fully connected layers of -1/+1 units and a linear head on flattened images."""
    stages: list[nn.Module] = [scaled_linear(m, n, gain) for m, n in pairwise((inputs, *widths))]
    stages[0] = nn.Sequential(nn.Flatten(), stages[0])
    return Chain(stages, scaled_linear(widths[-1], outputs), BinaryUnits(law))


def scaled_conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, gain: float = 1.0, bias: bool = True
) -> nn.Conv2d:
    """The same for a convolution that keeps the size of the image, up to its stride."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=bias)
    with torch.no_grad():
        layer.weight.normal_(0.0, gain / (inputs * kernel * kernel) ** 0.5)
        if layer.bias is not None:
            layer.bias.zero_()
    return layer


class FloatNorm2d(nn.BatchNorm2d):
    """Batch norm in float32, also under autocast: it makes the pre-activations that noise is compared with."""

    def forward(self, a: Tensor) -> Tensor:
        """Normalised, in float32."""
        return super().forward(a.float())


class FloatNorm1d(nn.BatchNorm1d):
    """The same for vectors."""

    def forward(self, a: Tensor) -> Tensor:
        """Normalised, in float32."""
        return super().forward(a.float())
