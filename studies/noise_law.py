"""Straight-through with the derived proxy under four noise laws: where it is exact, and what else the law changes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, final

import torch
from statements.noise_law import ANSWER
from torch import Tensor

import estimlab as el
from estimlab.cells import MedianMoments, ProblemMaker
from estimlab.cells.makers import CosineChain
from estimlab.results.matrix import Matrix
from estimlab.results.study import Study

# Scales at which 2F'(0) = 1: straight-through's factor is the same for pre-activations near zero.
LAWS = (el.Logistic(0.5), el.Gaussian(math.sqrt(2 / math.pi)), el.Uniform(1.0), el.Triangular(2.0))
TERMS = ((1.0, (0, 1)), (-1.0, (2, 3)), (1.0, (1, 2, 4)), (-1.0, (0, 3, 4)))
STEPS = 100
REACH = 0.9  # largest |pre-activation| of an unsaturated network: inside the support of every law
STATISTICS = ("relative_bias", "relative_std")
State = Literal["unsaturated", "trained"]
Name = Literal["affine", "multilinear", "logistic loss"]


@final
@dataclass(frozen=True)
class UnderNoise(ProblemMaker):
    """A 2-5-5-5 chain with -1/+1 units under a noise law.

    Attributes:
        law: of the noise.
        state: ``unsaturated``: initial weights, the same for all laws, scaled down until no reachable pre-activation
            exceeds 0.9; ``trained``: by 100 steps of the exact gradient of the logistic loss under this law.
        objective: ``affine``: a linear head's output; ``multilinear``: products of the last states, no head;
            ``logistic loss``: of a linear head's output.
        seed: of the points and of the initial parameters.
    """

    law: el.NoiseLaw
    state: State
    objective: Name
    seed: int = 0

    def build(self) -> el.Problem:
        """Make or train the network, then put the objective on it."""
        if self.state == "trained":
            problem = CosineChain((5, 5, 5), STEPS, self.seed, law=self.law).build()
        else:
            problem = CosineChain((5, 5, 5), 0, self.seed).build()
            shrink(problem)
        old = problem.network
        head = None if self.objective == "multilinear" else old.head
        objective = {
            "affine": el.Multilinear(((1.0, (0,)),)),
            "multilinear": el.Multilinear(TERMS),
            "logistic loss": el.LogisticLoss(),
        }[self.objective]
        network = el.Chain(list(old.stages), head, el.BinaryUnits(self.law))
        return el.Problem(network, objective, problem.inputs, problem.targets)

    def columns(self) -> dict[str, str | float]:
        """Problem, objective, state as the stage, and law."""
        return {"problem": "2-5-5-5", "objective": self.objective, "stage": self.state, "law": repr(self.law)}


@torch.no_grad()
def shrink(problem: el.Problem) -> None:
    """Scale each unit's weights and bias until |a| reaches 0.9 for no example and no state of the layer below."""
    first, *others = problem.network.stages
    _divide(first, first(problem.inputs).abs().amax(0))
    for stage in others:
        _divide(stage, stage.weight.abs().sum(1) + stage.bias.abs())


def _divide(stage: torch.nn.Module, reach: Tensor) -> None:
    stage.weight.mul_(REACH / reach[:, None])
    stage.bias.mul_(REACH / reach)


def cells(states: tuple[State, ...], objectives: tuple[Name, ...], networks: int) -> tuple[MedianMoments, ...]:
    """One cell per objective, state and law."""
    seeds = tuple(range(networks))
    return tuple(
        MedianMoments(UnderNoise(law, state, objective), el.StraightThrough(), seeds, STATISTICS)
        for objective in objectives
        for state in states
        for law in LAWS
    )


STUDY = Study(
    question="Under which noise law is straight-through exact in a deep network?",
    answer=ANSWER,
    shows=Matrix(("objective", "law"), ("stage", "layer"), ("relative_bias",), ("layer=0,1,2",)),
    cells=cells(("unsaturated", "trained"), ("affine", "multilinear", "logistic loss"), networks=9),
    smoke=cells(("unsaturated",), ("affine", "logistic loss"), networks=2),
)
