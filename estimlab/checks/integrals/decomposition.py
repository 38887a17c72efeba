"""Expectations over many uniforms of draws in which few of them interact: an anchored decomposition by dimensions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import torch
from torch import Tensor

from estimlab.estimators.base import Estimator
from estimlab.measurement.mapped import elements_per_draw, gradients, record
from estimlab.model.problem import Problem
from estimlab.randomness.noise import Key, Request
from estimlab.randomness.quadrature import QuadratureGrid, QuadratureNoise, Rule

AGREEMENT = 1e-11  # of a draw with its decomposition, relative to the largest draw
POINTS = 24
MOST_INTERACTING = 3
MOST_ROWS, CHUNK_ELEMENTS = 3 << 20, 1 << 22


def anchored_mean(problem: Problem, estimator: Estimator, rule: Rule) -> dict[str, Tensor] | None:
    """Mean of a draw of one example by integrals over at most three uniforms at a time; None where that is too few.

    The uniforms of channel 0 fall into cells, the joint states. Within a cell let f be a draw as a function of the d
    uniforms within their intervals and in further channels, c an anchor, and f_R the function of the uniforms in R
    with all others at c. If at most s uniforms interact, f is the sum of its terms up to order s, and

        E[f] = sum over |R| <= s of (-1)^(s - |R|) binomial(d - |R| - 1, s - |R|) E[f_R]

    (the anchored decomposition: Kuo, Sloan, Wasilkowski & Wozniakowski 2010, Mathematics of Computation 79). The
    smallest such s is found by comparing draws at ``POINTS`` random nodes with the same sum of their f_R.

    Args:
        problem: of one example.
        estimator: any estimator that can be mapped over draws.
        rule: for uniforms in which a draw is smooth.

    Returns:
        The mean per block, None where more than three uniforms interact or too many nodes would be visited.
    """
    grid = _Anchored(record(problem, estimator), rule)
    draws = _Draws(problem, estimator, grid)
    for order in range(min(MOST_INTERACTING, grid.dimensions) + 1):
        if grid.rows(order) > MOST_ROWS:
            return None
        if _decomposes(draws, order):
            return _integral(draws, order)
    return None


@dataclass(frozen=True, eq=False)
class _Anchored:
    """Digits of all uniforms as the columns of a matrix, and which of them are free within a cell.

    Attributes:
        requests: what a draw asks of the noise.
        smooth: rule for uniforms in which it is smooth.
    """

    requests: dict[Key, Request]
    smooth: Rule
    rules: dict[Key, Rule] = field(init=False)
    columns: list[tuple[Key, int, int]] = field(init=False)  # key, intervals, nodes per interval

    def __post_init__(self) -> None:
        rules = QuadratureGrid(self.requests, self.smooth).rules
        columns = [
            (key, request.cuts + 1, len(rules[key].nodes))
            for key, request in self.requests.items()
            for _ in range(math.prod(request.shape))
        ]
        object.__setattr__(self, "rules", rules)
        object.__setattr__(self, "columns", columns)

    @property
    def free(self) -> list[int]:
        """Columns of several nodes within a cell."""
        return [j for j, column in enumerate(self.columns) if self.radix(j) > 1]

    @property
    def dimensions(self) -> int:
        """d."""
        return len(self.free)

    def radix(self, column: int) -> int:
        """Nodes within a cell."""
        (_, channel), intervals, nodes = self.columns[column]
        return nodes if channel == 0 else intervals * nodes

    def cells(self) -> Tensor:
        """Digits of the anchor in every cell, (cells, columns): the middle node of each interval."""
        starts = [self._anchors(column) for column in range(len(self.columns))]
        return torch.cartesian_prod(*starts).reshape(-1, len(starts))

    def _anchors(self, column: int) -> Tensor:
        """Middle nodes of a column: of every interval in channel 0, whose intervals are cells, else of the first."""
        (_, channel), intervals, nodes = self.columns[column]
        first = torch.arange(intervals if channel == 0 else 1) * nodes
        return first + nodes // 2

    def rows(self, order: int) -> int:
        """Nodes that an integral visits."""
        in_a_cell = sum(math.prod(map(self.radix, chosen)) for chosen in self.subsets(order))
        cells = math.prod(intervals for (_, channel), intervals, _ in self.columns if channel == 0)
        return in_a_cell * cells

    def subsets(self, order: int) -> Iterator[tuple[int, ...]]:
        """Of the free columns, up to a size."""
        return (chosen for size in range(order + 1) for chosen in combinations(self.free, size))

    def coefficient(self, order: int, size: int) -> int:
        """Of the functions of so many uniforms."""
        if order == self.dimensions:
            return int(size == order)
        return (-1) ** (order - size) * math.comb(self.dimensions - size - 1, order - size)

    def node(self, column: int, anchor: Tensor, digit: Tensor) -> Tensor:
        """The digit of a node within a cell, given that of the cell's anchor."""
        (_, channel), _, nodes = self.columns[column]
        return anchor - anchor % nodes + digit if channel == 0 else digit

    def tables(self, digits: Tensor, fixed: Tensor) -> dict[Key, Tensor]:
        """Digits, and whether the uniform is at its anchor, (rows, 2, \\*shape) for each request."""
        both = torch.stack((digits, fixed.expand_as(digits).to(digits)), 1)
        shapes = [request.shape for request in self.requests.values()]
        parts = both.split(list(map(math.prod, shapes)), 2)
        tables = [part.reshape(-1, 2, *shape) for part, shape in zip(parts, shapes, strict=True)]
        return dict(zip(self.requests, tables, strict=True))


class _AnchoredNoise(QuadratureNoise):
    """The uniforms of a row; those at their anchor weigh as much as their cell."""

    def _uniform(self, key: Key, probability: Tensor, cuts: Sequence[Tensor], degree: float) -> Tensor:
        digit, fixed = self.digits[key]
        uniform, width, weight = self._node(key, digit, probability, cuts)
        cell = width if key[1] == 0 else torch.ones_like(width)
        self.weight = self.weight * torch.where(fixed.bool(), cell, width * weight).prod()
        return uniform


@dataclass(frozen=True, eq=False)
class _Draws:
    """Draws at rows of digits."""

    problem: Problem
    estimator: Estimator
    grid: _Anchored

    def at(self, digits: Tensor, free: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """All blocks of every draw in one row, and the weights."""
        fixed = torch.tensor([j not in free for j in range(digits.shape[1])])
        tables = self.grid.tables(digits, fixed)
        blocks, weights = gradients(
            self.problem, self.estimator, lambda row: _AnchoredNoise(self.grid.rules, row), tables
        )
        return torch.cat([block.flatten(1) for block in blocks.values()], 1), weights


def _decomposes(draws: _Draws, order: int) -> bool:
    """Whether draws at random nodes are the sums of their functions of at most ``order`` uniforms."""
    grid = draws.grid
    generator = torch.Generator().manual_seed(0)
    cells = grid.cells()
    anchors = cells[torch.randint(len(cells), (POINTS,), generator=generator)]
    points = anchors.clone()
    for j in grid.free:
        digit = torch.randint(grid.radix(j), (POINTS,), generator=generator)
        points[:, j] = grid.node(j, anchors[:, j], digit)
    whole, _ = draws.at(points, ())
    subsets = list(grid.subsets(order))
    rows = []
    for chosen in subsets:
        moved = anchors.clone()
        moved[:, list(chosen)] = points[:, list(chosen)]
        rows.append(moved)
    parts, _ = draws.at(torch.cat(rows), ())
    coefficients = [grid.coefficient(order, len(chosen)) for chosen in subsets]
    signs = torch.tensor(coefficients, dtype=parts.dtype)
    summed = torch.tensordot(signs, parts.unflatten(0, (len(subsets), POINTS)), 1)
    largest = max(1.0, float(parts.abs().max()))
    return float((whole - summed).abs().max()) <= AGREEMENT * largest


def _integral(draws: _Draws, order: int) -> dict[str, Tensor]:
    grid = draws.grid
    parameters = dict(draws.problem.network.named_parameters())
    size = sum(p.numel() for p in parameters.values())
    total = torch.zeros(size, dtype=draws.problem.dtype)
    step = max(1, CHUNK_ELEMENTS // elements_per_draw(draws.problem, grid.requests))
    for chosen in grid.subsets(order):
        factor = grid.coefficient(order, len(chosen))
        for digits in _rows(grid, chosen, step):
            values, weights = draws.at(digits, chosen)
            total += factor * (weights @ values).detach()
    parts = total.split([p.numel() for p in parameters.values()])
    blocks = [part.reshape(p.shape) for part, p in zip(parts, parameters.values(), strict=True)]
    return dict(zip(parameters, blocks, strict=True))


def _rows(grid: _Anchored, chosen: tuple[int, ...], step: int) -> Iterator[Tensor]:
    """Digits of the anchors of all cells, with all nodes of the chosen columns, in blocks."""
    cells = grid.cells()
    inner = math.prod(map(grid.radix, chosen))
    for start in range(0, len(cells) * inner, step):
        index = torch.arange(start, min(start + step, len(cells) * inner))
        digits, index = cells[index // inner], index % inner
        for j in chosen:
            digits[:, j] = grid.node(j, digits[:, j], index % grid.radix(j))
            index = index // grid.radix(j)
        yield digits
