"""The Monte Carlo reference: exactly unbiased, with standard errors that are right, in a stream of its own."""

import dataclasses
import itertools
import time

import networks
import pytest
import torch
from scipy import stats
from torch import nn

import estimlab as el
from estimlab.errors import EstimlabError
from estimlab.measurement.draws import record
from estimlab.model.functional import per_draw_gradients
from estimlab.randomness import MEASUREMENT_STREAM, RandomStream
from estimlab.references import monte_carlo
from estimlab.references.monte_carlo import FlippedFutures

FAMILY_WISE = 1e-3


class Spiking(el.StochasticNetwork):
    """Two steps of leaky membranes with one weight: the carry is real-valued and depends on the parameters."""

    def __init__(self):
        super().__init__()
        self.first, self.recurrent, self.head = nn.Linear(2, 2), nn.Linear(2, 2, bias=False), nn.Linear(2, 3)
        self.leak = nn.Parameter(torch.tensor([0.3, 0.6]))

    def sites(self, inputs):
        return (el.Site((2,), el.BinaryUnits(el.Gaussian(), 0.0, 1.0)),) * 2

    def initial(self, inputs):
        return {"current": self.first(inputs), "membrane": torch.zeros_like(inputs), "spikes": torch.zeros_like(inputs)}

    def preactivation(self, k, carry):
        membrane = self.leak * carry["membrane"] + carry["current"] + self.recurrent(carry["spikes"])
        return membrane - 0.5, {**carry, "membrane": membrane}

    def advance(self, k, carry, state):
        return {**carry, "membrane": carry["membrane"] - state, "spikes": state}

    def output(self, carry):
        return self.head(carry["membrane"] + carry["spikes"])


class SampledWeights(el.StochasticNetwork):
    """Weights of +-1 that all examples share, then 0/1 units of each example (or, sampled last, the weights alone)."""

    def __init__(self, units=True):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 2))
        self.head, self.units = nn.Linear(1, 3), units

    def sites(self, inputs):
        weights = el.Site((1, 2), el.BinaryUnits(), shared=True)
        return (weights, el.Site((1,), el.BinaryUnits(el.Triangular(3.0), 0.0, 1.0)))[: 1 + self.units]

    def initial(self, inputs):
        return inputs

    def preactivation(self, k, carry):
        return (self.weight, carry) if k == 0 else (carry, carry)

    def advance(self, k, carry, state):
        return carry @ state.T if k == 0 else state

    def output(self, carry):
        return self.head(carry)


def problem_of(network, batch=1, seed=3):
    """Cross-entropy of three classes on two inputs."""
    targets = torch.arange(batch) % 3
    return el.Problem(
        networks.fill(network, seed, 0.7), el.CrossEntropy(), networks.normal(seed + 1, batch, 2), targets
    )


def chain(widths, law, coding, batch=1, seed=0):
    return networks.classification(widths, batch, seed, units=el.BinaryUnits(law, *coding), scale=0.8)


def convolution(batch=2):
    """A Conv2d stage with batch norm, then a linear stage."""
    stages = [networks.Convolution(3, 1), nn.Sequential(nn.Flatten(), nn.Linear(2, 2))]
    network = el.Chain(stages, nn.Linear(2, 3), [el.BinaryUnits(el.Gaussian(1.4)), el.BinaryUnits(el.Uniform(3.0))])
    targets = torch.arange(batch) % 3
    return el.Problem(networks.fill(network, 5, 0.8), el.CrossEntropy(), networks.normal(6, batch, 3), targets)


def truth_of(problem):
    return el.PathEnumeration().gradient(problem)


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
        for k in range(start, self.sampled):
            a, carry = self.problem.network.preactivation(k, carry)
            carry = self._advance(k, carry, (uniforms[k] < 0.5).expand(a.shape))
        return self._tail(carry)


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


def scores(gradient, truth):
    """z of every coordinate; one that does not vary between draws may differ from the truth by rounding only."""
    difference, stderr = networks.flat(gradient.value) - networks.flat(truth), networks.flat(gradient.stderr)
    return difference / stderr.clamp(min=1e-13)


def agrees(z, tests=1):
    """All coordinates within the two-sided normal quantile, family-wise over the coordinates of so many tests."""
    return bool((z.abs() < stats.norm.isf(FAMILY_WISE / (2 * tests * len(z)))).all())


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


# --- randomness ------------------------------------------------------------------------------------------------------


@pytest.fixture
def drawn(monkeypatch):
    """The uniforms of every chunk, as the reference asks for them."""
    chunks = []

    def spy(network, surrogate, tables):
        chunks.append(torch.cat([tables[k].flatten(1) for k in range(surrogate.sampled)], 1))
        return per_draw_gradients(network, surrogate, tables)

    monkeypatch.setattr(monte_carlo, "per_draw_gradients", spy)
    return chunks


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others():
    problem, state = networks.classification(), torch.random.get_rng_state()
    one, same, other = (el.MonteCarloReference(draws=64, seed=s).gradient(problem) for s in (3, 3, 4))
    assert networks.blocks_close(one.value, same.value, 0)
    assert networks.blocks_close(one.stderr, same.stderr, 0)
    assert not networks.blocks_close(one.value, other.value, 1e-6)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_more_draws_extend_a_run_and_chunks_do_not_matter(drawn, monkeypatch):
    problem = networks.classification()
    el.MonteCarloReference(draws=10).gradient(problem)
    whole = el.MonteCarloReference(draws=22).gradient(problem)
    short, long = drawn
    assert torch.equal(long[:10], short)
    monkeypatch.setattr(monte_carlo, "CHUNK_ELEMENTS", 1)
    streamed = el.MonteCarloReference(draws=22).gradient(problem)
    assert torch.equal(torch.cat(drawn[2:]), long)
    assert len(drawn) == 2 + 6
    assert networks.blocks_close(streamed.value, whole.value, 1e-14)
    assert networks.blocks_close(streamed.stderr, whole.stderr, 1e-14)
    assert streamed.objective == pytest.approx(whole.objective, rel=1e-14)


def test_pilot_draws_and_measurement_share_no_uniform(drawn):
    problem = networks.classification()
    reference = el.MonteCarloReference(relative_error=0.5, enumerate_last=0)
    gradient = reference.gradient(problem)
    assert gradient.checks["draws"] == 512
    pilot, draws = drawn
    requests = record(problem, el.StraightThrough())
    like = torch.empty(0, dtype=networks.F64)
    measured = torch.cat(
        [u.flatten() for u in RandomStream(0, MEASUREMENT_STREAM).tables(requests, 0, 512, like).values()]
    )
    together = torch.cat([pilot.flatten(), draws.flatten(), measured])
    assert len(together.unique()) == len(together) == 3 * 512 * 5 * 5


# --- size, types, refusals -------------------------------------------------------------------------------------------


def test_a_network_too_wide_to_enumerate():
    problem = networks.classification((64, 50, 50, 10), batch=4, scale=0.2)
    start = time.perf_counter()
    one, other = (el.MonteCarloReference(draws=n, seed=n, enumerate_last=0).gradient(problem) for n in (400, 401))
    assert time.perf_counter() - start < 20  # a few seconds
    difference = networks.flat(one.value) - networks.flat(other.value)
    z = difference / (networks.flat(one.stderr) ** 2 + networks.flat(other.stderr) ** 2).sqrt()
    assert agrees(z)
    assert 0.05 < one.checks["relative_error"] < 0.5
    assert float((z**2).mean()) == pytest.approx(1, abs=0.2)


def test_a_single_precision_problem_is_computed_in_double():
    problem = networks.classification(dtype=torch.float32)
    reference = el.MonteCarloReference(draws=64)
    gradient = reference.gradient(problem)
    assert {block.dtype for block in (*gradient.value.values(), *gradient.stderr.values())} == {torch.float64}
    assert gradient.expected.dtype == torch.float64
    assert gradient.expected.shape == (5,)
    assert networks.blocks_close(gradient.value, reference.gradient(problem.to(dtype=torch.float64)).value, 0)
    assert all(p.dtype == torch.float32 and p.grad is None for p in problem.network.parameters())
    assert gradient.reference == repr(reference)
    assert eval(repr(reference), {"MonteCarloReference": el.MonteCarloReference}) == reference


def test_a_constant_objective_has_no_gradient():
    network = el.Chain([nn.Linear(1, 1)])
    problem = el.Problem(networks.fill(network, 0), lambda x, _: 0 * x[:, 0] + 2, networks.normal(1, 1, 1))
    gradient = el.MonteCarloReference(enumerate_last=0).gradient(problem)
    assert gradient.norm() == 0
    assert gradient.objective == 2


@pytest.mark.parametrize(
    "fields",
    [
        *({"relative_error": 0.0}, {"relative_error": 1.5}, {"draws": 1}, {"pilot": 8}, {"max_draws": 0}),
        *({"enumerate_last": -1}, {"seed": -1}),
    ],
    ids=str,
)
def test_fields_out_of_range_are_refused(fields):
    (name,) = fields
    with pytest.raises(EstimlabError, match=name):
        el.MonteCarloReference(**fields)


def test_more_draws_than_allowed_are_refused_with_their_number():
    problem = networks.classification((2, 3, 3))
    needed = int(el.MonteCarloReference(0.05, enumerate_last=0).gradient(problem).checks["draws"]) * 2500
    with pytest.raises(EstimlabError, match=r"needs about [\d,]+ draws.*max_draws = 1,000,000.*draws=") as error:
        el.MonteCarloReference(0.001, enumerate_last=0).gradient(problem)
    told = int(str(error.value).split("about ")[1].split(" draws")[0].replace(",", ""))
    assert told == pytest.approx(needed, rel=1e-3)


def test_a_gradient_that_is_zero_is_not_sampled_for_ever():
    """A parity of three units with fair coins: every draw is noisy and the gradient is zero."""
    problem = el.Problem(networks.logits((0.0,) * 3, low=-1.0), el.Multilinear(((1.0, (0, 1, 2)),)))
    with pytest.raises(EstimlabError, match="cannot tell the gradient from zero"):
        el.MonteCarloReference(enumerate_last=0).gradient(problem)
    gradient = el.MonteCarloReference(enumerate_last=0, draws=4000).gradient(problem)
    assert agrees(scores(gradient, truth_of(problem).value))


def test_what_is_not_finite_is_named():
    problem = el.Problem(
        networks.logits((0.3, -0.2)), lambda x, _: torch.where(x.sum(1) > 1.5, torch.nan, x.sum(1)), None
    )
    with pytest.raises(EstimlabError, match=r"NaN or infinite .* draws 0 \.\. 63"):
        el.MonteCarloReference(draws=64, enumerate_last=0).gradient(problem)


def test_a_parameter_that_became_nan_is_named():
    problem = networks.classification()
    with torch.no_grad():
        problem.network.stages[1].weight[0, 0] = float("nan")
    with pytest.raises(EstimlabError, match=r"stages\.1\.weight.*1 NaN"):
        el.MonteCarloReference().gradient(problem)


def test_batch_norm_in_training_mode_is_refused():
    network = networks.fill(el.Chain([nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))], nn.Linear(2, 1)), 0)
    problem = el.Problem(network, el.Quadratic(), networks.normal(1, 3, 2))
    network.train()
    with pytest.raises(EstimlabError, match=r"BatchNorm1d.*eval"):
        el.MonteCarloReference().gradient(problem)


def test_a_network_that_cannot_be_mapped_says_so():
    class Branch(nn.Module):
        def forward(self, x):
            return x if bool(x.sum() > 0) else -x

    stages = [nn.Linear(2, 2), nn.Sequential(Branch(), nn.Linear(2, 2))]
    problem = el.Problem(networks.fill(el.Chain(stages), 0), el.Quadratic(), networks.normal(1, 3, 2))
    with pytest.raises(EstimlabError, match=r"cannot be mapped over draws.*torch\.where"):
        el.MonteCarloReference(draws=64).gradient(problem)
