"""Bias and variance along training on MNIST and Fashion-MNIST, exact at every step that is looked at.

Needs the official files of both sets in the folder of ESTIMLAB_DATA, or the network to download them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import torch
from jaxtyping import Float
from statements.images import ANSWER
from torch import Tensor
from torch.nn import functional

import estimlab as el
from estimlab.cells.makers import classifier
from estimlab.estimators.base import Estimator, HardForward
from estimlab.measurement.exact.moments import exact_moments
from estimlab.measurement.labels import estimator_columns
from estimlab.measurement.measurement import Measurement
from estimlab.randomness.noise import TorchNoise
from estimlab.results.columns import Column
from estimlab.results.matrix import Matrix
from estimlab.results.study import Cell, Study
from estimlab.training.data import load

STATISTICS = ("relative_bias", "relative_std", "cosine")
COLUMNS = ("estimator", "parameters", "layer", "statistic", "value", "stderr")


@final
@dataclass(frozen=True)
class AlongTraining(Cell):
    """A network of two layers of ten units trained on small images, and every estimator's moments at some steps.

    Adam over random batches, either along the exact gradient or along draws of an estimator.

    Attributes:
        dataset: ``mnist``, ``fashion_mnist`` or ``digits``.
        trainer: whose draws are followed; None: the exact gradient.
        estimators: whose moments are measured.
        checkpoints: numbers of steps after which they are.
        pooled: pixels that are averaged, in each direction.
        batch: examples of a step.
        measured: first training images, whose mean gradient is what is estimated.
        tested: first test images.
        draws: of the estimators whose moments are sampled.
        learning_rate: Adam's, constant.
        seed: of parameters, batches and draws.
    """

    revision: ClassVar[int] = 2

    dataset: Literal["mnist", "fashion_mnist", "digits"]
    trainer: Estimator | None
    estimators: tuple[Estimator, ...]
    checkpoints: tuple[int, ...]
    pooled: int = 2
    batch: int = 500
    measured: int = 200
    tested: int = 2000
    draws: int = 1024
    learning_rate: float = 0.01
    seed: int = 0

    @property
    def title(self) -> str:
        """Data and trainer."""
        return f"{self.dataset} along {self.trainer or 'the exact gradient'}"

    def run(self) -> list[dict[str, Any]]:
        """Rows per checkpoint: objective and accuracy on test images, moments of every estimator per layer."""
        data = load(self.dataset)
        train, test = ((self._pixels(data.splits[name].inputs, data.top), data.splits[name].targets) for name in SPLITS)
        rows = []
        for step, network in self._networks(*train):
            found = _quality(network, *(tensor[: self.tested] for tensor in test))
            few = el.Problem(network, el.CrossEntropy(), *(tensor[: self.measured] for tensor in train))
            truth = el.exact_reference(few)
            for estimator in self.estimators:
                found += _moments(self._measure(few, estimator, truth))
            rows += [{"step": step, **dict.fromkeys(COLUMNS), **row} for row in found]
        followed = self.trainer.name if self.trainer else "exact"
        return [{"problem": self.dataset, "trainer": followed, "seed": self.seed, **row} for row in rows]

    def _pixels(self, images: Tensor, top: int) -> Float[Tensor, "examples pixels"]:
        """Averaged over squares, scaled to [-1, 1]."""
        return functional.avg_pool2d(images.double(), self.pooled).flatten(1) * (2 / top) - 1

    def _networks(self, inputs: Tensor, targets: Tensor) -> Iterator[tuple[int, el.Chain]]:
        """The network at every checkpoint; it goes on changing afterwards."""
        generator = torch.Generator().manual_seed(self.seed)
        network = classifier(inputs.shape[1], generator)
        optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        noise = torch.Generator().manual_seed(self.seed + 1)
        for step in range(self.checkpoints[-1] + 1):
            if step in self.checkpoints:
                yield step, network
            chosen = torch.randint(len(inputs), (self.batch,), generator=generator)
            self._set_gradient(el.Problem(network, el.CrossEntropy(), inputs[chosen], targets[chosen]), noise)
            optimizer.step()

    def _set_gradient(self, problem: el.Problem, generator: torch.Generator) -> None:
        problem.network.zero_grad()
        if self.trainer is not None:
            self.trainer.surrogate(problem, TorchNoise(generator)).mean().backward()
            return
        truth = el.exact_reference(problem)
        for name, parameter in problem.network.named_parameters():
            parameter.grad = truth.value[name]

    def _measure(self, problem: el.Problem, estimator: Estimator, truth: Any) -> Measurement:
        """Without sampling where that is possible."""
        if isinstance(estimator, HardForward):
            return exact_moments(problem, estimator, truth)
        return el.measure(problem, estimator, truth, self.draws, self.seed)


SPLITS = ("train", "test")


def correct(output: Float[Tensor, "batch classes"], target: Tensor) -> Float[Tensor, " batch"]:
    """1 where the largest output is the target's."""
    return (output.argmax(-1) == target).to(output.dtype)


def _quality(network: el.Chain, inputs: Tensor, targets: Tensor) -> list[dict[str, Any]]:
    """Expected objective and expected accuracy over the states, both exact."""
    objectives = {"test_objective": el.CrossEntropy(), "test_accuracy": correct}
    values = {name: el.exact_reference(el.Problem(network, one, inputs, targets)) for name, one in objectives.items()}
    return [{"statistic": name, "value": truth.objective, "stderr": 0.0} for name, truth in values.items()]


def _moments(measurement: Measurement) -> list[dict[str, Any]]:
    """Per layer of units; the bias of an estimator without bias is left out."""
    unbiased = measurement.estimator.claims().unbiased == "all layers"
    head = estimator_columns(measurement.estimator)
    return [
        {**head, "layer": layer, "statistic": name, "value": found[name][0], "stderr": found[name][1]}
        for layer, found in measurement.statistics().items()
        for name in STATISTICS
        if layer != "head" and not (unbiased and name != "relative_std")
    ]


ESTIMATORS = (
    el.StraightThrough(),
    el.StraightThrough("identity"),
    el.MVE(t=1.0),
    el.ZGR(),
    el.STGumbelSoftmax(temperature=1.0),
    el.STGumbelSoftmax(temperature=0.3),
    el.GumbelRao(temperature=0.5),
    el.DisARM(),
)
CHECKPOINTS = (0, 10, 30, 100, 300, 1000)
TRAINERS = (None, el.StraightThrough(), el.ZGR())


STUDY = Study(
    question="How do bias and variance change as a binary network learns real images, and does it matter whose draws "
    "it is trained along?",
    answer=ANSWER,
    shows=Matrix(("problem", "estimator"), ("step",), ("relative_bias",), ("trainer=exact", "layer=0")),
    cells=tuple(
        AlongTraining(dataset, trainer, ESTIMATORS, CHECKPOINTS)
        for dataset in ("mnist", "fashion_mnist")
        for trainer in TRAINERS
    ),
    smoke=tuple(
        AlongTraining("digits", trainer, ESTIMATORS[3:5] + ESTIMATORS[7:], (0, 2), 2, 20, 10, 50, 512)
        for trainer in TRAINERS[:2]
    ),
    columns=(
        Column("trainer", "trainer", "", "what the network was trained along: draws of an estimator, or exact"),
        Column("step", "step", "steps", "steps of Adam before the gradient was looked at"),
        Column("test_objective", "test loss", "nats", "exact expected cross-entropy of the first test images"),
        Column(
            "test_accuracy", "test accuracy", "1", "exact probability that a test image's class is the largest output"
        ),
    ),
)
