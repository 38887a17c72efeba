"""The abstract stochastic network: sites of binary units, stepped one by one like a scan."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from estimlab.declared import Checked
from estimlab.model.units import LayerOfUnits, Site

Activation = Callable[[int, Tensor, Any], Tensor]
"""``activation(k, a, carry)``: the states of site k, from its pre-activations and the carry that they will advance."""


def all_low(sites: tuple[Site, ...]) -> Activation:
    """Every unit low."""
    return lambda k, a, carry: torch.full_like(a, sites[k].units.low)


class StochasticNetwork(Checked, nn.Module, abc.ABC):
    """A network of binary units, stepped site by site.

    At site k ``a, carry = preactivation(k, carry)``; its units are drawn independently, high with ``P(high) = F(a)``;
    ``carry = advance(k, carry, state)``. The step methods are pure: a carry is never mutated, so two futures of one
    state are had by calling ``advance`` twice. ``run`` and ``through`` are the loop over the sites, for whatever gives
    the states. The blocks of a gradient are the module's ``named_parameters()``. A network may detach states, never a
    parameter.

    >>> import estimlab as el
    >>> network = el.Chain([el.Logits([0.0, 1.0])])
    >>> a, carry = network.preactivation(0, network.initial(None))
    >>> all_high = network.advance(0, carry, state=a.new_ones(1, 2))
    >>> network.output(all_high).tolist()
    [[1.0, 1.0]]
    >>> network.run(None, lambda k, a, carry: a.sign(), sites=1).tolist()
    [[0.0, 1.0]]
    """

    @abc.abstractmethod
    def sites(self, inputs: Tensor | None) -> tuple[Site, ...]:
        """The sites in the order in which they are stepped; inputs of shape (batch, ...) or None."""

    @abc.abstractmethod
    def initial(self, inputs: Tensor | None) -> Any:
        """The carry before the first site."""

    @abc.abstractmethod
    def preactivation(self, k: int, carry: Any) -> tuple[Tensor, Any]:
        """Pre-activations of site k, of shape (batch, \\*site.shape), and the carry."""

    @abc.abstractmethod
    def advance(self, k: int, carry: Any, state: Tensor) -> Any:
        """The carry after site k took the given state."""

    @abc.abstractmethod
    def output(self, carry: Any) -> Tensor:
        """The output, of shape (batch, ...), after the last site."""

    def run(self, inputs: Tensor | None, activation: Activation, sites: int) -> Tensor:
        """The output of one pass in which ``activation(k, a, carry)`` gives the states of site k.

        Args:
            inputs: of shape (batch, ...), or None.
            activation: called once per site, in order; its carry is the one that the states will advance.
            sites: number of the network's sites.
        """
        return self.output(self.through(self.initial(inputs), activation, 0, sites))

    def through(self, carry: Any, activation: Activation, start: int, stop: int) -> Any:
        """The carry after the sites ``start .. stop - 1``, from the carry before them."""
        for k in range(start, stop):
            a, carry = self.preactivation(k, carry)
            carry = self.advance(k, carry, activation(k, a, carry))
        return carry

    def layered(self, inputs: Tensor | None) -> tuple[LayerOfUnits, ...] | None:
        """Its layers, where it is a chain of them: what exact engines walk. None elsewhere."""
        return None

    def begins_layer(self, k: int) -> bool:
        """Whether the pre-activations of site k are a pass through a stage; true of every site by default."""
        return True

    def layers(self) -> dict[str, tuple[str, ...]]:
        """Names of the blocks that make up each layer, in order; by default the parameters of each child module."""
        groups: dict[str, list[str]] = {}
        for name, _ in self.named_parameters():
            groups.setdefault(name.rsplit(".", 1)[0] if "." in name else "network", []).append(name)
        return {layer: tuple(blocks) for layer, blocks in groups.items()}
