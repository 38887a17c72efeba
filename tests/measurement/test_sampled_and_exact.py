"""Sampling agrees with exact moments: gates whose tolerance is the number of draws, their power, and mutants."""

import dataclasses

import networks
import pytest
import scipy.stats
import torch

import estimlab as el
import estimlab.estimators

ESTIMATORS = [cls() for cls in estimlab.estimators.catalogue() if not cls().claims().deterministic]
ESTIMATORS += [el.StraightThrough("tanh"), el.Reinforce("exact_mean"), el.ARM("common"), el.DisARM("common")]
FAMILY = 1e-3 / len(ESTIMATORS)  # family-wise error over all tests of this file that must pass
POWER = 0.999
DRAWS = 1 << 17


def centred(output, target):
    """A quadratic with a mean near zero: REINFORCE has little variance, and the gates have power."""
    return 2 * (output - 0.5).sum(1) + 0.3 * (output**2).sum(1)


def problem_of(estimator):
    """Two layers in 0/1 coding; one unit in each where every uniform takes 103 nodes per interval."""
    smooth = getattr(estimator, "reads_uniform", False) and not isinstance(estimator, el.HardForward)
    widths, seed = ((1, 1, 1), 69) if smooth else ((1, 2, 2), 111)
    network = networks.mlp(widths, None, seed, el.BinaryUnits(el.Logistic(), 0, 1), scale=1.5)
    return el.Problem(network, centred, networks.normal(seed + 1, 1, 1))


def reached(estimator):
    """Whether exact moments can be had: a grid of joint nodes of two uniforms per unit is too large."""
    return isinstance(estimator, el.HardForward) or networks.nodes(problem_of(estimator), estimator) <= 1 << 18


def exact_of(problem, estimator):
    moments = el.exact_moments if isinstance(estimator, el.HardForward) else el.quadrature_moments
    return moments(problem, estimator)


def z_scores(measured, exact):
    """Of every coordinate's mean, with its exact standard error; coordinates that do not vary are compared apart."""
    mean, expected = networks.flat(measured.mean), networks.flat(exact.mean)
    stderr = (networks.flat(exact.variance) / measured.draws).sqrt()
    varies = stderr > 1e-12
    assert networks.close(mean[~varies], expected[~varies], 1e-10)
    return (mean - expected)[varies] / stderr[varies]


def mean_gate(measured, exact):
    """The largest z-score over its Bonferroni bound: above one, the means differ."""
    z = z_scores(measured, exact)
    return float(z.abs().max()) / scipy.stats.norm.isf(FAMILY / len(z) / 4)


def variance_gate(measured, exact):
    """The same for the variance of each layer, with its jackknife standard error from 64 groups."""
    pairs = [
        (measured.statistics()[layer]["variance"], exact.statistics()[layer]["variance"]) for layer in exact.layers
    ]
    scores = [abs(value - expected) / stderr for (value, stderr), (expected, _) in pairs if expected > 1e-20]
    return max(scores) / scipy.stats.t.isf(FAMILY / len(scores) / 4, 63)


def detectable_share(exact, layer):
    """A bias of this share of the true gradient of a layer is found by the mean gate with the probability POWER."""
    blocks = exact.layers[layer]
    truth, variance = (torch.cat([part[n].flatten() for n in blocks]) for part in (exact.reference, exact.variance))
    coordinates = sum(v.numel() for v in exact.mean.values())
    bound = scipy.stats.norm.isf(FAMILY / coordinates / 4) + scipy.stats.norm.isf(1 - POWER)
    share = bound * (variance / DRAWS).sqrt() / truth.abs()
    return float(share.min())


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_sampling_agrees_with_the_exact_moments(estimator, seed):
    if not reached(estimator):
        pytest.skip("too many joint nodes: see the gates of its own tests")
    problem = problem_of(estimator)
    exact = exact_of(problem, estimator)
    for layer in exact.layers:
        assert detectable_share(exact, layer) < 0.05, layer
    measured = el.measure(problem, estimator, draws=DRAWS, seed=seed)
    assert measured.draws == DRAWS
    assert mean_gate(measured, exact) < 1
    assert variance_gate(measured, exact) < 1


def test_sampling_in_float32_agrees_with_the_exact_moments(seed):
    problem = networks.classification((1, 2, 2), batch=3, seed=6)
    exact = el.exact_moments(problem, el.ZGR())
    measured = el.measure(problem.to(dtype=torch.float32), el.ZGR(), draws=DRAWS, seed=seed)
    assert {mean.dtype for mean in measured.mean.values()} == {torch.float64}
    # rounding of 1e-7 per draw is a tenth of no standard error here
    assert float((networks.flat(exact.variance) / DRAWS).sqrt().min()) > 1e-5
    assert mean_gate(measured, exact) < 1


# ---- every gate must reject these


@dataclasses.dataclass(frozen=True)
class TooLarge(el.HardForward):
    """Straight-through times 1.1 (or another factor)."""

    factor: float = 1.1

    def derivative(self, a, bit, uniform, law):
        return self.factor * law.density(a)


@dataclasses.dataclass(frozen=True)
class Signal(el.Estimator):
    """One layer: a value and what its pre-activations receive, written out by hand."""

    mutant: str = "none"

    def surrogate(self, problem, noise):
        a, _ = problem.network.preactivation(0, problem.inputs)
        law, fixed = problem.sites[0].units.law, a.detach()
        p = law.cdf(fixed)
        u = noise.uniform(0, 0, p, [p, 1 - p], 1)
        value, twin = (problem.value(problem.network.head(bits.to(a.dtype))) for bits in (u < p, u > 1 - p))
        signal = SIGNALS[self.mutant](value.detach()[:, None], twin.detach()[:, None], u, p)
        linear = (signal * a).sum(1)
        return value + linear - linear.detach()


def half_sign(u, p):
    """DisARM's (-1)^{s'} / 2, zero where the state and its twin agree."""
    return torch.where((u < p) == (u > 1 - p), 0, torch.where(u < p, 0.5, -0.5))


SIGNALS = {
    "none": lambda f, twin, u, p: (f - twin) * (0.5 - u),
    "ARM with its sign flipped": lambda f, twin, u, p: (f - twin) * (u - 0.5),
    "ARM with the twin of the wrong side": lambda f, twin, u, p: f * (0.5 - u),
    "DisARM, right": lambda f, twin, u, p: (f - twin) * half_sign(u, p) * torch.maximum(p, 1 - p),
    "DisARM with sigmoid(-|a|)": lambda f, twin, u, p: (f - twin) * half_sign(u, p) * torch.minimum(p, 1 - p),
    "DisARM with the indicator of equal states": lambda f, twin, u, p: (
        (f - twin) * (half_sign(u, p) == 0) * torch.maximum(p, 1 - p) / 2
    ),
    "REINFORCE, right": lambda f, twin, u, p: (f - 0.5) * ((u < p).to(u) - p),
    "REINFORCE with a baseline that reads the state": lambda f, twin, u, p: (
        (f - 0.3 * (u < p)[:, :1].to(u)) * ((u < p).to(u) - p)
    ),
}
RIGHT = ("none", "DisARM, right", "REINFORCE, right")


def one_layer():
    return networks.classification((1, 2), batch=1, seed=6, units=el.BinaryUnits(el.Logistic(), 0, 1))


@pytest.mark.slow
@pytest.mark.parametrize("mutant", SIGNALS)
def test_the_mean_gate_rejects_every_mutant_and_no_right_estimator(mutant, seed):
    problem = one_layer()
    truth = el.quadrature_moments(problem, Signal())
    assert networks.blocks_close(truth.mean, truth.reference, 1e-12)
    measured = el.measure(problem, Signal(mutant), draws=DRAWS, seed=seed)
    gate = mean_gate(measured, dataclasses.replace(truth, variance=measured.variance))
    assert (gate < 1) == (mutant in RIGHT)


@pytest.mark.slow
@pytest.mark.parametrize("factor", [0.95, 1.05, 1.1, 2.0, -1.0])
def test_both_gates_reject_straight_through_times_a_factor(factor, seed):
    problem = problem_of(el.StraightThrough())
    exact = el.exact_moments(problem, el.StraightThrough())
    measured = el.measure(problem, TooLarge(factor), draws=DRAWS, seed=seed)
    assert mean_gate(measured, exact) > 1
    assert variance_gate(measured, exact) > 1 or factor == -1.0


def test_the_variance_gate_rejects_a_right_mean_with_another_variance(seed):
    problem = one_layer()
    plain = el.quadrature_moments(problem, el.Reinforce(0.3))
    measured = el.measure(problem, el.Reinforce(0.0), draws=DRAWS, seed=seed)
    assert mean_gate(measured, dataclasses.replace(plain, variance=measured.variance)) < 1
    assert variance_gate(measured, plain) > 1


@pytest.mark.slow
@pytest.mark.parametrize("divisor", [DRAWS, 2.0, 1.1])
def test_the_variance_gate_rejects_a_variance_that_was_divided(divisor, seed):
    problem = problem_of(el.StraightThrough())
    exact = el.exact_moments(problem, el.StraightThrough())
    measured = el.measure(problem, el.StraightThrough(), draws=DRAWS, seed=seed)
    divided = {name: variance / divisor for name, variance in measured.variance.items()}
    assert variance_gate(measured, exact) < 1
    assert variance_gate(dataclasses.replace(measured, variance=divided), exact) > 1
