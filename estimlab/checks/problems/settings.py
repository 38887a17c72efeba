"""The dimensions in which the problems of the checks differ, and problems made of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from estimlab.checks.problems.cases import Case
from estimlab.checks.report import Cause
from estimlab.errors import EstimlabError

Layer = int | tuple[int, int]
Coding = tuple[float, float]
Reward = Literal["f", "100 f", "f + 100"]

CENTRE = (0.7, -0.4, 0.5, -0.8, 0.2, -0.6)  # pre-activations, in units of the law's scale
TAIL = {"Logistic": (12.0, -20.0), "Gaussian": (4.5, -6.5), "Uniform": (1.5, -20.0), "Triangular": (1.5, -20.0)}
INPUTS = [[0.3, -1.0], [1.0, 0.4], [-0.5, 0.9]]
TARGETS = [0.8, -0.5, 0.2]
SINES = """\
def sines(parameter, size):
    return size * torch.sin(torch.arange(1.0, 1 + parameter.numel())).reshape(parameter.shape)


"""

WEIGHTS = """\
class Weights(el.StochasticNetwork):
    def __init__(self, stages, head, units):
        super().__init__()
        self.stages, self.head, self.units = nn.ModuleList(stages), head, units

    def sites(self, inputs):
        return (el.Site(self.stages[0].logits.shape, self.units, shared=True),)

    def initial(self, inputs):
        return inputs

    def preactivation(self, k, carry):
        return self.stages[k].logits, carry

    def advance(self, k, carry, state):
        return state[None] if carry is None else carry[:, : len(state)] * state

    def output(self, carry):
        return carry if self.head is None else self.head(carry)


"""


@dataclass(frozen=True)
class Setting:
    """A problem by its dimensions; the first value of each is the plain one.

    Attributes:
        layers: units of every layer; a pair for units in maps.
        law: name of the noise law.
        scale: of the law and of all pre-activations.
        coding: low and high state.
        batch: examples; a single one has no input.
        tail: whether pre-activations of the first layer lie far out.
        target: whether the objective reads a target.
        reward: what is minimised, f of the given degree in each unit.
        head: whether a linear head maps the last states to the output.
        shared: whether all examples share the states of the only layer: weights, which multiply the inputs.
        null: of ``null (x - low)(x - high)``, which is zero on the corners; summed over the output.
        degree: of f.
    """

    layers: tuple[Layer, ...] = (1,)
    law: str = "Logistic"
    scale: float = 1.0
    coding: Coding = (0.0, 1.0)
    batch: int = 1
    tail: bool = False
    target: bool = False
    reward: Reward = "f"
    head: bool = False
    shared: bool = False
    null: float = 0.0
    degree: int = 2

    @property
    def unserved(self) -> type[Exception]:
        """How an estimator does not serve this problem: by a refusal; where examples share states, by any error.

        An estimator for states of each example need not know other ones: it may fail there, but not be wrong.
        """
        return Exception if self.shared else EstimlabError

    @property
    def widths(self) -> tuple[int, ...]:
        """Units of every layer."""
        return tuple(layer if isinstance(layer, int) else math.prod(layer) for layer in self.layers)

    @property
    def units(self) -> int:
        """Of all layers."""
        return sum(self.widths)

    @property
    def noise(self) -> str:
        """The law as Python."""
        return f"el.{self.law}()" if self.scale == 1 else f"el.{self.law}(scale={self.scale:g})"

    @property
    def title(self) -> str:
        """In words, of what is not plain only where it is worth a word."""
        low, high = self.coding
        words = [_layers(self.layers), self.noise, f"states {low:g} and {high:g}", f"degree {self.degree}"]
        words += [f"{self.batch} examples"] * (self.batch > 1) + ["in the tail"] * self.tail
        words += ["with a target"] * self.target + ["with a head"] * self.head
        words += ["weights that all examples share"] * self.shared
        words += [f"objective {self.reward}"] * (self.reward != "f")
        words += [f"plus {self.null} (x - low)(x - high)"] * (self.null != 0)
        return ", ".join(words)

    @cached_property
    def case(self) -> Case:
        """The problem as source."""
        return Case(
            self.title, "".join((SINES, WEIGHTS * self.shared, self._network(), self._parameters(), self._objective()))
        )

    def _network(self) -> str:
        low, high = self.coding
        stages = [self._first()]
        for below, above in zip(self.widths, self.layers[1:], strict=False):
            stages.append(f"nn.Linear({below}, {above})")
        if self.depth > 1 and not isinstance(self.layers[0], int):
            stages[1] = f"nn.Sequential(nn.Flatten(), {stages[1]})"
        head = "None"
        if self.head:
            head = f"nn.Linear({self.widths[-1]}, 1)"
            if not isinstance(self.layers[-1], int):
                head = f"nn.Sequential(nn.Flatten(), {head})"
        stages_ = "[" + ", ".join(stages) + "]"
        units = f"el.BinaryUnits({self.noise}, {low}, {high})"
        kind = "Weights" if self.shared else "el.Chain"
        return f"network = {kind}({stages_}, {head}, {units})\nnetwork = network.double()\n"

    @property
    def depth(self) -> int:
        """Layers."""
        return len(self.layers)

    @property
    def _free(self) -> bool:
        """Whether pre-activations of the first layer are parameters, and no function of an input."""
        return self.batch == 1 or self.shared

    def _first(self) -> str:
        layer, width = self.layers[0], self.widths[0]
        first = f"el.Logits({width})" if self._free else f"nn.Linear(2, {width})"
        return first if isinstance(layer, int) else f"nn.Sequential({first}, nn.Unflatten(1, {layer}))"

    def _parameters(self) -> str:
        """Sines as weights; the first layer's pre-activations, or biases, as given."""
        found = TAIL[self.law] if self.tail else CENTRE
        start = [value * self.scale for value in (found * 6)[: self.widths[0]]]
        which = "logits" if self._free else "bias"
        return f"""\
with torch.no_grad():
    for name, parameter in network.named_parameters():
        size = {0.3 * self.scale:g} if name.endswith("bias") else {0.4 * self.scale:g}
        parameter.copy_(sines(parameter, 1.0 if name.startswith("head") else size))
        if name.startswith("stages.0") and name.endswith("{which}"):
            parameter.copy_(torch.tensor({start}).reshape(parameter.shape))
"""

    def _objective(self) -> str:
        low, high = self.coding
        size = 1 if self.head else self.widths[-1]
        weights = [round((0.6 + 0.5 * j / max(1, size - 1)) / (high - low), 4) for j in range(size)]
        shift = "target[:, None]" if self.target else "1 / 3"
        value = f"((x * torch.tensor({weights}, dtype=x.dtype) + {shift}) ** {self.degree}).prod(1)"
        value = {"f": value, "100 f": f"100 * {value}", "f + 100": f"{value} + 100"}[self.reward]
        value += f" + {self.null} * ((x - {low}) * (x - {high})).sum(1)" if self.null else ""
        inputs = f", torch.tensor({INPUTS[: self.batch]}).double()" if self.batch > 1 else ""
        targets = f", targets=torch.tensor({TARGETS[: self.batch]}).double()" if self.target else ""
        return f"""

def objective(x, target):
    x = x.flatten(1)
    return {value}


problem = el.Problem(network, objective{inputs}{targets})
"""


PLAIN = Setting()
CAUSES: dict[str, Cause] = {
    "tail": "tail",
    "law": "law",
    "scale": "law",
    "coding": "coding",
    "target": "target",
    "reward": "objective",
    "head": "layer",
    "batch": "batch",
    "shared": "batch",
}
"""The word for each dimension but the layers, whose number and widths are two."""


def _layers(layers: tuple[Layer, ...]) -> str:
    if layers in ((1,), (2,)):
        return "one unit" if layers == (1,) else "2 units"
    shown = ", ".join(str(layer) if isinstance(layer, int) else f"{layer[0]} x {layer[1]}" for layer in layers)
    return f"{shown} units" if len(layers) == 1 else f"layers of {shown} units"


def plainer(setting: Setting) -> Iterator[tuple[Cause, str, Setting]]:
    """The setting with one dimension made plain: the word for it, what it was in words, and what is left."""
    if setting.depth > 1:
        for kept in (setting.layers[-1:], setting.layers[:1]):
            yield "layer", f"{setting.depth} layers", replace(setting, layers=kept)
        if setting.depth > 2:
            yield "layer", f"{setting.depth} layers", replace(setting, layers=setting.layers[1:])
    if setting.layers != (1,) * setting.depth:
        words = "units in maps" if any(not isinstance(layer, int) for layer in setting.layers) else ""
        words = words or f"{max(setting.widths)} units in a layer"
        yield "width", words, replace(setting, layers=(1,) * setting.depth)
        if max(setting.widths) > 2 or words == "units in maps":
            narrow = tuple(min(width, 2) for width in setting.widths)
            yield "width", words, replace(setting, layers=narrow)
    for name, cause in CAUSES.items():
        value, plain = getattr(setting, name), getattr(PLAIN, name)
        if value != plain:
            yield cause, in_words(setting, name), replace(setting, **{name: plain})


def in_words(setting: Setting, name: str) -> str:
    """The value of a dimension."""
    low, high = setting.coding
    return {
        "batch": f"{setting.batch} example(s)",
        "law": f"el.{setting.law}",
        "scale": f"{setting.noise}",
        "coding": f"states {low:g} and {high:g}",
        "tail": "pre-activations in the tail",
        "target": "a target" if setting.target else "no target",
        "reward": f"an objective {setting.reward}",
        "head": "a head" if setting.head else "no head",
        "shared": "weights that all examples share" if setting.shared else "states of each example",
    }[name]
