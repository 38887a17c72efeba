"""The contraction behind layerwise enumeration: product tables, and sums over a layer's states as matrix products.

For one row (a state of the layer below, or an example) with pre-activations ``a``, the sum over the states y of a layer

    V(a) = sum_y prod_j P(y_j | a_j) M(y)

splits into two halves of the units: with the product tables u and v of the halves it is ``u' M v``, M the value table
of shape (2^h1, 2^h2). A block of R rows has tables of shape (2^h, R), so the sum is a product of a 2^h1 x 2^h2 matrix
with a 2^h2 x R matrix; its derivative and the marginal of y are two more products of that size. What is elementwise
besides touches the tables once each, ``O(2^(n/2))`` numbers per row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from jaxtyping import Float
from torch import Tensor


def row_blocks(rows: int, block: int) -> Iterator[slice]:
    """Consecutive slices of at most ``block`` rows."""
    for start in range(0, rows, block):
        yield slice(start, min(start + block, rows))


class Workspace:
    """Buffers that are used again block after block: fresh memory of this size costs as much as the arithmetic."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def empty(self, name: str | None, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """An uninitialised tensor; the one that had this name before is overwritten. None gives a fresh one."""
        if name is None:
            return like.new_empty(shape)
        size = math.prod(shape)
        buffer = self._buffers.get(name)
        if buffer is None or buffer.numel() < size:
            buffer = self._buffers[name] = like.new_empty(size)
        return buffer[:size].view(shape)


@lru_cache(maxsize=64)
def indicators(sizes: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Float[Tensor, "unit_states states"]:
    """For each unit and each of its states, 1 at the joint states (the first unit varies slowest) where it holds."""
    joint = math.prod(sizes)
    rows = [torch.empty(0, joint, dtype=dtype, device=device)]
    before = 1
    for size in sizes:
        after = joint // (before * size)
        one = torch.eye(size, dtype=dtype, device=device)[:, None, :, None]
        rows.append(one.expand(size, before, size, after).reshape(size, joint))
        before *= size
    return torch.cat(rows)


def product_table(units: Sequence[Float[Tensor, "_ rows"]], ones: Float[Tensor, "1 rows"]) -> Tensor:
    """Probabilities of all joint states of a few units, (joint states, rows), multiplied in one by one."""
    table = ones if not units else units[0]
    for unit in units[1:]:
        table = (table[:, None] * unit).flatten(0, 1)
    return table


@dataclass(frozen=True, eq=False)
class HalfTable:
    """Probabilities of all joint states of half a layer, per row; units may have any number of states.

    Attributes:
        units: probabilities of each unit, (its states, rows). That of a low state is not formed as ``1 - high``, which
            would lose small probabilities.
        table: their products, (joint states, rows).
    """

    units: Sequence[Float[Tensor, "_ rows"]]
    table: Float[Tensor, "states rows"]

    @classmethod
    def build(
        cls,
        units: Sequence[Float[Tensor, "_ rows"]],
        ones: Float[Tensor, "1 rows"],
        out: Callable[[tuple[int, ...]], Tensor],
    ) -> HalfTable:
        """Build both quarters, and write their outer product into the memory that ``out`` gives: one large write."""
        quarter = len(units) // 2
        if quarter == 0:
            return cls(units, product_table(units, ones))
        first, second = product_table(units[:quarter], ones), product_table(units[quarter:], ones)
        shape = (len(first), len(second), ones.shape[1])
        return cls(units, torch.mul(first[:, None], second, out=out(shape)).flatten(0, 1))

    def sums(self, cotangent: Float[Tensor, "targets states rows"]) -> Float[Tensor, "targets unit_states rows"]:
        """``sum_y table(y) cotangent(y) [unit in state s]`` for each unit and state; overwrites the cotangent.

        A product with few rows, so that the large arrays are read once whatever the number of units.
        """
        select = indicators(tuple(map(len, self.units)), self.table.dtype, self.table.device)
        return torch.bmm(select.expand(len(cotangent), -1, -1), cotangent.mul_(self.table))


@dataclass(frozen=True, eq=False)
class LayerTables:
    """The product tables of both halves of a layer for one block of rows.

    Results of matrix products live in the workspace until the next block uses it, and so do the tables unless kept.

    Attributes:
        units: probabilities of the states of all units, one after the other, (states of all units, rows).
        first: table of the first half of the units.
        second: table of the others.
        workspace: owner of the large arrays.
    """

    units: Float[Tensor, "unit_states rows"]
    first: HalfTable
    second: HalfTable
    workspace: Workspace

    @classmethod
    def build(
        cls, probabilities: Float[Tensor, "n S rows"], workspace: Workspace | None = None, keep: bool = False
    ) -> LayerTables:
        """Units of S states each, from their probabilities; ``keep`` gives the tables memory of their own."""
        workspace = Workspace() if workspace is None else workspace
        # a conditional value is a quotient by a probability: one that rounds to zero must leave a quotient
        tiny = torch.finfo(probabilities.dtype)
        units = probabilities.clamp(min=tiny.tiny / tiny.eps)
        half = len(units) // 2
        ones = units.new_ones(1, units.shape[2])
        names = (None, None) if keep else ("first", "second")
        out = [partial(workspace.empty, name, like=ones) for name in names]
        first = HalfTable.build(units[:half].unbind(), ones, out[0])
        second = HalfTable.build(units[half:].unbind(), ones, out[1])
        return cls(units.flatten(0, 1), first, second, workspace)

    def value_and_conditionals(
        self, values: Float[Tensor, "targets states"]
    ) -> tuple[Float[Tensor, "targets rows"], Float[Tensor, "targets unit_states rows"]]:
        """``sum_y P(y) values(y)`` and, per unit and state, ``E[values | unit in state s]``; two products."""
        u, v = self.first.table, self.second.table
        matrix = values.reshape(-1, len(u), len(v))
        inner = self._product("inner", matrix.flatten(0, 1), v).unflatten(0, (-1, len(u)))
        outer = self._product("outer", matrix.mT.flatten(0, 1), u).unflatten(0, (-1, len(v)))
        sums = torch.cat((self.first.sums(inner), self.second.sums(outer)), 1)
        value = sums[:, -len(self.second.units[-1]) :].sum(1)
        return value, sums.div_(self.units)

    def add_marginal(self, weights: Float[Tensor, "targets rows"], total: Float[Tensor, "targets states"]) -> None:
        """Add ``sum_rows weights(row) P(y | row)`` to the total; one product."""
        u, v = self.first.table, self.second.table
        shape = (len(weights), *u.shape)
        weighted = torch.mul(weights[:, None, :], u, out=self.workspace.empty("inner", shape, u))
        total.view(-1, len(v)).addmm_(weighted.flatten(0, 1), v.T)

    def probabilities(self) -> Float[Tensor, "rows states"]:
        """P(y | row) in full, for small layers."""
        u, v = self.first.table, self.second.table
        return (u[:, None, :] * v[None, :, :]).flatten(0, 1).T

    def _product(self, name: str, matrix: Tensor, table: Tensor) -> Tensor:
        return torch.mm(matrix, table, out=self.workspace.empty(name, (len(matrix), table.shape[1]), table))
