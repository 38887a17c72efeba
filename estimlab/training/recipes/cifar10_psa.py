"""CIFAR-10 by an all-convolutional network without normalisation, started from the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from torch import Tensor, nn

from estimlab.model.chain import Chain
from estimlab.model.laws import Logistic, NoiseLaw
from estimlab.model.network import StochasticNetwork
from estimlab.model.units import BinaryUnits
from estimlab.training.counter_noise import row_keys
from estimlab.training.data.batches import flip_and_crop
from estimlab.training.recipes.layers import scaled_conv, scaled_linear
from estimlab.training.recipes.recipe import Recipe
from estimlab.training.trainee import evaluation_mode, hard

LAYERS = ((96, 3, 1), (96, 3, 1), (96, 3, 2), (192, 3, 1), (192, 3, 1), (192, 3, 2), (192, 3, 1), (192, 1, 1))
"""Channels, kernel and stride of the convolutions."""


@final
@dataclass(frozen=True)
class Cifar10Psa(Recipe):
    """The network of Shekhovtsov, Yanush & Flach (2020, arXiv 2006.03143): -1/+1 activations, real weights.

    3x3 96-96-96/s2-192-192-192/s2-192, 1x1 192, the mean over blocks of 4x4 states, 768-10; SGD with Nesterov's
    momentum 0.9, batches of 64, mirrored and moved images, a tenth of the training set for validation, evaluated by ten
    draws. In place of batch norm each pre-activation is scaled once, before training, to mean 0 and variance 1 over the
    first batch. The learning rate and the number of epochs are ours, as is how the last states become 768 numbers.

    Attributes:
        layers: channels, kernel and stride of the convolutions.
        law: noise of the units; scale 1: ``F = sigma(a)``.

    >>> small = Cifar10Psa(layers=((4, 3, 1), (8, 3, 2)))
    >>> [site.shape for site in small.network(torch.Size([3, 8, 8])).sites(torch.zeros(2, 3, 8, 8))]
    [(4, 8, 8), (8, 4, 4)]
    """

    name: ClassVar[str] = "cifar10_psa"
    summary: ClassVar[str] = "CIFAR-10, all-convolutional 96-192, no norm, data-dependent start; minutes on a GPU"
    data: ClassVar[str] = "cifar10"

    epochs: int = 100
    batch_size: int = 64
    learning_rate: float = 0.2
    warmup: int = 200
    optimiser: Literal["adam", "sgd"] = "sgd"
    clip: float | None = 5.0
    validation: float = 0.1
    layers: tuple[tuple[int, int, int], ...] = LAYERS
    law: NoiseLaw = Logistic()

    def network(self, shape: torch.Size) -> StochasticNetwork:
        """Bare convolutions; the head averages the last 8x8 states over blocks of 4x4."""
        stages, below, size = [], shape[0], shape[1]
        for width, kernel, stride in self.layers:
            stages.append(scaled_conv(below, width, kernel, stride))
            below, size = width, size // stride
        head = nn.Sequential(nn.AvgPool2d(size // 2), nn.Flatten(), scaled_linear(4 * below, 10))
        return Chain(stages, head, BinaryUnits(self.law))

    def start(self, network: StochasticNetwork, inputs: Tensor) -> None:
        """Every channel's pre-activations get mean 0 and variance 1 over the first batch and the drawn states."""
        normalise_start(network, inputs)

    def augment(self, inputs: Tensor, rows: Tensor) -> Tensor:
        """Mirrored and moved."""
        return flip_and_crop(inputs, rows)


def normalise_start(network: StochasticNetwork, inputs: Tensor) -> None:
    """Scale and shift the convolutions of a chain, first to last, by the moments of each channel on some inputs."""
    assert isinstance(network, Chain)
    with evaluation_mode(network):
        sites = network.sites(inputs[:1])
        states = hard(sites, row_keys(0, 0, torch.arange(len(inputs))))
        below = inputs
        for k, stage in enumerate(network.stages):
            assert isinstance(stage, nn.Conv2d)
            assert stage.bias is not None
            a = stage(below)
            mean, spread = a.mean((0, 2, 3)), a.std((0, 2, 3)).clamp(min=1e-6)
            stage.weight.div_(spread[:, None, None, None])
            stage.bias.sub_(mean).div_(spread)
            below = states(k, stage(below), below)
