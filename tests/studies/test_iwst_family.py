"""Both closed-form optima of p1 against a search, the formulas of one unit, and what dominated means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

import estimlab as el
from estimlab.cells import build
from estimlab.results.study import load_study

family = load_study(Path(__file__).parents[2] / "studies" / "iwst_family.py").module


@pytest.mark.parametrize("curvature", [-0.6, 1.0, 2.5])
def test_moments_of_one_unit_have_their_closed_forms(curvature):
    cell = family.OneUnit(curvature)
    p, density = cell.probability, cell.probability * (1 - cell.probability)
    for p1 in (0.2, 0.5, 0.9):
        found = cell.moments(p1)
        d = (1 - p) * (1 + curvature) + p
        assert found["squared_bias"][0] == pytest.approx((density * curvature * (p1 - 0.5)) ** 2, abs=1e-16)
        assert found["variance"][0] == pytest.approx(density * (p1 * d - p) ** 2, rel=1e-12)


@pytest.mark.parametrize("curvature", [-0.6, 1.0])
@pytest.mark.parametrize("trade", [0.3, 3.0, 30.0])
def test_the_optimum_of_a_quadratic_is_where_a_search_finds_it(curvature, trade):
    cell = family.OneUnit(curvature)

    def functional(p1):
        found = cell.moments(p1)
        return found["variance"][0] + trade * found["squared_bias"][0]

    best = minimize_scalar(functional, bounds=(0, 1), method="bounded", options={"xatol": 1e-9})
    assert cell.best_for_quadratic(trade) == pytest.approx(best.x, abs=1e-6)
    assert functional(cell.best_for_constant_slope(trade)) > best.fun


@pytest.mark.parametrize("trade", [0.3, 3.0, 30.0])
def test_the_optimum_of_a_constant_slope_is_mve(trade):
    cell = family.OneUnit(1.0)
    weight = trade * (1.0 / 1.5) ** 2
    problem, truth = build(cell.problem)
    mve = el.exact_moments(problem, el.MVE(weight / 4), truth).statistics()["0"]
    ours = cell.moments(cell.best_for_constant_slope(trade))
    for name in ("squared_bias", "variance"):
        assert ours[name][0] == pytest.approx(mve[name][0], rel=1e-12)


def test_dominated_means_worse_in_one_coordinate_and_better_in_none():
    own = np.array([[1.0, 1.0], [1.0, 2.0], [0.5, 3.0], [2.0, 0.5]])
    others = np.array([[1.0, 1.0], [0.5, 3.0]])
    assert family.dominated(own, others).tolist() == [False, True, False, False]
    assert not family.dominated(others, others * (1 + 1e-12)).any(), "equal but for rounding"


def test_shares_of_a_small_chain(monkeypatch):
    monkeypatch.setattr(family, "RIVALS", {name: members[::10] for name, members in family.RIVALS.items()})
    monkeypatch.setattr(family, "FAMILIES", {name: members[::3] for name, members in family.FAMILIES.items()})
    rows = family.FamilyPlane(family.CosineChain((2, 2), examples=6)).run()
    shares = [row for row in rows if row["statistic"].startswith("beaten")]
    assert len(shares) == 2 * 2 * 2 * 5
    assert all(0 <= row["value"] <= 1 for row in shares)
    by_family = {(row["layer"], row["family"], row["statistic"]): row["value"] for row in shares}
    constant = [by_family[layer, "constant", "beaten_by_st_zgr"] for layer in ("0", "1")]
    assert min(constant) > 0.5, "constants far from 1/2 are far from the front"
