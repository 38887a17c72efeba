"""Surrogate gradients, and FouST."""

import math

import networks
import pytest
import scipy.integrate
import scipy.stats
import torch
from estimators_factors import A, every_law, problem_of

import estimlab as el
from estimlab.errors import EstimlabError

# ---- surrogate gradients

ESCAPE = {
    "sigmoid": lambda k: el.Logistic(1 / k),
    "gaussian": lambda k: el.Gaussian(1 / (k * math.sqrt(2))),
    "triangle": lambda k: el.Triangular(1 / k),
    "boxcar": lambda k: el.Uniform(1 / (2 * k)),
}
NEURON = [*((shape, law) for shape in ESCAPE for law in ESCAPE), *(("atan", law) for law in ESCAPE)]


@pytest.mark.parametrize(("shape", "law"), NEURON)
def test_one_neuron_is_exact_if_and_only_if_the_surrogate_is_the_escape_noise_derivative(shape, law):
    network = networks.mlp((2, 1), None, seed=2, units=el.BinaryUnits(ESCAPE[law](0.3), 0, 1), scale=0.5)
    problem = el.Problem(network, lambda output, target: output[:, 0], networks.normal(3, 5, 2))
    measured = el.quadrature_moments(problem, el.SurrogateGradient(shape, 0.3))
    relative = float(networks.flat(measured.bias).norm() / networks.flat(measured.reference).norm())
    assert relative < 1e-13 if shape == law else relative > 1e-3


@pytest.mark.parametrize("shape", ESCAPE)
def test_with_the_escape_noise_derivative_a_surrogate_is_straight_through_without_the_draw(shape):
    for slope in (0.5, 3.0):
        bump = el.SurrogateGradient(shape, slope).bump(A)
        assert torch.allclose(bump, ESCAPE[shape](slope).density(A), rtol=1e-12, atol=1e-15)


DEFAULTS = {"sigmoid": 25, "atan": 2, "fast_sigmoid": 25, "superspike": 100, "triangle": 1, "boxcar": 1, "gaussian": 2}


@pytest.mark.parametrize("shape", DEFAULTS)
def test_defaults_and_integrals_of_the_shapes(shape):
    default, given = el.SurrogateGradient(shape), el.SurrogateGradient(shape, float(DEFAULTS[shape]))
    assert torch.equal(default.bump(A), given.bump(A))
    edge = 0.5 / DEFAULTS[shape]

    def bump(x):
        return float(default.bump(torch.tensor(x, dtype=torch.float64)))

    pieces = [
        scipy.integrate.quad(bump, *ends)[0] for ends in ((0, edge), (edge, 2 * edge), (2 * edge, 1), (1, math.inf))
    ]
    integral = 2 / DEFAULTS[shape] if shape in ("fast_sigmoid", "superspike") else 1
    assert 2 * math.fsum(pieces) == pytest.approx(integral, rel=1e-7)  # quad's own accuracy on tails like 1 / x^2


def test_nothing_is_drawn():
    problem = problem_of(el.Logistic())
    estimator = el.SurrogateGradient("atan")
    by_nodes, measured = el.quadrature_moments(problem, estimator), el.measure(problem, estimator, draws=512)
    carry = problem.inputs
    for stage in problem.network.stages:
        carry = (stage(carry) > 0).double() * 2 - 1
    assert torch.equal(estimator.surrogate(problem, el.TorchNoise()), problem.value(problem.network.head(carry)))
    for moments in (by_nodes, measured):
        assert networks.blocks_close(moments.mean, by_nodes.mean, 1e-13)
        rounding = 16 * torch.finfo(torch.float64).eps * float((networks.flat(by_nodes.mean) ** 2).max())
        assert float(networks.flat(moments.variance).abs().max()) < rounding
    assert float(networks.flat(measured.mean).abs().max()) > 1e-3


@pytest.mark.parametrize("who", [el.exact_moments, el.attribute_bias])
@pytest.mark.parametrize("estimator", [el.SurrogateGradient(), el.FouST()], ids=repr)
def test_what_has_no_drawn_state_and_local_factor_is_refused_by_exact_recursions(who, estimator):
    with pytest.raises(EstimlabError, match=r"serves hard-forward estimators.*Use el\.measure"):
        who(networks.classification(), estimator)


# ---- FouST


def ratios(estimator, objective, values, law=None):
    """Mean over truth for each unit, -1/+1 coding."""
    problem = el.Problem(networks.logits(values, law, -1.0, 1.0), objective)
    measured = el.quadrature_moments(problem, estimator)
    return (measured.mean["stages.0.logits"] / measured.reference["stages.0.logits"]).tolist()


def product_of_a_square(output, target):
    return output[:, 0] ** 2 * output[:, 1]


def test_foust_of_a_square_times_another_unit_is_a_third_where_straight_through_is_exact():
    network = networks.logits([0.0, 0.0], None, -1.0, 1.0)
    problem = el.Problem(network, product_of_a_square)
    means = [el.quadrature_moments(problem, e).mean["stages.0.logits"] for e in (el.FouST(), el.StraightThrough())]
    truth = el.LayerwiseEnumeration().gradient(problem).value["stages.0.logits"]
    assert torch.allclose(means[0], truth * torch.tensor([0.0, 1 / 3], dtype=torch.float64), rtol=1e-12, atol=1e-15)
    assert torch.allclose(means[1], truth, rtol=1e-12, atol=1e-15)
    assert float(truth[1]) == pytest.approx(0.5)


@every_law
def test_foust_is_unbiased_for_one_unit_and_every_objective(law):
    for a in (0.0, 0.9, -1.4):
        assert ratios(el.FouST(), networks.sines, [a], law) == pytest.approx([1], rel=1e-12)


def test_foust_without_importance_weights_is_unbiased_at_one_half_only():
    a = math.log(4)  # P(high) = 0.8
    assert ratios(el.FouST(False), networks.sines, [0.0]) == pytest.approx([1], rel=1e-12)
    assert abs(ratios(el.FouST(False), networks.sines, [a])[0] - 1) > 0.01
    assert ratios(el.FouST(), networks.sines, [a]) == pytest.approx([1], rel=1e-12)


def test_foust_of_a_product_of_two_units_halves_the_gradient():
    """The mean of the other unit's multiplier."""
    assert ratios(el.FouST(), lambda x, target: x[:, 0] * x[:, 1], [0.4, -0.7]) == pytest.approx([0.5, 0.5], rel=1e-12)
