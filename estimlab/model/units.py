"""What a layer is made of: units, each a short scan of binary steps given the layer's drive."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from estimlab.declared import Declared
from estimlab.errors import EstimlabError
from estimlab.model import scan
from estimlab.model.laws import Logistic, NoiseLaw
from estimlab.model.local_map import LocalMap, ScalarMap

Factors = Callable[[Tensor, NoiseLaw], tuple[Tensor, Tensor]]
"""Mean and second moment of a local backward rule's factor ``d bit / d a``, (2, ...) each: for bit 0 and bit 1."""


@dataclass(frozen=True)
class Units(Declared, abc.ABC):
    """What a layer is made of: units side by side, independent of each other given the layer's *drive* (our design).

    The stage before the layer gives the drive, of shape (batch, units, ...): all that a unit needs is in its own row.
    A unit is a short scan of binary steps: ``memory = begin(drive)``; at step t its bits are high with ``P(high) =
    F(preactivation(t, memory))`` and ``memory = advance(t, memory, state)``; ``value(memory)`` is what the layer above
    reads. A kind of units is a frozen dataclass that writes the six abstract methods and owns no parameter; exact
    gradients and moments are derived from them along all paths of one unit, and overridden where a closed form is
    faster.

    Errors:
        EstimlabError: units that see each other, or a value that depends on the drive, as a problem is made of them.
    """

    @property
    @abc.abstractmethod
    def length(self) -> int:
        """Number of steps."""

    @abc.abstractmethod
    def site(self, t: int, shape: tuple[int, ...]) -> Site:
        """Shape, law and coding of the bits of step t in a layer whose drive has this shape (without the batch)."""

    @abc.abstractmethod
    def begin(self, drive: Tensor) -> Any:
        """The memory before the first step: a tensor, or a tuple, list or dict of tensors."""

    @abc.abstractmethod
    def preactivation(self, t: int, memory: Any) -> Tensor:
        """Pre-activations of step t, of shape (batch, \\*site.shape)."""

    @abc.abstractmethod
    def advance(self, t: int, memory: Any, state: Tensor) -> Any:
        """The memory after step t took the given state; what it was given is left as it was."""

    @abc.abstractmethod
    def value(self, memory: Any) -> Tensor:
        """What the layer above reads after the last step, (batch, units * C): a function of the states alone."""

    def count(self, shape: tuple[int, ...]) -> int:
        """Number of units of a layer whose drive has this shape: the first dimension."""
        return shape[0]

    def values(self, shape: tuple[int, ...], like: Tensor) -> Float[Tensor, "S C"]:
        """What the layer above reads of a unit in each of its states."""
        return scan.paths_of(self, shape).values.to(like)

    def show(self, values: Float[Tensor, "rows n C"], shape: tuple[int, ...]) -> Tensor:
        """The values of all units as the layer above reads them."""
        return values.flatten(1)

    def probabilities(self, drive: Tensor) -> Float[Tensor, "n S rows"]:
        """P(state of a unit | drive), differentiable."""
        return scan.probabilities(self, drive)

    def pull(
        self, drive: Tensor, conditional: Float[Tensor, "targets n S rows"]
    ) -> Float[Tensor, "targets numbers rows"]:
        """The derivative of ``sum_s P(s | drive) conditional(s)`` by each number of the drive."""
        return scan.pull(self, drive, conditional)

    def backward(self, drive: Tensor, factors: Factors) -> LocalMap:
        """Moments of the map from the cotangent of a unit's value to that of its drive, under a local backward rule."""
        return scan.local_map(self, drive, factors)


@final
@dataclass(frozen=True)
class BinaryUnits(Units):
    """One binary step: ``high`` with probability ``law.cdf(a)``, ``low`` otherwise; the drive is the pre-activation.

    The coding is data: with ``state = low + (high - low) * bit`` a local backward rule ``d bit / d a`` becomes
    ``d state / d a = (high - low) * d bit / d a``. The drive may have any shape.

    Attributes:
        law: noise law, ``Logistic(scale=1.0)`` by default.
        low: value of the low state, -1 by default.
        high: value of the high state, +1 by default; must exceed ``low``.

    >>> import estimlab as el
    >>> from torch import tensor
    >>> el.BinaryUnits(el.Gaussian(), low=0.0, high=2.0).state(bit=tensor([0.0, 1.0])).tolist()
    [0.0, 2.0]
    """

    law: NoiseLaw = Logistic()
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            raise EstimlabError(
                f"BinaryUnits(low={self.low}, high={self.high}): low must be smaller than high, and both finite."
            )

    @classmethod
    def called(cls) -> str:
        """What they are called in a sentence."""
        return "one or several el.BinaryUnits, as el.BinaryUnits(el.Logistic(), low=0, high=1)"

    @property
    def gap(self) -> float:
        """``high - low``."""
        return self.high - self.low

    def state(self, bit: Tensor) -> Tensor:
        """The state of a bit: ``low + (high - low) * bit``, exactly ``low`` or ``high`` at the corners."""
        return self.low + self.gap * bit

    def bit(self, state: Tensor) -> Tensor:
        """The bit of a state, 0.0 or 1.0."""
        return (state > (self.low + self.high) / 2).to(state.dtype)

    @property
    def length(self) -> int:
        """One step."""
        return 1

    def site(self, t: int, shape: tuple[int, ...]) -> Site:
        """A bit for each number of the drive."""
        return Site(shape, self)

    def begin(self, drive: Tensor) -> Tensor:
        """The pre-activations."""
        return drive

    def preactivation(self, t: int, memory: Tensor) -> Tensor:
        """The drive."""
        return memory

    def advance(self, t: int, memory: Tensor, state: Tensor) -> Tensor:
        """The state."""
        return state

    def value(self, memory: Tensor) -> Tensor:
        """The state, in the drive's shape."""
        return memory

    def count(self, shape: tuple[int, ...]) -> int:
        """A unit for each number of the drive."""
        return math.prod(shape)

    def values(self, shape: tuple[int, ...], like: Tensor) -> Float[Tensor, "2 1"]:
        """The low state and the high one."""
        return self.state(torch.arange(2, dtype=like.dtype, device=like.device))[:, None]

    def show(self, values: Float[Tensor, "rows n 1"], shape: tuple[int, ...]) -> Tensor:
        """The states, in the drive's shape."""
        return values.reshape(-1, *shape)

    def probabilities(self, drive: Tensor) -> Float[Tensor, "n 2 rows"]:
        """F(-a) and F(a): that of the low state is not formed as ``1 - F(a)``, which loses small probabilities."""
        a = drive.flatten(1).T
        return self.law.cdf(torch.stack((a.neg(), a), 1))

    def pull(self, drive: Tensor, conditional: Float[Tensor, "targets n 2 rows"]) -> Float[Tensor, "targets n rows"]:
        """``F'(a)`` times the difference of the values at high and low."""
        return (conditional[:, :, 1] - conditional[:, :, 0]) * self.law.density(drive.flatten(1).T)

    def backward(self, drive: Tensor, factors: Factors) -> ScalarMap:
        """The factor, times ``high - low``."""
        mean, square = factors(drive.flatten(1), self.law)
        return ScalarMap.of_factors(mean * self.gap, square * self.gap**2)


@dataclass(frozen=True)
class Site:
    """One group of binary units that are independent given the carry.

    Attributes:
        shape: shape of the site's pre-activations for one example, without the batch dimension.
        units: law and coding of the states.
        shared: True where one state serves all examples (a weight); such a site has no batch dimension.

    >>> import estimlab as el
    >>> el.Site((8, 4, 4), el.BinaryUnits()).size
    128
    """

    shape: tuple[int, ...]
    units: BinaryUnits
    shared: bool = False

    @property
    def size(self) -> int:
        """Number of bits."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class LayerOfUnits:
    """Units side by side.

    Attributes:
        units: their kind.
        shape: shape of the layer's drive for one example, without the batch dimension.

    >>> import estimlab as el
    >>> from estimlab.model.units import LayerOfUnits
    >>> layer = LayerOfUnits(el.BinaryUnits(), (3,))
    >>> layer.states, layer.table(torch.empty(0), 2, 4).tolist()
    (8, [[-1.0, 1.0, -1.0], [-1.0, 1.0, 1.0]])
    """

    units: Units
    shape: tuple[int, ...]

    @property
    def sites(self) -> tuple[Site, ...]:
        """The steps of the scan."""
        return tuple(self.units.site(t, self.shape) for t in range(self.units.length))

    @cached_property
    def count(self) -> int:
        """Number of units."""
        return self.units.count(self.shape)

    @cached_property
    def unit_states(self) -> int:
        """Number of states of one unit."""
        return len(self.units.values(self.shape, torch.empty(0)))

    @cached_property
    def shown(self) -> int:
        """Number of numbers that the layer above reads of one unit."""
        return self.units.values(self.shape, torch.empty(0)).shape[1]

    @cached_property
    def states(self) -> int:
        """Number of joint states."""
        return self.unit_states**self.count

    def digits(self, start: int, stop: int, device: torch.device) -> Int[Tensor, "rows n"]:
        """The state of each unit in joint states number ``start .. stop - 1``; unit 0 is the most significant."""
        index = torch.arange(start, stop, device=device)[:, None]
        places, size = torch.arange(self.count - 1, -1, -1, device=device), self.unit_states
        if size == 2:
            return (index >> places) & 1
        return torch.div(index, size**places, rounding_mode="floor") % size

    def table(self, like: Tensor, start: int, stop: int) -> Tensor:
        """What the layer above reads in joint states number ``start .. stop - 1``."""
        return self.show(self.digits(start, stop, like.device), like)

    def show(self, digits: Int[Tensor, "rows n"], like: Tensor) -> Tensor:
        """What the layer above reads where the units are in these states."""
        values = self.units.values(self.shape, like)
        if len(values) == 2:  # faster than looking up
            return self.units.show(torch.where(digits[..., None] > 0, values[1], values[0]), self.shape)
        return self.units.show(values[digits], self.shape)
