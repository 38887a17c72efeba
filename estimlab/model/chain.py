"""The chain: deterministic stages with a layer of units after each, and a head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from estimlab.declared import Checked
from estimlab.errors import EstimlabError
from estimlab.model import arguments
from estimlab.model.laws import NoiseLaw
from estimlab.model.network import StochasticNetwork
from estimlab.model.units import LayerOfUnits, Site, Units


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
    """Layers of units in a row: ``x_k = units_k(stage_k(x_{k-1}))``, output ``head(x_L)``.

    Args:
        stages: one deterministic module per stochastic layer (Linear, a Sequential of Conv2d and a norm in eval mode,
            ``Logits``, ...), mapping a batch of what the layer below shows to the drive of its units.
        head: module that maps the last states to the output; the identity by default.
        units: one kind for all layers or one per stage; ``BinaryUnits()`` by default. A law stands for binary units of
            this law with states -1 and +1.

    >>> import estimlab as el
    >>> network = el.Chain([nn.Linear(3, 2), nn.Linear(2, 2)], head=nn.Linear(2, 1))
    >>> [site.size for site in network.sites(torch.zeros(1, 3))], list(network.layers())
    ([2, 2], ['0', '1', 'head'])
    """

    def __init__(
        self,
        stages: Sequence[nn.Module],
        head: nn.Module | None = None,
        units: Units | type[Units] | NoiseLaw | str | Sequence[Units | NoiseLaw] | None = None,
    ):
        super().__init__()
        self.stages = nn.ModuleList(arguments.modules(stages, "Chain", "stages"))
        self.head = nn.Identity() if head is None else arguments.module(head, "Chain", "head")
        self.units = arguments.units_of_layers(units, len(self.stages))
        self._steps = [(k, t) for k, kind in enumerate(self.units) for t in range(kind.length)]

    def layered(self, inputs: Tensor | None) -> tuple[LayerOfUnits, ...]:
        """The layers; shapes are read off a pass of the first two examples, every unit low."""
        layers: list[LayerOfUnits] = []
        below = None if inputs is None else inputs[:2]  # of one, functional batch norm fails without a name
        with torch.no_grad():
            for stage, units in zip(self.stages, self.units, strict=True):
                drive = stage(below)
                layers.append(LayerOfUnits(units, tuple(drive.shape[1:])))
                below = _lowest(units, drive)
        return tuple(layers)

    def sites(self, inputs: Tensor | None) -> tuple[Site, ...]:
        """The steps of all layers, one after the other."""
        return tuple(site for layer in self.layered(inputs) for site in layer.sites)

    def initial(self, inputs: Tensor | None) -> Tensor | None:
        """Between layers the carry is what the layer below shows, at first the input; within one, the units' memory."""
        return inputs

    def preactivation(self, k: int, carry: Any) -> tuple[Tensor, Any]:
        """Those of the units' next step, of shape (batch, \\*site.shape); a layer begins with ``stage(state)``."""
        layer, t = self._steps[k]
        units = self.units[layer]
        memory = carry if t else units.begin(self.stages[layer](carry))
        return units.preactivation(t, memory), memory

    def advance(self, k: int, carry: Any, state: Tensor) -> Any:
        """The units' memory, or, after the last step of a layer, what it shows."""
        layer, t = self._steps[k]
        units = self.units[layer]
        memory = units.advance(t, carry, state)
        return units.value(memory) if t + 1 == units.length else memory

    def begins_layer(self, k: int) -> bool:
        """Whether it is the first step of its units."""
        return self._steps[k][1] == 0

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


def _lowest(units: Units, drive: Tensor) -> Tensor:
    """What the layer above reads where every bit is low."""
    shape = tuple(drive.shape[1:])
    memory = units.begin(drive)
    for t in range(units.length):
        a, site = units.preactivation(t, memory), units.site(t, shape)
        if tuple(a.shape[1:]) != site.shape:
            raise EstimlabError(
                f"Chain: of a drive of shape {shape} for each example, {units!r} makes pre-activations of shape "
                f"{tuple(a.shape[1:])} in step {t}, and says that it has bits of shape {site.shape}. A stage gives "
                "each unit a row of its own, as nn.Sequential(nn.Linear(...), nn.Unflatten(1, (units, numbers)))."
            )
        memory = units.advance(t, memory, torch.full_like(a, site.units.low))
    return units.value(memory)
