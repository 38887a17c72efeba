"""Bias, deviation and direction of each estimator layer by layer, in chains of 1 to 20 layers of eight units."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, ClassVar, final

import torch
from statements.depth import ANSWER
from torch import Tensor, nn

import estimlab as el
from estimlab.cells import MedianMoments, ProblemMaker, build
from estimlab.cells.makers import CosineChain
from estimlab.measurement.exact.attribution import attribute_bias
from estimlab.measurement.mapped import gradients
from estimlab.randomness.noise import Key, Noise, Request, into_open_interval
from estimlab.randomness.streams import RandomStream
from estimlab.results.columns import Column
from estimlab.results.matrix import Matrix
from estimlab.results.study import Cell, Study

WIDTH, STEPS = 8, 100
DEPTHS = (1, 2, 3, 4, 6, 8, 10, 14, 20)
STATISTICS = ("relative_bias", "relative_std", "cosine")


@final
@dataclass(frozen=True)
class DeepChain(ProblemMaker):
    """A ``CosineChain`` of equal layers of eight units, with its depth in a column.

    Attributes:
        depth: number of stochastic layers.
        steps: of exact descent.
        seed: of points and parameters.
    """

    depth: int
    steps: int = 0
    seed: int = 0

    def build(self) -> el.Problem:
        """The trained chain."""
        return self._chain.build()

    def columns(self) -> dict[str, str | float]:
        """Problem, stage and depth."""
        return {**self._chain.columns(), "depth": self.depth}

    @property
    def _chain(self) -> CosineChain:
        return CosineChain((WIDTH,) * self.depth, self.steps, self.seed)


@final
@dataclass(frozen=True)
class MedianAttribution(Cell):
    """The relative size of what each source layer adds to each layer's bias: median and extremes over networks."""

    revision: ClassVar[int] = 2

    problem: DeepChain
    estimator: el.Estimator
    seeds: tuple[int, ...]

    def run(self) -> list[dict[str, Any]]:
        """One row per layer and source."""
        networks = []
        for seed in self.seeds:
            rows = attribute_bias(build(replace(self.problem, seed=seed))[0], self.estimator).rows()
            networks.append([row for row in rows if row["statistic"] == "bias_contribution"])
        result = []
        for like in zip(*networks, strict=True):
            values = [row["value"] for row in like]
            interval = {"low": min(values), "value": median(values), "high": max(values), "networks": len(values)}
            result.append({**self.problem.columns(), **like[0], "stderr": None, **interval})
        return result


@final
@dataclass(frozen=True)
class Vanishing(Cell):
    """How often the Gumbel-Softmax gradient of the first of L single units exceeds a threshold (our derivation).

    The chain is ``a_1 = 1, a_{k+1} = x_k`` with states -1, +1 and the objective x_L, so a draw is
    ``g = prod_k 2 F'(v_k / tau) / tau``, ``v = a - Z``, and as tau goes to 0

        P(|g| > c) -> (2 tau F'(1))^L log(2^L / (c tau^L))^L / L!.

    Attributes:
        depth: L.
        temperature: tau.
        threshold: c, in objective per pre-activation.
        draws: half of them from the noise's own law, half from one that is concentrated where g does not vanish.
        seed: of the draws.
    """

    depth: int
    temperature: float
    threshold: float = 0.01
    draws: int = 200_000
    seed: int = 0

    def run(self) -> list[dict[str, Any]]:
        """The probability with its standard error, and what it tends to."""
        draws, weights = self.sample()
        hits = (draws.abs() > self.threshold) * weights
        stderr = float(hits.std() / math.sqrt(len(hits)))
        head = {"problem": "single units", "estimator": "gumbel_softmax", "depth": self.depth, "layer": "0"}
        head |= {"temperature": self.temperature, "threshold": self.threshold, "seed": self.seed, "draws": self.draws}
        measured = {"statistic": "probability_above", "value": float(hits.mean()), "stderr": stderr}
        limit = {"statistic": "probability_asymptote", "value": self.asymptote(), "stderr": 0.0}
        return [{**head, **measured, "method": "monte_carlo"}, {**head, **limit, "method": "exact"}]

    def sample(self) -> tuple[Tensor, Tensor]:
        """Draws of the first pre-activation's gradient, by the estimator itself, and their importance weights."""
        stages = [el.Logits(torch.ones(1, dtype=torch.float64)), *(_copy() for _ in range(self.depth - 1))]
        problem = el.Problem(el.Chain(stages), el.Multilinear(((1.0, (0,)),)))
        requests = {(k, 0): Request((2, 1), 1, 0) for k in range(self.depth)}
        like = torch.empty(0, dtype=torch.float64)
        tables = RandomStream(self.seed).tables(requests, 0, self.draws, like)
        width = self.temperature * self._log_range / 4
        estimator = el.GumbelSoftmax(self.temperature)
        draws, weights = gradients(problem, estimator, lambda tables: ConcentratedNoise(tables, width), tables)
        return draws["stages.0.logits"][:, 0], weights

    def asymptote(self) -> float:
        """The leading order as the temperature goes to 0."""
        density = float(el.Logistic().density(torch.ones((), dtype=torch.float64)))
        return (2 * self.temperature * density * self._log_range) ** self.depth / math.factorial(self.depth)

    @property
    def _log_range(self) -> float:
        return self.depth * math.log(2 / self.temperature) - math.log(self.threshold)


class ConcentratedNoise(Noise):
    """Logistic noise from ``(1 - F) / 2 + (concentrated) / 2``, the second logistic around the pre-activation.

    The weight of a unit, the noise's density over that of the mixture, is at most 2.
    """

    def __init__(self, tables: Mapping[Key, Tensor], width: float):
        super().__init__()
        self.tables, self.width, self.law = tables, width, el.Logistic()

    def _uniform(self, key: Key, probability: Tensor, cuts: Sequence[Tensor], degree: float) -> Tensor:
        choice, base = self.tables[key].unbind(0)
        a = self.law.quantile(probability)
        near = self.law.cdf(a - self.width * self.law.quantile(base))
        u = into_open_interval(torch.where(choice < 0.5, base, near))
        z = self.law.quantile(u)
        concentrated = self.law.density((a - z) / self.width) / self.width / self.law.density(z)
        self.weight = self.weight * (2 / (1 + concentrated)).prod()
        return u


def _copy() -> nn.Linear:
    layer = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    nn.init.ones_(layer.weight)
    return layer


EXACT = (el.StraightThrough(), el.ZGR(), el.MVE(1.0), el.AnalyticGumbelRao(0.5))
TEMPERATURES = (0.3, 0.1, 0.03, 0.01, 0.003)


def cells(depths: tuple[int, ...], seeds: tuple[int, ...], draws: int, attributed: int, single: int) -> tuple:
    """Moments at every depth and stage, attributions at one depth, and the chains of single units."""
    found: list = []
    for depth in depths:
        for steps in (0, STEPS):
            chain = DeepChain(depth, steps)
            found += [MedianMoments(chain, estimator, seeds, STATISTICS) for estimator in EXACT]
            found.append(MedianMoments(chain, el.GumbelSoftmax(0.5), seeds[:3], STATISTICS, draws))
            if depth == attributed:
                found += [MedianAttribution(chain, one, seeds) for one in (el.StraightThrough(), el.ZGR())]
    found += [Vanishing(depth, tau, draws=single) for depth in range(1, 5) for tau in TEMPERATURES]
    return tuple(found)


STUDY = Study(
    question="How do the bias, the deviation and the direction of each estimator change with the depth of the network?",
    answer=ANSWER,
    shows=Matrix(("estimator",), ("depth",), ("relative_std",), (f"stage=step {STEPS}", "layer=0")),
    cells=cells(DEPTHS, (0, 1, 2, 3, 4), draws=2048, attributed=10, single=200_000),
    smoke=cells((1, 2), (0,), draws=512, attributed=2, single=2000),
    columns=(
        Column("depth", r"$L$", "layers", "number of stochastic layers"),
        Column("threshold", r"$c$", "objective per pre-activation", "size above which a draw counts as not vanished"),
        Column("probability_above", r"$P(|g| > c)$", "1", "probability that a draw of the gradient exceeds c"),
        Column("probability_asymptote", r"$P(|g| > c)$", "1", "its leading order as the temperature goes to zero"),
    ),
)
