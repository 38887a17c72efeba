"""The figure of Shekhovtsov, Yanush & Flach (2020) on a toy of our own: error and direction, layer by layer.

Their network is another instance of the same toy, trained by REINFORCE; `published_toy` measures that one. Their
numbers stand here for the trend: those of epoch 100 beside our step 20, where the expected objectives are alike (0.684
and 0.686), those of epoch 2000, of unknown objective, beside our next stage.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import torch
from published_toy import MEAN, ONE, published
from published_toy import PUBLISHED as EPOCH_100
from statements.toy_depth import ANSWER

import estimlab as el
from estimlab.cells import ExactMoments, MeasurementCell, MonteCarloMoments, ProblemMaker, build
from estimlab.cells.makers import CosineChain
from estimlab.measurement.labels import estimator_columns
from estimlab.measurement.mapped import gradients, record
from estimlab.randomness.noise import TableNoise
from estimlab.randomness.streams import RandomStream
from estimlab.results.columns import Column
from estimlab.results.matrix import Matrix
from estimlab.results.study import Cell, Study

STEPS = (20, 100, 1000)
STATISTICS = ("reference_norm", "relative_bias", "relative_std", "relative_rmse", "cosine", "mean_cosine")
QUANTILES = {"cosine_of_mean_15": 0.15, "cosine_of_mean_50": 0.5, "cosine_of_mean_85": 0.85}
AVERAGES = (1, 10, 100, 1000, 9000)
CHUNK = 512
# Relative RMSE (layers 0, 1, 2) of means of 9000 draws, and their cosine: read off the official figure of epoch 2000.
EPOCH_2000: dict[tuple[str, str], dict[str, str]] = {
    ("straight_through", ""): {MEAN: "0.556 0.774 0.852", "cosine": "0.851 0.811 0.766"},
    ("psa", ""): {MEAN: "0.212 0.126 0.033"},
    ("gumbel_softmax", "temperature=1.0"): {MEAN: "1.364 2.495 0.894", "cosine": "0.229 -0.060 0.800"},
    ("mean_field", ""): {ONE: "8.21 10.6 3.92"},
}


def toy(steps: int) -> CosineChain:
    """A 2-5-5-5-1 network with logistic noise, 0/1 coding and logistic loss on 200 points, after some steps."""
    return CosineChain((5, 5, 5), steps, examples=200, low=0.0)


@final
@dataclass(frozen=True)
class Beside(Cell):
    """Measured statistics with the published ones of the other instance."""

    revision: ClassVar[int] = 2

    measured: MeasurementCell

    @property
    def title(self) -> str:
        """Problem and estimator."""
        return self.measured.title

    def run(self) -> list[dict[str, Any]]:
        """Rows of the layers that have stochastic units."""
        rows = [row for row in self.measured.run() if row["layer"] != "head"]
        return [{**row, "published_elsewhere": _published(row)} for row in rows]


@final
@dataclass(frozen=True)
class ExpectedObjective(Cell):
    """How far training has come."""

    problem: ProblemMaker

    def run(self) -> list[dict[str, Any]]:
        """One row for the whole network."""
        row = {"layer": "network", "statistic": "expected_objective", "value": build(self.problem)[1].objective}
        names = ("seed", "estimator", "parameters", "method", "draws", "published_elsewhere")
        return [{**self.problem.columns(), **dict.fromkeys(names), **row, "stderr": 0.0, "averaged": 1}]


def _published(row: dict[str, Any]) -> float | None:
    text = published(row, {"step 20": EPOCH_100, "step 100": EPOCH_2000}.get(row["stage"], {}))
    return None if text is None else float(text)


@final
@dataclass(frozen=True)
class Bands(Cell):
    """Quantiles of the cosine between the true gradient and the mean of a number of draws.

    Attributes:
        problem: recipe of the problem.
        estimator: whose draws are taken.
        averaged: numbers of draws in a mean; the means are of disjoint draws.
        draws: in all.
        seed: of the draws.
    """

    revision: ClassVar[int] = 2

    problem: ProblemMaker
    estimator: el.Estimator
    averaged: tuple[int, ...]
    draws: int
    seed: int = 0

    @property
    def title(self) -> str:
        """Problem and estimator."""
        return f"{' '.join(map(str, self.problem.columns().values()))}: bands of {self.estimator!r}"

    def run(self) -> list[dict[str, Any]]:
        """Rows per layer, number of averaged draws and quantile."""
        problem, truth = build(self.problem)
        blocks = self._draws(problem)
        rows = []
        for layer, names in problem.network.layers().items():
            if layer == "head":
                continue
            draws = np.concatenate([blocks[name] for name in names], 1)
            true = np.concatenate([truth.value[name].flatten().numpy() for name in names])
            for averaged in self.averaged:
                found = cosines(draws, true, averaged)
                rows += [self._row(layer, name, averaged, *quantile(found, q)) for name, q in QUANTILES.items()]
        return rows

    def _draws(self, problem: el.Problem) -> dict[str, np.ndarray]:
        requests, like = record(problem, self.estimator), torch.empty(0, dtype=problem.dtype)
        chunks = []
        for start in range(0, self.draws, CHUNK):
            tables = RandomStream(self.seed).tables(requests, start, min(start + CHUNK, self.draws), like)
            chunks.append(gradients(problem, self.estimator, TableNoise, tables)[0])
        return {name: torch.cat([chunk[name] for chunk in chunks]).flatten(1).numpy() for name in chunks[0]}

    def _row(self, layer: str, statistic: str, averaged: int, value: float, stderr: float) -> dict[str, Any]:
        return {
            **self.problem.columns(),
            "seed": self.seed,
            **estimator_columns(self.estimator),
            "method": "monte_carlo",
            "draws": self.draws,
            "layer": layer,
            "statistic": statistic,
            "value": value,
            "stderr": stderr,
            "averaged": averaged,
            "published_elsewhere": None,
        }


def cosines(draws: np.ndarray, truth: np.ndarray, averaged: int) -> np.ndarray:
    """Cosine between the truth and each mean of that many draws; draws that are left over are not used."""
    count = len(draws) // averaged
    means = draws[: count * averaged].reshape(count, averaged, -1).mean(1)
    norms = np.linalg.norm(means, axis=1) * np.linalg.norm(truth)
    return np.divide(means @ truth, norms, out=np.zeros(count), where=norms > 0)


def quantile(values: np.ndarray, q: float) -> tuple[float, float]:
    """A quantile, and its standard error from the order statistics two binomial deviations above and below."""
    n, ordered = len(values), np.sort(values)
    rank, two = q * (n - 1), 2 * math.sqrt(n * q * (1 - q))
    below, value, above = np.interp([rank - two, rank, rank + two], np.arange(n), ordered)
    return float(value), float(above - below) / 4


EXACT = (el.StraightThrough(), el.ZGR())
SAMPLED = (el.Reinforce(), el.ARM(), el.PSA(), el.GumbelSoftmax(temperature=1.0), el.GumbelSoftmax(temperature=0.1))


def cells(steps: tuple[int, ...], draws: int, banded: int, averaged: tuple[int, ...]) -> tuple[Cell, ...]:
    """Exact moments where there are, Monte Carlo elsewhere, and the bands of all that is random."""
    found: list[Cell] = []
    for problem in map(toy, steps):
        measured: list[MeasurementCell] = [ExactMoments(problem, one, AVERAGES, STATISTICS) for one in EXACT]
        measured += [MonteCarloMoments(problem, one, AVERAGES, STATISTICS, draws=draws) for one in SAMPLED]
        measured += [MonteCarloMoments(problem, el.MeanField(), AVERAGES, STATISTICS, draws=512)]
        found += [ExpectedObjective(problem), *map(Beside, measured)]
        found += [Bands(problem, one, averaged, banded) for one in EXACT + SAMPLED]
    return tuple(found)


STUDY = Study(
    question="How do the errors of the estimators grow with depth and with training, and what does averaging help?",
    answer=ANSWER,
    shows=Matrix(("estimator", "stage"), ("layer",), ("relative_bias",)),
    cells=cells(STEPS, draws=32_768, banded=16_384, averaged=(1, 8, 64, 512)),
    smoke=cells(STEPS[:1], draws=512, banded=512, averaged=(1, 64)),
    columns=(
        Column(
            "published_elsewhere",
            "published",
            "that of the statistic",
            "number read off the official figure for another instance of the toy, epoch 100 beside step 20 and epoch "
            "2000 beside step 100; not a target",
        ),
        Column("expected_objective", r"$\mathrm{E} f$", "nat", "true expected objective, mean over the examples"),
        *(
            Column(name, rf"$q_{{{q}}}$", "1", f"{q:.0%} quantile over means of n draws of their cosine with the truth")
            for name, q in QUANTILES.items()
        ),
    ),
)
