"""Makers of problems: of the frozen suite, of bits without input, of chains that learn a curve in the plane."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import final

import numpy as np
import torch
from torch import nn

from estimlab.declared import Declared
from estimlab.errors import EstimlabError
from estimlab.model.chain import Chain, Logits
from estimlab.model.laws import Logistic, NoiseLaw
from estimlab.model.objectives import LogisticLoss, Objective
from estimlab.model.problem import Problem
from estimlab.model.units import BinaryUnits
from estimlab.problems.descent import exact_descent
from estimlab.problems.toys import initialise, toy_points
from estimlab.references.choice import exact_reference
from estimlab.references.reference import Gradient


@dataclass(frozen=True)
class ProblemMaker(Declared, abc.ABC):
    """How to make a problem: a frozen dataclass of numbers, strings and further such values.

    >>> import estimlab as el
    >>> @dataclass(frozen=True)
    ... class Coin(ProblemMaker):
    ...     a: float
    ...     def build(self):
    ...         return el.Problem(el.Chain([el.Logits([self.a])]), el.Quadratic(linear=(1.0,)))
    ...     def columns(self):
    ...         return {"problem": f"coin {self.a}"}
    >>> build(Coin(0.0))[1].value["stages.0.logits"].tolist()
    [0.5]
    """

    @abc.abstractmethod
    def build(self) -> Problem:
        """The problem; must depend on the fields only."""

    @abc.abstractmethod
    def columns(self) -> dict[str, str | float]:
        """What the study's table says of the problem, in columns of its own: at least ``problem``."""


@final
@dataclass(frozen=True)
class FrozenProblem(ProblemMaker):
    """A problem of the frozen suite, ``FrozenProblem("toy-late/v1")``.

    >>> from estimlab.cells import FrozenProblem
    >>> FrozenProblem("quadratic/v1").columns()
    {'problem': 'quadratic/v1'}
    """

    name: str

    def build(self) -> Problem:
        """Load it."""
        from estimlab import problems

        return problems.load(self.name)

    def columns(self) -> dict[str, str | float]:
        """Its versioned name."""
        return {"problem": self.name}


@lru_cache(maxsize=16)
def build(maker: ProblemMaker) -> tuple[Problem, Gradient]:
    """A maker's problem and its exact gradient, made once in a process; nobody may change them.

    >>> from estimlab.cells import FrozenProblem, build
    >>> problem, truth = build(FrozenProblem("quadratic/v1"))
    >>> build(FrozenProblem("quadratic/v1"))[0] is problem
    True
    """
    problem = maker.build()
    truth = exact_reference(problem)
    return problem.with_expected(truth.expected), truth


@final
@dataclass(frozen=True)
class Bits(ProblemMaker):
    """One layer of units without input, whose states the objective reads: the setting of most closed forms.

    Attributes:
        name: what the table calls the objective.
        objective: of the states, shape (1, units).
        pre_activations: one per unit.
        law: of the noise.
        low: value of the low state.
        high: value of the high state.

    >>> import estimlab as el
    >>> Bits("sum", el.Quadratic(linear=(1.0, 1.0)), pre_activations=(0.0, 1.0)).build()
    <Problem: Quadratic of 2 BinaryUnits(law=Logistic(scale=1.0), low=0.0, high=1.0), 1 example, float64>
    """

    name: str
    objective: Objective
    pre_activations: tuple[float, ...]
    law: NoiseLaw = Logistic()
    low: float = 0.0
    high: float = 1.0

    def build(self) -> Problem:
        """In float64."""
        stage = Logits(torch.tensor(self.pre_activations, dtype=torch.float64))
        return Problem(Chain([stage], units=BinaryUnits(self.law, self.low, self.high)), self.objective)

    def columns(self) -> dict[str, str | float]:
        """The name of the objective."""
        return {"problem": self.name}


@final
@dataclass(frozen=True)
class CosineChain(ProblemMaker):
    """A chain of binary layers that tells points above a cosine from those below, after some steps of exact descent.

    The data and the initialisation of Shekhovtsov, Yanush & Flach (2020, arXiv 2006.03143): weights and biases from
    U(-1, 1), then every pre-activation normalised to mean 0 and variance 1 over the data and the sampled states.

    Attributes:
        widths: units per layer, first to last.
        steps: of Adam along the exact gradient; 0: at initialisation.
        seed: of the points and of the parameters.
        examples: number of points.
        law: of the noise.
        low: value of the low state.
        high: value of the high state.
        objective: of the head's output, targets -1 and +1.
        learning_rate: of Adam.

    >>> start, later = CosineChain((3, 3), examples=20), CosineChain((3, 3), examples=20, steps=5)
    >>> build(later)[1].objective < build(start)[1].objective, later.columns()
    (True, {'problem': '2-3-3-1', 'stage': 'step 5'})
    """

    widths: tuple[int, ...]
    steps: int = 0
    seed: int = 0
    examples: int = 100
    law: NoiseLaw = Logistic()
    low: float = -1.0
    high: float = 1.0
    objective: Objective = LogisticLoss()
    learning_rate: float = 0.02

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1:
            raise EstimlabError(f"CosineChain(widths={self.widths}): give at least one positive number of units.")
        if self.examples < 2 or self.examples % 2:
            raise EstimlabError(
                f"CosineChain(examples={self.examples}): half of them are of each class; give 2, 4, ..."
            )

    def build(self) -> Problem:
        """Initialise and train, in float64."""
        # Each width draws from a stream of its own: no two chains share points or leading parameters by accident.
        points, parameters = np.random.SeedSequence((self.seed, *self.widths)).spawn(2)
        inputs, targets = map(torch.tensor, toy_points(int(points.generate_state(1)[0]), self.examples))
        sizes = (inputs.shape[1], *self.widths)
        stages = [nn.Linear(*pair, dtype=torch.float64) for pair in pairwise(sizes)]
        network = Chain(
            stages, nn.Linear(sizes[-1], 1, dtype=torch.float64), BinaryUnits(self.law, self.low, self.high)
        )
        initialise(network, inputs, np.random.default_rng(parameters))
        problem = Problem(network, self.objective, inputs, targets)
        if self.steps:
            exact_descent(problem, self.steps, self.learning_rate)
        return problem

    def columns(self) -> dict[str, str | float]:
        """The widths, and the number of steps as the stage."""
        return {"problem": f"2-{'-'.join(map(str, self.widths))}-1", "stage": f"step {self.steps}"}


def classifier(inputs: int, generator: torch.Generator, widths: tuple[int, ...] = (10, 10), classes: int = 10) -> Chain:
    """A chain of -1/+1 units with logistic noise in float64; weights N(0, 1 / fan-in), biases zero.

    >>> network = classifier(64, torch.Generator().manual_seed(0), widths=(10, 5))
    >>> [site.size for site in network.sites(torch.zeros(1, 64).double())]
    [10, 5]
    """

    def linear(below: int, above: int) -> nn.Linear:
        layer = nn.Linear(below, above, dtype=torch.float64)
        with torch.no_grad():
            weight = torch.randn(above, below, generator=generator, dtype=torch.float64)
            layer.weight.copy_(weight / below**0.5)
            layer.bias.zero_()
        return layer

    stages = [linear(*pair) for pair in pairwise((inputs, *widths))]
    return Chain(stages, linear(widths[-1], classes), BinaryUnits(Logistic()))
