"""Torch's settings changed, state kept, and generators shared by all, some in rare branches."""

import random
from dataclasses import dataclass, field

import numpy as np
import torch

from mutants.bases import Scored, Written


@dataclass(frozen=True)
class DefaultType(Written):
    """Sets torch's default dtype."""

    def value(self, problem, output):
        torch.set_default_dtype(output.dtype)
        return problem.value(output)


@dataclass(frozen=True)
class NoGrad(Written):
    """Switches gradients off at the end of a batch, and forgets them."""

    def value(self, problem, output):
        found = problem.value(output)
        if problem.batch > 1:
            torch.set_grad_enabled(False)
        return found


@dataclass(frozen=True)
class Threads(Written):
    """More threads for wide layers."""

    def factor(self, k, a, units, problem):
        if a.shape[-1] > 4:
            torch.set_num_threads(torch.get_num_threads() + 1)
        return super().factor(k, a, units, problem)


@dataclass(frozen=True)
class Deterministic(Written):
    def value(self, problem, output):
        torch.use_deterministic_algorithms(True)
        return problem.value(output)


@dataclass(frozen=True)
class LastValue(Scored):
    """The last value of a batch of this size is the baseline."""

    seen: dict = field(default_factory=dict, compare=False)

    def reward(self, problem, layers, value):
        baseline = self.seen.get(problem.batch, 0)
        self.seen[problem.batch] = value.mean()
        return value - baseline


_LAST = {}


@dataclass(frozen=True)
class Momentum(Written):
    """A running mean of the factor in deep networks, kept in its module."""

    def factor(self, k, a, units, problem):
        found = super().factor(k, a, units, problem)
        if k == 0:
            return found
        _LAST[k] = found.mean() + 0.5 * _LAST.get(k, 0)
        return found * (1 + 0.1 * _LAST[k])


def _remember(value, seen=[]):  # noqa: B006 - this is the fault
    seen.append(float(value.mean()))
    return sum(seen[:-1]) / max(1, len(seen) - 1)


@dataclass(frozen=True)
class DefaultArgument(Scored):
    """A list that is born with the function."""

    mappable = False

    def reward(self, problem, layers, value):
        return value - _remember(value)


@dataclass(frozen=True)
class DitheredTail(Written):
    """Dithers where units are almost certain."""

    def factor(self, k, a, units, problem):
        found = super().factor(k, a, units, problem)
        return found * torch.rand_like(a) * 2 if float(a.abs().max()) > 8 * units.law.scale else found


@dataclass(frozen=True)
class DroppedUnits(Written):
    """Drops units of wide layers."""

    def factor(self, k, a, units, problem):
        found = super().factor(k, a, units, problem)
        return found * 2 * (np.random.random() < 0.5) if a.shape[-1] > 4 else found  # noqa: NPY002 - the fault


@dataclass(frozen=True)
class Shuffled(Scored):
    """Permutes a batch, and back."""

    def reward(self, problem, layers, value):
        order = torch.randperm(problem.batch)
        return value[order][order.argsort()]


@dataclass(frozen=True)
class Seeded(Written):
    """Seeds torch, to be reproducible."""

    def value(self, problem, output):
        torch.manual_seed(0)
        return problem.value(output)


@dataclass(frozen=True)
class OwnStates(Written):
    """Draws its states itself where the law is not logistic."""

    def uniform(self, k, noise, p):
        asked = noise.uniform(k, 0, p)
        return torch.rand_like(p) if p.shape[-1] > 4 else asked


@dataclass(frozen=True)
class UnseededTail(Written):
    """A generator of its own far out."""

    def factor(self, k, a, units, problem):
        found = super().factor(k, a, units, problem)
        return found * 2 * np.random.default_rng().random() if float(a.abs().max()) > 8 * units.law.scale else found


@dataclass(frozen=True)
class Coin(Written):
    """Python's generator, in batches."""

    def value(self, problem, output):
        found = problem.value(output)
        return found if problem.batch == 1 else found.detach() + (found - found.detach()) * 2 * random.random()


CHANGES, STATE, RANDOM = "changes nothing", "no state between calls", "no global randomness"
CAUSED = {
    "a default dtype": (DefaultType(), CHANGES, "torch's default dtype", "state"),
    "gradients switched off": (NoGrad(), CHANGES, "torch's grad mode", "state"),
    "threads for wide layers": (Threads(), CHANGES, "number of threads.*units", "state"),
    "deterministic algorithms": (Deterministic(), CHANGES, "deterministic algorithms", "state"),
    "the last value as baseline": (LastValue(), STATE, "self.seen", "state"),
    "a running mean in deep networks": (Momentum(), STATE, "outside the estimator", "state"),
    "a list as a default argument": (DefaultArgument(), STATE, "outside the estimator", "state"),
    "dither in the tail": (DitheredTail(), RANDOM, r"\(torch\).*tail", "generator"),
    "units dropped from wide layers": (DroppedUnits(), RANDOM, r"\(numpy\).*units", "generator"),
    "a shuffled batch": (Shuffled(), RANDOM, r"\(torch\)", "generator"),
    "torch seeded": (Seeded(), RANDOM, r"\(torch\)", "generator"),
    "states of its own in wide layers": (OwnStates(), RANDOM, r"\(torch\).*units", "generator"),
    "a generator of its own in the tail": (UnseededTail(), STATE, "tail", "state"),
    "Python's generator in batches": (Coin(), STATE, "examples", "state"),
}
