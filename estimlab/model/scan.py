"""Units run along all of their paths: the states they end in, how likely each is, and their local maps.

All that an exact engine asks of a unit follows from its scan of binary steps. The rows of a layer's drive are repeated,
one stretch of rows for each path of bits, and all units take the same path at once, as they do not see each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from estimlab.errors import EstimlabError
from estimlab.model.derivatives import replace_derivative
from estimlab.model.local_map import LocalMap

if TYPE_CHECKING:
    from estimlab.model.units import Units

MOST_BITS = 16  # of one unit: all of its paths are followed together
TakeState = Callable[[Any, Tensor, Tensor, int], Tensor]  # site, pre-activations, bits, number of the first bit


@dataclass(frozen=True, eq=False)
class Paths:
    """All paths of one unit.

    Attributes:
        bits: the bits of each path, in the order of the steps.
        state: number of the state in which each path ends.
        values: what the layer above reads of a unit in each state.
    """

    bits: Int[Tensor, "paths bits"]
    state: Int[Tensor, " paths"]
    values: Float[Tensor, "S C"]

    def to_states(self, like: Tensor) -> Float[Tensor, "paths S"]:
        """One where a path ends in a state."""
        return torch.nn.functional.one_hot(self.state, len(self.values)).to(like)


@lru_cache(maxsize=256)
def paths_of(units: Units, shape: tuple[int, ...]) -> Paths:
    """The paths of one unit of a layer whose drive has this shape; paths that show the same end in the same state."""
    one = (1, *shape[1:])
    sites = [units.site(t, one) for t in range(units.length)]
    if any(site.shared for site in sites):
        raise EstimlabError(
            f"{units!r}: bits that all examples share are no unit of a layer, whose rows are independent. Write a "
            "StochasticNetwork with a shared site; el.PathEnumeration() and el.measure serve it."
        )
    number = sum(site.size for site in sites)
    if number > MOST_BITS:
        raise EstimlabError(
            f"{units!r}: a unit of {number} bits has 2^{number} paths; at most {MOST_BITS} bits are followed. Sample: "
            "el.MonteCarloReference() for the gradient, el.measure for an estimator."
        )
    bits = all_bits(number)
    shown = [_shown(units, torch.full((1, *one), drive, dtype=torch.float64), bits) for drive in (1.0, 2.0)]
    if not torch.equal(*shown):
        raise EstimlabError(
            f"{units!r}: value() must be a function of the states alone, but it changes with the drive. Let the layer "
            "above read states, and keep what the drive decides in the pre-activations."
        )
    values, state = torch.unique(shown[0], dim=0, return_inverse=True)
    return Paths(bits, state, values)


def all_bits(number: int) -> Int[Tensor, "paths bits"]:
    """All rows of so many bits, the first the most significant."""
    index = torch.arange(2**number)
    return (index[:, None] >> torch.arange(number - 1, -1, -1)) & 1


def _shown(units: Units, drive: Tensor, bits: Tensor) -> Float[Tensor, "paths C"]:
    memory = follow(units, repeated(drive, len(bits)), bits, lambda site, a, bit, at: site.units.state(bit))
    return units.value(memory).reshape(len(bits), -1)


def repeated(drive: Float[Tensor, "rows n ..."], times: int) -> Float[Tensor, "repeated n ..."]:
    """All rows, so many times."""
    return drive.expand(times, *drive.shape).flatten(0, 1)


def follow(
    units: Units, drive: Float[Tensor, "repeated n ..."], bits: Int[Tensor, "paths bits"], take: TakeState
) -> Any:
    """The memory of the units after all steps, with one stretch of rows on each path; ``take`` gives the states."""
    shape, rows = tuple(drive.shape[1:]), len(drive) // len(bits)
    memory = units.begin(drive)
    at = 0
    for t in range(units.length):
        a = units.preactivation(t, memory)
        each = units.site(t, shape).size // units.count(shape)
        bit = on_rows(bits[:, at : at + each], rows, a)
        memory = units.advance(t, memory, take(units.site(t, shape), a, bit, at))
        at += each
    return memory


def on_rows(bits: Int[Tensor, "paths each"], rows: int, like: Float[Tensor, "repeated ..."]) -> Tensor:
    """What a path says of the bits of one step, for all rows and units, in the shape of their pre-activations."""
    paths, each = bits.shape
    units = like[0].numel() // each
    return bits.reshape(paths, 1, 1, each).expand(-1, rows, units, -1).reshape(like.shape).to(like.dtype)


@dataclass(frozen=True, eq=False)
class _Chances:
    """Collects the probability of the bits of each path, unit by unit."""

    rows: int
    count: int
    factors: list[Tensor]

    def __call__(self, site: Any, a: Tensor, bit: Tensor, at: int) -> Tensor:
        """The state, after its probability was written down."""
        chance = site.units.law.cdf(torch.where(bit > 0, a, -a))
        self.factors.append(chance.reshape(-1, self.rows, self.count, chance[0].numel() // self.count).prod(-1))
        return site.units.state(bit)

    def product(self) -> Float[Tensor, "paths rows n"]:
        """Of each path."""
        result = self.factors[0]
        for factor in self.factors[1:]:
            result = result * factor
        return result


def probabilities(units: Units, drive: Float[Tensor, "rows n ..."]) -> Float[Tensor, "n S rows"]:
    """P(state of a unit | drive), differentiable."""
    shape = tuple(drive.shape[1:])
    found, chances = paths_of(units, shape), _Chances(len(drive), units.count(shape), [])
    follow(units, repeated(drive, len(found.bits)), found.bits.to(drive.device), chances)
    return torch.einsum("prn,ps->nsr", chances.product(), found.to_states(drive))


def pull(
    units: Units, drive: Float[Tensor, "rows n ..."], conditional: Float[Tensor, "targets n S rows"]
) -> Float[Tensor, "targets numbers rows"]:
    """The derivative of ``sum_s P(s) conditional(s)`` by each number of the drive, by automatic differentiation."""
    with torch.enable_grad():
        leaf = drive.detach().requires_grad_()
        p = units.probabilities(leaf)
    # probabilities sum to one, so a constant changes nothing; a large one would cost digits
    differences = conditional - conditional[:, :, :1]
    pulled = [torch.autograd.grad(p, leaf, one, retain_graph=True)[0] for one in differences]
    return torch.stack(pulled).flatten(2).mT


def local_map(units: Units, drive: Float[Tensor, "rows n ..."], factors: Any) -> LocalMap:
    """Moments of the local maps under a local backward rule, by following every path backwards.

    A map is a polynomial, of degree one in the factor J of each bit. Where factors are random given the bit, they are
    replaced by two values of the same mean and variance, mean plus and minus deviation, all combinations of which are
    followed: products of two maps are of degree two in each factor, so that their expectation is exact.
    """
    found = paths_of(units, tuple(drive.shape[1:]))
    bits = found.bits.to(drive.device)
    backward = _Backward(units, drive.detach(), factors)
    chance, maps, random = backward.along(bits, torch.zeros_like(bits))
    states = found.to_states(drive)
    if random:
        signs = 2 * all_bits(bits.shape[1]).to(drive.device) - 1
        path, sign = torch.cartesian_prod(torch.arange(len(bits)), torch.arange(len(signs))).unbind(1)
        chance, maps, _ = backward.along(bits[path], signs[sign])
        chance, states = chance / len(signs), states[path]
    total = torch.einsum("prn,ps->srn", chance, states)
    share = torch.einsum("srn,ps->psrn", total.clamp(min=torch.finfo(total.dtype).tiny).reciprocal(), states)
    share = share * chance[:, None]  # P(path | state)
    mean = torch.einsum("psrn,prncd->srncd", share, maps)
    rest = maps[:, None] - mean
    return LocalMap(mean, torch.einsum("psrn,psrncd,psrnef->srncdef", share, rest, rest))


@dataclass(frozen=True, eq=False)
class _Backward:
    """The local map of every path of every unit, with factors of a given mean and deviation."""

    units: Units
    drive: Float[Tensor, "rows n ..."]
    factors: Any

    def along(
        self, bits: Int[Tensor, "paths bits"], signs: Int[Tensor, "paths bits"]
    ) -> tuple[Float[Tensor, "paths rows n"], Float[Tensor, "paths rows n C D"], bool]:
        """Probability and map of each path, and whether a factor is random given its bit."""
        rows, count = len(self.drive), self.units.count(tuple(self.drive.shape[1:]))
        chances, random = _Chances(rows, count, []), []
        leaf = repeated(self.drive, len(bits)).clone().requires_grad_()

        def take(site: Any, a: Tensor, bit: Tensor, at: int) -> Tensor:
            fixed = a.detach()
            state = chances(site, fixed, bit, at)
            mean, square = self.factors(fixed, site.units.law)
            deviation = (square - mean * mean).clamp(min=0).sqrt()
            random.append(bool((deviation > 0).any()))
            sign = on_rows(signs[:, at : at + fixed[0].numel() // count], rows, fixed)
            factor = torch.where(bit > 0, mean[1], mean[0]) + sign * torch.where(bit > 0, deviation[1], deviation[0])
            return replace_derivative(a, state, site.units.gap * factor)

        with torch.enable_grad():
            shown = self.units.value(follow(self.units, leaf, bits, take)).reshape(len(leaf), count, -1)
            maps = [_derivative(one, leaf) for one in shown.unbind(-1)]
        return chances.product(), torch.stack(maps, -2).unflatten(0, (len(bits), rows)), any(random)


def _derivative(shown: Float[Tensor, "repeated n"], leaf: Float[Tensor, "repeated n ..."]) -> Tensor:
    """The derivative of one number that each unit shows by the numbers of its own drive, (repeated, n, D)."""
    zero = torch.zeros_like(leaf).reshape(*shown.shape, -1)
    if not shown.requires_grad:
        return zero
    (pulled,) = torch.autograd.grad(shown.sum(), leaf, retain_graph=True, allow_unused=True)
    return zero if pulled is None else pulled.reshape(*shown.shape, -1)
