"""The chain: deterministic stages with a layer of binary units after each, and a head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from estimlab.errors import EstimlabError
from estimlab.model.base import Site, StochasticNetwork
from estimlab.model.units import BinaryUnits


class Logits(nn.Module):
    """A stage without input: its pre-activations are a parameter of the given size (zeros, or the values given).

    ``Logits(4)`` makes four units; ``Logits([0.3, -1.0])`` two units that start at these pre-activations.
    """

    def __init__(self, values: int | Sequence[float] | Float[Tensor, " units"]):
        super().__init__()
        start = torch.zeros(values) if isinstance(values, int) else torch.as_tensor(values)
        self.logits = nn.Parameter(start.to(torch.get_default_dtype()) if not start.is_floating_point() else start)

    def forward(self, inputs: Tensor | None) -> Float[Tensor, "batch units"]:
        """The same pre-activations for every example; one example where there is no input."""
        batch = 1 if inputs is None else len(inputs)
        return self.logits.expand(batch, *self.logits.shape)

    def extra_repr(self) -> str:
        """Size, for ``print``."""
        return str(self.logits.numel())


class Chain(StochasticNetwork):
    """Layers of binary units in a row: ``x_k = units(stage_k(x_{k-1}))``, output ``head(x_L)``.

    Args:
        stages: one deterministic module per stochastic layer (Linear, a Sequential of Conv2d and a norm in eval mode,
            ``Logits``, ...), mapping a batch of states to a batch of pre-activations.
        head: module that maps the last states to the output; the identity by default.
        units: law and coding, one for all layers or one per stage; ``BinaryUnits()`` by default.
    """

    def __init__(
        self,
        stages: Sequence[nn.Module],
        head: nn.Module | None = None,
        units: BinaryUnits | Sequence[BinaryUnits] | None = None,
    ):
        super().__init__()
        if len(stages) == 0:
            raise EstimlabError("Chain(stages=[]): a chain needs at least one stage, for example nn.Linear(64, 10).")
        self.stages = nn.ModuleList(stages)
        self.head = nn.Identity() if head is None else head
        units = BinaryUnits() if units is None else units
        self.units = (units,) * len(stages) if isinstance(units, BinaryUnits) else tuple(units)
        if len(self.units) != len(stages):
            raise EstimlabError(
                f"Chain got {len(stages)} stages and {len(self.units)} units: give one BinaryUnits for all layers "
                "or exactly one per stage."
            )

    def sites(self, inputs: Tensor | None) -> tuple[Site, ...]:
        """One site per stage; shapes are read off a pass of the first example, every unit low."""
        sites: list[Site] = []
        carry = None if inputs is None else inputs[:1]
        with torch.no_grad():
            for k, units in enumerate(self.units):
                a, _ = self.preactivation(k, carry)
                sites.append(Site(tuple(a.shape[1:]), units))
                carry = torch.full_like(a, units.low)
        return tuple(sites)

    def initial(self, inputs: Tensor | None) -> Tensor | None:
        """The carry is the state alone, at first the input."""
        return inputs

    def preactivation(self, k: int, carry: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """``stage_k(state)``, of shape (batch, \\*site.shape)."""
        return self.stages[k](carry), carry

    def advance(self, k: int, carry: Tensor | None, state: Tensor) -> Tensor:
        """The new state replaces the old one."""
        return state

    def output(self, carry: Tensor) -> Tensor:
        """``head(last state)``."""
        return self.head(carry)

    def layers(self) -> dict[str, tuple[str, ...]]:
        """Layers ``"0", "1", ...`` (weight and bias of a stage together), then ``"head"``; those with parameters."""
        groups: dict[str, list[str]] = {}
        for name, _ in self.named_parameters():
            part, _, rest = name.partition(".")
            groups.setdefault("head" if part == "head" else rest.split(".")[0], []).append(name)
        return {layer: tuple(blocks) for layer, blocks in groups.items()}
