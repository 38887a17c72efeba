"""What a recipe is: every choice of a training run but the estimator and the seed."""

from __future__ import annotations

import abc
import importlib
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from estimlab.declared import Declared
from estimlab.errors import EstimlabError
from estimlab.model.network import StochasticNetwork
from estimlab.model.objectives import CrossEntropy, Objective
from estimlab.training.data import Dataset, Split, load
from estimlab.training.data.batches import scaled


@dataclass(frozen=True)
class Recipe(Declared, abc.ABC):
    """Network, units, objective, optimiser and schedule. Subclasses write ``network``, and what else they change.

    Attributes:
        name: on the command line.
        summary: one line for ``estimlab train --help``.
        data: name of the data set.
        mode: how the units are evaluated after each epoch: at their mean, at their more probable state, or drawn.
        epochs: passes through the training set.
        batch_size: examples per step, over all processes.
        learning_rate: at its peak; a cosine brings it to ``final_rate`` at the end of the last epoch.
        final_rate: as a fraction of the learning rate.
        warmup: steps in which the rate rises linearly from zero.
        optimiser: ``adam`` or ``sgd`` (Nesterov).
        momentum: of sgd.
        weight_decay: of matrices and kernels, decoupled from the gradient for adam.
        clip: largest norm of a gradient; None: not clipped.
        examples: only the first ones of the training set; None: all.
        validation: fraction of the training set, its last examples, that is kept apart and evaluated besides.

    >>> from estimlab.training.recipes import find_recipe
    >>> recipe = find_recipe("digits")(learning_rate=0.1, warmup=10)
    >>> [f"{recipe.rate(step, steps=110):.3f}" for step in (0, 9, 60, 109)]
    ['0.010', '0.100', '0.050', '0.000']
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    data: ClassVar[str]
    mode: ClassVar[Literal["mean", "sign", "draws"]] = "mean"

    epochs: int = 10
    batch_size: int = 100
    learning_rate: float = 1e-3
    final_rate: float = 0.0
    warmup: int = 0
    optimiser: Literal["adam", "sgd"] = "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    clip: float | None = None
    examples: int | None = None
    validation: float = 0.0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise EstimlabError(f"{type(self).__name__}({name}={getattr(self, name)}): {name} must be at least 1.")
        if self.optimiser not in ("adam", "sgd"):
            raise EstimlabError(f"{type(self).__name__}(optimiser={self.optimiser!r}): 'adam' or 'sgd'.")
        if not self.learning_rate > 0 or not 0 <= self.validation < 1:
            raise EstimlabError(f"{type(self).__name__}: learning_rate must be positive, validation in [0, 1).")

    @classmethod
    def choices(cls) -> list[type]:
        """The catalogue."""
        return list(importlib.import_module("estimlab.training.recipes").named_recipes().values())

    @abc.abstractmethod
    def network(self, shape: torch.Size) -> StochasticNetwork:
        """A fresh network for inputs of the given shape (without batch), drawn from torch's generator."""

    def objective(self) -> Objective:
        """Of output and target; cross-entropy by default."""
        return CrossEntropy()

    def source(self) -> str:
        """Name of the data set, where a field chooses it."""
        return self.data

    def load(self, folder: Any = None, accept_unverified: bool = False) -> Dataset:
        """The data, cut to ``examples``, with the validation part split off."""
        data = load(self.source(), folder, accept_unverified)
        train = data.splits["train"].part(slice(self.examples))
        splits: dict[str, Split] = {**data.splits, "train": train}
        if self.validation:
            kept = len(train) - round(self.validation * len(train))
            splits |= {"train": train.part(slice(kept)), "validation": train.part(slice(kept, None))}
        if len(splits["train"]) < self.batch_size:
            raise EstimlabError(
                f"{type(self).__name__}: a batch of {self.batch_size} does not fit into {len(splits['train'])} "
                "training examples; choose a smaller batch_size or more examples."
            )
        return Dataset(data.name, splits, data.files, data.top, data.cite)

    def inputs(self, images: Tensor, top: int) -> Tensor:
        """Inputs of the network: bytes scaled to [-1, 1]."""
        return scaled(images, top)

    def augment(self, inputs: Tensor, rows: Tensor) -> Tensor:
        """Inputs moved about, for training; as they are by default."""
        return inputs

    def target(self, inputs: Tensor, targets: Tensor | None) -> Tensor:
        """What the objective compares the output with: the class by default."""
        assert targets is not None
        return targets

    def start(self, network: StochasticNetwork, inputs: Tensor) -> None:
        """Initialisation that depends on the first inputs."""

    def make_optimiser(self, network: StochasticNetwork) -> torch.optim.Optimizer:
        """By the fields; weight decay acts on matrices and kernels, not on biases and norms.

        A group of parameters may have a ``scale``, by which its learning rate is multiplied.
        """
        parameters = [p for p in network.parameters() if p.requires_grad]
        fused = all(p.is_cuda for p in parameters)
        kinds = [
            ([p for p in parameters if p.ndim > 1], self.weight_decay),
            ([p for p in parameters if p.ndim <= 1], 0.0),
        ]
        groups = [{"params": members, "weight_decay": decay} for members, decay in kinds if members]
        if self.optimiser == "adam":
            return torch.optim.AdamW(groups, lr=self.learning_rate, fused=fused)
        return torch.optim.SGD(groups, lr=self.learning_rate, momentum=self.momentum, nesterov=True, fused=fused)

    def rate(self, step: int, steps: int) -> float:
        """Of a step out of so many: linear warm-up to the peak, half a cosine down to ``final_rate`` times it."""
        peak, last = self.learning_rate, self.final_rate * self.learning_rate
        if step < self.warmup:
            return peak * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, steps - self.warmup)
        return last + (peak - last) * (1 + math.cos(math.pi * min(done, 1.0))) / 2

    def judge(self, session: Any) -> dict[str, Any]:
        """Metrics after an epoch, by one pass in the recipe's mode."""
        found = session.evaluate(self.mode)
        low, high = found.interval
        row = {"test_loss": found.loss, "accuracy": found.value, "low": low, "high": high}
        if self.validation:
            row["validation_accuracy"] = session.evaluate(self.mode, split="validation").value
        return row

    def judge_finally(self, session: Any) -> list[dict[str, Any]]:
        """Results at the end: mean units, their more probable states, one draw, an ensemble of draws."""
        ways = [("mean", 1), ("sign", 1), ("draws", 1), ("draws", session.execution.ensemble)]
        return [session.evaluate(mode, draws).record() for mode, draws in ways]
