"""CIFAR-10 by a VGG with binary activations and batch norm: the recipe for a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from torch import Tensor, nn

from estimlab.model.chain import Chain
from estimlab.model.laws import Logistic, NoiseLaw
from estimlab.model.network import StochasticNetwork
from estimlab.model.units import BinaryUnits
from estimlab.training.data.batches import flip_and_crop
from estimlab.training.recipes.layers import FloatNorm1d, FloatNorm2d, scaled_conv, scaled_linear
from estimlab.training.recipes.recipe import Recipe


@final
@dataclass(frozen=True)
class Cifar10Vgg(Recipe):
    """3x3 convolutions in pairs, each pair followed by a 2x2 maximum of the states, two hidden layers, ten classes.

    The shape of BinaryConnect's and BNN's network (Courbariaux et al. 2015, arXiv 1511.00363; Hubara et al. 2016,
    arXiv 1602.02830). Every hidden layer is batch norm and then -1/+1 units, whose noise has scale 1/2: ``2F(a) - 1 =
    tanh(a)``. Images are mirrored and moved by up to 4 pixels. Evaluated by draws: the statistics that batch norm keeps
    are those of drawn states, whose pre-activations vary more than those of means.

    Attributes:
        channels: of the convolutions, an even number of them.
        hidden: widths of the fully connected layers.
        law: noise of the units.

    >>> small = Cifar10Vgg(channels=(4, 4, 8, 8), hidden=(16,))
    >>> [site.shape for site in small.network(torch.Size([3, 8, 8])).sites(torch.zeros(2, 3, 8, 8))]
    [(4, 8, 8), (4, 8, 8), (8, 4, 4), (8, 4, 4), (16,)]
    """

    name: ClassVar[str] = "cifar10_vgg"
    summary: ClassVar[str] = "CIFAR-10, VGG 128-128-256-256-512-512, 1024-1024, batch norm; minutes on a GPU"
    data: ClassVar[str] = "cifar10"
    mode: ClassVar[Literal["mean", "sign", "draws"]] = "draws"

    epochs: int = 60
    batch_size: int = 256
    learning_rate: float = 2e-3
    warmup: int = 200
    optimiser: Literal["adam", "sgd"] = "adam"
    weight_decay: float = 1e-4
    channels: tuple[int, ...] = (128, 128, 256, 256, 512, 512)
    hidden: tuple[int, ...] = (1024, 1024)
    law: NoiseLaw = Logistic(0.5)

    def network(self, shape: torch.Size) -> StochasticNetwork:
        """A chain whose stages begin with the maximum over the states below, where there is one."""
        stages: list[nn.Module] = []
        below, size = shape[0], shape[1]
        for k, width in enumerate(self.channels):
            pool: list[nn.Module] = [nn.MaxPool2d(2)] if k and k % 2 == 0 else []
            size //= 1 + len(pool)
            stages.append(nn.Sequential(*pool, scaled_conv(below, width, 3, bias=False), FloatNorm2d(width)))
            below = width
        first: list[nn.Module] = [nn.MaxPool2d(2), nn.Flatten()]
        below *= (size // 2) ** 2
        for width in self.hidden:
            stages.append(nn.Sequential(*first, scaled_linear(below, width), FloatNorm1d(width)))
            below, first = width, []
        return Chain(stages, scaled_linear(below, 10), BinaryUnits(self.law))

    def augment(self, inputs: Tensor, rows: Tensor) -> Tensor:
        """Mirrored and moved."""
        return flip_and_crop(inputs, rows)
