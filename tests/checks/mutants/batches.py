"""A mean over the batch taken twice, left out, or taken of the wrong things."""

from dataclasses import dataclass

from mutants.bases import BATCH, Scored, Written


@dataclass(frozen=True)
class DividedByBatch(Scored):
    """The loss is a mean already."""

    def reward(self, problem, layers, value):
        return value / problem.batch


@dataclass(frozen=True)
class SummedOverBatch(Scored):
    def reward(self, problem, layers, value):
        return value * problem.batch


@dataclass(frozen=True)
class RootOfBatch(Scored):
    def score(self, problem, layers):
        return super().score(problem, layers) / problem.batch**0.5


@dataclass(frozen=True)
class DividedWeights(Scored):
    """The score of weights, which all examples share, is divided among them."""

    def score(self, problem, layers):
        found = super().score(problem, layers)
        return found / problem.batch if layers[0].site.shared else found


@dataclass(frozen=True)
class DividedFactor(Written):
    def factor(self, k, a, units, problem):
        return super().factor(k, a, units, problem) / len(a)


@dataclass(frozen=True)
class FirstNoise(Written):
    """The noise of the first example, for all."""

    def uniform(self, k, noise, p):
        return noise.uniform(k, 0, p)[:1].expand_as(p)


@dataclass(frozen=True)
class FirstTarget(Scored):
    """The target of the first example, for all."""

    def reward(self, problem, layers, value):
        if problem.targets is None:
            return value
        output = problem.network.output(layers[-1].state).detach()
        return problem.objective(output, problem.targets[:1].expand_as(problem.targets))


@dataclass(frozen=True)
class MeanValue(Written):
    """The mean of the batch, once for each example."""

    def value(self, problem, output):
        return problem.value(output).mean().expand(problem.batch)


@dataclass(frozen=True)
class Standardised(Scored):
    """Advantages divided by their deviation over the batch."""

    def reward(self, problem, layers, value):
        return value if problem.batch == 1 else (value - value.mean()) / (value.std() + 1)


@dataclass(frozen=True)
class CentredScores(Scored):
    def score(self, problem, layers):
        found = super().score(problem, layers)
        return found - found.mean() if problem.batch > 1 else found


@dataclass(frozen=True)
class CentredTargets(Scored):
    """Targets less their mean over the batch."""

    def reward(self, problem, layers, value):
        if problem.targets is None:
            return value
        output = problem.network.output(layers[-1].state).detach()
        return problem.objective(output, problem.targets - problem.targets.mean() * (problem.batch > 1))


INDEPENDENT = "draw i depends on noise i only"
CAUSED = {
    "REINFORCE divided by the batch": (DividedByBatch(), BATCH, "about 0[.]3.* x that", "batch"),
    "REINFORCE summed over the batch": (SummedOverBatch(), BATCH, "about [23][.].* x that", "batch"),
    "REINFORCE over the root of the batch": (RootOfBatch(), BATCH, "not the mean", "batch"),
    "the score of weights divided": (DividedWeights(), BATCH, "0[.]3333 x that.*weights that all", "batch"),
    "a factor divided by the batch": (DividedFactor(), BATCH, "not the mean", "batch"),
    "the noise of the first example": (FirstNoise(), BATCH, "not the mean", "batch"),
    "the target of the first example": (FirstTarget(), BATCH, "not the mean", "batch"),
    "the mean for each example": (MeanValue(), INDEPENDENT, "examples of a batch are mixed", "batch"),
    "standardised advantages": (Standardised(), INDEPENDENT, "examples of a batch are mixed", "batch"),
    "scores centred over the batch": (CentredScores(), INDEPENDENT, "examples of a batch are mixed", "batch"),
    "targets centred over the batch": (CentredTargets(), BATCH, "not the mean", "batch"),
}
