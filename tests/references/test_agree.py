"""Layerwise enumeration and path enumeration share no code: they agree to rounding on everything that may vary."""

import networks
import pytest
from hypothesis import given

import estimlab as el


def assert_agree(problem):
    layers, paths = el.LayerwiseEnumeration().gradient(problem), el.PathEnumeration().gradient(problem)
    assert abs(layers.objective - paths.objective) <= 1e-12 * max(1, abs(paths.objective))
    assert networks.close(layers.expected, paths.expected)
    assert networks.blocks_close(layers.value, paths.value)
    assert layers.exact
    # one rounding per unit and per addition of a path
    assert max(layers.checks["probability_error"], paths.checks["probability_error"]) < 1e-14


@networks.examples(60)
@given(recipe=networks.recipes())
def test_layers_equal_paths(recipe):
    assert_agree(recipe.build())


@pytest.mark.parametrize("widths", [(2, 10), (2, 9, 2), (2, 2, 8), (2, 5, 7), (2, 1, 1, 8), (2, 6, 1, 5)], ids=str)
def test_wide_layers_equal_paths(widths):
    """Four units and more are tables of quarters, several targets several right-hand sides in one buffer."""
    units = [el.BinaryUnits(el.Gaussian(1.3), 0, 1), el.BinaryUnits(), el.BinaryUnits(el.Uniform(3.0))]
    problem = networks.classification(widths, batch=7, seed=2, units=units[: len(widths) - 1], scale=0.6)
    assert_agree(problem)
