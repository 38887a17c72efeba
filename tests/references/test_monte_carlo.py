"""The Monte Carlo reference: exactly unbiased, with standard errors that are right."""

import dataclasses
import itertools

import networks
import pytest
import torch
from references_toys import (
    FAMILY_WISE,
    SampledWeights,
    Spiking,
    agrees,
    chain,
    convolution,
    problem_of,
    scores,
    truth_of,
)
from scipy import stats

import estimlab as el
from estimlab.draws import per_draw_gradients
from estimlab.randomness.streams import RandomStream
from estimlab.references.monte_carlo import FlippedFutures

# --- exactly unbiased ------------------------------------------------------------------------------------------------


def cuts(problem, k):
    """Every P(high) that a unit of site k can have, over all states of the sites before it: (paths, *shape)."""
    network, found = problem.network, []
    for bits in itertools.product((0.0, 1.0), repeat=sum(site.size for site in problem.sites[:k])):
        carry, bits = network.initial(problem.inputs), torch.tensor(bits, dtype=networks.F64)
        for j, site in enumerate(problem.sites[: k + 1]):
            a, carry = network.preactivation(j, carry)
            if j < k:
                state, bits = bits[: site.size].reshape(site.shape), bits[site.size :]
                carry = network.advance(j, carry, site.units.state(state).expand(a.shape))
        found.append(problem.sites[k].units.law.cdf(a))
    return torch.stack(found).detach()


def uniform_cells(problem, sampled):
    """One uniform inside every cell of the unit cube on which a draw is constant, per site, and the cells' volumes."""
    columns, widths, shapes = [], [], []
    for k in range(sampled):
        probabilities = cuts(problem, k)
        shapes.append(probabilities.shape[1:])
        for unit in probabilities.flatten(1).T:
            edges = torch.cat((unit.new_zeros(1), unit.clamp(0, 1), unit.new_ones(1))).unique()
            columns.append((edges[1:] + edges[:-1]) / 2)
            widths.append(edges.diff())
    nodes = torch.cartesian_prod(*columns).reshape(-1, len(columns))
    volumes = torch.cartesian_prod(*widths).reshape(-1, len(columns)).prod(1)
    parts = nodes.split([shape.numel() for shape in shapes], 1)
    return {k: part.reshape(-1, *shape) for k, (part, shape) in enumerate(zip(parts, shapes, strict=True))}, volumes


def expected_draw(problem, enumerate_last, draw=FlippedFutures):
    """Expectation of a draw, and of its values, over its uniforms: no sampling."""
    draw = draw(problem, enumerate_last)
    uniforms, volumes = uniform_cells(problem, draw.sampled)
    blocks, values = per_draw_gradients(problem.network, draw, uniforms)
    assert float(volumes.sum()) == pytest.approx(1, abs=1e-13)
    return {name: torch.tensordot(volumes, block, 1) for name, block in blocks.items()}, volumes @ values


EXACT = {
    "2-2": (chain((2, 2, 2), el.Logistic(), (-1.0, 1.0)), (0, 2)),
    "2-2 gaussian 0/1": (chain((2, 2, 2), el.Gaussian(0.7), (0.0, 1.0), seed=1), (0, 2)),
    "2-2 uniform": (chain((2, 2, 2), el.Uniform(2.0), (-0.5, 2.0), seed=2), (0, 2)),
    "1-1 two examples": (chain((1, 1, 1), el.Triangular(2.5), (-1.0, 1.0), batch=2), (0, 1)),
    "2-1-2": (chain((2, 2, 1, 2), el.Logistic(0.8), (0.0, 1.0), seed=4), (0, 1, 2)),
    "2-2-1": (chain((2, 2, 2, 1), el.Triangular(2.0), (-1.0, 1.0), seed=5), (0, 1)),
    "convolution": (convolution(batch=1), (0, 2)),
    "spiking": (problem_of(Spiking()), (0, 2)),
    "weights": (problem_of(SampledWeights()), (0, 1)),
    "weights, two examples": (problem_of(SampledWeights(), batch=2), (0, 1)),
    "weights alone": (problem_of(SampledWeights(units=False), batch=4), (0, 9)),
}


@pytest.mark.parametrize("name", EXACT)
def test_the_expectation_of_a_draw_is_the_gradient(name):
    problem, last = EXACT[name]
    truth = truth_of(problem)
    if isinstance(problem.network, el.Chain):
        assert networks.blocks_close(el.LayerwiseEnumeration().gradient(problem).value, truth.value)
    for enumerate_last in last:
        mean, values = expected_draw(problem, enumerate_last)
        assert networks.blocks_close(mean, truth.value)
        assert networks.close(values, truth.expected)


class WithoutSign(FlippedFutures):
    def _signal(self, k, a, high, difference):
        return super()._signal(k, a, torch.ones_like(high), difference)


class WithoutDensity(FlippedFutures):
    def _signal(self, k, a, high, difference):
        return super()._signal(k, a, high, difference) / self.problem.sites[k].units.law.density(a)


class OwnFutureOnly(FlippedFutures):
    """The later states of the flipped future are those of the main path."""

    def _future(self, start, carry, uniforms):
        def states(k, a, carry):
            return self._state(k, (uniforms[k] < 0.5).expand(a.shape))

        return self._tail(self.problem.network.through(carry, states, start, self.sampled))


class WithoutDirect(FlippedFutures):
    """The derivative of the value at fixed states is left out."""

    def _tail(self, carry):
        return super()._tail(carry).detach()


@pytest.mark.parametrize("mutant", [WithoutSign, WithoutDensity, OwnFutureOnly, WithoutDirect])
@pytest.mark.parametrize("enumerate_last", [0, 2])
def test_the_exact_test_rejects_mutants(mutant, enumerate_last):
    if mutant is OwnFutureOnly and enumerate_last:
        return  # there is no later site that is drawn
    problem = EXACT["2-2"][0]
    mean, _ = expected_draw(problem, enumerate_last, mutant)
    assert not networks.blocks_close(mean, truth_of(problem).value, 1e-3)


def test_a_layer_that_is_enumerated_needs_one_draw():
    problem = networks.classification((2, 4), batch=3)
    gradient = el.MonteCarloReference().gradient(problem)
    assert gradient.exact
    assert gradient.checks == {"draws": 1, "relative_error": 0, "objective_stderr": 0}
    assert networks.blocks_close(gradient.value, truth_of(problem).value)
    assert not el.MonteCarloReference(enumerate_last=3, draws=64).gradient(problem).exact


# --- sampled ---------------------------------------------------------------------------------------------------------


SAMPLED = {
    **{
        f"{law} {coding} {widths}": chain(widths, getattr(el, law)(2.0), coding, batch=4, seed=number)
        for number, (law, coding, widths) in enumerate(
            itertools.product(
                [law.__name__ for law in networks.LAWS], networks.CODINGS[:2], [(2, 4), (2, 3, 3), (2, 3, 2, 3)]
            )
        )
    },
    "convolution": convolution(),
    "spiking": problem_of(Spiking(), batch=3),
    "weights": problem_of(SampledWeights(), batch=3),
}


@pytest.mark.slow
@pytest.mark.parametrize("enumerate_last", [0, 4])
@pytest.mark.parametrize("name", SAMPLED)
def test_the_mean_is_the_gradient(name, enumerate_last, seed):
    problem = SAMPLED[name]
    truth = truth_of(problem)
    gradient = el.MonteCarloReference(draws=4000, enumerate_last=enumerate_last, seed=seed).gradient(problem)
    if gradient.exact:
        assert networks.blocks_close(gradient.value, truth.value)
        return
    tests = 2 * len(SAMPLED)
    z = scores(gradient, truth.value)
    assert agrees(z, tests)
    assert abs(gradient.objective - truth.objective) < 5 * gradient.checks["objective_stderr"]
    # power: the gate sees a bias of a third in any direction that these standard errors leave visible
    assert gradient.checks["relative_error"] < 0.06
    assert not agrees(scores(gradient, {n: 4 / 3 * v for n, v in truth.value.items()}), tests)


@pytest.mark.slow
def test_z_scores_have_the_right_spread(seed):
    problem, seeds = networks.classification((2, 2, 2), batch=2, scale=0.6), 150
    truth = truth_of(problem).value
    references = [el.MonteCarloReference(draws=256, enumerate_last=0, seed=seed + s) for s in range(seeds)]
    z = torch.stack([scores(reference.gradient(problem), truth) for reference in references])
    tail = FAMILY_WISE / (2 * z.shape[1])
    low, high = stats.chi2.ppf(tail, seeds), stats.chi2.isf(tail, seeds)
    squares = (z**2).sum(0)
    assert bool(((low < squares) & (squares < high)).all())
    assert not bool((squares / 2 > low).all())  # a variance wrong by two would be seen either way
    assert not bool((squares * 2 < high).all())


def root_noise(gradient):
    return float(networks.flat(gradient.stderr).norm())


def test_standard_errors_fall_as_one_over_the_root_of_draws():
    problem = networks.classification((2, 3, 2))
    few, many = (el.MonteCarloReference(draws=n, enumerate_last=0).gradient(problem) for n in (1000, 16000))
    assert root_noise(few) / root_noise(many) == pytest.approx(4, rel=0.06)


@pytest.mark.parametrize(("relative_error", "pilot"), [(0.02, 512), (0.05, 16)])
def test_the_pilot_hits_the_relative_error(relative_error, pilot):
    problem = networks.classification((2, 3, 3))
    reference = el.MonteCarloReference(relative_error, pilot=pilot, enumerate_last=0)
    gradient = reference.gradient(problem)
    achieved = root_noise(gradient) / gradient.norm()
    assert achieved == pytest.approx(relative_error, rel=0.3)
    assert gradient.checks["relative_error"] == pytest.approx(achieved, rel=0.01)
    assert gradient.checks["pilot_relative_error"] <= 0.5
    again = dataclasses.replace(reference, draws=int(gradient.checks["draws"])).gradient(problem)
    assert networks.blocks_close(again.value, gradient.value, 0)  # the pilot fixes the number and nothing else
    assert "pilot_relative_error" not in again.checks


def test_enumerating_the_last_layer_reduces_the_variance():
    problem = networks.classification((2, 3, 3))
    drawn, enumerated = (el.MonteCarloReference(draws=2000, enumerate_last=n).gradient(problem) for n in (2, 3))
    assert root_noise(enumerated) < 0.8 * root_noise(drawn)
    assert enumerated.checks["objective_stderr"] < drawn.checks["objective_stderr"]


def test_common_uniforms_reduce_the_variance():
    """Flipped futures with uniforms of their own are as unbiased, and noisier."""

    class IndependentFutures(FlippedFutures):
        def _future(self, start, carry, uniforms):
            return super()._future(start, carry, {k: (u + 0.5) % 1 for k, u in uniforms.items()})

    problem = networks.classification((2, 3, 3, 3))
    shapes = FlippedFutures(problem).requests(0)
    tables = {k: u for (k, _), u in RandomStream(0).tables(shapes, 0, 4000, torch.zeros(0, dtype=networks.F64)).items()}
    drawn = [per_draw_gradients(problem.network, d(problem), tables)[0] for d in (FlippedFutures, IndependentFutures)]
    common, independent = (sum(float(block.var(0).sum()) for block in blocks.values()) for blocks in drawn)
    assert common < 0.9 * independent


def test_a_measurement_carries_the_standard_error():
    problem = networks.classification((2, 3, 2))
    reference = el.MonteCarloReference(draws=400, enumerate_last=0)
    exact, noisy = (el.measure(problem, el.StraightThrough(), r, draws=4096) for r in (None, reference))
    gradient = reference.gradient(problem)
    assert networks.blocks_close(noisy.reference, gradient.value, 0)
    assert networks.blocks_close(noisy.reference_stderr, gradient.stderr, 0)
    exact, noisy = exact.statistics(), noisy.statistics()
    for layer in problem.network.layers():
        (value, error), (truth, small) = (statistics[layer]["squared_bias"] for statistics in (noisy, exact))
        assert error > 1.2 * small
        assert abs(value - truth) < 5 * error
