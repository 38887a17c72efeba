"""Units of more than two states, and small problems on them: a ternary unit, and the one that the docs show."""

import dataclasses
import re
import sys
import types
from pathlib import Path

import torch
from torch import nn

import estimlab as el

PAGE = Path(__file__).parents[1] / "docs" / "units.md"
LOGISTIC = el.Logistic()


@dataclasses.dataclass(frozen=True)
class Ternary(el.Units):
    """-1, 0 or 1: whether it is active, then its sign; both signs of an inactive unit are one state."""

    law: el.NoiseLaw = LOGISTIC

    @property
    def length(self):
        return 2

    def site(self, t, shape):
        return el.Site(shape[:1], el.BinaryUnits(self.law, float(t) * -1.0, 1.0))

    def begin(self, drive):
        return drive, torch.zeros_like(drive[..., 0])

    def preactivation(self, t, memory):
        return memory[0][..., t]

    def advance(self, t, memory, state):
        return memory[0], state if t == 0 else memory[1] * state

    def value(self, memory):
        return memory[1]


def _of_the_docs():
    """The file that the page shows, as a module."""
    module = sys.modules["refractory"] = types.ModuleType("refractory")
    exec(compile(FILE, "refractory.py", "exec"), vars(module))
    return module.Refractory


(FILE,) = re.findall(r"```python\n(# refractory.py.*?)```", PAGE.read_text(), re.DOTALL)
Refractory = _of_the_docs()
KINDS = ("ternary", "refractory", "mixed")


def stage(below, units, each):
    """A stage that is not linear, whose parameters enter all numbers of a drive."""
    return nn.Sequential(nn.Linear(below, units * each), nn.Tanh(), nn.Unflatten(1, (units, each)))


def problem_of(kind, batch=2):
    chains = {
        "ternary": ([stage(3, 2, 2), stage(2, 2, 2)], 2, Ternary()),
        "refractory": ([stage(3, 1, 3), stage(3, 2, 3)], 6, Refractory()),
        "mixed": (
            [stage(3, 1, 3), nn.Linear(3, 2), stage(2, 2, 2)],
            2,
            [Refractory(law=el.Logistic()), el.BinaryUnits(el.Triangular(3.0), 0, 2), Ternary(el.Gaussian())],
        ),
    }
    stages, width, units = chains[kind]
    network = el.Chain(stages, head=nn.Linear(width, 2), units=units).double()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    inputs = torch.randn(batch, 3, generator=generator, dtype=torch.float64)
    return el.Problem(network, el.CrossEntropy(), inputs, torch.arange(batch) % 2)
