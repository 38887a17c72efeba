"""Every proxy of the straight-through estimator under every noise law: which mismatches matter, early and late."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, final, get_args

from statements.proxy import ANSWER

import estimlab as el
from estimlab.cells import MedianMoments, ProblemMaker
from estimlab.cells.makers import CosineChain
from estimlab.estimators.straight_through import Proxy
from estimlab.results.matrix import Matrix
from estimlab.results.study import Study

# Scales: 2F' is tanh' (logistic), HardTanh' (uniform), ApproxSign' (triangular); the Gaussian's is 1 at zero.
LAWS = (el.Logistic(0.5), el.Gaussian(math.sqrt(2 / math.pi)), el.Uniform(1.0), el.Triangular(1.0))
STEPS = {"early": 30, "late": 300}
Stage = Literal["early", "late"]
STATISTICS = ("relative_bias", "cosine")


@final
@dataclass(frozen=True)
class Learner(ProblemMaker):
    """A 2-5-5-5-1 chain with -1/+1 units that tells points above a cosine from those below.

    Late in training under uniform noise, whose density jumps, another order of summation ends in other networks: those
    medians are reproducible within their intervals, all others to rounding.

    Attributes:
        law: of the noise, in training and in measuring.
        stage: of training by the exact gradient.
        seed: of the points and of the initial parameters.
    """

    law: el.NoiseLaw
    stage: Stage
    seed: int = 0

    def build(self) -> el.Problem:
        """Train it."""
        return CosineChain((5, 5, 5), STEPS[self.stage], self.seed, law=self.law).build()

    def columns(self) -> dict[str, str | float]:
        """Problem, law and stage."""
        return {"problem": "2-5-5-5-1", "law": repr(self.law), "stage": self.stage}


def cells(stages: tuple[Stage, ...], networks: int) -> tuple[MedianMoments, ...]:
    """One cell per stage, law and proxy."""
    return tuple(
        MedianMoments(Learner(law, stage), el.StraightThrough(proxy), tuple(range(networks)), STATISTICS)
        for stage in stages
        for law in LAWS
        for proxy in get_args(Proxy)
    )


STUDY = Study(
    question="How much is lost by a straight-through proxy that is not the density of the noise?",
    answer=ANSWER,
    shows=Matrix(("estimator",), ("stage", "law"), ("relative_bias",), ("layer=0",)),
    cells=cells(("early", "late"), networks=9),
    smoke=cells(("early",), networks=2),
)
