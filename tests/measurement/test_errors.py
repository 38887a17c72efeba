"""What is refused before a wrong number is made of it."""

import dataclasses

import networks
import pytest
import torch
from torch import nn

import estimlab as el
from estimlab.errors import EstimlabError
from estimlab.measurement.mapped import gradients, record
from estimlab.randomness.noise import TableNoise
from estimlab.randomness.streams import RandomStream


@dataclasses.dataclass(frozen=True)
class Averaging(el.Estimator):
    """Takes the mean over examples itself."""

    def surrogate(self, problem, noise):
        return el.StraightThrough().surrogate(problem, noise).mean()


@dataclasses.dataclass(frozen=True)
class Column(el.Estimator):
    """A column of values."""

    def surrogate(self, problem, noise):
        return el.StraightThrough().surrogate(problem, noise)[:, None]


@dataclasses.dataclass(frozen=True)
class Number(el.Estimator):
    """A number that is no tensor."""

    def surrogate(self, problem, noise):
        return 1.0


@dataclasses.dataclass(frozen=True)
class AlwaysNaN(el.Estimator):
    """NaN at every draw."""

    def surrogate(self, problem, noise):
        return el.StraightThrough().surrogate(problem, noise) * float("nan")


@dataclasses.dataclass(frozen=True)
class SometimesNaN(el.HardForward):
    """A factor that overflows for one uniform in a hundred."""

    def derivative(self, a, bit, uniform, law):
        return torch.where(uniform > 0.99, float("nan"), law.density(a))


@dataclasses.dataclass(frozen=True)
class Branching(el.Estimator):
    """Python's ``if`` on a drawn number."""

    def surrogate(self, problem, noise):
        value = el.StraightThrough().surrogate(problem, noise)
        return value if value.sum() > 0 else 2 * value


@dataclasses.dataclass(frozen=True)
class Extracting(el.HardForward):
    """``.item()`` on a drawn number."""

    def derivative(self, a, bit, uniform, law):
        return law.density(a) * uniform.mean().item()


@dataclasses.dataclass(frozen=True)
class OwnRandomness(el.HardForward):
    """Draws from torch in place of the noise."""

    def derivative(self, a, bit, uniform, law):
        return law.density(a) * torch.rand_like(a)


@dataclasses.dataclass(frozen=True)
class Hiding(el.HardForward):
    """Reads the uniform and does not say so."""

    def derivative(self, a, bit, uniform, law):
        return law.density(a) * 2 * uniform


@dataclasses.dataclass(frozen=True)
class WrongShape(el.HardForward):
    """One factor for all units."""

    def derivative(self, a, bit, uniform, law):
        return law.density(a)[..., :1]


def assert_refused(call, message):
    with pytest.raises(EstimlabError, match=message):
        call()


REFUSED = {
    Averaging(): r"Averaging\(\): surrogate\(\) returned \(\) for 5 example.*do not average",
    Column(): r"returned \(5, 1\) for 5 example.*tensor of shape \(5,\)",
    Number(): r"returned float for 5",
    AlwaysNaN(): r"AlwaysNaN\(\): surrogate\(\) is NaN or infinite",
    SometimesNaN(): r"SometimesNaN\(\): a draw from number \d+ on \(seed 3\).*is NaN or infinite",
    Branching(): r"Branching\(\) cannot be mapped over draws.*torch\.where instead of `if`",
    Extracting(): r"Extracting\(\) cannot be mapped over draws.*no \.item\(\)",
    OwnRandomness(): r"OwnRandomness\(\) cannot be mapped over draws.*no torch\.rand",
}


@pytest.mark.parametrize("estimator", REFUSED, ids=repr)
def test_measure_refuses_what_is_not_one_draw(estimator):
    assert_refused(
        lambda: el.measure(networks.classification(), estimator, draws=512, seed=3), f"(?s){REFUSED[estimator]}"
    )


@pytest.mark.parametrize("batch", [1, 5])
def test_no_draw_before_the_number_that_is_named_is_nan(batch):
    problem = networks.classification(batch=batch)
    with pytest.raises(EstimlabError) as error:
        el.measure(problem, SometimesNaN(), draws=2048, seed=3)
    number = int(str(error.value).split("number ")[1].split(" ")[0])
    tables = RandomStream(3).tables(record(problem, SometimesNaN()), 0, 2048, problem.inputs)
    draws = gradients(problem, SometimesNaN(), TableNoise, tables)[0]
    finite = torch.isfinite(torch.cat([block.flatten(1) for block in draws.values()], 1)).all(1)
    assert bool(finite[:number].all())
    assert not bool(finite[number : number + 2048 // 64].all())


@pytest.mark.parametrize("estimator", [Averaging(), Column(), Number(), AlwaysNaN(), OwnRandomness()], ids=repr)
def test_quadrature_refuses_it_too(estimator):
    assert_refused(
        lambda: el.quadrature_moments(networks.classification((1, 1), batch=1), estimator), repr(estimator)[:-2]
    )


def test_a_factor_that_hides_that_it_reads_the_uniform_is_refused():
    assert_refused(lambda: el.exact_moments(networks.classification(), Hiding()), r"layer 0.*reads_uniform")


def test_a_factor_of_another_shape_is_refused():
    """Under the test run the annotation is executed too, and is the first to object."""
    with pytest.raises((EstimlabError, TypeError), match="derivative"):
        el.exact_moments(networks.classification(), WrongShape())


@pytest.mark.parametrize("draws", [0, 1, 511])
def test_too_few_draws_are_refused(draws):
    assert_refused(
        lambda: el.measure(networks.classification(), el.ZGR(), draws=draws), rf"draws={draws}.*at least 512"
    )


def test_a_reference_of_another_network_is_refused():
    problem = networks.classification((2, 3, 2))
    shallow = el.LayerwiseEnumeration().gradient(networks.classification((2, 3)))
    assert_refused(lambda: el.measure(problem, el.ZGR(), shallow), "the network has")


@pytest.mark.parametrize("moments", [el.measure, el.exact_moments, el.quadrature_moments])
def test_a_reference_of_other_shapes_is_refused(moments):
    problem = networks.classification((2, 3, 2), batch=1)
    other = el.LayerwiseEnumeration().gradient(networks.classification((2, 2, 2)))
    assert_refused(lambda: moments(problem, el.ZGR(), other), "reference")


@pytest.mark.parametrize("moments", [el.measure, el.exact_moments, el.quadrature_moments])
def test_batch_norm_in_training_mode_is_refused(moments):
    network = networks.fill(el.Chain([nn.Sequential(nn.Linear(1, 2), nn.BatchNorm1d(2))], nn.Linear(2, 1)), 0)
    problem = el.Problem(network, el.Quadratic(), networks.normal(1, 3, 1))
    network.train()
    assert_refused(lambda: moments(problem, el.ZGR()), r"stages\.0\.1.*BatchNorm1d.*eval")


@pytest.mark.parametrize("moments", [el.measure, el.exact_moments, el.quadrature_moments])
def test_a_parameter_that_became_nan_is_named(moments):
    problem = networks.classification((1, 2), batch=1)
    with torch.no_grad():
        problem.network.head.bias[1] = float("nan")
    assert_refused(lambda: moments(problem, el.ZGR()), r"head\.bias")


def test_a_problem_without_parameters_that_require_a_gradient_is_measured_all_the_same():
    problem = networks.classification((1, 2), batch=1)
    free = el.measure(problem, el.ZGR(), draws=512)
    problem.network.requires_grad_(False)
    frozen = el.measure(problem, el.ZGR(), draws=512)
    assert networks.blocks_close(frozen.mean, free.mean, 1e-14)
    assert networks.blocks_close(frozen.variance, free.variance, 1e-14)
    assert networks.blocks_close(frozen.reference, free.reference, 0)
