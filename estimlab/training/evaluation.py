"""How good a network is: deterministic passes and ensembles of draws, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from estimlab.errors import EstimlabError
from estimlab.model.network import Activation
from estimlab.training.counter_noise import EVALUATION, row_keys
from estimlab.training.trainee import Trainee, evaluation_mode, expected, hard, sign

Mode = Literal["mean", "sign", "draws"]
Batches = Callable[[], Iterable[tuple[Tensor, Tensor]]]


@dataclass(frozen=True)
class Accuracy:
    """Correct answers among the examples of a split.

    Attributes:
        mode: units at their ``mean``, at their more probable state (``sign``), or ``draws``.
        draws: passes whose class probabilities are averaged; 1 of a deterministic mode.
        correct: number of correct answers.
        examples: number of examples.
        loss: mean negative log of the (averaged) probability of the true class.

    >>> found = Accuracy("mean", draws=1, correct=90, examples=100, loss=0.3)
    >>> found.value, [round(end, 3) for end in found.interval]
    (0.9, [0.826, 0.945])
    """

    mode: str
    draws: int
    correct: int
    examples: int
    loss: float

    @property
    def value(self) -> float:
        """Share of correct answers."""
        return self.correct / self.examples

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval for the share over all examples of this kind."""
        return wilson(self.correct, self.examples)

    def record(self) -> dict[str, float | str]:
        """As a row."""
        low, high = self.interval
        row: dict[str, float | str] = {"mode": self.mode, "draws": self.draws, "examples": self.examples}
        return row | {"accuracy": self.value, "low": low, "high": high, "loss": self.loss}


def wilson(correct: int, examples: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson's score interval (1927) of a share; z: normal quantile, of 95 % by default.

    >>> [round(end, 3) for end in wilson(correct=0, examples=10)]
    [0.0, 0.278]
    """
    if examples < 1:
        raise EstimlabError("wilson(): an interval needs at least one example.")
    share, w = correct / examples, z * z / examples
    centre = (share + w / 2) / (1 + w)
    half = math.sqrt(share * (1 - share) * w + w * w / 4) / (1 + w)
    return max(0.0, centre - half), min(1.0, centre + half)


def activation_of(trainee: Trainee, mode: Mode, seed: int, draw: int, start: int, batch: int) -> Activation:
    """What stands for the units in an evaluation: the noise depends on the example's number and the draw's."""
    if mode == "mean":
        return expected(trainee.sites)
    if mode == "sign":
        return sign(trainee.sites)
    device = next(trainee.parameters()).device
    return hard(trainee.sites, row_keys(seed, EVALUATION + draw, torch.arange(start, start + batch, device=device)))


def accuracy(trainee: Trainee, batches: Batches, mode: Mode = "mean", draws: int = 1, seed: int = 0) -> Accuracy:
    """Accuracy of a deterministic network, or of an ensemble of draws.

    Args:
        trainee: the network.
        batches: function that gives inputs and class numbers, batch by batch.
        mode: ``mean``, ``sign`` or ``draws``.
        draws: size of the ensemble.
        seed: of the draws.
    """
    if draws < 1 or (draws > 1 and mode != "draws"):
        raise EstimlabError(f"accuracy(mode={mode!r}, draws={draws}): several draws need mode='draws'.")
    correct, loss, start = 0, 0.0, 0
    with evaluation_mode(trainee):
        for inputs, targets in batches():
            shares = torch.zeros((), device=inputs.device)
            for draw in range(draws):
                states = activation_of(trainee, mode, seed, draw, start, len(inputs))
                shares = shares + trainee.network.run(inputs, states, len(trainee.sites)).float().softmax(1) / draws
            correct += int((shares.argmax(1) == targets).sum())
            # an ensemble may give the true class no share at all: a loss of 69 nats, not infinity
            loss -= float(shares.gather(1, targets[:, None]).clamp(min=1e-30).log().sum())
            start += len(inputs)
    return Accuracy(mode, draws, correct, start, loss / max(1, start))
