"""``c (x - low)(x - high)`` is zero on the corners: it changes an objective's extension and not the objective."""

import networks
import pytest
import torch

import estimlab as el
import estimlab.estimators
from estimlab.measurement.mapped import gradients, record
from estimlab.randomness.noise import TableNoise
from estimlab.randomness.streams import RandomStream

CATALOGUE = [cls() for cls in estimlab.estimators.catalogue()]
C = 1.7


def extended(objective, low, high):
    return lambda output, target: objective(output, target) + C * ((output - low) * (output - high)).sum(1)


def pair(coding, law=None):
    """A deep network without head, the same with the null extension added."""
    units = el.BinaryUnits(law or el.Logistic(), *coding)
    network, inputs = networks.mlp((2, 3, 2), None, seed=4, units=units), networks.normal(5, 3, 2)
    return [el.Problem(network, f, inputs) for f in (networks.sines, extended(networks.sines, *coding))]


def mean_of_one_unit(estimator, objective, law, coding):
    problem = el.Problem(networks.logits([0.6], law, *coding), objective)
    return float(el.quadrature_moments(problem, estimator).mean["stages.0.logits"])


@pytest.mark.parametrize("coding", networks.CODINGS)
@pytest.mark.parametrize("reference", [el.LayerwiseEnumeration(), el.PathEnumeration()], ids=lambda r: type(r).__name__)
def test_the_true_gradient_does_not_move(reference, coding):
    plain, more = (reference.gradient(problem) for problem in pair(coding))
    assert networks.blocks_close(plain.value, more.value, 1e-15)
    assert plain.objective == more.objective


@pytest.mark.slow
@pytest.mark.parametrize("coding", networks.CODINGS)
@pytest.mark.parametrize("estimator", CATALOGUE, ids=repr)
def test_only_estimators_that_read_the_extension_move(estimator, coding):
    draws = []
    for problem in pair(coding):
        problem = problem.with_expected(torch.ones(3))
        tables = RandomStream(0).tables(record(problem, estimator), 0, 16, problem.inputs)
        draws.append(gradients(problem, estimator, TableNoise, tables)[0])
    plain, more = (networks.flat(blocks) for blocks in draws)
    assert torch.equal(plain, more) != estimator.claims().reads_extension
    assert float(plain.abs().max()) > 1e-3


@pytest.mark.parametrize("coding", networks.CODINGS)
@pytest.mark.parametrize("law", [law(1.9) for law in networks.LAWS], ids=repr)
def test_the_mean_of_straight_through_moves_as_the_formula_says(law, coding):
    plain, more = (
        mean_of_one_unit(el.StraightThrough(), f, law, coding)
        for f in (networks.sines, extended(networks.sines, *coding))
    )
    a = torch.tensor(0.6, dtype=torch.float64)
    gap, curvature = coding[1] - coding[0], 2 * C
    moved = float(law.density(a)) * gap**2 * curvature * (float(law.cdf(a)) - 0.5)
    assert more - plain == pytest.approx(moved, rel=1e-12)
    assert moved > 0.02


@pytest.mark.parametrize("coding", networks.CODINGS)
@pytest.mark.parametrize("law", [law(1.9) for law in networks.LAWS], ids=repr)
def test_the_mean_of_zgr_does_not_move(law, coding):
    plain, more = (
        mean_of_one_unit(el.ZGR(), f, law, coding) for f in (networks.sines, extended(networks.sines, *coding))
    )
    assert more == pytest.approx(plain, abs=1e-14)
