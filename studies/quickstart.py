"""Every estimator on a small binary network that reads handwritten digits, at three stages of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import torch
from statements.quickstart import ANSWER

import estimlab as el
from estimlab.cells import AttributedBias, ExactMoments, MonteCarloMoments, ProblemMaker
from estimlab.cells.makers import classifier
from estimlab.estimators.iw_st import PowerWeight
from estimlab.problems.descent import exact_descent
from estimlab.results.matrix import Matrix
from estimlab.results.study import Study

STEPS = {"init": 0, "early": 20, "late": 120}
Stage = Literal["init", "early", "late"]


@final
@dataclass(frozen=True)
class Digits(ProblemMaker):
    """A 64-10-10 network with ten classes on 8x8 digits, trained by the exact gradient up to a stage.

    Attributes:
        stage: ``init``, ``early`` or ``late``.
        per_class: training images of each class.
        measured: images of each class, out of those, whose gradient is measured.
    """

    stage: Stage
    per_class: int = 20
    measured: int = 4

    def build(self) -> el.Problem:
        """Train from scratch, in seconds."""
        inputs, targets = digits(self.per_class)
        problem = el.Problem(classifier(64, torch.Generator().manual_seed(0)), el.CrossEntropy(), inputs, targets)
        exact_descent(problem, STEPS[self.stage], learning_rate=0.03)
        few, labels = digits(self.measured)
        return el.Problem(problem.network, el.CrossEntropy(), few, labels)

    def columns(self) -> dict[str, str | float]:
        """Problem and stage."""
        return {"problem": "digits-64-10-10", "stage": self.stage}


def digits(per_class: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first images of each class in scikit-learn's digits, pixels scaled to [-1, 1]."""
    from sklearn.datasets import load_digits

    data = load_digits()
    targets = torch.from_numpy(data.target).long()
    chosen = torch.cat([torch.nonzero(targets == label)[:per_class, 0] for label in range(10)])
    return torch.from_numpy(data.data)[chosen] / 8 - 1, targets[chosen]


EXACT = (
    el.StraightThrough(),
    el.StraightThrough("identity"),
    el.StraightThrough("hard_tanh"),
    el.StraightThrough("tanh"),
    el.StraightThrough("approx_sign"),
    el.IWST(PowerWeight(0.5)),
    el.MVE(t=1.0),
    el.ZGR(),
    el.STGumbelSoftmax(temperature=1.0),
    el.STGumbelSoftmax(temperature=0.3),
)
SAMPLED = (
    el.GumbelSoftmax(temperature=1.0),
    el.GumbelSoftmax(temperature=0.3),
    el.Reinforce(),
    el.Reinforce(baseline=2.3),
    el.Reinforce(baseline="exact_mean"),
    el.ARM(),
    el.DisARM(),
)
ATTRIBUTED = (el.StraightThrough(), el.ZGR())
AVERAGES = (1, 10, 100, 1000, 10_000)


def cells(stages: tuple[Stage, ...], draws: int, measured: int) -> tuple:
    """All cells of the given stages."""
    found: list = []
    for stage in stages:
        problem = Digits(stage, measured=measured)
        found += [ExactMoments(problem, estimator, AVERAGES) for estimator in EXACT]
        found += [MonteCarloMoments(problem, estimator, AVERAGES, draws=draws) for estimator in SAMPLED]
        found += [AttributedBias(problem, estimator) for estimator in ATTRIBUTED]
    return tuple(found)


STUDY = Study(
    question="How do the bias and the variance of each estimator compare, per layer, as a small network learns digits?",
    answer=ANSWER,
    shows=Matrix(("estimator",), ("stage", "layer"), ("relative_rmse",), ("layer=0,1",)),
    cells=cells(("init", "early", "late"), draws=65_536, measured=4),
    smoke=cells(("init",), draws=512, measured=1),
)
