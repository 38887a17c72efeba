"""Orders in the temperature and their constants, against the closed forms that the study draws."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate

import estimlab as el
from estimlab.results.study import load_study

temperature = load_study(Path(__file__).parents[2] / "studies" / "temperature.py").module
OBJECTIVES = tuple(temperature.CONSTANTS)
SMALL = tuple(10 ** (k / 4) for k in range(-10, -5))


def sweep(objective, estimator, *temperatures):
    """Values, asymptotes and derived numbers by statistic."""
    rows = temperature.Sweep(objective, estimator, temperatures or SMALL).run()
    return {name: [row for row in rows if row["statistic"] == name] for name in {row["statistic"] for row in rows}}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_constants_of_the_objectives_are_their_integrals(name):
    slope = {"linear": lambda s: 1, "quadratic": lambda s: 2 * s, "cubic": lambda s: 3 * s * s, "exponential": np.exp}[
        name
    ]
    constants = temperature.CONSTANTS[name]
    moment, _ = integrate.quad(lambda s: slope(s) * math.log(s / (1 - s)), 0, 1)
    energy, _ = integrate.quad(lambda s: slope(s) ** 2 * s * (1 - s), 0, 1)
    rise, _ = integrate.quad(slope, 0, 1)
    found = (slope(0), slope(1), rise, moment, energy)
    assert (constants.low, constants.high, constants.rise, constants.moment, constants.energy) == pytest.approx(
        found, abs=1e-7
    )


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("estimator", [*temperature.FAMILIES[:3], temperature.FAMILIES[4]], ids=repr)
def test_bias_and_variance_have_the_order_and_the_constant_of_the_theory(objective, estimator):
    found = sweep(objective, estimator)
    for statistic, asymptote in temperature.ASYMPTOTES.items():
        (order,) = found[f"order_of_{statistic}"]
        assert order["stderr"] < 0.03
        assert abs(order["value"] - order["asymptote"]) <= 2 * order["stderr"]
        theory = asymptote(temperature.CONSTANTS[objective], estimator)
        smallest = found[statistic][0]
        coefficient = (smallest["value"] - theory.limit) / smallest["temperature"] ** theory.order
        assert coefficient == pytest.approx(theory.coefficient, rel=0.1)


def test_numbers_that_were_derived_before_are_met_to_the_last_digit():
    for (objective, name), known in temperature.DERIVED.items():
        (estimator,) = (one for one in temperature.FAMILIES if one.name == name)
        rows = sweep(objective, estimator, *SMALL, *sorted(known))["relative_bias"]
        compared = [(row["value"], row["derived"]) for row in rows if row["derived"] is not None]
        assert len(compared) >= len(known)
        for value, printed in compared:
            digits = len(str(printed).partition(".")[2])
            assert abs(value - printed) <= 0.6 * 10**-digits


def test_straight_through_gumbel_softmax_tends_to_the_bias_of_zgr():
    for objective, limit in (("linear", 0.0), ("quadratic", 0.0), ("cubic", 0.5)):
        theory = temperature.bias_asymptote(temperature.CONSTANTS[objective], el.STGumbelSoftmax())
        assert theory.limit == pytest.approx(limit)
        problem = temperature.Bits(objective, temperature.Curve(objective), (0.7,)).build()
        exact = el.exact_moments(problem, el.ZGR()).statistics()["0"]["relative_bias"][0]
        assert abs(exact) == pytest.approx(limit, abs=1e-12)


def test_relaxed_and_straight_through_agree_for_a_linear_objective():
    relaxed, hard = (sweep("linear", one, *SMALL, 1.0)["relative_bias"] for one in temperature.FAMILIES[:2])
    assert [row["value"] for row in relaxed] == pytest.approx([row["value"] for row in hard], rel=1e-3)


def test_a_fit_finds_the_order_through_its_corrections_and_says_how_far_to_trust_it():
    tau = np.array(SMALL)
    for order in (-1.0, 0.5, 2.0):
        fitted, error = temperature.fitted_order([*zip(tau, -3 * tau**order * np.exp(2 * tau - tau**2), strict=True)])
        assert fitted == pytest.approx(order, abs=1e-9)
        assert 1e-7 < error < 1e-2
    assert replace(temperature.Asymptote(1, 2, -1), limit=3).at(0.5) == 7
