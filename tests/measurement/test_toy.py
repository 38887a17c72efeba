"""The published toy: a 2-5-5-5-1 network after one epoch of training, every printed digit of its exact numbers."""

import networks
import pytest
import torch

import estimlab as el

NORMS = (0.008808, 0.010013, 0.011613, 0.088482)
BIAS = {
    el.StraightThrough(): (0.138, 0.130, 0.275),
    el.StraightThrough("hard_tanh"): (2.76, 1.96, 0.755),
}
STD = {el.StraightThrough(): (0.115, 0.418, 0.936)}
REINFORCE_STD = (8.68, 10.33, 9.03)


def half_unit(number):
    """Half a unit of the last digit of a number as it is printed."""
    return 0.5 * 10.0 ** -len(f"{number}".partition(".")[2])


@pytest.fixture(scope="module")
def problem():
    return networks.published_toy(1)


@pytest.fixture(scope="module")
def truth(problem):
    return el.LayerwiseEnumeration().gradient(problem)


def layer_norms(problem, gradient):
    layers = problem.network.layers().values()
    return [float(torch.cat([gradient[name].flatten() for name in blocks]).norm()) for blocks in layers]


def assert_printed(values, published):
    for value, number in zip(values, published, strict=True):
        assert abs(value - number) <= half_unit(number) * (1 + 1e-9)


def test_objective_and_norms_of_the_gradient(problem, truth):
    assert abs(truth.objective - 0.7209702953) <= 0.5e-10
    assert_printed(layer_norms(problem, truth.value), NORMS)
    paths = el.PathEnumeration().gradient(problem.example(7))
    assert float(truth.expected[7]) == pytest.approx(paths.objective, rel=1e-13)


@pytest.mark.parametrize("estimator", BIAS, ids=repr)
def test_relative_bias(problem, truth, estimator):
    statistics = el.exact_moments(problem, estimator, truth).statistics()
    assert_printed([statistics[str(k)]["relative_bias"][0] for k in range(3)], BIAS[estimator])


@pytest.mark.parametrize("estimator", STD, ids=repr)
def test_relative_standard_deviation_of_one_draw(problem, truth, estimator):
    statistics = el.exact_moments(problem, estimator, truth).statistics()
    assert_printed([statistics[str(k)]["relative_std"][0] for k in range(3)], STD[estimator])


def test_relative_standard_deviation_of_reinforce(problem, truth, seed):
    statistics = el.measure(problem, el.Reinforce(), truth, draws=1024, seed=seed).statistics()
    for k, number in enumerate(REINFORCE_STD):
        value, stderr = statistics[str(k)]["relative_std"]
        assert stderr < 0.1 * value
        # 3 layers at a family-wise 1e-3: t with 63 degrees of freedom
        assert abs(value - number) <= half_unit(number) + 3.8 * stderr
