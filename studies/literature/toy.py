"""The trained toy network of Shekhovtsov, Yanush & Flach (2020), and what stands in a table where it is not at hand."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import nn

import estimlab as el
from estimlab.cells import ProblemMaker
from literature.tested import Quantity


@final
@dataclass(frozen=True)
class PublishedToy(ProblemMaker):
    """A 2-5-5-5-1 network with its 200 points: 0/1 coding, logistic noise, logistic loss.

    Attributes:
        epoch: 1 or 100.
    """

    epoch: int = 100

    @property
    def path(self) -> Path:
        """Where it must lie."""
        return Path(os.environ.get("ESTIMLAB_DATA", ".")) / "psa_toy" / f"epoch{self.epoch}.npz"

    def build(self) -> el.Problem:
        """Read it from ESTIMLAB_DATA."""
        if not self.path.is_file():
            raise el.EstimlabError(
                f"{self.path} does not exist. Set ESTIMLAB_DATA to the folder that holds "
                f"psa_toy/epoch{self.epoch}.npz, the network of arXiv 2006.03143 as arrays inputs, targets, "
                "layer0_weight, layer0_bias, ..."
            )
        with np.load(self.path) as data:
            arrays = {name: torch.from_numpy(data[name]) for name in data.files}
        layers = [_linear(arrays[f"layer{k}_weight"], arrays[f"layer{k}_bias"]) for k in range(4)]
        network = el.Chain(layers[:3], layers[3], el.BinaryUnits(el.Logistic(), 0.0, 1.0))
        return el.Problem(network, el.LogisticLoss(), arrays["inputs"], arrays["targets"])

    def columns(self) -> dict[str, str | float]:
        """Problem and epoch."""
        return {"problem": "psa-toy", "stage": f"epoch {self.epoch}"}


def _linear(weight: torch.Tensor, bias: torch.Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer


@final
@dataclass(frozen=True)
class Missing(Quantity):
    """In the place of a quantity whose network is not at hand: a cell of its own, measured once the network is there.

    Attributes:
        words: name of the quantity.
        problem: the network.
    """

    words: str
    problem: ProblemMaker

    @property
    def name(self) -> str:
        """That of the quantity."""
        return self.words

    @property
    def setting(self) -> dict[str, str | float]:
        """The network's columns."""
        return self.problem.columns()

    def measure(self) -> tuple[float, float]:
        """No number."""
        return math.nan, 0.0


def if_at_hand(quantity: Quantity, problem: ProblemMaker) -> Quantity:
    """The quantity, or ``Missing`` where its problem is a published network that ESTIMLAB_DATA does not hold."""
    absent = isinstance(problem, PublishedToy) and not problem.path.is_file()
    return Missing(quantity.name, problem) if absent else quantity
