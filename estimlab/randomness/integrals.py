"""Integrals over the noise of single units: sums over the nodes of a rule, and moments given the state."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.randomness.quadrature import interval_edges, node_between, tanh_sinh

RULE = tanh_sinh()
"""What integrals over the noise are taken with."""
AT_ONCE = 64  # numbers of one draw, over which an integral's nodes are taken together


def sum_over_nodes(
    terms: Callable[..., tuple[Tensor, ...]], like: Tensor, *columns: Float[Tensor, " nodes"]
) -> tuple[Tensor, ...]:
    """The sum of each term over the nodes of a rule: ``terms`` takes the numbers of some nodes on an axis in front.

    As many nodes at once as make ``AT_ONCE`` numbers: few units would else take a hundred small steps, and many units
    a hundred times their memory. A compiler gets all, which it makes one loop: it would take minutes to unroll them.
    """
    front = (-1, *(1,) * like.ndim)
    if torch.compiler.is_compiling():
        return tuple(term.sum(0) for term in terms(*(column.to(like).reshape(front) for column in columns)))
    size = AT_ONCE // max(1, like.numel())
    if size <= 1 or like.dtype.itemsize < 4:  # a number without an axis keeps its digits beside small types
        return _summed(terms(*numbers) for numbers in zip(*(column.unbind() for column in columns), strict=True))
    parts = zip(*(column.to(like).reshape(front).split(size) for column in columns), strict=True)
    return _summed(tuple(term.sum(0) for term in terms(*part)) for part in parts)


def _summed(found: Iterable[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """One after the other: together they would take the memory that the caller saves."""
    return functools.reduce(lambda total, one: tuple(a + b for a, b in zip(total, one, strict=True)), found)


def conditional_moments(
    factor: Callable[[Tensor, Tensor], Tensor], probability: Tensor, cuts: list[Tensor]
) -> tuple[Float[Tensor, "2 *shape"], Float[Tensor, "2 *shape"]]:
    """Mean and second moment of ``factor(bit, uniform)`` given bit 0 and bit 1, by quadrature between the cuts."""
    nodes, weights = RULE.nodes.to(probability), RULE.weights.to(probability)
    moments = probability.new_zeros(3, 2, *probability.shape)
    for low, high in pairwise(interval_edges(probability, cuts)):
        bit = ((low + high) / 2 < probability).to(probability.dtype)

        def terms(node: Tensor, weight: Tensor, low: Tensor = low, high: Tensor = high, bit: Tensor = bit) -> Any:
            value = factor(bit, node_between(low, high, node.expand_as(low + node)))
            width = (high - low) * weight
            return width.expand_as(value), value * width, value * value * width

        sums = torch.stack(sum_over_nodes(terms, probability, nodes, weights))
        moments = moments + torch.stack((sums * (1 - bit), sums * bit), 1)
    mass = torch.where(moments[0] > 0, moments[0], 1)
    return moments[1] / mass, moments[2] / mass
