"""What is trained: a stochastic network, the estimator of its gradient, and the objective."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from estimlab.errors import EstimlabError, ImpureError, Impurity
from estimlab.estimators.base import ActivationEstimator, Estimator
from estimlab.model.network import Activation, StochasticNetwork
from estimlab.model.objectives import Objective
from estimlab.model.problem import Problem
from estimlab.model.units import Site
from estimlab.training.counter_noise import CounterNoise
from estimlab.training.trained_units import TrainedUnits


class Trainee(nn.Module):
    """A network whose units are an estimator's; or, for estimators that need values, its surrogate.

    ``forward(inputs, targets, rows)`` is the objective of each example at one draw; the gradient of its mean is the
    estimator's draw.

    Args:
        network: any ``StochasticNetwork``; a chain usually.
        estimator: any estimator; those that need values of the objective run through ``surrogate``.
        objective: of output and target.
        inputs: a few examples, for shapes.
        targets: of these examples.
        recompute: as ``TrainedUnits`` takes it.

    Errors:
        EstimlabError: an estimator that needs values on a network whose examples are coupled by batch norm.

    >>> import estimlab as el
    >>> from estimlab.training.counter_noise import row_keys
    >>> inputs, targets = torch.zeros(4, 3), torch.zeros(4, dtype=torch.long)
    >>> network = el.Chain([nn.Linear(3, 5)], head=nn.Linear(5, 2))
    >>> trainee = Trainee(network, el.ZGR(), el.CrossEntropy(), inputs, targets)
    >>> tuple(trainee(inputs, targets, row_keys(seed=0, step=0, positions=torch.arange(4))).shape)
    (4,)
    """

    def __init__(
        self,
        network: StochasticNetwork,
        estimator: Estimator,
        objective: Objective,
        inputs: Tensor,
        targets: Tensor,
        recompute: bool = False,
    ):
        super().__init__()
        self.network, self.estimator, self.objective = network, estimator, objective
        with evaluation_mode(network):
            self.sites = network.sites(inputs[:1])
        if any(site.shared for site in self.sites):
            raise EstimlabError(
                f"{type(network).__name__} has sites whose state all examples share (weights): training draws one "
                "state per example. Measure such a network with el.measure, or give each example its own state."
            )
        self.units: nn.ModuleList | None = None
        self.problem: Problem | None = None
        if isinstance(estimator, ActivationEstimator):
            self.units = nn.ModuleList(
                TrainedUnits(estimator, site.units, k, recompute) for k, site in enumerate(self.sites)
            )
        else:
            self.problem = _problem(network, estimator, objective, inputs, targets)

    def forward(self, inputs: Tensor, targets: Tensor, rows: Int[Tensor, "batch 2"]) -> Float[Tensor, " batch"]:
        """The objective per example at one draw."""
        if self.units is None:
            assert self.problem is not None
            return self.estimator.surrogate(self.problem.with_data(inputs, targets), CounterNoise(rows))
        return self.objective(self.output(inputs, rows), targets)

    def output(self, inputs: Tensor, rows: Int[Tensor, "batch 2"], watch: Activation | None = None) -> Tensor:
        """The output of one draw; ``watch(k, a, carry)`` may look at, or replace, what the units are given."""
        units = self.units
        assert units is not None
        for one in units:
            one.rows = rows

        def states(k: int, a: Tensor, carry: Any) -> Tensor:
            return units[k](a if watch is None else watch(k, a, carry))

        return self.network.run(inputs, states, len(units))

    def layers(self) -> dict[str, tuple[str, ...]]:
        """The blocks of each layer."""
        return self.network.layers()


_OBSTACLES = {
    Impurity.COUPLES: "couples the examples of a batch, as batch norm does",
    Impurity.DRAWS: "draws random numbers, as dropout does",
    Impurity.WRITES: "writes into the states that it is given",
    Impurity.UNREPEATABLE: "gives another result at a second call",
}


def _problem(network: Any, estimator: Estimator, objective: Objective, inputs: Tensor, targets: Tensor) -> Problem:
    try:
        return Problem(network, objective, inputs[:2], targets[:2])
    except ImpureError as error:
        raise EstimlabError(
            f"{estimator!r} needs values of the objective at several states of one example, but this network's "
            f"module {error.where!r} {_OBSTACLES[error.reason]}. Choose an estimator that acts as an activation, for "
            "example straight_through, or a recipe without such a module, for example digits."
        ) from error


def hard(sites: tuple[Site, ...], rows: Int[Tensor, "batch 2"]) -> Activation:
    """Drawn hard states, whatever the estimator: what a network of binary units is in use."""
    noise = CounterNoise(rows)

    def states(k: int, a: Tensor, carry: Any) -> Tensor:
        p = sites[k].units.law.cdf(_wide(a))
        return sites[k].units.state((noise.uniform(k, 0, p) < p).to(a.dtype))

    return states


def expected(sites: tuple[Site, ...]) -> Activation:
    """Every unit at its mean, ``low + (high - low) F(a)``."""
    return lambda k, a, carry: sites[k].units.state(sites[k].units.law.cdf(_wide(a)))


def sign(sites: tuple[Site, ...]) -> Activation:
    """Every unit at its more probable state."""
    return lambda k, a, carry: sites[k].units.state((a > 0).to(a.dtype))


def _wide(a: Tensor) -> Tensor:
    """At least float32: uniforms in bfloat16 would round to 0 and 1."""
    return a if a.dtype == torch.float64 else a.float()


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Evaluation mode (running statistics) without gradients, until the end of the block."""
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(training)
