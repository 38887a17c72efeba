"""Exact moments against enumeration of all paths through the estimator's own surrogate, on random networks."""

import dataclasses

import hypothesis.strategies as st
import networks
import pytest
import torch
from hypothesis import given
from torch import nn

import estimlab as el
from estimlab.errors import EstimlabError
from estimlab.estimators.iw_st import ConstantWeight, PowerWeight

STATE_ONLY = [
    el.StraightThrough(),
    el.StraightThrough("identity"),
    el.StraightThrough("hard_tanh"),
    el.StraightThrough("tanh"),
    el.StraightThrough("approx_sign"),
    el.ZGR(),
    el.MVE(0.7),
    el.IWST(ConstantWeight(0.9)),
    el.IWST(PowerWeight(-0.5)),
]


def assert_same_moments(problem, estimator, tolerance=1e-12):
    exact, paths = el.exact_moments(problem, estimator), el.quadrature_moments(problem, estimator)
    assert networks.blocks_close(exact.mean, paths.mean, tolerance)
    assert networks.blocks_close(exact.variance, paths.variance, tolerance)
    assert networks.blocks_close(exact.reference, el.PathEnumeration().gradient(problem).value)
    return exact


@networks.examples(40)
@given(
    recipe=networks.recipes(max_depth=3, max_width=3, max_units=6, max_batch=3), estimator=st.sampled_from(STATE_ONLY)
)
def test_exact_moments_equal_enumeration_of_paths(recipe, estimator):
    assert_same_moments(recipe.build(), estimator)


@pytest.mark.parametrize("estimator", STATE_ONLY, ids=repr)
def test_exact_moments_of_a_deep_classifier(estimator):
    problem = networks.classification((2, 3, 2, 3), batch=5, units=el.BinaryUnits(el.Gaussian(1.4), 0, 1))
    exact = assert_same_moments(problem, estimator)
    assert all(float(variance.max()) > 0 for variance in exact.variance.values())


@pytest.mark.slow
@pytest.mark.parametrize("law", [law(1.6) for law in networks.LAWS], ids=repr)
@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_a_factor_that_reads_the_uniform_enters_by_its_conditional_moments(law, temperature):
    units = el.BinaryUnits(law, -0.5, 2.0)
    problem = networks.classification((2, 1, 1), batch=2, units=units)
    exact = assert_same_moments(problem, el.STGumbelSoftmax(temperature), 1e-9)
    other = el.exact_moments(problem, el.ZGR())
    assert not networks.close(exact.variance["stages.0.weight"], other.variance["stages.0.weight"], 1e-7)


def test_units_that_share_a_layer_are_correlated_through_the_next():
    """The second moment is a full matrix: its diagonal alone would give another variance below."""
    problem = networks.classification((2, 3, 1), batch=1)
    exact = assert_same_moments(problem, el.StraightThrough())
    assert float(exact.variance["stages.0.weight"].min()) > 1e-7


def test_saturated_units_have_finite_moments():
    problem = networks.classification((2, 3, 2), scale=40.0)
    for estimator in (el.ZGR(), el.StraightThrough(), el.STGumbelSoftmax(0.5)):
        exact = el.exact_moments(problem, estimator)
        assert bool(torch.isfinite(networks.flat(exact.mean)).all())
        assert bool(torch.isfinite(networks.flat(exact.variance)).all())
    assert_same_moments(problem, el.ZGR())


def test_a_mean_that_does_not_vary_has_no_variance_and_statistics_without_nan():
    problem = el.Problem(networks.logits([0.7, -0.3]), el.Multilinear(((0.3, (0,)), (-1.1, (1,)))))
    for moments in (el.exact_moments, el.quadrature_moments):
        measured = moments(problem, el.StraightThrough())
        assert float(networks.flat(measured.variance).abs().max()) < 1e-16
        statistics = measured.statistics()["0"]
        assert statistics["relative_std"][0] == pytest.approx(0, abs=1e-7)
        assert statistics["cosine"][0] == pytest.approx(1, abs=1e-14)


def test_deep_straight_through_is_exact_for_uniform_noise_without_saturation():
    """Affine objective, no pre-activation beyond the support: the bias is zero in every layer."""
    network = networks.mlp((2, 3, 3), None, seed=1, units=el.BinaryUnits(el.Uniform(20.0)))
    linear = el.Problem(
        network, lambda output, target: output @ output.new_tensor([1.0, -0.5, 0.3]), networks.normal(2, 4, 2)
    )
    exact = el.exact_moments(linear, el.StraightThrough())
    assert networks.blocks_close(exact.mean, exact.reference, 1e-15)
    curved = el.exact_moments(dataclasses.replace(linear, objective=networks.sines), el.StraightThrough())
    assert not networks.close(curved.mean["stages.0.weight"], curved.reference["stages.0.weight"], 1e-4)


def test_with_logistic_noise_only_the_last_layer_is_exact():
    network = networks.mlp((2, 3, 3), None, seed=1)
    problem = el.Problem(network, el.Multilinear(((1.0, (0, 1)), (-0.5, (2,)))), networks.normal(2, 4, 2))
    exact = el.exact_moments(problem, el.StraightThrough())
    assert networks.close(exact.mean["stages.1.weight"], exact.reference["stages.1.weight"], 1e-14)
    assert exact.statistics()["0"]["relative_bias"][0] > 1e-2


def test_many_examples_take_the_mean():
    problem = networks.classification((2, 3, 2), batch=6)
    whole = el.exact_moments(problem, el.ZGR())
    parts = [el.exact_moments(problem.example(i), el.ZGR()) for i in range(6)]
    for name in whole.mean:
        assert networks.close(whole.mean[name], torch.stack([p.mean[name] for p in parts]).mean(0), 1e-14)
        assert networks.close(whole.variance[name], torch.stack([p.variance[name] for p in parts]).sum(0) / 36, 1e-14)


def test_a_given_reference_is_used():
    problem = networks.classification()
    truth = el.LayerwiseEnumeration().gradient(problem)
    zero = dataclasses.replace(truth, value={name: torch.zeros_like(v) for name, v in truth.value.items()})
    for moments in (el.exact_moments, el.quadrature_moments):
        measured = moments(problem, el.ZGR(), zero)
        assert networks.blocks_close(measured.bias, measured.mean, 0)


@pytest.mark.parametrize("serves", [el.exact_moments, el.attribute_bias])
def test_only_hard_forward_estimators_on_chains_are_served(serves):
    problem = networks.classification()
    for estimator in (el.Reinforce(), el.GumbelSoftmax(), el.ARM()):
        with pytest.raises(EstimlabError, match=r"hard-forward.*el\.measure"):
            serves(problem, estimator)


def test_wide_networks_are_refused_with_their_cost_unless_forced():
    wide = el.Problem(networks.mlp((2, 14, 14), 1), el.Quadratic(), networks.normal(0, 1, 2))
    with pytest.raises(EstimlabError, match=r"14-14 units.*force=True"):
        el.exact_moments(wide, el.ZGR(), max_seconds=1e-3)
    with pytest.raises(EstimlabError, match="joint nodes"):
        el.quadrature_moments(wide, el.ZGR())
    small = networks.classification()
    with pytest.raises(EstimlabError, match="budget"):
        el.exact_moments(small, el.ZGR(), max_seconds=1e-12)
    forced = el.exact_moments(small, el.ZGR(), max_seconds=1e-12, force=True)
    assert networks.blocks_close(forced.mean, el.exact_moments(small, el.ZGR()).mean, 0)


def test_a_parameter_that_two_stages_share_is_refused():
    stage = nn.Linear(2, 2)
    network = networks.fill(el.Chain([stage, stage], nn.Linear(2, 1)), 3)
    problem = el.Problem(network, el.Quadratic(), networks.normal(1, 3, 2))
    with pytest.raises(EstimlabError, match=r"stages\.1\.weight is also stages\.0\.weight.*el\.measure"):
        el.exact_moments(problem, el.ZGR())


def test_exact_numbers_have_no_standard_error_and_no_draws():
    measured = el.exact_moments(networks.classification(), el.ZGR())
    table = measured.table()
    assert bool((table["stderr"] == 0).all())
    assert bool(table["draws"].isna().all())
    assert set(table["method"]) == {"exact"}
