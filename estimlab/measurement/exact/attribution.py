"""Which layer causes a block's bias: an exact telescoping sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.arguments import Named
from estimlab.declared import checked
from estimlab.estimators.base import Estimator, HardForward
from estimlab.measurement import arguments
from estimlab.measurement.exact.layers import ChainLayers
from estimlab.measurement.exact.moments import checked_maps, require_hard_forward
from estimlab.measurement.labels import estimator_columns
from estimlab.model.local_map import LocalMap
from estimlab.model.problem import Problem
from estimlab.references.choice import exact_reference

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False, repr=False)
class BiasAttribution:
    """The bias of each block as a sum over the layers that cause it.

    Attributes:
        estimator: whose bias it is.
        contributions: per source layer k and block, the part of the block's bias that layer k causes.
        reference: the true gradient.
        layers: names of the blocks of each layer.

    >>> import estimlab as el
    >>> problem = el.problems.load("toy-late/v1")
    >>> split, whole = el.attribute_bias(problem, "zgr"), el.exact_moments(problem, "zgr")
    >>> (total,) = [row["value"] for row in split.rows() if (row["layer"], row["statistic"]) == ("1", "relative_bias")]
    >>> f"{total / whole.relative_bias['1']:.6f}"
    '1.000000'
    """

    estimator: Estimator
    contributions: dict[int, dict[str, Tensor]]
    reference: dict[str, Tensor]
    layers: dict[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", Named.of(self.layers, "layer"))
        object.__setattr__(self, "contributions", Named.of(self.contributions, "source layer"))

    def __repr__(self) -> str:
        head = f"{self.estimator!r}: norm of the bias that each layer causes, over that of the gradient"
        return f"{head}\n{self.summary()}"

    def summary(self) -> pd.DataFrame:
        """A row per layer, a column per layer that causes bias in it, and the bias of all together, as text."""
        import pandas as pd

        rows: dict[str, dict[str, str]] = {layer: {} for layer in self.layers}
        for row in self.rows():
            if row["statistic"] in ("bias_contribution", "relative_bias"):
                rows[row["layer"]][f"from {row['source']}"] = f"{row['value']:.3g}"
        table = pd.DataFrame.from_dict(rows, orient="index")
        table.index.name = "layer"
        return table

    def plot(self, ax: Axes | None = None) -> Axes:
        """The bias of each layer and the parts that other layers cause; what is below 1e-4 is left out.

        Args:
            ax: axes of Matplotlib to draw on; a figure of its own by default.
        """
        from estimlab.results.overview import axes_given, plot_causes

        return plot_causes(axes_given(ax, "plot"), self.table())

    def bias(self, layer: str) -> Tensor:
        """The bias of a layer's blocks, the sum of the contributions."""
        return torch.stack([self._flat(source, layer) for source in self.contributions]).sum(0)

    def table(self) -> pd.DataFrame:
        """Tidy table: per layer and source, signed share of the bias and relative size; cancellation per layer."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """The rows of ``table`` as dictionaries."""
        head = {**estimator_columns(self.estimator), "method": "exact"}
        return [{**head, **row, "stderr": 0.0} for layer in self.layers for row in self._rows(layer)]

    def _rows(self, layer: str) -> list[dict[str, object]]:
        bias = self.bias(layer)
        truth = torch.cat([self.reference[name].flatten() for name in self.layers[layer]]).norm()
        parts = {source: self._flat(source, layer) for source in self.contributions}
        rows: list[dict[str, object]] = []
        for source, part in parts.items():
            size = float(part.norm() / truth)
            share = float(part @ bias / (bias @ bias)) if float(bias.norm()) > 0 else 0.0
            for statistic, value in (("bias_contribution", size), ("bias_share", share)):
                rows.append({"layer": layer, "source": str(source), "statistic": statistic, "value": value})
        total = float(bias.norm())
        cancellation = float(sum(part.norm() for part in parts.values())) / total if total > 0 else 1.0
        rows.append({"layer": layer, "source": "all", "statistic": "cancellation", "value": cancellation})
        rows.append({"layer": layer, "source": "all", "statistic": "relative_bias", "value": float(total / truth)})
        return rows

    def _flat(self, source: int, layer: str) -> Tensor:
        return torch.cat([self.contributions[source][name].flatten() for name in self.layers[layer]])


@checked
def attribute_bias(problem: Problem, estimator: Estimator | type[Estimator] | str) -> BiasAttribution:
    """Split the bias of every block by the layer that causes it, exactly (our derivation).

    Let ``H_k`` be the expected gradient with the exact derivative by layer k's pre-activations at layer k and the
    estimator's backward rule below it. For a block of layer j, ``H_j`` is the truth and ``H_{L+1}`` the estimator, so
    ``bias_j = sum_{k >= j} (H_{k+1} - H_k)``, and the term of k is the error that layer k makes by putting a local
    derivative in place of the difference of the exact value above it, carried down by the estimator's own rule.

    Args:
        problem: on an ``el.Chain``; computed on a float64 copy.
        estimator: a hard-forward estimator, its class or its name.

    >>> import estimlab as el
    >>> found = el.attribute_bias(el.problems.load("toy-late/v1"), el.StraightThrough())
    >>> found.summary().loc["1"].to_dict()
    {'from 0': '0', 'from 1': '0.989', 'from 2': '0.146', 'from all': '0.987'}
    """
    problem = arguments.problem(problem, "attribute_bias")
    estimator = hard = require_hard_forward(estimator, "attribute_bias")
    problem.chain_of_layers("attribute_bias")
    problem.check_finite()
    problem.check_independent()
    truth = exact_reference(problem)
    layers = ChainLayers(problem.to(dtype=torch.float64))
    with torch.no_grad():
        contributions = _Attribution(layers, hard).compute()
    return BiasAttribution(estimator, contributions, truth.value, problem.network.layers())


class _Attribution:
    def __init__(self, layers: ChainLayers, estimator: HardForward):
        self.layers, self.batch, self.depth = layers, layers.problem.batch, layers.depth
        names = [name for name, _ in layers.chain.named_parameters()]
        zero = {name: torch.zeros_like(layers.chain.get_parameter(name)) for name in names}
        self.result = {k: {name: z.clone() for name, z in zero.items()} for k in range(self.depth)}
        self.marginals = layers.marginals(self.depth - 1)
        self.maps = [checked_maps(estimator, layers, k) for k in range(self.depth)]

    def compute(self) -> dict[int, dict[str, Tensor]]:
        for target, examples in self.layers.problem.distinct_targets:
            self._target(target, examples)
        return self.result

    def _target(self, target: Tensor | None, examples: Tensor) -> None:
        values, slope, _ = self.layers.head(target)
        errors: dict[int, Tensor] = {}  # per source, the expected slope error at the states below it
        for k in range(self.depth - 1, -1, -1):
            rows = examples if k == 0 else slice(None)
            drive, maps = self.layers.drive[k][rows], self.maps[k].of_rows(rows)
            values, signal = self.layers.value_and_signal(k, values, drive)
            errors = {source: self._carry(k, error, drive, maps) for source, error in errors.items()}
            errors[k] = self._carry(k, slope, drive, maps) - signal
            self._record(k, errors, rows, examples)
            inputs = self.layers.inputs[k]
            if k > 0 and inputs is not None:
                stage = self.layers.stage(k)
                slope = stage.pull_mean(inputs, signal)
                errors = {source: stage.pull_mean(inputs, error) for source, error in errors.items()}

    def _carry(self, k: int, slope: Tensor, drive: Tensor, maps: LocalMap) -> Float[Tensor, "rows numbers"]:
        """``sum_y P(y | row) B(y)' slope(y)``."""
        return maps.pull(self.layers.expect_slope(k, slope, drive)).flatten(1)

    def _record(self, k: int, errors: dict[int, Tensor], rows: Tensor | slice, examples: Tensor) -> None:
        inputs = self.layers.inputs[k]
        weights = self.marginals[k - 1][examples].sum(0) if k > 0 else errors[k].new_ones(len(examples))
        for source, error in errors.items():
            chosen = None if inputs is None else inputs[rows]
            for name, block in self.layers.stage(k).parameter_mean(chosen, weights[None], error).items():
                self.result[source][name] += block[0] / self.batch
