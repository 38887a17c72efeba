"""The plane of bias and deviation of importance-weighted straight-through, and which weights lie on its front."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
import torch
from statements.iwst_family import ANSWER

import estimlab as el
from estimlab.cells import build
from estimlab.cells.makers import Bits, CosineChain
from estimlab.estimators.iw_st import ConstantWeight, PowerWeight
from estimlab.results.columns import Column
from estimlab.results.matrix import Matrix
from estimlab.results.study import Cell, Study

RAW, INVARIANT = ("relative_bias", "relative_std"), ("scale_invariant_bias", "scale_invariant_std")
FAMILIES: dict[str, tuple[el.Estimator, ...]] = {
    "constant": tuple(el.IWST(ConstantWeight(p1)) for p1 in (0.1, 0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9)),
    "mve": tuple(el.MVE(t) for t in (0.03, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)),
    "power": tuple(el.IWST(PowerWeight(alpha)) for alpha in (-0.2, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.2)),
    "gr": tuple(el.AnalyticGumbelRao(tau) for tau in (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.5, 2.0)),
    "st_zgr": tuple(el.STZGR(mix) for mix in (0.0, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.0)),
}

# The same families so densely that a point above their curves is beaten by one of their members.
RIVALS: dict[str, tuple[el.Estimator, ...]] = {
    "st_zgr": tuple(el.STZGR(i / 100) for i in range(101)),
    "mve": (el.StraightThrough(), el.ZGR(), *(el.MVE(10 ** (i / 20 - 2.5)) for i in range(101))),
}


@final
@dataclass(frozen=True)
class FamilyPlane(Cell):
    """Exact bias and deviation of every member of every family in each layer of one chain.

    Attributes:
        problem: the chain.
    """

    revision: ClassVar[int] = 2

    problem: CosineChain

    @property
    def title(self) -> str:
        """The problem and its seed."""
        return f"{' '.join(map(str, self.problem.columns().values()))}, seed {self.problem.seed}"

    def run(self) -> list[dict[str, Any]]:
        """A row per member, layer and statistic; then the shares of each family that are beaten."""
        rows = [row for family, members in FAMILIES.items() for row in self.rows(family, members)]
        rivals = {family: self.rows(family, members) for family, members in RIVALS.items()}
        return [*rows, *(row for pair in (RAW, INVARIANT) for row in _shares(rows, rivals, pair, self.head))]

    @property
    def head(self) -> dict[str, Any]:
        """Columns of the problem."""
        return {**self.problem.columns(), "seed": self.problem.seed}

    def rows(self, family: str, members: tuple[el.Estimator, ...]) -> list[dict[str, Any]]:
        """Statistics of the members, layer by layer."""
        problem, truth = build(self.problem)
        rows = []
        for member in members:
            found = el.exact_moments(problem, member, truth).rows()
            chosen = [row for row in found if row["layer"] != "head" and row["statistic"] in (*RAW, *INVARIANT)]
            rows += [{**self.head, "family": family, **row, "averaged": 1} for row in chosen]
        return rows


def _shares(
    rows: list[dict[str, Any]], rivals: dict[str, list[dict[str, Any]]], pair: tuple[str, str], head: dict[str, Any]
) -> list[dict[str, Any]]:
    """Per layer and family, the share of members that some member of a rival family beats."""
    suffix = "" if pair == RAW else "_scale_invariant"
    empty = {"estimator": None, "parameters": None, "draws": None, "method": "exact", "averaged": None}
    result = []
    for layer in dict.fromkeys(row["layer"] for row in rows):
        points = points_of([row for row in rows if row["layer"] == layer], pair)
        for rival, found in rivals.items():
            (others,) = points_of([row for row in found if row["layer"] == layer], pair).values()
            for family, own in points.items():
                row = {**head, "family": family, **empty, "layer": layer, "statistic": f"beaten_by_{rival}{suffix}"}
                result.append({**row, "value": float(dominated(own, others).mean()), "stderr": 0.0})
    return result


def points_of(rows: list[dict[str, Any]], pair: tuple[str, str]) -> dict[str, np.ndarray]:
    """Per family, bias and deviation of its members, (members, 2)."""
    members: dict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    for row in rows:
        members[row["family"], row["estimator"], row["parameters"]][row["statistic"]] = row["value"]
    points: dict[str, list[list[float]]] = defaultdict(list)
    for (family, *_), values in members.items():
        points[family].append([values[name] for name in pair])
    return {family: np.array(found) for family, found in points.items()}


def dominated(own: np.ndarray, others: np.ndarray, margin: float = 1e-9) -> np.ndarray:
    """Which own points some other point beats: better by more than rounding in one coordinate, not worse in either."""
    difference = own[:, None] - others
    scale = margin * own[:, None]
    return ((difference > -scale).all(2) & (difference > scale).any(2)).any(1)


@final
@dataclass(frozen=True)
class OneUnit(Cell):
    """One unit and a quadratic: what each p1 costs, and where both closed forms of the best one lie (our derivation).

    In 0/1 coding with ``f(b) = s b + k b^2 / 2`` and lambda the weight of the squared bias, variance + lambda bias^2 is
    least at

        p1* = (D f'(0) p + lambda p q k^2 / 2) / (D^2 + lambda p q k^2),     D = q f'(1) + p f'(0),

    and at ``p1* = (p + L q p / 2) / (1 + L q p)``, L = lambda (k / c)^2, where the slope is taken to be constant: here
    c, its mean. The second is MVE(L / 4).

    Attributes:
        curvature: k.
        slope: s.
        pre_activation: of the unit, logistic noise.
        constants: values of p1.
        trades: values of lambda.
    """

    revision: ClassVar[int] = 2

    curvature: float
    slope: float = 1.0
    pre_activation: float = 1.0
    constants: tuple[float, ...] = tuple(i / 20 for i in range(21))
    trades: tuple[float, ...] = (0.0, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)

    def run(self) -> list[dict[str, Any]]:
        """Relative bias and deviation, and the functional, at constant p1 and at both optima."""
        constants = sorted({*self.constants, self.best_for_quadratic(0.0)})  # with the kink, where the variance is zero
        rows = [row for p1 in constants for row in self.rows("constant", None, p1)]
        for trade in self.trades:
            rows += self.rows("quadratic optimum", trade, self.best_for_quadratic(trade))
            rows += self.rows("constant-slope optimum", trade, self.best_for_constant_slope(trade))
        return rows

    @property
    def problem(self) -> Bits:
        """The unit."""
        objective = el.Quadratic(((self.curvature / 2,),), (self.slope,))
        return Bits(f"quadratic, f''={self.curvature:g}", objective, (self.pre_activation,))

    @property
    def probability(self) -> float:
        """P(high)."""
        return float(el.Logistic().cdf(torch.tensor(self.pre_activation, dtype=torch.float64)))

    def best_for_quadratic(self, trade: float) -> float:
        """p1* of the true quadratic."""
        p, k, low, high = self.probability, self.curvature, self.slope, self.slope + self.curvature
        q = 1 - p
        d = q * high + p * low
        return (d * low * p + trade * p * q * k**2 / 2) / (d**2 + trade * p * q * k**2)

    def best_for_constant_slope(self, trade: float) -> float:
        """p1* where the slope is replaced by its mean."""
        p, weight = self.probability, trade * (self.curvature / (self.slope + self.curvature / 2)) ** 2
        q = 1 - p
        return (p + weight * q * p / 2) / (1 + weight * q * p)

    def moments(self, p1: float) -> dict[str, tuple[float, float]]:
        """Every statistic at a p1, exactly."""
        problem, truth = build(self.problem)
        return el.exact_moments(problem, el.IWST(ConstantWeight(p1)), truth).statistics()["0"]

    def rows(self, family: str, trade: float | None, p1: float) -> list[dict[str, Any]]:
        """Statistics at one p1."""
        found = self.moments(min(max(p1, 0.0), 1.0))
        values = {name: found[name][0] for name in RAW}
        if trade is not None:
            values["functional"] = found["variance"][0] + trade * found["squared_bias"][0]
        head = {
            **self.problem.columns(),
            "family": family,
            "weight": p1,
            "trade": trade,
            "method": "exact",
            "layer": "0",
        }
        return [{**head, "statistic": name, "value": value, "stderr": 0.0} for name, value in values.items()]


def cells(widths: tuple[int, ...], stages: tuple[int, ...], seeds: tuple[int, ...]) -> tuple:
    """Planes of chains, and the two cases of one unit: slopes that shrink and slopes that grow with the state."""
    chain = CosineChain(widths)
    planes = [FamilyPlane(replace(chain, steps=steps, seed=seed)) for steps in stages for seed in seeds]
    return (*planes, OneUnit(-0.6), OneUnit(1.0))


STUDY = Study(
    question="Which importance weights give the best trade of bias against deviation, layer by layer?",
    answer=ANSWER,
    shows=Matrix(("stage", "family"), ("layer",), ("beaten_by_st_zgr",), ("seed=0",)),
    cells=cells((8, 8, 8), (0, 100), (0, 1, 2)),
    smoke=cells((2, 2), (0,), (0,)),
    columns=(
        Column("family", "family", "", "one-parameter family of weights: constant p1, MVE(t), power, GR(tau), ST-ZGR"),
        Column("weight", r"$p_1$", "1", "weight of the high state, a probability"),
        Column("trade", r"$\lambda$", "1", "weight of the squared bias against the variance"),
        Column("functional", r"$V + \lambda B^2$", "(objective per parameter)^2", "variance + trade squared_bias"),
        *(
            Column(f"beaten_by_{rival}{suffix}", "share", "1", f"share of members that some {name} beats in {plane}")
            for rival, name in (("st_zgr", "mix of ST and ZGR"), ("mve", "MVE"))
            for suffix, plane in (("", "relative bias and deviation"), ("_scale_invariant", "the scale-invariant two"))
        ),
    ),
)
