"""One layerwise enumeration: value tables down, marginals up, and the gradients of all blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from estimlab.model.chain import Chain
from estimlab.model.problem import Problem
from estimlab.model.units import LayerOfUnits
from estimlab.progress import track
from estimlab.references.contraction import LayerTables, Workspace, row_blocks

KEPT_STATES = 1 << 22  # numbers in a layer's table of states up to which it is made once
KEPT_ELEMENTS = 1 << 19  # numbers of product tables kept for a second use: what no longer fits a cache is made anew
HEAD_ROWS = 1 << 14


@dataclass(frozen=True, eq=False)
class DataRows:
    """A block of distinct rows of the first layer's drive, of one target.

    Attributes:
        group: number of the target.
        drive: the distinct rows.
        counts: how many examples have each.
        examples: numbers of the examples.
        source: the row of each example.
    """

    group: slice
    drive: Float[Tensor, "rows ..."]
    counts: Float[Tensor, "1 rows"]
    examples: Int[Tensor, " examples"]
    source: Int[Tensor, " examples"]


@dataclass(eq=False)
class Sweep:
    """One computation: marginals from the data up, value tables from the head down, then every block's gradient.

    The two directions meet at the costliest pair of layers, whose product tables then serve both. It knows no law and
    no kind of units: a layer is the probabilities of its units' states, given its drive.

    Attributes:
        problem: in the type in which it is computed.
        chain: its network.
        layers: the layers of the chain.
        block_rows: rows of a product table that are in memory at a time.
        shows_progress: whether a bar is shown.
        expected: expected objective of each example.
        gradient: of each block.
        checks: facts that come with the computation.
        values: ``V_k`` of each layer, (targets, states).
        signals: ``dV_{k-1} / d drive_k`` for k >= 1, (targets, numbers of the drive, states below); for k = 0 per
            example, (batch, numbers).
        marginals: ``pi_k``, summed over a target's examples and divided by the batch, (targets, states).
    """

    problem: Problem
    block_rows: int
    shows_progress: bool
    chain: Chain = field(init=False)
    layers: tuple[LayerOfUnits, ...] = field(init=False)
    like: Tensor = field(init=False)
    data: list[DataRows] = field(init=False)
    expected: Float[Tensor, " batch"] = field(init=False)
    gradient: dict[str, Tensor] = field(init=False)
    checks: dict[str, float] = field(default_factory=dict)
    values: dict[int, Tensor] = field(default_factory=dict)
    signals: dict[int, Tensor] = field(default_factory=dict)
    marginals: dict[int, Tensor] = field(default_factory=dict)
    workspace: Workspace = field(default_factory=Workspace)
    kept: dict[tuple[int, int], tuple[Tensor, LayerTables]] = field(default_factory=dict)
    kept_elements: int = 0
    state_tables: dict[LayerOfUnits, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chain, self.layers = self.problem.chain_of_layers("Sweep")
        self.like = torch.empty(0, dtype=self.problem.dtype, device=self.problem.device)
        self.gradient = {name: torch.zeros_like(p) for name, p in self.chain.named_parameters()}

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self.layers)

    @cached_property
    def groups(self) -> tuple[tuple[Tensor | None, Tensor], ...]:
        """Distinct targets, and the examples of each."""
        return self.problem.distinct_targets

    @cached_property
    def names(self) -> dict[int, str]:
        """Name of each parameter."""
        return {id(p): name for name, p in self.chain.named_parameters()}

    def states(self) -> None:
        """V_L, ..., V_1 and pi_1, ..., pi_L on all states, V_0 on the examples, and the derivatives of V."""
        pairs = [one.states * other.states for one, other in pairwise(self.layers)]
        meeting = max(range(1, self.depth), key=lambda k: pairs[k - 1], default=0)
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
        blocks = row_blocks(self.layers[-1].states, HEAD_ROWS)
        return torch.cat([self._objective(self._states(self.depth - 1, block)) for block in blocks], 1)

    def _objective(self, states: Tensor) -> Float[Tensor, "targets rows"]:
        output = self.chain.head(states)
        return torch.stack([self.problem.objective(output, _repeat(target, output)) for target, _ in self.groups])

    def _pair(self, k: int, value: bool = False, marginal: bool = False) -> None:
        """V_{k-1} and its derivative from V_k, or pi_k from pi_{k-1}, or both, block by block."""
        rows, layer, targets = self.layers[k - 1].states, self.layers[k], len(self.groups)
        if value:
            self.values[k - 1] = self.like.new_empty(targets, rows)
            self.signals[k] = self.like.new_empty(targets, math.prod(layer.shape), rows)
        if marginal:
            self.marginals[k] = self.like.new_zeros(targets, layer.states)
        for block in self._blocks(rows, f"layer {k}: {'values ' * value}{'marginals' * marginal}"):
            drive, tables = self._pair_tables(k, block, keep=not (value and marginal))
            if value:
                self.values[k - 1][:, block], conditional = tables.value_and_conditionals(self.values[k])
                self.signals[k][:, :, block] = self._pull(k, drive, conditional)
            if marginal:
                tables.add_marginal(self.marginals[k - 1][:, block], self.marginals[k])

    def _pull(self, k: int, drive: Tensor, conditional: Float[Tensor, "targets unit_states rows"]) -> Tensor:
        """Derivative of the value by the drive of layer k, (targets, numbers, rows)."""
        layer = self.layers[k]
        return layer.units.pull(drive, conditional.unflatten(1, (layer.count, layer.unit_states)))

    def _data_up(self) -> None:
        self.marginals[0] = self.like.new_zeros(len(self.groups), self.layers[0].states)
        for rows, tables in self._data_tables():
            tables.add_marginal(rows.counts / self.problem.batch, self.marginals[0][rows.group])

    def _data_down(self) -> None:
        """Objective of the examples and its derivatives by their drive."""
        self.expected = self.like.new_empty(self.problem.batch)
        self.signals[0] = self.like.new_empty(self.problem.batch, math.prod(self.layers[0].shape))
        for rows, tables in self._data_tables():
            value, conditional = tables.value_and_conditionals(self.values[0][rows.group])
            self.expected[rows.examples] = value[0, rows.source]
            self.signals[0][rows.examples] = self._pull(0, rows.drive, conditional)[0].T[rows.source]

    def _data_rows(self) -> Iterator[DataRows]:
        data = self.chain.stages[0](self.problem.inputs).flatten(1)
        for group, (_, members) in enumerate(self.groups):
            rows, which, counts = self._distinct_rows(data[members])
            for block in row_blocks(len(rows), self.block_rows):
                here = (which >= block.start) & (which < block.stop)
                drive, source = self._as_columns(0, rows[block]), which[here] - block.start
                yield DataRows(slice(group, group + 1), drive, counts[None, block], members[here], source)

    def _as_columns(self, k: int, drive: Tensor) -> Tensor:
        """The drive of layer k with its rows side by side in memory, as product tables hold them."""
        return drive.flatten(1).T.contiguous().T.unflatten(1, self.layers[k].shape)

    def _distinct_rows(self, drive: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Distinct rows, the number of each row among them, and how often each occurs."""
        if len(drive) < 2 or self.layers[0].states < 256:  # sorting costs more than it can save
            return drive, torch.arange(len(drive), device=drive.device), drive.new_ones(len(drive))
        rows, which, counts = torch.unique(drive, dim=0, return_inverse=True, return_counts=True)
        return rows, which, counts.to(drive.dtype)

    def _blocks(self, rows: int, what: str) -> Iterator[slice]:
        blocks = list(row_blocks(rows, self.block_rows))
        return track(blocks, what, len(blocks) if self.shows_progress else 0)

    def _head_gradient(self) -> None:
        last = self.depth - 1
        for rows in row_blocks(self.layers[last].states, HEAD_ROWS):
            with torch.enable_grad():
                expected = (self.marginals[last][:, rows] * self._objective(self._states(last, rows))).sum()
            self._backward(self.chain.head, expected, None)

    def _accumulate(self, stage: torch.nn.Module, states: Tensor | None, cotangent: Tensor) -> None:
        with torch.enable_grad():
            drive = stage(states)
        self._backward(stage, drive, cotangent.reshape(drive.shape))

    def _backward(self, module: torch.nn.Module, output: Tensor, cotangent: Tensor | None) -> None:
        parameters = [p for p in module.parameters() if p.requires_grad]
        if not parameters or not output.requires_grad:
            return
        grads = torch.autograd.grad(output, parameters, cotangent, allow_unused=True)
        for parameter, grad in zip(parameters, grads, strict=True):
            if grad is not None:
                self.gradient[self.names[id(parameter)]] += grad

    def _states(self, k: int, rows: slice) -> Tensor:
        """What layer k shows in some of its states; tables of small layers are made once."""
        layer = self.layers[k]
        if layer.states * layer.count > KEPT_STATES:
            return layer.table(self.like, rows.start, rows.stop)
        if layer not in self.state_tables:
            self.state_tables[layer] = layer.table(self.like, 0, layer.states)
        return self.state_tables[layer][rows]

    def _pair_tables(self, k: int, rows: slice, keep: bool) -> tuple[Tensor, LayerTables]:
        def drive() -> Tensor:
            return self._as_columns(k, self.chain.stages[k](self._states(k - 1, rows)))

        return self._tables(k, rows.start, drive, keep)

    def _data_tables(self) -> Iterator[tuple[DataRows, LayerTables]]:
        for number, rows in enumerate(self.data):
            yield rows, self._tables(0, number, partial(getattr, rows, "drive"), keep=True)[1]

    def _tables(self, k: int, number: int, drive: Callable[[], Tensor], keep: bool) -> tuple[Tensor, LayerTables]:
        """Drive and tables of a block of rows; kept for their second use where there is room."""
        if (k, number) in self.kept:
            return self.kept.pop((k, number))
        layer, given = self.layers[k], drive()
        size = len(given) * 2 * layer.unit_states ** (layer.count // 2)
        keep = keep and self.kept_elements + size <= KEPT_ELEMENTS
        tables = LayerTables.build(layer.units.probabilities(given), self.workspace, keep)
        if keep:
            self.kept[k, number] = given, tables
            self.kept_elements += size
        return given, tables


def _repeat(target: Tensor | None, like: Tensor) -> Tensor | None:
    return None if target is None else target.expand(len(like), *target.shape)
