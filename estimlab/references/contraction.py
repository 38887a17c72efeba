"""The contraction behind layerwise enumeration: product tables, and sums over the states of a layer as matrix products.

For one row (a state of the layer below, or an example) with pre-activations ``a``, the sum over the 2^n states y of a layer

    V(a) = sum_y prod_j P(y_j | a_j) M(y)

splits into two halves of the units: with the product tables u and v of the halves it is ``u' M v``, M the value table of
shape (2^h1, 2^h2). A block of R rows has tables of shape (2^h, R), so the sum is a product of a 2^h1 x 2^h2 matrix with
a 2^h2 x R matrix; its derivative and the marginal of y are two more products of that size.
"""

from __future__ import annotations

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


@dataclass(frozen=True, eq=False)
class ProductTable:
    """Probabilities of all joint states of h independent units, per row.

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
class LayerTables:
    """The product tables of both halves of a layer for one block of rows."""

    first: ProductTable
    second: ProductTable

    @classmethod
    def build(cls, law: NoiseLaw, a: Float[Tensor, "rows units"]) -> LayerTables:
        """From the pre-activations of a block of rows."""
        columns = a.T.contiguous()
        high, low = law.cdf(columns), law.cdf(-columns)
        half = len(columns) // 2
        return cls(ProductTable.build(high[:half], low[:half]), ProductTable.build(high[half:], low[half:]))

    def value_and_difference(
        self, values: Float[Tensor, "targets states"]
    ) -> tuple[Float[Tensor, "targets rows"], Float[Tensor, "targets rows units"]]:
        """``sum_y P(y) values(y)`` and, per unit, ``E[values | unit high] - E[values | unit low]``; two products."""
        u, v = self.first.table, self.second.table
        matrix = values.reshape(-1, len(u), len(v))
        inner = (matrix.flatten(0, 1) @ v).unflatten(0, matrix.shape[:2])
        outer = (matrix.mT.flatten(0, 1) @ u).unflatten(0, (len(matrix), len(v)))
        value = (inner * u).sum(1)
        difference = torch.cat((self.first.difference(inner), self.second.difference(outer)), 1)
        return value, difference.mT

    def marginal(self, weights: Float[Tensor, "targets rows"]) -> Float[Tensor, "targets states"]:
        """``sum_rows weights(row) P(y | row)``; one product."""
        u, v = self.first.table, self.second.table
        weighted = weights[:, None, :] * u
        return (weighted.flatten(0, 1) @ v.T).reshape(len(weights), -1)

    def probabilities(self) -> Float[Tensor, "rows states"]:
        """P(y | row) in full, for small layers."""
        u, v = self.first.table, self.second.table
        return (u[:, None, :] * v[None, :, :]).flatten(0, 1).T
