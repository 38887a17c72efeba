"""Small networks trained to convergence along each estimator and along the exact gradient: what predicts the loss?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import scipy.stats
import torch
from statements.descent import ANSWER
from torch import Tensor
from torch.func import functional_call, grad, vmap

import estimlab as el
from estimlab.cells.makers import CosineChain
from estimlab.estimators.base import Estimator, HardForward
from estimlab.measurement.exact.moments import exact_moments
from estimlab.measurement.intervals.ratios import kendall
from estimlab.measurement.labels import estimator_columns
from estimlab.measurement.mapped import record
from estimlab.measurement.measurement import Measurement
from estimlab.problems.toys import initialise
from estimlab.randomness.noise import TableNoise
from estimlab.randomness.streams import RandomStream
from estimlab.results.columns import Column
from estimlab.results.matrix import Matrix
from estimlab.results.study import Cell, Study

Stack = dict[str, Tensor]  # parameters of several networks, (networks, *block) per block
PREDICTORS = ("relative_bias", "relative_std", "relative_rmse", "descent_efficiency")
STAGES = ("start", "quarter")
COLUMNS = ("stage", "estimator", "parameters", "learning_rate", "predictor", "statistic")
COLUMNS += ("value", "stderr", "low", "high")


@final
@dataclass(frozen=True)
class Training(Cell):
    """One network trained from several initialisations along every estimator, and along the exact gradient.

    All networks of an estimator are trained at once, one draw a step over all examples. Initialisations and examples
    are the same for every estimator; Adam, its learning rate going to zero as a cosine. Of several rates the one of the
    lowest mean exact loss is taken, for each estimator and for the exact gradient.

    Attributes:
        widths: units per layer.
        estimators: along which the network is trained.
        networks: initialisations, a multiple of four.
        steps: of Adam.
        examples: number of points in the plane, two classes.
        learning_rates: at the first step.
        measured: networks, out of these, in which bias and variance are measured.
        draws: of the estimators whose moments are sampled.
    """

    revision: ClassVar[int] = 4

    widths: tuple[int, ...]
    estimators: tuple[Estimator, ...]
    networks: int = 16
    steps: int = 300
    examples: int = 64
    learning_rates: tuple[float, ...] = (0.1, 0.3, 1.0)
    measured: int = 8
    draws: int = 2048

    @property
    def title(self) -> str:
        """The network."""
        return f"2-{'-'.join(map(str, self.widths))}-1"

    def run(self) -> list[dict[str, Any]]:
        """Rows: losses of each estimator, its bias and variance at both stages, and their rank correlations."""
        problem = CosineChain(self.widths, examples=self.examples).build()
        start = _initial(problem, self.networks)
        exact = self._descend(start, lambda step, stack: _exact_gradients(problem, stack))
        losses, chosen = self._losses(problem, exact[-1])
        quarter, best = self._of_rate(exact[self.steps // 4], chosen), losses[chosen]
        rows, lost, found = self._loss_rows({"estimator": "exact"}, losses), [], []
        for estimator in self.estimators:
            passed = self._descend(start, _sampled(problem, estimator, self.networks * len(self.learning_rates)))
            losses, chosen = self._losses(problem, passed[-1])
            excess = losses[chosen] - best
            lost.append(float(excess.mean()))
            stages = zip(STAGES, (start, quarter), strict=True)
            found.append({name: self._predictors(problem, estimator, stack) for name, stack in stages})
            head = estimator_columns(estimator)
            rows += self._loss_rows(head, losses)
            rate = {"learning_rate": self.learning_rates[chosen]}
            rows += [{**head, **rate, "statistic": "excess_objective", **_summary(excess)}]
            rows += [{**head, **row} for row in _measured_rows(found[-1])]
        rows += _correlations(found, lost)
        return [{"problem": self.title, **dict.fromkeys(COLUMNS), **row} for row in rows]

    def _descend(self, start: Stack, gradient: Callable[[int, Stack], Stack]) -> list[Stack]:
        """The networks before each step and after the last one: those of the first learning rate, of the second, ...

        Adam acts on every number apart, so one optimizer trains all networks as if each had its own.
        """
        rates = [{name: value.clone().requires_grad_() for name, value in start.items()} for _ in self.learning_rates]
        groups = [{"params": list(s.values()), "lr": lr} for s, lr in zip(rates, self.learning_rates, strict=True)]
        optimizer = torch.optim.Adam(groups)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        passed = [_joined(rates)]
        for step in range(self.steps):
            found = gradient(step, passed[-1])
            for name, value in found.items():
                for stack, part in zip(rates, value.chunk(len(rates)), strict=True):
                    stack[name].grad = part
            optimizer.step()
            schedule.step()
            passed.append(_joined(rates))
        return passed

    def _losses(self, problem: el.Problem, stack: Stack) -> tuple[np.ndarray, int]:
        """Exact loss per learning rate and network, and the number of the rate with the lowest mean."""
        losses = _objectives(problem, stack).reshape(len(self.learning_rates), -1)
        return losses, int(losses.mean(1).argmin())

    def _loss_rows(self, head: dict[str, Any], losses: np.ndarray) -> list[dict[str, Any]]:
        """The loss at every learning rate."""
        return [
            {**head, "learning_rate": rate, "statistic": "final_objective", **_summary(values)}
            for rate, values in zip(self.learning_rates, losses, strict=True)
        ]

    def _of_rate(self, stack: Stack, number: int) -> Stack:
        """The networks of one learning rate."""
        return {name: value.chunk(len(self.learning_rates))[number] for name, value in stack.items()}

    def _predictors(self, problem: el.Problem, estimator: Estimator, stack: Stack) -> np.ndarray:
        """One row per measured network, one column per predictor."""
        return np.array([self._measure(one, estimator) for one in _problems(problem, stack)[: self.measured]])

    def _measure(self, problem: el.Problem, estimator: Estimator) -> list[float]:
        truth = el.exact_reference(problem)
        if isinstance(estimator, HardForward):
            return predictors(exact_moments(problem, estimator, truth))
        return predictors(el.measure(problem, estimator, truth, self.draws))


def predictors(measurement: Measurement) -> list[float]:
    """PREDICTORS over all layers of units joined, the head left out: every estimator is good there."""
    blocks = [name for name in measurement.mean if not name.startswith("head")]
    parts = (measurement.mean, measurement.variance, measurement.reference)
    mean, variances, truth = (torch.cat([part[name].flatten() for name in blocks]) for part in parts)
    variance, square = float(variances.sum()), float(truth @ truth)
    noise = variance / measurement.draws
    if measurement.estimator.claims().unbiased == "all layers":  # estimates of zero would rank them by their noise
        mean, noise = truth, 0.0
    bias = float(((mean - truth) ** 2).sum()) - noise
    energy = float(mean @ mean) - noise + variance
    efficiency = float(mean @ truth) ** 2 / (square * energy)
    roots = [math.copysign(math.sqrt(abs(value) / square), value) for value in (bias, variance, bias + variance)]
    return [*roots, efficiency]


def _joined(rates: list[Stack]) -> Stack:
    """The networks of all learning rates as one stack."""
    return {name: torch.cat([stack[name].detach() for stack in rates]) for name in rates[0]}


def _initial(problem: el.Problem, networks: int) -> Stack:
    """Parameters of several initialisations, each from a seed of its own."""
    found = []
    for seed in range(networks):
        network = problem.copy().network
        initialise(network, problem.inputs, np.random.default_rng((seed, networks)))
        found.append(network.state_dict())
    return {name: torch.stack([one[name] for one in found]) for name in found[0]}


def _problems(problem: el.Problem, stack: Stack) -> list[el.Problem]:
    """One problem per network of the stack."""
    found = []
    for values in zip(*stack.values(), strict=True):
        one = problem.copy()
        one.network.load_state_dict(dict(zip(stack, values, strict=True)))
        found.append(one)
    return found


def _exact_gradients(problem: el.Problem, stack: Stack) -> Stack:
    truths = [el.exact_reference(one).value for one in _problems(problem, stack)]
    return {name: torch.stack([truth[name] for truth in truths]) for name in stack}


def _objectives(problem: el.Problem, stack: Stack) -> np.ndarray:
    return np.array([el.exact_reference(one).objective for one in _problems(problem, stack)])


class _Draw(torch.nn.Module):
    """The surrogate's mean as a module that owns the network, so that a functional call swaps the parameters."""

    def __init__(self, problem: el.Problem, estimator: Estimator):
        super().__init__()
        self.network, self.problem, self.estimator = problem.network, problem, estimator

    def forward(self, tables: dict[Any, Tensor]) -> Tensor:
        return self.estimator.surrogate(self.problem, TableNoise(tables)).mean()


def _sampled(problem: el.Problem, estimator: Estimator, networks: int) -> Callable[[int, Stack], Stack]:
    """One draw of the estimate for every network, mapped over them; draws of other steps and networks are others."""
    problem = problem.copy()
    requests, stream, draw = record(problem, estimator), RandomStream(seed=1), _Draw(problem, estimator)
    mapped = vmap(grad(lambda parameters, tables: functional_call(draw, parameters, (tables,))), randomness="error")

    def gradient(step: int, stack: Stack) -> Stack:
        tables = stream.tables(requests, step * networks, (step + 1) * networks, problem.inputs)
        found = mapped({f"network.{name}": value for name, value in stack.items()}, tables)
        return {name.removeprefix("network."): value for name, value in found.items()}

    return gradient


def _summary(values: np.ndarray) -> dict[str, float]:
    """Mean over networks, its standard error and 95 % interval by Student's law."""
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))
    half = error * float(scipy.stats.t.ppf(0.975, len(values) - 1))
    return {"value": mean, "stderr": error, "low": mean - half, "high": mean + half}


def _measured_rows(stages: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    return [
        {"stage": stage, "statistic": name, **_summary(column)}
        for stage, values in stages.items()
        for name, column in zip(PREDICTORS, values.T, strict=True)
    ]


def _correlations(found: list[dict[str, np.ndarray]], lost: list[float]) -> list[dict[str, Any]]:
    """Kendall's tau between each predictor (mean over networks) and the mean excess loss, over the estimators."""
    rows = []
    for stage in STAGES:
        for index, name in enumerate(PREDICTORS):
            tau, p_value, low, high = kendall(np.array([one[stage][:, index].mean() for one in found]), np.array(lost))
            head = {"stage": stage, "predictor": name}
            rows.append({**head, "statistic": "kendall_tau", "value": tau, "low": low, "high": high})
            rows.append({**head, "statistic": "p_value", "value": p_value})
    return rows


def at_common_rates(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rank correlations where all estimators have one learning rate, for each problem and rate."""
    found = []
    for problem in dict.fromkeys(row["problem"] for row in rows):
        here = [row for row in rows if row["problem"] == problem]
        keys = [(row["estimator"], row["parameters"]) for row in here if row["statistic"] == "excess_objective"]
        values = {(row["estimator"], row["parameters"], row["stage"], row["statistic"]): row["value"] for row in here}
        measured = [
            {stage: np.array([[values[*key, stage, p] for p in PREDICTORS]]) for stage in STAGES} for key in keys
        ]
        losses = [row for row in here if row["statistic"] == "final_objective"]
        for rate in dict.fromkeys(row["learning_rate"] for row in losses):
            lost = {(r["estimator"], r["parameters"]): r["value"] for r in losses if r["learning_rate"] == rate}
            common = _correlations(measured, [lost[key] for key in keys])
            found += [{"problem": problem, "learning_rate": rate, **row} for row in common]
    return found


ESTIMATORS = (
    *(el.StraightThrough(proxy) for proxy in ("derived", "identity", "hard_tanh", "tanh")),
    el.MVE(t=1.0),
    el.ZGR(),
    *(el.STGumbelSoftmax(temperature=tau) for tau in (1.0, 0.3, 0.1)),
    *(el.GumbelRao(temperature=tau) for tau in (1.0, 0.3)),
    *(el.GumbelSoftmax(temperature=tau) for tau in (2.0, 1.0, 0.3, 0.1)),
    el.MeanField(),
    el.PSA(),
    el.ReinforceLOO(samples=2),
    el.ReinforceLOO(samples=4),
    el.ARM(),
    el.DisARM(),
    el.ARMS(samples=4),
    el.LocalExpectation(),
    el.MuProp(),
    el.REBAR(),
)


STUDY = Study(
    question="Do bias and variance, measured without training, predict the loss that training reaches?",
    answer=ANSWER,
    shows=Matrix(("estimator",), ("problem",), ("excess_objective",)),
    cells=(Training((6, 6), ESTIMATORS), Training((4, 4, 4, 4), ESTIMATORS)),
    smoke=(
        Training((3, 3), ESTIMATORS[:3] + ESTIMATORS[17:19], networks=4, steps=4, examples=8, measured=2, draws=512),
    ),
    derived=at_common_rates,
    columns=(
        Column("predictor", "predictor", "", "statistic that is correlated with the excess of the loss"),
        Column(
            "learning_rate",
            r"$\eta$",
            "1",
            "Adam's at the first step; it goes to zero as a cosine. Empty for a "
            "correlation where each estimator has the best of its own",
        ),
        Column("final_objective", "loss", "objective", "exact expected objective after training, mean over networks"),
        Column(
            "excess_objective",
            "excess loss",
            "objective",
            "exact loss after training along the estimator minus that along the exact gradient, mean over networks; "
            "each at the learning rate of its own, of three, that gives the lowest mean loss in these networks",
        ),
        Column(
            "kendall_tau",
            r"$\tau_b$",
            "1",
            "Kendall's rank correlation of predictor and excess loss over the estimators; 95 % interval by bootstrap",
        ),
        Column("p_value", "$p$", "1", "two-sided p-value of no correlation, by permutation"),
    ),
)
