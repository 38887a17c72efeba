"""Layerwise enumeration: the exact gradient of a chain, of any depth, at the speed of a matrix product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.errors import EstimlabError
from estimlab.model.chain import Chain
from estimlab.model.problem import Problem
from estimlab.progress import track
from estimlab.references.base import Gradient, Reference, exact_gradient
from estimlab.references.contraction import LayerTables, Workspace, row_blocks, state_table
from estimlab.references.plan import Plan, plan_enumeration

TABLE_ELEMENTS = 1 << 22  # of one product table, for all rows of a block
SHOW_AFTER = 2.0  # seconds of estimated work that a user sees the progress of


@final
@dataclass(frozen=True)
class LayerwiseEnumeration(Reference):
    """The exact gradient of a chain by recursion over the states of one layer at a time (our derivation).

    With ``V_L(x) = objective(head(x), target)`` on the states of the last layer and
    ``V_{k-1}(x) = sum_y P(y | x) V_k(y)``, the expected objective of an example is ``V_0(input)`` and

        dE/dtheta_k = sum_x pi_{k-1}(x) sum_i F'(a_i) (E[V_k | i high] - E[V_k | i low]) da_i/dtheta_k,

    pi the marginal of the layer below and a = stage_k(x). The cost is three matrix products of
    ``2 * 2^(n_k + n_{k+1})`` flops for each pair of adjacent layers and each distinct target; the paths,
    ``2^(n_1 + ... + n_L)`` in number, are never formed.

    Attributes:
        max_seconds: refuse, with the plan, what is estimated to take longer.
        max_bytes: refuse what needs more memory.
        block_rows: rows of a product table that are in memory at a time; chosen for the device where it is None.
        dtype: ``"float64"``, or ``"float32"``, which takes half the time and memory and leaves a relative error of
            some 1e-6 of the gradient's norm (a test bounds it by 1e-4).

    Errors:
        EstimlabError: not a chain; a layer that couples examples (batch norm in training mode); over budget.
    """

    max_seconds: float = 600.0
    max_bytes: float = 4e9
    block_rows: int | None = None
    dtype: Literal["float64", "float32"] = "float64"

    def __post_init__(self) -> None:
        if self.dtype not in ("float64", "float32"):
            raise EstimlabError(f"LayerwiseEnumeration(dtype={self.dtype!r}): dtype is 'float64' or 'float32'.")
        if self.block_rows is not None and self.block_rows < 1:
            raise EstimlabError(f"LayerwiseEnumeration(block_rows={self.block_rows}): give a positive number, or None.")

    def plan(self, problem: Problem) -> Plan:
        """States, flops, bytes and estimated seconds, without doing the work."""
        return plan_enumeration(problem, self._block_rows(problem), torch.finfo(getattr(torch, self.dtype)).bits // 8)

    def gradient(self, problem: Problem, force: bool = False) -> Gradient:
        """The exact gradient; ``force=True`` ignores the budget."""
        require_chain(problem, type(self).__name__)
        plan = self.plan(problem)
        if not force:
            plan.check(self.max_seconds, self.max_bytes, tuple(site.size for site in problem.sites))
        copy = problem.differentiable(getattr(torch, self.dtype))
        sweep = _Sweep(copy, self._block_rows(problem), shows_progress=plan.seconds > SHOW_AFTER)
        with torch.no_grad():
            sweep.values_down()
            sweep.marginals_up()
        sweep.parameters()
        gradient = {name: block.double() for name, block in sweep.gradient.items()}
        return exact_gradient(self, problem, sweep.expected.double(), gradient, sweep.checks)

    def _block_rows(self, problem: Problem) -> int:
        """Enough rows to keep the device's matrix products busy, few enough for its memory."""
        if self.block_rows is not None:
            return self.block_rows
        per_row = 2 ** ((max(site.size for site in problem.sites) + 1) // 2) * len(problem.distinct_targets)
        elements = TABLE_ELEMENTS
        if problem.device.type == "cuda":
            elements = max(elements, torch.cuda.mem_get_info(problem.device)[0] // (8 * 32))
        return min(max(1024, elements // per_row), 1 << 14 if problem.device.type == "cpu" else 1 << 16)


def require_chain(problem: Problem, who: str) -> None:
    """Refuse what is not a chain, not finite, or couples examples."""
    if not isinstance(problem.network, Chain):
        raise EstimlabError(
            f"{who} works on an el.Chain, this network is a {type(problem.network).__name__}. For other networks of "
            "few units use el.PathEnumeration()."
        )
    problem.check_finite()
    problem.check_independent()


@dataclass(eq=False)
class _Sweep:
    """One computation: value tables from the head down, marginals from the data up, then every block's gradient."""

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
        self.workspace, self.kept = Workspace(), dict[int, tuple[Tensor, LayerTables]]()
        self.groups = problem.distinct_targets
        self.values: list[Tensor] = []  # per layer, (targets, states)
        self.signals: list[Tensor] = []  # per layer k >= 1, dV/da, (targets, states below, units); layer 0 per example
        self.marginals: list[Tensor] = []  # per layer, (targets, states)
        self.gradient = {name: torch.zeros_like(p) for name, p in self.chain.named_parameters()}

    def values_down(self) -> None:
        """V_L, ..., V_1 on all states, V_0 on the examples, and their derivatives by the pre-activations."""
        self.data = self.chain.stages[0](self.problem.inputs).flatten(1)
        self.values = [self._head_values()]  # and, from the data up, the marginal of the first layer
        for k in range(self.depth - 1, 0, -1):
            value, signal = self._layer_down(k, self.values[0])
            self.values.insert(0, value)
            self.signals.insert(0, signal)
        self._data_down()

    def marginals_up(self) -> None:
        """pi_2, ..., pi_L, each summed over the examples of a target and divided by the number of examples."""
        for k in range(1, self.depth):
            below = self.marginals[-1]
            total = below.new_zeros(len(self.groups), 2 ** self.sites[k].size)
            for rows in self._blocks(below.shape[1], f"marginals of layer {k}"):
                self._tables(k, rows)[1].add_marginal(below[:, rows], total)
            self.marginals.append(total)
        total_probability = float(self.marginals[-1].sum())
        self.checks["probability_error"] = abs(total_probability - 1)

    def parameters(self) -> None:
        """Gradients of all blocks: each stage's backward with marginal times derivative, and the head's."""
        self._accumulate(self.chain.stages[0], self.problem.inputs, self.signals[0] / self.problem.batch)
        for k in range(1, self.depth):
            cotangent = torch.einsum("tx,txi->xi", self.marginals[k - 1], self.signals[k])
            for rows in row_blocks(len(cotangent), max(self.block_rows, 4096)):
                self._accumulate(self.chain.stages[k], self._states(k - 1, rows), cotangent[rows])
        self._head_gradient()

    def _head_values(self) -> Float[Tensor, "targets states"]:
        rows = 2 ** self.sites[-1].size
        blocks = [self._objective(self._states(-1, block)) for block in row_blocks(rows, 1 << 14)]
        return torch.cat(blocks, 1)

    def _objective(self, states: Tensor) -> Float[Tensor, "targets rows"]:
        output = self.chain.head(states)
        return torch.stack([self.problem.objective(output, _repeat(target, output)) for target, _ in self.groups])

    def _layer_down(self, k: int, above: Tensor) -> tuple[Tensor, Tensor]:
        law = self.sites[k].units.law
        rows = 2 ** self.sites[k - 1].size
        value = above.new_empty(len(self.groups), rows)
        signal = above.new_empty(len(self.groups), rows, self.sites[k].size)
        for block in self._blocks(rows, f"values of layer {k}"):
            a, tables = self._tables(k, block)
            value[:, block], difference = tables.value_and_difference(above)
            signal[:, block] = difference * law.density(a)
        return value, signal

    def _data_down(self) -> None:
        """Objective and derivative of the examples, and the marginals of the first layer."""
        self.expected, signal = self.data.new_empty(len(self.data)), torch.empty_like(self.data)
        marginal = self.data.new_zeros(len(self.groups), 2 ** self.sites[0].size)
        law = self.sites[0].units.law
        for group, (_, members) in enumerate(self.groups):
            rows, which, counts = self._distinct_rows(self.data[members])
            for block in row_blocks(len(rows), self.block_rows):
                tables = LayerTables.build(law, rows[block], self.workspace)
                tables.add_marginal(counts[None, block] / self.problem.batch, marginal[group : group + 1])
                value, difference = tables.value_and_difference(self.values[0][group : group + 1])
                here = (which >= block.start) & (which < block.stop)
                examples, source = members[here], which[here] - block.start
                self.expected[examples] = value[0, source]
                signal[examples] = (difference[0] * law.density(rows[block]))[source]
        self.signals.insert(0, signal)
        self.marginals = [marginal]

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
        for rows in row_blocks(2 ** self.sites[-1].size, 1 << 14):
            with torch.enable_grad():
                expected = (self.marginals[-1][:, rows] * self._objective(self._states(-1, rows))).sum()
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
        names = {id(p): name for name, p in self.chain.named_parameters()}
        for parameter, grad in zip(parameters, grads, strict=True):
            if grad is not None:
                self.gradient[names[id(parameter)]] += grad

    def _states(self, k: int, rows: slice) -> Tensor:
        return state_table(self.sites[k].units, self.sites[k].shape, self.like, rows.start, rows.stop)

    def _tables(self, k: int, rows: slice) -> tuple[Tensor, LayerTables]:
        """Pre-activations and tables of a block of rows; a layer that is one block keeps its own."""
        if k in self.kept:
            return self.kept[k]
        whole = rows == slice(0, 2 ** self.sites[k - 1].size)
        a = self.chain.stages[k](self._states(k - 1, rows)).flatten(1)
        tables = LayerTables.build(self.sites[k].units.law, a, Workspace() if whole else self.workspace)
        if whole:
            self.kept[k] = a, tables
        return a, tables


def _repeat(target: Tensor | None, like: Tensor) -> Tensor | None:
    return None if target is None else target.expand(len(like), *target.shape)
