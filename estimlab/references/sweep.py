"""One layerwise enumeration: value tables down, marginals up, and the gradients of all blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from estimlab.model.chain import Chain
from estimlab.model.problem import Problem
from estimlab.model.units import BinaryUnits
from estimlab.progress import track
from estimlab.references.contraction import LayerTables, Workspace, row_blocks, state_table

KEPT_STATES = 1 << 22  # numbers in a layer's table of states up to which it is made once
KEPT_ELEMENTS = 1 << 19  # numbers of product tables kept for a second use: what no longer fits a cache is made anew
HEAD_ROWS = 1 << 14


@dataclass(frozen=True, eq=False)
class DataRows:
    """A block of distinct rows of the first layer's pre-activations, of one target.

    Attributes:
        group: number of the target.
        a: pre-activations, one column per distinct row.
        counts: how many examples have each.
        examples: numbers of the examples.
        source: the row of each example.
    """

    group: slice
    a: Float[Tensor, "units rows"]
    counts: Float[Tensor, "1 rows"]
    examples: Int[Tensor, " examples"]
    source: Int[Tensor, " examples"]


@dataclass(eq=False)
class Sweep:
    """One computation: marginals from the data up, value tables from the head down, then every block's gradient.

    The two directions meet at the costliest pair of layers, whose product tables then serve both.
    """

    problem: Problem
    block_rows: int
    shows_progress: bool
    expected: Float[Tensor, " batch"] = field(init=False)
    gradient: dict[str, Tensor] = field(init=False)
    checks: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problem = self.problem
        assert isinstance(problem.network, Chain)
        self.chain, self.sites, self.depth = problem.network, problem.sites, len(problem.sites)
        self.like = torch.empty(0, dtype=problem.dtype, device=problem.device)
        self.workspace, self.kept_elements = Workspace(), 0
        self.kept: dict[tuple[int, int], tuple[Tensor, LayerTables]] = {}
        self.state_tables: dict[tuple[BinaryUnits, tuple[int, ...]], Tensor] = {}
        self.groups = problem.distinct_targets
        self.values: dict[int, Tensor] = {}  # V_k, (targets, states)
        self.signals: dict[int, Tensor] = {}  # dV_{k-1}/da_k for k >= 1, (targets, units, states below)
        self.marginals: dict[int, Tensor] = {}  # pi_k summed over a target's examples / batch, (targets, states)
        self.gradient = {name: torch.zeros_like(p) for name, p in self.chain.named_parameters()}
        self.names = {id(p): name for name, p in self.chain.named_parameters()}

    def states(self) -> None:
        """V_L, ..., V_1 and pi_1, ..., pi_L on all states, V_0 on the examples, and the derivatives of V."""
        widths = [site.size for site in self.sites]
        meeting = max(range(1, self.depth), key=lambda k: widths[k - 1] + widths[k], default=0)
        self.data = list(self._data_rows())
        self.values[self.depth - 1] = self._head_values()
        self._data_up()
        for k in range(1, meeting):
            self._pair(k, marginal=True)
        for k in range(self.depth - 1, meeting, -1):
            self._pair(k, value=True)
        if meeting > 0:
            self._pair(meeting, value=True, marginal=True)
        for k in range(meeting - 1, 0, -1):
            self._pair(k, value=True)
        for k in range(meeting + 1, self.depth):
            self._pair(k, marginal=True)
        self._data_down()
        self.checks["probability_error"] = abs(float(self.marginals[self.depth - 1].sum()) - 1)

    def parameters(self) -> None:
        """Gradients of all blocks: each stage's backward with marginal times derivative, and the head's."""
        self._accumulate(self.chain.stages[0], self.problem.inputs, self.signals[0] / self.problem.batch)
        for k in range(1, self.depth):
            below, signal = self.marginals[k - 1], self.signals[k]
            for rows in row_blocks(below.shape[1], max(self.block_rows, 4096)):
                cotangent = (below[:, None, rows] * signal[:, :, rows]).sum(0).T
                self._accumulate(self.chain.stages[k], self._states(k - 1, rows), cotangent)
        self._head_gradient()

    def _head_values(self) -> Float[Tensor, "targets states"]:
        blocks = row_blocks(2 ** self.sites[-1].size, HEAD_ROWS)
        return torch.cat([self._objective(self._states(self.depth - 1, block)) for block in blocks], 1)

    def _objective(self, states: Tensor) -> Float[Tensor, "targets rows"]:
        output = self.chain.head(states)
        return torch.stack([self.problem.objective(output, _repeat(target, output)) for target, _ in self.groups])

    def _pair(self, k: int, value: bool = False, marginal: bool = False) -> None:
        """V_{k-1} and its derivative from V_k, or pi_k from pi_{k-1}, or both, block by block."""
        rows, units, targets = 2 ** self.sites[k - 1].size, self.sites[k].size, len(self.groups)
        if value:
            self.values[k - 1] = self.like.new_empty(targets, rows)
            self.signals[k] = self.like.new_empty(targets, units, rows)
        if marginal:
            self.marginals[k] = self.like.new_zeros(targets, 2**units)
        for block in self._blocks(rows, f"layer {k}: {'values ' * value}{'marginals' * marginal}"):
            a, tables = self._pair_tables(k, block, keep=not (value and marginal))
            if value:
                self.values[k - 1][:, block], difference = tables.value_and_difference(self.values[k])
                torch.mul(difference, self.sites[k].units.law.density(a), out=self.signals[k][:, :, block])
            if marginal:
                tables.add_marginal(self.marginals[k - 1][:, block], self.marginals[k])

    def _data_up(self) -> None:
        self.marginals[0] = self.like.new_zeros(len(self.groups), 2 ** self.sites[0].size)
        for rows, tables in self._data_tables():
            tables.add_marginal(rows.counts / self.problem.batch, self.marginals[0][rows.group])

    def _data_down(self) -> None:
        """Objective of the examples and its derivatives by their pre-activations."""
        self.expected = self.like.new_empty(self.problem.batch)
        signal = self.like.new_empty(self.problem.batch, self.sites[0].size)
        for rows, tables in self._data_tables():
            value, difference = tables.value_and_difference(self.values[0][rows.group])
            self.expected[rows.examples] = value[0, rows.source]
            signal[rows.examples] = (difference[0] * self.sites[0].units.law.density(rows.a)).T[rows.source]
        self.signals[0] = signal

    def _data_rows(self) -> Iterator[DataRows]:
        data = self.chain.stages[0](self.problem.inputs).flatten(1)
        for group, (_, members) in enumerate(self.groups):
            rows, which, counts = self._distinct_rows(data[members])
            for block in row_blocks(len(rows), self.block_rows):
                here = (which >= block.start) & (which < block.stop)
                a, source = rows[block].T.contiguous(), which[here] - block.start
                yield DataRows(slice(group, group + 1), a, counts[None, block], members[here], source)

    def _distinct_rows(self, a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Distinct rows of pre-activations, the number of each row among them, and how often each occurs."""
        if len(a) < 2 or self.sites[0].size < 8:  # sorting costs more than it can save
            return a, torch.arange(len(a), device=a.device), a.new_ones(len(a))
        rows, which, counts = torch.unique(a, dim=0, return_inverse=True, return_counts=True)
        return rows, which, counts.to(a.dtype)

    def _blocks(self, rows: int, what: str) -> Iterator[slice]:
        blocks = list(row_blocks(rows, self.block_rows))
        return track(blocks, what, len(blocks) if self.shows_progress else 0)

    def _head_gradient(self) -> None:
        last = self.depth - 1
        for rows in row_blocks(2 ** self.sites[last].size, HEAD_ROWS):
            with torch.enable_grad():
                expected = (self.marginals[last][:, rows] * self._objective(self._states(last, rows))).sum()
            self._backward(self.chain.head, expected, None)

    def _accumulate(self, stage: torch.nn.Module, states: Tensor | None, cotangent: Tensor) -> None:
        with torch.enable_grad():
            a = stage(states)
        self._backward(stage, a, cotangent.reshape(a.shape))

    def _backward(self, module: torch.nn.Module, output: Tensor, cotangent: Tensor | None) -> None:
        parameters = [p for p in module.parameters() if p.requires_grad]
        if not parameters or not output.requires_grad:
            return
        grads = torch.autograd.grad(output, parameters, cotangent, allow_unused=True)
        for parameter, grad in zip(parameters, grads, strict=True):
            if grad is not None:
                self.gradient[self.names[id(parameter)]] += grad

    def _states(self, k: int, rows: slice) -> Tensor:
        """States of layer k; those of small layers are made once."""
        site = self.sites[k]
        number, key = 2**site.size, (site.units, site.shape)
        if number * site.size > KEPT_STATES:
            return state_table(site.units, site.shape, self.like, rows.start, rows.stop)
        if key not in self.state_tables:
            self.state_tables[key] = state_table(site.units, site.shape, self.like, 0, number)
        return self.state_tables[key][rows]

    def _pair_tables(self, k: int, rows: slice, keep: bool) -> tuple[Tensor, LayerTables]:
        def preactivations() -> Tensor:
            return self.chain.stages[k](self._states(k - 1, rows)).flatten(1).T.contiguous()

        return self._tables(k, rows.start, preactivations, keep)

    def _data_tables(self) -> Iterator[tuple[DataRows, LayerTables]]:
        for number, rows in enumerate(self.data):
            yield rows, self._tables(0, number, partial(getattr, rows, "a"), keep=True)[1]

    def _tables(
        self, k: int, number: int, preactivations: Callable[[], Tensor], keep: bool
    ) -> tuple[Float[Tensor, "units rows"], LayerTables]:
        """Pre-activations and tables of a block of rows; kept for their second use where there is room."""
        if (k, number) in self.kept:
            return self.kept.pop((k, number))
        a = preactivations()
        size = a.shape[1] * 2 ** (len(a) // 2 + 1)
        keep = keep and self.kept_elements + size <= KEPT_ELEMENTS
        tables = LayerTables.build(self.sites[k].units.law, a.T, self.workspace, keep)
        if keep:
            self.kept[k, number] = a, tables
            self.kept_elements += size
        return a, tables


def _repeat(target: Tensor | None, like: Tensor) -> Tensor | None:
    return None if target is None else target.expand(len(like), *target.shape)
