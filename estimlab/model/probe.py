"""The proof that a problem gives of itself: every part of it is a function of one example.

A part (a stage, the head, the objective; the whole pass of a network that is no chain) is called on a few rows: the
first stage on rows of the inputs, the others on corners of the coding. What it was given must stay as it was, a second
call must give the same, and a row alone what it gives among the others, in either order.

It is called on a float64 copy, where two orders of a sum differ by n eps <= 1e-12 for sums of n <= 4000 terms: the
tolerance ``sqrt(eps)`` = 1.5e-8 of the largest result forgives a cancellation of four digits and more. Parts that
cannot be called in float64 are called in their own precision, with the ``sqrt(eps)`` of that.

What it cannot see: an effect that these few rows do not have, and state that shows after many calls only.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from estimlab.errors import EstimlabError, ImpureError, Impurity
from estimlab.model.chain import Chain
from estimlab.model.impure import impure
from estimlab.model.network import StochasticNetwork
from estimlab.model.units import BinaryUnits, LayerOfUnits, Site
from estimlab.model.watch import Watch, numpy_state

ROWS = 3
UNIT_ROWS = 8  # of a layer's drive, at which the scan of its units is tried
Objective = Callable[[Tensor, Tensor | None], Tensor]
Results = dict[str, Tensor]  # name of what was computed to one row per example


@dataclass(frozen=True, eq=False)
class Part:
    """What is called on rows.

    Attributes:
        call: maps the rows to results, by name.
        rows: arguments, (rows, ...) each; None where there is none.
    """

    call: Callable[..., Results]
    rows: tuple[Tensor | None, ...]

    @property
    def count(self) -> int:
        """Number of rows."""
        return next((len(rows) for rows in self.rows if rows is not None), 1)

    def row(self, index: int) -> Part:
        """The same on one row."""
        return Part(self.call, tuple(None if rows is None else rows[index : index + 1] for rows in self.rows))

    def reversed(self) -> Part:
        """The same on the rows from the last to the first."""
        return Part(self.call, tuple(None if rows is None else rows.flip(0) for rows in self.rows))


def private(network: StochasticNetwork) -> StochasticNetwork:
    """A copy to try things on; the network itself where it cannot be copied (weights that a hook computes)."""
    try:
        return copy.deepcopy(network)
    except (RuntimeError, TypeError):
        return network


def probe(
    network: StochasticNetwork,
    tried: StochasticNetwork,
    layered: tuple[LayerOfUnits, ...] | None,
    sites: tuple[Site, ...],
    objective: Objective,
    inputs: Tensor | None,
    targets: Tensor | None,
) -> None:
    """Raise an ``ImpureError`` unless every stage, the head and the objective are functions of one example.

    ``tried`` is a private copy of the network, which this uses up.
    """
    if tried is not network:
        try:
            return _Probe(tried.double(), layered, sites, objective).run(_double(inputs), _double(targets))
        except ImpureError:
            raise
        except Exception:  # a part that holds to its own precision
            tried = private(network)
    try:
        _Probe(tried, layered, sites, objective).run(inputs, targets)
    except EstimlabError:
        raise
    except Exception as error:
        raise EstimlabError(
            f"Problem: the network or the objective can be evaluated on all examples, but not on a few of them, or not "
            f"at all states of its units: {error}. Every stage, the head and the objective must be functions of one "
            "example, at the corners of the coding."
        ) from error


class _Probe:
    def __init__(
        self,
        network: StochasticNetwork,
        layered: tuple[LayerOfUnits, ...] | None,
        sites: tuple[Site, ...],
        objective: Objective,
    ):
        self.network, self.layered, self.sites, self.objective = network, layered, sites, objective
        self.like = next(network.parameters()).detach()

    def run(self, inputs: Tensor | None, targets: Tensor | None) -> None:
        examples = _few(inputs if inputs is not None else targets)
        inputs, targets = (None if data is None else data[examples] for data in (inputs, targets))
        if inputs is not None and len(inputs) == 1 and inputs.is_floating_point():
            inputs = torch.cat((inputs, 0.75 * inputs))  # a second example, towards zero: as likely a valid one
        watch, state = Watch(), numpy_state()
        with torch.no_grad(), watch.names_of(self.network):
            parts = self._scan(inputs, watch) if self.layered is None else self._chain(inputs, self.layered, watch)
            for part in parts:
                output = self._check(part, watch)
            if targets is not None:
                targets = targets[torch.arange(len(output), device=targets.device) % len(targets)]
            self._check(Part(partial(_named, "The objective", self.objective), (output, targets)), watch)
        if numpy_state() != state:
            raise impure(Impurity.DRAWS, "A stage, the head or the objective", "from numpy's global generator")

    def _chain(self, inputs: Tensor | None, layered: tuple[LayerOfUnits, ...], watch: Watch) -> Iterator[Part]:
        """Stage by stage, with the units of each layer, then the head."""
        chain, rows = self.network, inputs
        assert isinstance(chain, Chain)
        for k, (stage, layer) in enumerate(zip(chain.stages, layered, strict=True)):
            yield Part(partial(_named, f"The stage 'stages.{k}'", stage), (rows,))
            if not isinstance(layer.units, BinaryUnits):  # whose scan is ours
                drive = stage(rows)
                drive = drive[torch.arange(UNIT_ROWS) % len(drive)]
                states = [_bits(site, len(drive), self.like) for site in layer.sites]
                yield Part(partial(_scanned, layer, watch), (drive, *states))
                _check_units_apart(layer, watch, drive, states)
            rows = _corners(layer, ROWS, self.like)
        yield Part(partial(_named, "The head", chain.head), (rows,))

    def _scan(self, inputs: Tensor | None, watch: Watch) -> Iterator[Part]:
        """One pass at given states, every carry watched."""
        count = 1 if inputs is None else len(inputs)
        shared = {k: _bits(site, 1, self.like)[0] for k, site in enumerate(self.sites) if site.shared}
        free = [_bits(site, count, self.like) for site in self.sites if not site.shared]
        network = self.network

        def scan(inputs: Tensor | None, *states: Tensor) -> Results:
            rows, left, results = 1 if inputs is None else len(inputs), iter(states), Results()
            carry = _kept(watch, "initial(inputs)", network.initial, inputs)
            for k in range(len(self.sites)):
                state = shared[k] if k in shared else next(left)
                name = f"preactivation({k}, carry)"
                a, carry = _kept(watch, name, partial(network.preactivation, k), carry)
                results[f"The network's {name}"] = a.expand(rows, *a.shape) if k in shared else a
                name = f"advance({k}, carry, state)"
                carry = _kept(watch, name, partial(network.advance, k), carry, state)
            results["The network's output(carry)"] = _kept(watch, "output(carry)", network.output, carry)
            return results

        watch.hand_over(list(shared.values()))
        yield Part(scan, (inputs, *free))

    def _check(self, part: Part, watch: Watch) -> Tensor:
        """The last result, once the part has proved to be a function of one example."""
        results = _called(part, watch)
        again = _called(part, watch)
        name = list(results)[-1]
        for name, result in results.items():
            if not _same(result, again[name]):
                raise impure(Impurity.UNREPEATABLE, name)
            if result.ndim == 0 or len(result) != part.count:
                raise impure(Impurity.COUPLES, name, f"shape {tuple(result.shape)} for {part.count} examples")
        alone = [self._alone(part.row(index), watch, name) for index in range(part.count)]
        back = _called(part.reversed(), watch)  # finds what sorts the examples, where they are in order
        for name, result in results.items():
            if not _same(result, torch.cat([row[name] for row in alone])) or not _same(result, back[name].flip(0)):
                raise impure(Impurity.COUPLES, name)
        return results[name]

    def _alone(self, row: Part, watch: Watch, name: str) -> Results:
        try:
            return _called(row, watch)
        except EstimlabError:
            raise
        except Exception as error:  # functional batch norm of one example
            raise impure(Impurity.COUPLES, name, f"one example alone: {error}") from error


def _called(part: Part, watch: Watch) -> Results:
    """The results of one call, which neither draws nor writes."""
    given = tuple(None if rows is None else rows.clone() for rows in part.rows)
    watch.hand_over(given)
    with watch:
        results = part.call(*given)
    name = next(iter(results))
    seen = watch.incident
    if seen is not None:
        module = f"{seen.module!r}, {seen.kind}, " if seen.module else ""
        raise impure(seen.reason, name, module + seen.operation, seen.module)
    for before, after in zip(part.rows, given, strict=True):
        if before is not None and after is not None and not torch.equal(before, after):
            raise impure(Impurity.WRITES, name)
    return results


def _named(name: str, function: Callable[..., Tensor], *arguments: Tensor | None) -> Results:
    return {name: function(*arguments)}


def _kept(watch: Watch, name: str, step: Callable[..., Any], carry: Any, *state: Tensor) -> Any:
    """The result of a step, which must leave the carry as it was: its tensors, and the containers that hold them."""
    before = tree_leaves(carry)
    watch.hand_over(before)
    result = step(carry, *state)
    if list(map(id, before)) != list(map(id, tree_leaves(carry))):
        raise impure(Impurity.WRITES, f"The network's {name}", "it changes the carry")
    return result


def _few(data: Tensor | None) -> Any:
    """Numbers of a few examples, the first and the last among them."""
    count = 1 if data is None else len(data)
    return sorted({round(float(x)) for x in torch.linspace(0, count - 1, ROWS)})


def _corners(layer: LayerOfUnits, rows: int, like: Tensor) -> Tensor:
    """What a layer shows in some states: all in the first, all in the last, then mixed ones, always the same."""
    last = layer.unit_states - 1
    digits = torch.randint(0, last + 1, (rows, layer.count), generator=torch.Generator().manual_seed(0))
    digits[:1], digits[1:2] = 0, last
    return layer.show(digits.to(like.device), like)


def _bits(site: Site, rows: int, like: Tensor) -> Tensor:
    """States of a site: all low, all high, then mixed ones, always the same."""
    bits = torch.randint(0, 2, (rows, *site.shape), generator=torch.Generator().manual_seed(0))
    bits[:1], bits[1:2] = 0, 1
    return site.units.state(bits.to(like))


def _scanned(layer: LayerOfUnits, watch: Watch, drive: Tensor, *states: Tensor) -> Results:
    """Pre-activations of all steps at the given states, and the value."""
    units, results = layer.units, Results()
    memory = units.begin(drive)
    for t, state in enumerate(states):
        results[f"{units!r}.preactivation({t}, memory)"] = units.preactivation(t, memory)
        memory = _kept(watch, f"units.advance({t}, memory, state)", partial(units.advance, t), memory, state)
    results[f"{units!r}.value(memory)"] = units.value(memory)
    return results


def _check_units_apart(layer: LayerOfUnits, watch: Watch, drive: Tensor, states: list[Tensor]) -> None:
    """Raise unless each unit alone does what it does beside the others."""
    together = list(_scanned(layer, watch, drive, *states).values())
    for i in range(layer.count):
        one = LayerOfUnits(layer.units, (1, *layer.shape[1:]))
        own = [_of_unit(state, i, layer.count) for state in states]
        alone = _scanned(one, watch, drive[:, i : i + 1], *own)
        for (what, result), beside in zip(alone.items(), together, strict=True):
            if not _same(_of_unit(beside, i, layer.count).reshape(result.shape), result):
                raise EstimlabError(
                    f"Problem: the units {layer.units!r} depend on each other: {what} of unit {i} alone is another "
                    "than among the others. Given the drive, each unit is a function of its own row of it: what units "
                    "share belongs into the stage, and units that see each other are one unit of more bits."
                )


def _of_unit(numbers: Tensor, i: int, count: int) -> Tensor:
    """Those of one unit, (rows, 1, ...), of what a layer has of all its units, one after the other."""
    each = numbers.reshape(len(numbers), count, -1)[:, i : i + 1]
    return each[..., 0] if numbers.ndim == 2 and each.shape[-1] == 1 else each


def _same(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if not one.is_floating_point() or one.numel() == 0:
        return torch.equal(one, other)
    size = float(torch.where(one.isfinite(), one, 0).abs().max())
    tolerance = math.sqrt(torch.finfo(one.dtype).eps) * size
    return torch.allclose(one, other, rtol=0, atol=tolerance, equal_nan=True)


def _double(data: Tensor | None) -> Tensor | None:
    return data.double() if data is not None and data.is_floating_point() else data
