"""The small problems of the checks, as source: what a report prints is what was run."""

from __future__ import annotations

import dataclasses
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from estimlab.estimators.base import Estimator
from estimlab.model.problem import Problem

CODINGS = ((0.0, 1.0), (-1.0, 1.0))
PRE_ACTIVATIONS = (0.7, -0.4)
IMPORTS = "import torch\nfrom torch import nn\n\nimport estimlab as el\n"


@dataclass(frozen=True)
class Case:
    """A problem.

    Attributes:
        title: what it is, in a few words.
        source: Python that defines ``problem``, after ``IMPORTS``.
    """

    title: str
    source: str

    def build(self) -> Problem:
        """Run the source; torch's global generator, from which modules initialise, is left as it was."""
        names: dict[str, Any] = {}
        with torch.random.fork_rng(devices=[]):
            exec(compile(IMPORTS + self.source, f"<{self.title}>", "exec"), names)
        problem = names["problem"]
        assert isinstance(problem, Problem)
        return problem

    def snippet(self, estimator: Estimator, shown: str) -> str:
        """A program of its own: imports, the estimator, the problem, and lines that show what is wrong."""
        return f"{IMPORTS}{estimator_source(estimator)}\n{self.source}\n{shown}\n"


def one_layer(
    size: int, degree: int, law: str = "Logistic()", coding: tuple[float, float] = CODINGS[0], null: float = 0.0
) -> Case:
    """Units without input; an objective of the given degree in each, plus ``null`` (x - low)(x - high), summed."""
    low, high = coding
    weights = [0.6, 1.1][:size]
    extension = f" + {null} * ((x - {low}) * (x - {high})).sum(1)" if null else ""
    source = f"""\
stage = el.Logits(torch.tensor({list(PRE_ACTIVATIONS[:size])}, dtype=torch.float64))
network = el.Chain([stage], units=el.BinaryUnits(el.{law}, {low}, {high}))


def objective(x, target):
    return ((x * torch.tensor({weights}, dtype=x.dtype) + 1 / 3) ** {degree}).prod(1){extension}


problem = el.Problem(network, objective)
"""
    return Case(f"{_units(size)}, el.{law}, states {low:g} and {high:g}, degree {degree}", source)


def deep(
    widths: tuple[int, ...] = (2, 2),
    degree: int = 2,
    batch: int = 3,
    dtype: str = "float64",
    head: bool = True,
    objective: str = "",
) -> Case:
    """A chain of linear stages in 0/1 coding on two inputs; the expected objective is said to be 1/2."""
    below = (2, *widths)
    stages = ", ".join(f"nn.Linear({m}, {n})" for m, n in zip(below, widths, strict=False))
    value = objective or f"((x * 0.8 + 1 / 3) ** {degree}).prod(1)"
    last = f"nn.Linear({widths[-1]}, 1)" if head else "None"
    source = f"""\
network = el.Chain([{stages}], {last}, el.BinaryUnits(el.Logistic(), 0.0, 1.0))
network = network.to(torch.{dtype})
with torch.no_grad():
    for k, parameter in enumerate(network.parameters(), 1):
        parameter.copy_(torch.sin(k * torch.arange(1.0, 1 + parameter.numel())).reshape(parameter.shape))
inputs = torch.tensor([[0.3, -1.0], [1.0, 0.4], [-0.5, 0.9]], dtype=torch.{dtype})[:{batch}]


def objective(x, target):
    return {value}


problem = el.Problem(network, objective, inputs).with_expected(torch.full(({batch},), 0.5))
"""
    return Case(f"layers of {', '.join(map(str, widths))} units, {batch} example(s), {dtype}", source)


def saturated(dtype: str) -> Case:
    """Pre-activations of 40 and -40 in both layers."""
    source = f"""\
stages = [el.Logits(torch.tensor([40.0, -40.0, 0.2])), nn.Linear(3, 2)]
network = el.Chain(stages, nn.Linear(2, 1), el.BinaryUnits(el.Logistic(), 0.0, 1.0)).to(torch.{dtype})
with torch.no_grad():
    network.stages[1].weight.fill_(0.3)
    network.stages[1].bias.copy_(torch.tensor([40.0, -40.0]))
    network.head.weight.fill_(0.5)
problem = el.Problem(network, el.Quadratic()).with_expected(torch.tensor([0.5]))
"""
    return Case(f"pre-activations of 40 and -40, {dtype}", source)


def _units(size: int) -> str:
    return "one unit" if size == 1 else f"{size} units"


def estimator_source(estimator: Estimator) -> str:
    """Imports of an estimator's classes, and ``estimator = ...``."""
    lines: list[str] = []
    for cls in dict.fromkeys(_classes(estimator)):
        module = sys.modules.get(cls.__module__)
        name, path = cls.__qualname__, getattr(module, "__file__", None)
        if cls.__module__ == "__main__" or "<locals>" in name:
            lines.append(f"# {name} is defined in your program; put its definition here")
        elif cls.__module__.startswith("estimlab_user_") and path:
            lines += _from_file(Path(path), name)
        else:
            lines.append(f"from {cls.__module__} import {name}")
    return "\n".join([*lines, f"\nestimator = {estimator!r}\n"])


def _from_file(path: Path, name: str) -> list[str]:
    folder = path.parent.resolve()
    shown = os.path.relpath(folder) if folder.is_relative_to(Path.cwd()) else str(folder)
    lines = ["import sys", f"sys.path.insert(0, {shown!r})"]
    if path.stem.isidentifier():
        return [*lines, f"from {path.stem} import {name}"]
    return [*lines, "import importlib", f"{name} = importlib.import_module({path.stem!r}).{name}"]


def _classes(value: Any) -> list[type]:
    """Classes of a dataclass and of the dataclasses in its fields."""
    if isinstance(value, tuple | list):
        return [cls for item in value for cls in _classes(item)]
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return []
    inner = [cls for one in dataclasses.fields(value) for cls in _classes(getattr(value, one.name, None))]
    return [type(value), *inner]
