"""Cells that measure: exact moments, Monte Carlo measurements, medians over networks, bias attributions, training."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any, ClassVar, final

from estimlab.cells.makers import ProblemMaker, build
from estimlab.estimators.base import Estimator
from estimlab.measurement.exact.attribution import attribute_bias
from estimlab.measurement.exact.moments import exact_moments
from estimlab.measurement.labels import beside, estimator_columns
from estimlab.measurement.measurement import Measurement
from estimlab.measurement.sampled.monte_carlo import measure
from estimlab.results.study import Cell
from estimlab.training.recipes.recipe import Recipe

if TYPE_CHECKING:
    from estimlab.training.record import Record


@dataclass(frozen=True)
class MeasurementCell(Cell):
    """Every statistic of one estimator on one problem, per layer; base of the exact and the Monte Carlo cell.

    Attributes:
        problem: its maker.
        estimator: what is measured.
        averages: numbers of averaged draws for which the relative RMSE of the mean is tabulated besides.
        statistics: those that the table needs; all where it is empty.

    >>> import estimlab as el
    >>> from estimlab.cells import ExactMoments, FrozenProblem
    >>> cell = ExactMoments(FrozenProblem("quadratic/v1"), el.ZGR(), statistics=("cosine",), averages=(100,))
    >>> [(row["statistic"], row["averaged"], f"{row['value']:.2f}") for row in cell.run()]
    [('cosine', 1, '1.00'), ('relative_rmse_of_mean', 100, '0.32')]
    """

    revision: ClassVar[int] = 2

    problem: ProblemMaker
    estimator: Estimator
    averages: tuple[int, ...] = ()
    statistics: tuple[str, ...] = ()

    @abc.abstractmethod
    def measurement(self) -> Measurement:
        """Measure."""

    @property
    def title(self) -> str:
        """Problem and estimator."""
        return f"{' '.join(map(str, self.problem.columns().values()))}: {self.estimator!r}"

    def run(self) -> list[dict[str, Any]]:
        """Rows: the problem's columns, ``averaged``, and those of ``Measurement.table``."""
        measurement = self.measurement()
        rows = measurement.rows(by="layer")
        head = {**self.problem.columns(), "seed": getattr(self, "seed", None)}
        chosen = [row for row in rows if not self.statistics or row["statistic"] in self.statistics]
        result = [{**beside(head, row), "averaged": 1} for row in chosen]
        # an interval belongs to its own statistic
        first = {row["layer"]: row | dict.fromkeys(row.keys() & {"low", "high"}) for row in rows}
        for averaged in self.averages:
            for layer, (value, stderr) in measurement.rmse_of_mean(averaged).items():
                row = {**first[layer], "statistic": "relative_rmse_of_mean", "value": value, "stderr": stderr}
                result.append({**beside(head, row), "averaged": averaged})
        return result


@final
@dataclass(frozen=True)
class ExactMoments(MeasurementCell):
    """Exact moments of a hard-forward estimator.

    >>> import estimlab as el
    >>> from estimlab.cells import ExactMoments, FrozenProblem
    >>> (row,) = ExactMoments(FrozenProblem("quadratic/v1"), el.StraightThrough(), statistics=("relative_bias",)).run()
    >>> f"{row['value']:.3f}", row["stderr"]
    ('0.417', 0.0)
    """

    def measurement(self) -> Measurement:
        """Without sampling."""
        problem, truth = build(self.problem)
        return exact_moments(problem, self.estimator, truth)


@final
@dataclass(frozen=True)
class MonteCarloMoments(MeasurementCell):
    """Moments of any estimator from a number of draws.

    Attributes:
        draws: number of draws.
        seed: of the draws.

    >>> import estimlab as el
    >>> from estimlab.cells import FrozenProblem, MonteCarloMoments
    >>> few, more = (MonteCarloMoments(FrozenProblem("quadratic/v1"), el.ARM(), draws=n) for n in (512, 1024))
    >>> few.key == more.key, more.title
    (False, "quadratic/v1: ARM(tails='independent')")
    """

    draws: int = 10_000
    seed: int = 0

    def measurement(self) -> Measurement:
        """By sampling."""
        problem, truth = build(self.problem)
        return measure(problem, self.estimator, truth, self.draws, self.seed)


@final
@dataclass(frozen=True)
class MedianMoments(Cell):
    """Moments in several networks that differ in the seed of their maker, and the median over them.

    Attributes:
        problem: maker with a field ``seed``.
        estimator: what is measured.
        seeds: one per network.
        statistics: those that the table needs.
        draws: for estimators without exact moments; the seed of a network is that of its draws too.

    >>> import estimlab as el
    >>> from estimlab.cells.makers import CosineChain
    >>> cell = MedianMoments(CosineChain((2,)), el.StraightThrough(), seeds=(0, 1, 2), statistics=("relative_bias",))
    >>> row = cell.run()[0]
    >>> row["networks"], row["low"] <= row["value"] <= row["high"]
    (3, True)
    """

    revision: ClassVar[int] = 2

    problem: ProblemMaker
    estimator: Estimator
    seeds: tuple[int, ...]
    statistics: tuple[str, ...]
    draws: int | None = None

    @property
    def title(self) -> str:
        """Problem and estimator."""
        return f"{' '.join(map(str, self.problem.columns().values()))}: {self.estimator!r}"

    def run(self) -> list[dict[str, Any]]:
        """Rows per layer and statistic: the median, its interval in ``low`` and ``high``, and the number of networks.

        The interval needs no law of the networks: it runs between the order statistics that enclose the median with a
        probability of at least 95 % (with fewer than six networks from the smallest to the largest). Where there are
        draws, ``stderr`` is the standard error of the networks in the middle, the larger one if there are two.
        """
        networks = [self._network(seed) for seed in self.seeds]
        rows = []
        for like in zip(*networks, strict=True):
            low, middle, high = median_interval([row["value"] for row in like])
            named = {
                **estimator_columns(self.estimator),
                **{name: like[0][name] for name in ("method", "layer", "statistic")},
            }
            interval = {"value": middle, "low": low, "high": high, "networks": len(networks)}
            if self.draws is not None:
                inner = sorted(like, key=lambda row: row["value"])[(len(like) - 1) // 2 : len(like) // 2 + 1]
                interval |= {"draws": self.draws, "stderr": max(row["stderr"] for row in inner)}
            rows.append(beside(self.problem.columns(), {**named, **interval}))
        return rows

    def _network(self, seed: int) -> list[dict[str, Any]]:
        maker = replace(self.problem, seed=seed)  # type: ignore[call-arg]
        problem, truth = build(maker)
        if self.draws is None:
            rows = exact_moments(problem, self.estimator, truth).rows(by="layer")
        else:
            rows = measure(problem, self.estimator, truth, self.draws, seed).rows(by="layer")
        return [row for row in rows if row["statistic"] in self.statistics]


def median_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Median between the order statistics that enclose the true one with at least this confidence, if any do.

    >>> from estimlab.cells import median_interval
    >>> median_interval([5.0, 1.0, 4.0, 2.0, 3.0, 6.0, 7.0, 8.0, 9.0])
    (2.0, 5.0, 8.0)
    """
    ordered, n = sorted(values), len(values)
    below, tail = 0, 2.0 ** (1 - n)  # probability that the median lies outside the outermost pair
    while 2 * (below + 1) < n and tail + math.comb(n, below + 1) * 2.0 ** (1 - n) <= 1 - confidence:
        below += 1
        tail += math.comb(n, below) * 2.0 ** (1 - n)
    return ordered[below], median(ordered), ordered[n - 1 - below]


@final
@dataclass(frozen=True)
class AttributedBias(Cell):
    """The bias of each layer split by the layer that causes it.

    >>> import estimlab as el
    >>> from estimlab.cells import AttributedBias, FrozenProblem
    >>> rows = AttributedBias(FrozenProblem("toy-late/v1"), el.StraightThrough()).run()
    >>> shares = [row["value"] for row in rows if (row["layer"], row["statistic"]) == ("0", "bias_share")]
    >>> len(shares), f"{sum(shares):.3f}"
    (3, '1.000')
    """

    revision: ClassVar[int] = 2

    problem: ProblemMaker
    estimator: Estimator

    def run(self) -> list[dict[str, Any]]:
        """Rows: the problem's columns and those of ``BiasAttribution.table``."""
        attribution = attribute_bias(build(self.problem)[0], self.estimator)
        return [beside(self.problem.columns(), row) for row in attribution.rows()]


@final
@dataclass(frozen=True)
class TrainingRun(Cell):
    """A network trained by a recipe with an estimator: the validation at full size of what is measured in the small.

    Attributes:
        recipe: of ``estimlab.training.recipes``.
        estimator: of the gradient.
        seed: of everything random.
        curve: whether the training loss of every epoch is tabulated, not of the last one alone.

    >>> import estimlab as el
    >>> from estimlab.training.recipes import find_recipe
    >>> TrainingRun(find_recipe("digits")(epochs=2), el.ZGR()).title
    'digits: ZGR(), seed 0'
    """

    revision: ClassVar[int] = 2

    recipe: Recipe
    estimator: Estimator
    seed: int = 0
    curve: bool = False

    @property
    def title(self) -> str:
        """Recipe, estimator and seed."""
        return f"{self.recipe.name}: {self.estimator!r}, seed {self.seed}"

    def run(self) -> list[dict[str, Any]]:
        """Rows: training loss, test loss, accuracies, spread of the gradient, and whether training stopped at a NaN.

        Standard errors: binomial of accuracies; none of numbers that one run determines.
        """
        from estimlab.training.configuration import Configuration, Execution
        from estimlab.training.loop import TrainingStopped, train

        head: dict[str, Any] = {"recipe": self.recipe.name, **estimator_columns(self.estimator), "seed": self.seed}
        try:
            session = train(Configuration(self.recipe, self.estimator, self.seed), execution=Execution(device="cpu"))
        except TrainingStopped:
            return [{**head, "epoch": 0, "statistic": "stopped", "value": 1.0, "stderr": None}]
        rows = self._losses(session.record) + self._at_the_end(session.record) + self._accuracies(session.record)
        return [{**head, "stderr": None, **row} for row in rows]

    def _losses(self, record: Record) -> list[dict[str, Any]]:
        """Training loss, of every epoch or of the last one."""
        metrics = record.metrics if self.curve else record.metrics[-1:]
        return [{"epoch": row["epoch"], "statistic": "train_loss", "value": row["train_loss"]} for row in metrics]

    def _at_the_end(self, record: Record) -> list[dict[str, Any]]:
        """What a run that did not stop has one number of."""
        values = {
            "stopped": 0.0,
            "test_loss": record.metrics[-1]["test_loss"],
            "training_std": _spread(record.diagnostics),
        }
        return [self._last(name, value) for name, value in values.items()]

    def _accuracies(self, record: Record) -> list[dict[str, Any]]:
        """Share of test examples that are classified right, with its binomial standard error."""
        rows = []
        for name, found in zip(("accuracy", "accuracy_of_draw"), record.results[::2], strict=False):
            share = found["accuracy"]
            error = math.sqrt(share * (1 - share) / found["examples"])
            rows.append({**self._last(name, share), "stderr": error})
        return rows

    def _last(self, statistic: str, value: float | None) -> dict[str, Any]:
        return {"epoch": self.recipe.epochs, "statistic": statistic, "value": value}


def _spread(diagnostics: list[dict[str, Any]]) -> float | None:
    """Standard deviation of a draw of the gradient over the norm of its mean, over all layers and epochs."""
    variance = sum(row["variance"] for row in diagnostics)
    signal = sum(row["squared_mean"] for row in diagnostics)
    return math.sqrt(variance / signal) if signal > 0 else None
