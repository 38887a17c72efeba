"""The contraction behind layerwise enumeration: product tables, and sums over a layer's states as matrix products.

For one row (a state of the layer below, or an example) with pre-activations ``a``, the sum over the states y of a layer

    V(a) = sum_y prod_j P(y_j | a_j) M(y)

splits into two halves of the units: with the product tables u and v of the halves it is ``u' M v``, M the value table
of shape (2^h1, 2^h2). A block of R rows has tables of shape (2^h, R), so the sum is a product of a 2^h1 x 2^h2 matrix
with a 2^h2 x R matrix; its derivative and the marginal of y are two more products of that size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.model.units import BinaryUnits, NoiseLaw


def state_table(units: BinaryUnits, shape: tuple[int, ...], like: Tensor, start: int, stop: int) -> Tensor:
    """States number ``start .. stop - 1`` of a layer, of shape (rows, \\*shape); unit 0 is the most significant bit."""
    size = torch.Size(shape).numel()
    index = torch.arange(start, stop, device=like.device)
    shifts = torch.arange(size - 1, -1, -1, device=like.device)
    bits = (index[:, None] >> shifts) & 1
    return units.state(bits.to(like.dtype)).reshape(-1, *shape)


def row_blocks(rows: int, block: int) -> Iterator[slice]:
    """Consecutive slices of at most ``block`` rows."""
    for start in range(0, rows, block):
        yield slice(start, min(start + block, rows))


class Workspace:
    """Buffers that are used again block after block: fresh memory of this size costs as much as the arithmetic."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def empty(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """An uninitialised tensor; the one that had this name before is overwritten."""
        size = math.prod(shape)
        buffer = self._buffers.get(name)
        if buffer is None or buffer.numel() < size:
            buffer = self._buffers[name] = like.new_empty(size)
        return buffer[:size].view(shape)


@dataclass(frozen=True, eq=False)
class ProductTable:
    """Probabilities of all joint states of a few independent units, per row.

    Attributes:
        high: P(high), of shape (h, rows).
        low: P(low), of the same shape; not formed as ``1 - high``, which would lose small probabilities.
        levels: the tables of the first 0, 1, ..., h units, the last of shape (2^h, rows).
    """

    high: Float[Tensor, "h rows"]
    low: Float[Tensor, "h rows"]
    levels: tuple[Tensor, ...]

    @classmethod
    def build(cls, high: Float[Tensor, "h rows"], low: Float[Tensor, "h rows"]) -> ProductTable:
        """Multiply the units in one by one."""
        levels = [high.new_ones(1, high.shape[1])]
        for p, q in zip(high, low, strict=True):
            levels.append(torch.stack((levels[-1] * q, levels[-1] * p), 1).flatten(0, 1))
        return cls(high, low, tuple(levels))

    @property
    def table(self) -> Float[Tensor, "states rows"]:
        """The joint probabilities."""
        return self.levels[-1]

    def difference(self, cotangent: Float[Tensor, "targets states rows"]) -> Float[Tensor, "targets h rows"]:
        """``d<cotangent, table>/dP(high) - d/dP(low)`` for each unit: the value with it high minus that with it low."""
        g, result = cotangent, []
        for p, q, level in zip(self.high.flip(0), self.low.flip(0), self.levels[-2::-1], strict=True):
            low, high = g.unflatten(1, (-1, 2)).unbind(2)
            result.append(((high - low) * level).sum(1))
            g = torch.addcmul(low * q, high, p)
        return torch.stack(result[::-1], 1) if result else g[:, :0]


@dataclass(frozen=True, eq=False)
class HalfTable:
    """The product table of half a layer, the outer product of the small tables of its two quarters.

    Two quarters, so that the large table is written once and its cotangent is read twice, whatever the number of units.
    """

    first: ProductTable
    second: ProductTable
    table: Float[Tensor, "states rows"]

    @classmethod
    def build(
        cls, high: Float[Tensor, "h rows"], low: Float[Tensor, "h rows"], name: str, workspace: Workspace
    ) -> HalfTable:
        """Build both quarters and write their outer product into a buffer of the given name."""
        quarter = len(high) // 2 if len(high) > 4 else 0  # small tables are not worth the splitting
        first = ProductTable.build(high[:quarter], low[:quarter])
        second = ProductTable.build(high[quarter:], low[quarter:])
        if quarter == 0:  # the first quarter is the empty table, 1
            return cls(first, second, second.table)
        shape = (len(first.table), len(second.table), high.shape[1])
        table = torch.mul(first.table[:, None], second.table, out=workspace.empty(name, shape, high))
        return cls(first, second, table.flatten(0, 1))

    def contract(
        self, cotangent: Float[Tensor, "targets states rows"]
    ) -> tuple[Float[Tensor, "targets rows"], Float[Tensor, "targets h rows"]]:
        """``<cotangent, table>`` per row, and for each unit its value high minus low."""
        if len(self.first.table) == 1:
            return (cotangent * self.table).sum(1), self.second.difference(cotangent)
        u, v = self.first.table, self.second.table
        g = cotangent.unflatten(1, (len(u), len(v)))
        by_first = torch.mul(g[:, :, 0], v[0])
        for j in range(1, len(v)):
            by_first.addcmul_(g[:, :, j], v[j])
        by_second = torch.mul(g[:, 0], u[0])
        for i in range(1, len(u)):
            by_second.addcmul_(g[:, i], u[i])
        difference = torch.cat((self.first.difference(by_first), self.second.difference(by_second)), 1)
        return (by_first * u).sum(1), difference


@dataclass(frozen=True, eq=False)
class LayerTables:
    """The product tables of both halves of a layer for one block of rows.

    Tables and results of matrix products live in the workspace until the next block is built there.
    """

    first: HalfTable
    second: HalfTable
    workspace: Workspace

    @classmethod
    def build(cls, law: NoiseLaw, a: Float[Tensor, "rows units"], workspace: Workspace | None = None) -> LayerTables:
        """From the pre-activations of a block of rows."""
        workspace = Workspace() if workspace is None else workspace
        columns = a.T.contiguous()
        high, low = law.cdf(columns), law.cdf(-columns)
        half = len(columns) // 2
        first = HalfTable.build(high[:half], low[:half], "first", workspace)
        return cls(first, HalfTable.build(high[half:], low[half:], "second", workspace), workspace)

    def value_and_difference(
        self, values: Float[Tensor, "targets states"]
    ) -> tuple[Float[Tensor, "targets rows"], Float[Tensor, "targets rows units"]]:
        """``sum_y P(y) values(y)`` and, per unit, ``E[values | unit high] - E[values | unit low]``; two products."""
        u, v = self.first.table, self.second.table
        matrix = values.reshape(-1, len(u), len(v))
        inner = self._product("inner", matrix.flatten(0, 1), v)
        outer = self._product("outer", matrix.mT.flatten(0, 1), u)
        value, first = self.first.contract(inner.unflatten(0, (-1, len(u))))
        _, second = self.second.contract(outer.unflatten(0, (-1, len(v))))
        return value, torch.cat((first, second), 1).mT

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
