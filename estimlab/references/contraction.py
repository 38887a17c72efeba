"""The contraction behind layerwise enumeration: product tables, and sums over a layer's states as matrix products.

For one row (a state of the layer below, or an example) with pre-activations ``a``, the sum over the states y of a layer

    V(a) = sum_y prod_j P(y_j | a_j) M(y)

splits into two halves of the units: with the product tables u and v of the halves it is ``u' M v``, M the value table
of shape (2^h1, 2^h2). A block of R rows has tables of shape (2^h, R), so the sum is a product of a 2^h1 x 2^h2 matrix
with a 2^h2 x R matrix; its derivative and the marginal of y are two more products of that size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
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
    """Probabilities of all joint states of a few independent units, per row; units may have any number of states.

    Attributes:
        units: probabilities of each unit, (its states, rows). That of a low state is not formed as ``1 - high``, which
            would lose small probabilities.
        levels: the tables of the first 0, 1, ... units, the last of all; (joint states, rows).
    """

    units: Sequence[Float[Tensor, "_ rows"]]
    levels: tuple[Tensor, ...]

    @classmethod
    def build(cls, units: Sequence[Float[Tensor, "_ rows"]], ones: Float[Tensor, "1 rows"]) -> ProductTable:
        """Multiply the units in one by one, starting from the empty table, one."""
        levels = [ones]
        for unit in units:
            levels.append((levels[-1][:, None] * unit).flatten(0, 1))
        return cls(units, tuple(levels))

    @property
    def table(self) -> Float[Tensor, "states rows"]:
        """The joint probabilities."""
        return self.levels[-1]

    def derivatives(self, cotangent: Float[Tensor, "targets states rows"]) -> list[Float[Tensor, "targets _ rows"]]:
        """``d<cotangent, table> / dP(unit in state s)`` for each unit: its conditional value given that state."""
        g, result = cotangent, []
        for unit, level in zip(reversed(self.units), self.levels[-2::-1], strict=True):
            g = g.unflatten(1, (-1, len(unit)))
            result.append((g * level[:, None]).sum(1))
            g = (g * unit).sum(2)
        return result[::-1]


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
        cls,
        units: Sequence[Float[Tensor, "_ rows"]],
        ones: Float[Tensor, "1 rows"],
        name: str,
        workspace: Workspace,
    ) -> HalfTable:
        """Build both quarters and write their outer product into a buffer of the given name."""
        quarter = len(units) // 2 if len(units) > 4 else 0  # small tables are not worth the splitting
        first, second = ProductTable.build(units[:quarter], ones), ProductTable.build(units[quarter:], ones)
        if quarter == 0:  # the first quarter is the empty table, 1
            return cls(first, second, second.table)
        shape = (len(first.table), len(second.table), ones.shape[1])
        table = torch.mul(first.table[:, None], second.table, out=workspace.empty(name, shape, ones))
        return cls(first, second, table.flatten(0, 1))

    def contract(
        self, cotangent: Float[Tensor, "targets states rows"]
    ) -> tuple[Float[Tensor, "targets rows"], list[Float[Tensor, "targets _ rows"]]]:
        """``<cotangent, table>`` per row, and for each unit its conditional value given each state."""
        if len(self.first.table) == 1:
            return (cotangent * self.table).sum(1), self.second.derivatives(cotangent)
        u, v = self.first.table, self.second.table
        g = cotangent.unflatten(1, (len(u), len(v)))
        by_first = torch.mul(g[:, :, 0], v[0])
        for j in range(1, len(v)):
            by_first.addcmul_(g[:, :, j], v[j])
        by_second = torch.mul(g[:, 0], u[0])
        for i in range(1, len(u)):
            by_second.addcmul_(g[:, i], u[i])
        derivatives = [*self.first.derivatives(by_first), *self.second.derivatives(by_second)]
        return (by_first * u).sum(1), derivatives


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
        """Binary units, from the pre-activations of a block of rows."""
        columns = a.T.contiguous()
        return cls.categorical(torch.stack((law.cdf(-columns), law.cdf(columns)), 1).unbind(0), workspace)

    @classmethod
    def categorical(cls, units: Sequence[Float[Tensor, "_ rows"]], workspace: Workspace | None = None) -> LayerTables:
        """Units of any number of states (a spiking unit over T steps has 2^T), from their probabilities."""
        workspace = Workspace() if workspace is None else workspace
        ones, half = torch.ones_like(units[0][:1]), len(units) // 2
        first = HalfTable.build(units[:half], ones, "first", workspace)
        return cls(first, HalfTable.build(units[half:], ones, "second", workspace), workspace)

    def value_and_difference(
        self, values: Float[Tensor, "targets states"]
    ) -> tuple[Float[Tensor, "targets rows"], Float[Tensor, "targets rows units"]]:
        """``sum_y P(y) values(y)`` and, per binary unit, ``E[values | unit high] - E[values | unit low]``."""
        value, conditional = self.value_and_conditionals(values)
        low, high = torch.stack(conditional, 3).unbind(1)
        return value, high - low

    def value_and_conditionals(
        self, values: Float[Tensor, "targets states"]
    ) -> tuple[Float[Tensor, "targets rows"], list[Float[Tensor, "targets _ rows"]]]:
        """``sum_y P(y) values(y)`` and, per unit, ``E[values | unit in state s]``; two products."""
        u, v = self.first.table, self.second.table
        matrix = values.reshape(-1, len(u), len(v))
        inner = self._product("inner", matrix.flatten(0, 1), v)
        outer = self._product("outer", matrix.mT.flatten(0, 1), u)
        value, first = self.first.contract(inner.unflatten(0, (-1, len(u))))
        _, second = self.second.contract(outer.unflatten(0, (-1, len(v))))
        return value, [*first, *second]

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
