"""What a measurement is: moments of one draw beside the true gradient, and the table made of them."""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor

from estimlab import arrays as arrays_file
from estimlab.arguments import Named, choice
from estimlab.draws import in_rows
from estimlab.estimators.base import Cost, Estimator
from estimlab.measurement.groups import Groups
from estimlab.measurement.intervals.bias import LARGEST_SHARE, largest_share
from estimlab.measurement.intervals.direction import bias_intervals
from estimlab.measurement.labels import estimator_columns
from estimlab.measurement.saved import arrays_of, content_of, fields_of
from estimlab.measurement.statistics import (
    STATISTICS,
    AgainstTruth,
    jackknife,
    reference_error,
    squared_bias,
    variance,
)
from estimlab.measurement.summary import headline, summary
from estimlab.model.problem import Problem
from estimlab.references.reference import Gradient

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

INTERVALS = ("squared_bias", "relative_bias", "cosine", "scale_invariant_bias")
By = Literal["layer", "block", "network"]


@dataclass(frozen=True, eq=False, repr=False)
class Measurement:
    """Bias, variance and mean squared error of one draw of an estimator, per block and coordinate.

    A draw is the gradient of the problem's mean objective, noise independent between examples.

    >>> import estimlab as el
    >>> found = el.exact_moments(el.problems.load("quadratic/v1"), el.StraightThrough())
    >>> f"{found.relative_rmse['0']:.3f}", found.bias["stages.0.logits"].shape
    ('3.079', torch.Size([8]))

    Attributes:
        estimator: what was measured.
        method: ``"exact"``, ``"quadrature"`` or ``"monte_carlo"``.
        mean: expected draw, one tensor per block, float64.
        variance: variance of one draw.
        reference: true gradient; ``reference_stderr`` its standard error, zero where it is exact.
        layers: names of the blocks of each layer.
        cost: forward and backward layer passes of one draw.
        draws: number of draws; infinity where the moments are exact.
        groups: moments of groups of draws, for standard errors; None where the moments are exact.
        checks: facts that came with the computation: ``quadrature_error``, a bound of the relative error of
            moments by quadrature.
    """

    estimator: Estimator
    method: Literal["exact", "quadrature", "monte_carlo"]
    mean: dict[str, Tensor]
    variance: dict[str, Tensor]
    reference: dict[str, Tensor]
    reference_stderr: dict[str, Tensor]
    layers: dict[str, tuple[str, ...]]
    cost: Cost
    draws: float = float("inf")
    groups: Groups | None = None
    checks: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("mean", "variance", "reference", "reference_stderr"):
            object.__setattr__(self, name, Named.of(getattr(self, name), "block"))
        object.__setattr__(self, "layers", Named.of(self.layers, "layer"))

    @classmethod
    def exact(
        cls,
        problem: Problem,
        estimator: Estimator,
        mean: dict[str, Tensor],
        variance: dict[str, Tensor],
        truth: Gradient,
        method: Literal["exact", "quadrature"] = "exact",
    ) -> Measurement:
        """A measurement without sampling."""
        cost = estimator.cost(problem.depth)
        layers = problem.network.layers()
        return cls(estimator, method, mean, variance, truth.value, truth.stderr, layers, cost)

    def __repr__(self) -> str:
        return f"{headline(self)}\n{self.summary()}"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(headline(self))}</p>{self.summary().to_html()}"

    def summary(self, by: By = "layer") -> pd.DataFrame:
        """Bias, deviation, RMSE, cosine and efficiency at a glance: a row per layer, block or network, as text."""
        return summary(self, by)

    def plot(self, ax: Axes | None = None, by: By = "layer") -> Axes:
        """Bias with its 95 % interval and deviation of one draw at a glance, over the norm of the true gradient.

        An arrow is an upper limit: noise hides the bias, or it is below 1e-4.

        Args:
            ax: axes of Matplotlib to draw on; a figure of its own by default.
            by: a place on the axis per layer, block or network.
        """
        from estimlab.results.overview import axes_given, plot_errors

        table = self.table(by)
        return plot_errors(axes_given(ax, "plot"), table, "block" if by == "block" else "layer")

    def save(self, path: str | Path) -> Path:
        """Write all of it to one file that ends in ``.npz``, the estimator as its repr; returns the path."""
        return arrays_file.save(path, "Measurement", content_of(self), arrays_of(self))

    @classmethod
    def load(cls, path: str | Path, estimator: Estimator | None = None) -> Measurement:
        """Read what ``save`` wrote, bit by bit the same, on the CPU.

        Args:
            path: of the file.
            estimator: what was measured, where it is not of the catalogue: a file holds no code.

        Errors:
            EstimlabError: no such file, one of something else, a damaged one; another estimator, or one of your own
                that is not given.
        """
        content, arrays = arrays_file.load(path, "Measurement")
        return cls(**fields_of(content, arrays, estimator))

    @property
    def relative_bias(self) -> dict[str, float]:
        """Norm of the bias over that of the true gradient, per layer; negative where noise exceeds it."""
        return self._values("relative_bias")

    @property
    def relative_std(self) -> dict[str, float]:
        """Root of the variance of one draw over the norm of the true gradient, per layer."""
        return self._values("relative_std")

    @property
    def relative_rmse(self) -> dict[str, float]:
        """Root mean squared error of one draw over the norm of the true gradient, per layer."""
        return self._values("relative_rmse")

    @property
    def cosine(self) -> dict[str, float]:
        """Cosine of the angle between the expected draw and the true gradient, per layer."""
        return self._values("cosine")

    def _values(self, statistic: str) -> dict[str, float]:
        places = self._places("layer").items()
        found = {place: float(STATISTICS[statistic](self._moments(blocks))) for place, blocks in places}
        return Named.of(found, "layer")

    @property
    def bias(self) -> dict[str, Tensor]:
        """Mean minus truth, per block; holds the noise of both."""
        return Named.of({name: self.mean[name] - self.reference[name] for name in self.mean}, "block")

    def statistics(self, by: By = "layer") -> dict[str, dict[str, tuple[float, float]]]:
        """Value and standard error of every statistic, per layer or block."""
        rows = {place: self._statistics(place, blocks, by) for place, blocks in self._places(by).items()}
        return Named.of({place: Named.of(one, "statistic") for place, one in rows.items()}, by)

    def table(self, by: By = "layer") -> pd.DataFrame:
        """Tidy table: estimator, parameters, its fields, method, draws, layer or block, statistic, value, stderr.

        Statistic names and their meaning: ``estimlab.results.columns.STATISTICS``. ``by="layer"`` joins the weight and
        bias of a stage, ``by="network"`` all blocks.
        """
        import pandas as pd

        return pd.DataFrame(self.rows(by))

    def rows(self, by: By = "layer") -> list[dict[str, Any]]:
        """The rows of ``table`` as dictionaries."""
        head = {
            **estimator_columns(self.estimator),
            "method": self.method,
            "draws": int(self.draws) if math.isfinite(self.draws) else None,
        }
        column = "block" if by == "block" else "layer"
        ends = {} if self.groups is None else self.intervals(by=by)
        return [
            {**head, column: place, "statistic": name, "value": value, "stderr": stderr, **_ends(ends, place, name)}
            for place, rows in self.statistics(by).items()
            for name, (value, stderr) in rows.items()
        ]

    def rmse_of_mean(self, draws: float, by: By = "layer") -> dict[str, tuple[float, float]]:
        """Relative RMSE of the mean of a number of draws, and its standard error, per layer or block."""

        def statistic(m: AgainstTruth) -> Tensor:
            return (squared_bias(m) + variance(m) / draws).clamp(min=0).sqrt() / m.reference_norm

        return {place: self._evaluate(statistic, blocks) for place, blocks in self._places(by).items()}

    def replicates(self, statistic: str, by: By = "layer") -> dict[str, Tensor]:
        """A statistic with one of the 64 groups of draws left out at a time, for the jackknife of several together.

        Measurements with the same seed and number of draws share draws group by group: the covariance of two of their
        statistics is the mean product of the deviations of the replicates, times ``groups - 1``. Empty where the
        moments are exact.
        """
        places = {place: self._left_out(blocks) for place, blocks in self._places(by).items()}
        return {
            place: torch.zeros(0, dtype=torch.float64) if left_out is None else STATISTICS[statistic](left_out)
            for place, left_out in places.items()
        }

    def squared_bias_interval(self, level: float = 0.95, by: By = "layer") -> dict[str, tuple[float, float]]:
        """Confidence interval of the squared bias per layer or block, by inversion of the noncentral chi-square.

        Right also where the bias is zero, where ``value +- 2 stderr`` is not; its lower end is zero where the draws do
        not tell the bias from none. A single point where the moments are exact.
        """
        return {place: ends["squared_bias"] for place, ends in self.intervals(level, by).items()}

    def intervals(self, level: float = 0.95, by: By = "layer") -> dict[str, dict[str, tuple[float, float]]]:
        """Confidence intervals of the statistics whose standard errors mislead near zero bias, per layer or block.

        ``squared_bias``, ``relative_bias``, ``cosine`` and ``scale_invariant_bias``: there the jackknife is a third too
        wide, and ``relative_bias +- 1.96 stderr`` holds a bias of zero in three cases of four. These intervals are the
        columns ``low`` and ``high`` of the table. Single points where the moments are exact.
        """
        return {place: self._intervals(blocks, level) for place, blocks in self._places(by).items()}

    def heavy_tailed(self, by: By = "layer") -> dict[str, bool]:
        """Whether few draws carry the variance, so that its standard error, and that of the mean, promise too much.

        One of the 64 groups holds more than a tenth of the variance of a layer or block.
        """
        return {place: self._largest_share(blocks) > LARGEST_SHARE for place, blocks in self._places(by).items()}

    def _intervals(self, blocks: tuple[str, ...], level: float) -> dict[str, tuple[float, float]]:
        whole = self._moments(blocks)
        if self.groups is None:
            return {name: (float(STATISTICS[name](whole)),) * 2 for name in INTERVALS}
        return bias_intervals(torch.cat([in_rows(self.groups.mean[name]) for name in blocks], 1), whole, level)

    def _largest_share(self, blocks: tuple[str, ...]) -> float:
        if self.groups is None:
            return 0.0
        squares = torch.cat([in_rows(self.groups.square[name]) for name in blocks], 1).sum(1)
        return float(largest_share(squares))

    def _places(self, by: By) -> dict[str, tuple[str, ...]]:
        choice(by, "table", "by", get_args(By))
        if by == "network":
            return {"network": tuple(self.mean)}
        return {name: (name,) for name in self.mean} if by == "block" else self.layers

    def _statistics(self, place: str, blocks: tuple[str, ...], by: By) -> dict[str, tuple[float, float]]:
        rows = {name: self._evaluate(statistic, blocks) for name, statistic in STATISTICS.items()}
        if self.groups is not None and by == "layer":
            rows |= self._per_draw(place)
        if self._largest_share(blocks) > LARGEST_SHARE:
            rows["heavy_tailed"] = (1.0, 0.0)
        rows["forward_passes"] = (float(self.cost.forward), 0.0)
        rows["backward_passes"] = (float(self.cost.backward), 0.0)
        return rows

    def _evaluate(self, statistic: Callable[[AgainstTruth], Tensor], blocks: tuple[str, ...]) -> tuple[float, float]:
        whole, left_out = self._moments(blocks), self._left_out(blocks)
        stderr = 0.0 if left_out is None else jackknife(statistic(left_out))
        return float(statistic(whole)), math.hypot(stderr, reference_error(statistic, whole))

    def _per_draw(self, layer: str) -> dict[str, tuple[float, float]]:
        assert self.groups is not None
        count, rows = self.groups.count, {}
        for name, sums in self.groups.sums[layer].items():
            replicates = (sums.sum() - sums) / (count.sum() - count)
            rows[name] = (float(sums.sum() / count.sum()), jackknife(replicates))
        return rows

    def _moments(self, blocks: tuple[str, ...]) -> AgainstTruth:
        reference, variance = self._reference(blocks)
        return AgainstTruth(_flat(self.mean, blocks), _flat(self.variance, blocks), reference, variance, self.draws)

    def _left_out(self, blocks: tuple[str, ...]) -> AgainstTruth | None:
        if self.groups is None:
            return None
        parts = [self.groups.leave_one_out(name) for name in blocks]
        mean, variance = (torch.cat(part, 1) for part in zip(*parts, strict=True))
        left = self.groups.count.sum() - self.groups.count
        return AgainstTruth(mean, variance, *self._reference(blocks), left)

    def _reference(self, blocks: tuple[str, ...]) -> tuple[Tensor, Tensor]:
        return _flat(self.reference, blocks), _flat(self.reference_stderr, blocks) ** 2


def _ends(intervals: dict[str, dict[str, tuple[float, float]]], place: str, name: str) -> dict[str, float | None]:
    """The columns of an interval; none at all where the moments are exact."""
    if not intervals:
        return {}
    low, high = intervals[place].get(name, (None, None))
    return {"low": low, "high": high}


def _flat(tensors: dict[str, Tensor], blocks: tuple[str, ...]) -> Tensor:
    return torch.cat([tensors[name].flatten() for name in blocks])
