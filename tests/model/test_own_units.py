"""Units of more than two states: everything that follows from their scan, against brute force over all bits."""

import dataclasses

import networks
import pytest
import torch
from own_units import FILE, KINDS, Refractory, Ternary, problem_of, stage
from torch import nn

import estimlab as el
from estimlab.errors import EstimlabError
from estimlab.measurement.counting import count_passes
from estimlab.model import scan
from estimlab.model.local_map import LocalMap

ROUNDING = 1e-12


kinds = pytest.mark.parametrize("kind", KINDS)


def far(one, other):
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@kinds
def test_the_gradient_is_that_of_all_paths(kind):
    problem = problem_of(kind)
    truth, paths = el.LayerwiseEnumeration().gradient(problem), el.PathEnumeration().gradient(problem)
    assert truth.objective == pytest.approx(paths.objective, abs=ROUNDING)
    assert far(truth.value, paths.value) < ROUNDING
    assert truth.checks["probability_error"] < ROUNDING
    small_blocks = el.LayerwiseEnumeration(block_rows=2).gradient(problem)
    assert far(small_blocks.value, truth.value) < ROUNDING


@kinds
@pytest.mark.parametrize("estimator", [el.StraightThrough(), el.ZGR(), el.AnalyticGumbelRao(0.5)], ids=repr)
def test_exact_moments_are_those_of_all_bits(kind, estimator):
    """One example, which is what the quadrature serves; and attribution telescopes to the bias."""
    problem = problem_of(kind).example(1)
    exact, all_bits = el.exact_moments(problem, estimator), el.quadrature_moments(problem, estimator)
    assert far(exact.mean, all_bits.mean) < 1e-11
    assert far(exact.variance, all_bits.variance) < 1e-11
    assert max(float(block.max()) for block in exact.variance.values()) > 1e-4
    why = el.attribute_bias(problem, estimator).contributions
    bias = {name: exact.mean[name] - exact.reference[name] for name in exact.mean}
    assert far({name: sum(part[name] for part in why.values()) for name in bias}, bias) < ROUNDING


@pytest.mark.slow
@pytest.mark.parametrize(("units", "shown"), [(Ternary(), 1), (Refractory(steps=2), 2)], ids=["ternary", "refractory"])
def test_random_factors_of_several_bits_are_integrated(units, shown):
    """One unit of two bits, whose factors vary within each bit: few enough for an integral over both uniforms."""
    network = el.Chain([stage(3, 1, 2)], head=nn.Linear(shown, 2), units=units).double()
    with torch.no_grad():
        for seed, parameter in enumerate(network.parameters()):
            parameter.copy_(networks.normal(seed, *parameter.shape))
    problem = el.Problem(network, el.CrossEntropy(), networks.normal(9, 1, 3), torch.tensor([1]))
    estimator = el.STGumbelSoftmax(0.7)
    exact, integral = el.exact_moments(problem, estimator), el.quadrature_moments(problem, estimator)
    plain = el.exact_moments(problem, el.AnalyticGumbelRao(0.7))  # of the same mean, without what varies
    assert far(exact.mean, integral.mean) < 1e-12
    assert far(exact.variance, integral.variance) < 1e-12
    assert far(exact.variance, plain.variance) > 1e-4


@kinds
def test_a_batch_is_the_mean_of_its_examples(kind):
    problem = problem_of(kind, batch=3)
    whole = el.exact_moments(problem, el.ZGR())
    each = [el.exact_moments(problem.example(i), el.ZGR()) for i in range(3)]
    assert far(whole.mean, {name: sum(one.mean[name] for one in each) / 3 for name in whole.mean}) < ROUNDING
    assert far(whole.variance, {name: sum(one.variance[name] for one in each) / 9 for name in whole.mean}) < ROUNDING


@pytest.mark.slow
@kinds
@pytest.mark.parametrize("estimator", [el.STGumbelSoftmax(0.7), el.ZGR(), el.GumbelRao(0.5, 2)], ids=repr)
def test_draws_agree_with_exact_moments(kind, estimator, seed):
    """Random factors too: their mean and variance in each bit are all that matters."""
    problem, draws = problem_of(kind), 1 << 14
    exact, drawn = el.exact_moments(problem, estimator), el.measure(problem, estimator, draws=draws, seed=seed)
    stderr = (networks.flat(exact.variance) / draws).sqrt()
    varies = stderr > 1e-12
    z = (networks.flat(drawn.mean) - networks.flat(exact.mean))[varies] / stderr[varies]
    assert float(z.abs().max()) < 5.5
    for layer, statistics in drawn.statistics().items():
        value, error = statistics["variance"]
        assert abs(value - exact.statistics()[layer]["variance"][0]) < 5.5 * error + 1e-12, layer


@pytest.mark.slow
@kinds
@pytest.mark.parametrize(
    "estimator",
    [
        el.Reinforce(0.5),
        el.ReinforceLOO(),
        el.ARM(),
        el.DisARM(),
        el.ARMS(samples=3),
        el.LocalExpectation(),
        el.MuProp(),
    ],
    ids=repr,
)
def test_unbiased_estimators_are(kind, estimator, seed):
    problem, draws = problem_of(kind), 1 << 13
    truth = el.exact_reference(problem)
    drawn = el.measure(problem, estimator, reference=truth, draws=draws, seed=seed)
    stderr = (networks.flat(drawn.variance) / draws).sqrt()
    z = (networks.flat(drawn.mean) - networks.flat(truth.value)) / stderr.clamp(min=1e-12)
    assert float(z.abs().max()) < 6


@kinds
@pytest.mark.parametrize("estimator", [el.StraightThrough(), el.Reinforce(0.0)], ids=repr)
def test_cost_counts_layers_not_steps(kind, estimator):
    problem = problem_of(kind)
    depth = len(problem.network.stages)
    assert problem.depth == depth < len(problem.sites)
    assert count_passes(problem, estimator) == estimator.cost(depth)


def test_closed_forms_of_binary_units_are_what_their_scan_gives():
    units = el.BinaryUnits(el.Gaussian(0.7), -1.0, 2.0)
    drive = networks.normal(0, 5, 3)
    conditional = networks.normal(1, 2, 3, 2, 5)
    assert torch.allclose(units.probabilities(drive), scan.probabilities(units, drive), rtol=1e-14, atol=0)
    assert torch.allclose(units.pull(drive, conditional), scan.pull(units, drive, conditional), rtol=1e-13, atol=0)
    for estimator in (el.ZGR(), el.STGumbelSoftmax(0.5)):
        closed = units.backward(drive, estimator.derivative_moments)
        derived = scan.local_map(units, drive, estimator.derivative_moments)
        assert torch.allclose(closed.mean, derived.mean, rtol=1e-12, atol=0)
        assert torch.allclose(closed.spread, derived.spread, rtol=1e-9, atol=1e-12)
        general = LocalMap(closed.mean, closed.spread)
        sums, own = networks.normal(2, 5, 2, 3, 1), networks.normal(3, 5, 2, 3, 1, 1)
        pairs = networks.normal(5, 5, 2, 2, 3, 1, 1)
        i, j = torch.triu_indices(3, 3, 1)
        digits, beta = torch.randint(0, 2, (8, 3)), networks.normal(4, 8, 3, 1)
        for one, other in (
            (closed.pull(sums), general.pull(sums)),
            (closed.pull_own(own), general.pull_own(own)),
            (closed.pull_spread(own), general.pull_spread(own)),
            (closed.pull_pairs(pairs, i, j), general.pull_pairs(pairs, i, j)),
            (closed.columns(digits, beta), general.columns(digits, beta)),
        ):
            assert torch.allclose(one, other, rtol=1e-12, atol=1e-14)


@dataclasses.dataclass(frozen=True)
class Coupled(Ternary):
    """The sign of each depends on whether its neighbour is active."""

    def preactivation(self, t, memory):
        return memory[0][..., t] + (memory[1].roll(1, -1) if t else 0.0)


@dataclasses.dataclass(frozen=True)
class ShowsDrive(Ternary):
    """Its value is not a function of its states."""

    def value(self, memory):
        return memory[0][..., 0] * memory[1]


@dataclasses.dataclass(frozen=True)
class Mutating(Ternary):
    """Writes into its memory."""

    def advance(self, t, memory, state):
        return memory[0], state if t == 0 else memory[1].mul_(state)


@dataclasses.dataclass(frozen=True)
class Shared(Ternary):
    """One state for all examples."""

    def site(self, t, shape):
        return dataclasses.replace(super().site(t, shape), shared=True)


@dataclasses.dataclass(frozen=True)
class Endless(Ternary):
    """More steps than paths can be followed of."""

    @property
    def length(self):
        return 40


@pytest.mark.parametrize(
    ("units", "says"),
    [
        (Coupled(), "depend on each other"),
        (ShowsDrive(), "function of the states alone"),
        (Mutating(), "writes into"),
        (Shared(), "all examples share"),
        (Endless(), "at most 16 bits"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_kind_of_units_is_refused(units, says):
    drive = nn.Sequential(nn.Linear(2, 3 * 40), nn.Unflatten(1, (3, 40)))
    network = el.Chain([drive], head=nn.Linear(3, 1), units=units).double()
    with pytest.raises(EstimlabError, match=says):
        el.exact_reference(el.Problem(network, el.LogisticLoss(), networks.normal(0, 2, 2), torch.tensor([1.0, -1.0])))


def test_a_drive_without_a_row_for_each_unit_is_refused():
    network = el.Chain([nn.Linear(2, 2)], units=Ternary)
    with pytest.raises(EstimlabError, match=r"drive of shape \(2,\).*Unflatten"):
        el.Problem(network, el.Quadratic(linear=(1.0, 1.0)), torch.ones(1, 2))


def test_estimators_of_binary_units_refuse_others_by_name():
    network = el.Chain([stage(3, 2, 2), nn.Linear(2, 2)], head=nn.Linear(2, 2), units=[Ternary(), el.Logistic()])
    problem = el.Problem(network, el.CrossEntropy(), torch.ones(1, 3), torch.tensor([0]))
    for estimator in (el.PSA(), el.MomentPropagation()):
        with pytest.raises(EstimlabError, match=r"needs binary units.*Ternary"):
            el.measure(problem, estimator, draws=1024)


def test_a_reference_knows_the_kind_of_units():
    one, other = problem_of("refractory"), problem_of("refractory")
    other.network.units = (Refractory(strength=3.0),) * 2
    other = el.Problem(other.network, other.objective, other.inputs, other.targets)
    with pytest.raises(EstimlabError, match="another problem"):
        el.exact_moments(other, el.ZGR(), reference=el.exact_reference(one))


def test_the_file_of_the_docs_is_short():
    assert len([line for line in FILE.splitlines() if line.strip()]) < 40


def test_a_map_that_is_used_for_several_rows_of_one_draw_is_measured_right(seed):
    """A linear map over the steps of a train: its rows are no draws."""
    generator = torch.Generator().manual_seed(0)
    shared = nn.Sequential(
        nn.Unflatten(1, (2, 2)), nn.Flatten(0, 1), nn.Linear(2, 1), nn.Unflatten(0, (-1, 2)), nn.Flatten(1)
    )
    network = el.Chain([nn.Linear(2, 4), shared], head=nn.Linear(2, 1)).double()
    problem = el.Problem(
        network, el.LogisticLoss(), torch.randn(2, 2, generator=generator).double(), torch.tensor([1.0, -1.0])
    )
    exact = el.exact_moments(problem, el.ZGR())
    drawn = el.measure(problem, el.ZGR(), draws=1 << 13, seed=seed)
    for layer, statistics in drawn.statistics().items():
        value, error = statistics["variance"]
        assert abs(value - exact.statistics()[layer]["variance"][0]) < 5.5 * error + 1e-12, layer
