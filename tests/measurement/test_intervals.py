"""Coverage of the intervals of the relative bias and of the cosine, over many measurements of a known toy."""

from __future__ import annotations

import math

import networks
import pytest
import torch

import estimlab as el
from estimlab.cells.simulation import Light, simulate
from estimlab.measurement.intervals.bias import squared_bias_interval
from estimlab.measurement.intervals.direction import Direction
from estimlab.measurement.statistics import cosine, jackknife_errors, signed_root, squared_bias

DRAWS = 512
REPLICATIONS = 10_000
ERROR = math.sqrt(0.95 * 0.05 / REPLICATIONS)
ACROSS = torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64) / math.sqrt(2)
SIZES = [0.0, 1.0, 3.0, 10.0]


def direction(runs):
    whole = runs.whole
    groups = runs.split(runs.groups.mean["toy"])
    return Direction.of(groups, whole.mean, runs.reference, whole.reference_variance)


def coverage(ends, truth):
    low, high = ends
    slack = 1e-12 * (1 + abs(truth))
    return float(((low <= truth + slack) & (truth <= high + slack)).double().mean())


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("deviations", [(1.0, 1.0, 1.0), (1.0, 2.0, 4.0)], ids=str)
def test_intervals_of_the_cosine_cover(deviations, size):
    """At 0, 1, 3 and 10 standard errors across the gradient; with unequal deviations within the documented three %."""
    runs = simulate(Light("normal", deviations), ACROSS * size / math.sqrt(DRAWS), DRAWS, REPLICATIONS, seed=7)
    mean = torch.ones(3, dtype=torch.float64)
    truth = float(mean @ runs.reference / mean.norm() / runs.reference.norm())
    rate = coverage(direction(runs).cosine(), truth)
    print(f"cosine {deviations} {size}: {rate:.4f}")
    assert rate >= (0.94 if len(set(deviations)) == 1 else 0.92) - 3 * ERROR
    if size >= 3:
        assert rate <= 0.98


@pytest.mark.slow
def test_the_jackknife_of_the_cosine_and_of_the_relative_bias_is_not_to_be_used_at_none():
    """What the intervals replace: errors too large for the cosine, coverage far off for the relative bias."""
    runs = simulate(Light("normal"), 0 * ACROSS, DRAWS, 2_000, seed=7)
    found, error = cosine(runs.whole), jackknife_errors(cosine(runs.left_out))
    assert float(error.median()) >= 1.2 * float(found.std())
    relative = signed_root(squared_bias(runs.whole)), jackknife_errors(signed_root(squared_bias(runs.left_out)))
    assert float((relative[0].abs() <= 1.96 * relative[1]).double().mean()) <= 0.85


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_intervals_of_the_relative_bias_cover(size):
    runs = simulate(Light("normal"), ACROSS * size / math.sqrt(DRAWS), DRAWS, REPLICATIONS, seed=8)
    norm = float(runs.reference.norm())
    ends = [end.sqrt() / norm for end in squared_bias_interval(runs.mean_error())]
    rate = coverage(ends, size / math.sqrt(DRAWS) / norm)
    print(f"relative bias {size}: {rate:.4f}")
    assert rate >= 0.94 - 3 * ERROR


def test_the_table_states_intervals_where_standard_errors_mislead():
    problem = networks.classification((2, 2), batch=1)
    table = el.measure(problem, el.Reinforce(), draws=2048).table().set_index(["layer", "statistic"])
    stated = table[table["low"].notna()]
    assert set(stated.index.get_level_values(1)) == {"squared_bias", "relative_bias", "cosine", "scale_invariant_bias"}
    assert bool((stated["low"] <= stated["high"]).all())
    assert float(table.loc[("head", "relative_bias"), "low"]) >= 0
    assert float(table.loc[("0", "cosine"), "high"]) <= 1


def test_ends_of_the_table_are_those_of_one_another():
    """One angle, one bias: the columns of two statistics tell the same thing in other units."""
    measured = el.measure(networks.classification((2, 2), batch=2), el.ZGR(), draws=1024)
    for place, ends in measured.intervals().items():
        norm = measured.statistics()[place]["reference_norm"][0]
        for end, square in zip(ends["relative_bias"], ends["squared_bias"], strict=True):
            assert end == pytest.approx(math.sqrt(square) / norm, rel=1e-12)
        angles = [math.sqrt(2 - 2 * c) for c in reversed(ends["cosine"])]
        assert ends["scale_invariant_bias"] == pytest.approx(tuple(angles), rel=1e-12)


def test_a_gradient_of_zero_has_no_direction():
    """A block that the objective does not read: no interval, and no number made up."""
    problem = el.Problem(
        networks.mlp((2, 2), 1, seed=1), lambda output, target: 0 * output[:, 0], networks.normal(1, 1, 2)
    )
    ends = el.measure(problem, el.ZGR(), draws=512).intervals()["0"]
    assert math.isnan(ends["cosine"][0])
    assert math.isnan(ends["relative_bias"][1])
    assert ends["squared_bias"] == (0, 0)


def test_a_draw_that_does_not_vary_has_an_interval_of_one_point():
    problem = el.Problem(networks.logits([0.7, -0.3]), el.Multilinear(((0.3, (0,)), (-1.1, (1,)))))
    ends = el.measure(problem, el.StraightThrough(), draws=512).intervals()["0"]
    assert ends["cosine"] == pytest.approx((1, 1), abs=1e-12)
    assert ends["relative_bias"] == pytest.approx((0, 0), abs=1e-12)
