"""Gumbel-Softmax, its straight-through version and Gumbel-Rao against the temperature, beside their asymptotes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, final

import numpy as np
import pandas as pd
import torch
from scipy import special
from statements.temperature import ANSWER
from torch import Tensor

import estimlab as el
from estimlab.cells import build
from estimlab.cells.makers import Bits
from estimlab.measurement.labels import estimator_columns
from estimlab.measurement.measurement import Measurement
from estimlab.model.objectives import Objective
from estimlab.results.columns import Column
from estimlab.results.plotting import appearance
from estimlab.results.study import Cell, Study

P = 1 / (1 + math.exp(-0.7))
PQ, SKEW = P * (1 - P), 2 * P - 1
FITTED = 10**-1.4  # the orders are fitted to temperatures below
Name = Literal["linear", "quadratic", "cubic", "exponential"]


@final
@dataclass(frozen=True)
class Curve(Objective):
    """``x``, ``x^2``, ``x^3`` or ``exp x`` of one bit."""

    name: Name

    def __call__(self, output: Tensor, target: Tensor | None) -> Tensor:
        """Value per example."""
        x = output[:, 0]
        return torch.exp(x) if self.name == "exponential" else x ** {"linear": 1, "quadratic": 2, "cubic": 3}[self.name]


@dataclass(frozen=True)
class Constants:
    """What the asymptotes need of an objective f.

    Attributes:
        low: f'(0).
        high: f'(1).
        rise: f(1) - f(0).
        moment: integral of f'(s) log(s / (1-s)) over (0, 1).
        energy: integral of f'(s)^2 s (1-s) over (0, 1).
    """

    low: float
    high: float
    rise: float
    moment: float
    energy: float


CONSTANTS: dict[Name, Constants] = {
    "linear": Constants(1, 1, 1, 0, 1 / 6),
    "quadratic": Constants(0, 2, 1, 1, 1 / 5),
    "cubic": Constants(0, 3, 1, 3 / 2, 3 / 14),
    "exponential": Constants(
        1,
        math.e,
        math.e - 1,
        float(np.euler_gamma - special.expi(1) + math.e * (special.exp1(1) + np.euler_gamma)),
        1 / 2,
    ),
}


@dataclass(frozen=True)
class Asymptote:
    """``limit + coefficient * tau^order``, what a quantity is at small tau."""

    limit: float
    coefficient: float
    order: int

    def at(self, tau: float) -> float:
        """The value at a temperature."""
        return self.limit + self.coefficient * tau**self.order


def bias_asymptote(f: Constants, estimator: el.Estimator) -> Asymptote:
    """Of the relative bias, up to its sign.

    The mean of Gumbel-Softmax is the integral of f'(s) F'(a - tau logit s) over s in (0, 1); that of the others has
    f'(0) in place of f'(s) below 1/2 and f'(1) above. Both are expanded in tau.
    """
    if f.low == f.high:  # linear: both are the same
        return Asymptote(0, abs(1 - 6 * PQ) * math.pi**2 / 6, 2)
    if isinstance(estimator, el.GumbelSoftmax):
        return Asymptote(0, SKEW * f.moment / f.rise, 1)
    return Asymptote((f.low + f.high) / 2 / f.rise - 1, math.log(2) * SKEW * (f.high - f.low) / f.rise, 1)


def variance_asymptote(f: Constants, estimator: el.Estimator) -> Asymptote:
    """Of the variance; those of Gumbel-Rao tend to ZGR's as K grows."""
    if isinstance(estimator, el.GumbelSoftmax):
        return Asymptote(0, PQ * f.energy, -1)
    limit = PQ**2 / 4 * (f.high**2 / P + f.low**2 / (1 - P) - (f.low + f.high) ** 2)
    if isinstance(estimator, el.AnalyticGumbelRao):
        slope = f.high**2 * (1 - P) / P - f.low**2 * P / (1 - P)
        return Asymptote(limit, PQ**2 * math.log(2) * SKEW * slope, 1)
    return Asymptote(limit, PQ * (f.low**2 + f.high**2) / 12 / getattr(estimator, "samples", 1), -1)


ASYMPTOTES = {"relative_bias": bias_asymptote, "variance": variance_asymptote}
# Relative biases known beforehand: f = x^2 at four temperatures, f = x at one.
DERIVED = {
    ("quadratic", "gumbel_softmax"): {0.1: 0.0274, 0.05: 0.0154, 0.02: 0.0065, 0.01: 0.0033},
    ("quadratic", "st_gumbel_softmax"): {0.1: 0.04027, 0.05: 0.02184, 0.02: 0.00910, 0.01: 0.00461},
    ("linear", "st_gumbel_softmax"): {1.0: 0.28},
}


@final
@dataclass(frozen=True)
class Sweep(Cell):
    """Bias and variance of one estimator and objective at all temperatures, and the fitted orders.

    Attributes:
        objective: of one bit with logistic noise at pre-activation 0.7, 0/1 coding.
        estimator: at any temperature.
        temperatures: in ascending order.
    """

    revision: ClassVar[int] = 3

    objective: Name
    estimator: el.Estimator
    temperatures: tuple[float, ...]

    @property
    def title(self) -> str:
        """Objective and estimator."""
        return f"{self.objective}: {self.estimator!r} at {len(self.temperatures)} temperatures"

    def run(self) -> list[dict[str, Any]]:
        """Rows of values with their asymptotes, then one row per fitted order."""
        rows = [row for tau in self.temperatures for row in self._at(tau)]
        return rows + [self._order(statistic, rows) for statistic in ASYMPTOTES]

    def _at(self, tau: float) -> list[dict[str, Any]]:
        estimator = replace(self.estimator, temperature=tau)  # type: ignore[call-arg]
        measured = self._measure(estimator)
        values = measured.statistics()["0"]
        known = DERIVED.get((self.objective, estimator.name), {})
        return [
            self._row(statistic, values[statistic][0], 0.0, measured.method)
            | {
                "temperature": tau,
                "asymptote": asymptote(CONSTANTS[self.objective], estimator).at(tau),
                "derived": known.get(tau) if statistic == "relative_bias" else None,
            }
            for statistic, asymptote in ASYMPTOTES.items()
        ]

    def _measure(self, estimator: el.Estimator) -> Measurement:
        problem, truth = build(Bits(self.objective, Curve(self.objective), (0.7,)))
        if isinstance(estimator, el.HardForward):
            return el.exact_moments(problem, estimator, truth)
        return el.quadrature_moments(problem, estimator, truth)

    def _row(self, statistic: str, value: float, stderr: float, method: str) -> dict[str, Any]:
        named = estimator_columns(self.estimator)
        fields = [part for part in named["parameters"].split(", ") if not part.startswith("temperature")]
        return {
            "objective": self.objective,
            **named,
            "parameters": ", ".join(fields),
            "method": method,
            "temperature": None,
            "statistic": statistic,
            "value": value,
            "stderr": stderr,
        }

    def _order(self, statistic: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
        theory = ASYMPTOTES[statistic](CONSTANTS[self.objective], self.estimator)
        small = [row for row in rows if row["statistic"] == statistic and row["temperature"] < FITTED]
        order, error = fitted_order([(row["temperature"], row["value"] - theory.limit) for row in small])
        row = self._row(f"order_of_{statistic}", order, error, small[0]["method"])
        return row | {"asymptote": float(theory.order), "derived": None}


def fitted_order(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """s of ``log|value| = s log tau + c + d tau + e tau^2`` by least squares, and its change where e is left out.

    The values are exact, so that the uncertainty of s is that of the expansion and not of sampling.
    """
    tau, values = np.array(points).T
    design = np.column_stack((np.log(tau), np.ones_like(tau), tau, tau**2))
    full, short = (float(np.linalg.lstsq(design[:, :n], np.log(np.abs(values)))[0][0]) for n in (4, 3))
    return full, abs(full - short)


FAMILIES = (
    el.GumbelSoftmax(),
    el.STGumbelSoftmax(),
    el.GumbelRao(samples=10),
    el.GumbelRao(samples=100),
    el.AnalyticGumbelRao(),
)
DECADES = (*(10 ** (k / 8) for k in range(-20, 13)), 0.02, 0.05)


def cells(objectives: Iterable[Name], families: Iterable[el.Estimator], taus: Iterable[float]) -> tuple[Sweep, ...]:
    """One cell per objective and family."""
    return tuple(Sweep(name, family, tuple(sorted(taus))) for name in objectives for family in families)


def summary(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Fitted orders beside those of the theory."""
    rows = table[table["statistic"].str.startswith("order")]
    rows = rows.assign(
        estimator=[appearance(*pair)["label"] for pair in zip(rows["estimator"], rows["parameters"], strict=True)],
        fitted=[f"{value:.4f} ± {error:.1g}" for value, error in zip(rows["value"], rows["stderr"], strict=True)],
    )
    columns = ["objective", "estimator", "fitted", "asymptote"]
    return [(name, rows.loc[rows["statistic"] == name, columns]) for name in rows["statistic"].drop_duplicates()]


ORDER = "its stderr is the change of the fit when the last correction is dropped, as nothing is sampled"
STUDY = Study(
    question="How do bias and variance of Gumbel-Softmax, ST-GS and Gumbel-Rao depend on the temperature?",
    answer=ANSWER,
    shows=summary,
    cells=cells(CONSTANTS, FAMILIES, DECADES),
    smoke=cells(("quadratic", "cubic"), FAMILIES[:3], DECADES[4:20:4]),
    columns=(
        Column("asymptote", r"asymptote", "that of the statistic", "what theory gives at small temperatures"),
        Column("derived", r"derived", "that of the statistic", "value derived independently of this code, as printed"),
        Column("order_of_relative_bias", r"$s$", "1", f"the relative bias less its limit at tau = 0 is tau^s; {ORDER}"),
        Column("order_of_variance", r"$s$", "1", f"the variance less its constant term (ZGR's) is tau^s; {ORDER}"),
    ),
)
