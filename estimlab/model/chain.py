"""The chain: deterministic stages with a layer of binary units after each, and a head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from estimlab.declared import Checked
from estimlab.model import arguments
from estimlab.model.laws import NoiseLaw
from estimlab.model.network import Site, StochasticNetwork
from estimlab.model.units import BinaryUnits


class Logits(Checked, nn.Module):
    """A stage without input: its pre-activations are a parameter of the given size (zeros, or the values given).

    ``Logits(4)`` makes four units; ``Logits([0.3, -1.0])`` two units that start at these pre-activations.

    >>> import estimlab as el
    >>> one_example_of_two_units = el.Logits([0.3, -1.0])(None)
    >>> tuple(one_example_of_two_units.shape)
    (1, 2)
    """

    def __init__(self, values: int | Sequence[float] | Float[Tensor, " units"]):
        super().__init__()
        self.logits = nn.Parameter(arguments.numbers(values, "Logits", "values"))

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
        units: law and coding, one for all layers or one per stage; ``BinaryUnits()`` by default. A law stands for units
            of this law with states -1 and +1.

    >>> import estimlab as el
    >>> network = el.Chain([nn.Linear(3, 2), nn.Linear(2, 2)], head=nn.Linear(2, 1))
    >>> [site.size for site in network.sites(torch.zeros(1, 3))], list(network.layers())
    ([2, 2], ['0', '1', 'head'])
    """

    def __init__(
        self,
        stages: Sequence[nn.Module],
        head: nn.Module | None = None,
        units: BinaryUnits | NoiseLaw | str | Sequence[BinaryUnits | NoiseLaw] | None = None,
    ):
        super().__init__()
        self.stages = nn.ModuleList(arguments.modules(stages, "Chain", "stages"))
        self.head = nn.Identity() if head is None else arguments.module(head, "Chain", "head")
        self.units = arguments.units_of_layers(units, len(self.stages))

    def sites(self, inputs: Tensor | None) -> tuple[Site, ...]:
        """One site per stage; shapes are read off a pass of the first two examples, every unit low."""
        sites: list[Site] = []
        carry = None if inputs is None else inputs[:2]  # of one, functional batch norm fails without a name
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
