"""What a layer is made of: binary units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from torch import Tensor

from estimlab.declared import Declared
from estimlab.errors import EstimlabError
from estimlab.model.laws import Logistic, NoiseLaw


@final
@dataclass(frozen=True)
class BinaryUnits(Declared):
    """The law of a site's states: ``high`` with probability ``law.cdf(a)``, ``low`` otherwise.

    The coding is data: with ``state = low + (high - low) * bit`` a local backward rule ``d bit / d a`` becomes
    ``d state / d a = (high - low) * d bit / d a``.

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
