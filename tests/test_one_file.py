"""What a user adds in one file, beside the package, is served as what the package has: laws, objectives, estimators."""

import importlib.util
import math
import re
import sys

import networks
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import estimlab as el
from estimlab.cli import app
from estimlab.errors import EstimlabError
from estimlab.estimators import catalogue

LAWS = '''
import math
from dataclasses import dataclass

import torch

import estimlab as el


@dataclass(frozen=True)
class Student(el.NoiseLaw):
    """Student's t of two degrees of freedom, ``F(a) = 1/2 + a / (2 sqrt(2 + a^2))``: its variance is infinite."""

    def _tail(self, z):
        root = torch.sqrt(2 + z * z)
        return 1 / (root * (root + z))

    def _cdf(self, z):
        low, high = z.clamp(max=0), z.clamp(min=0)
        return torch.where(z > 0, 1 - self._tail(high), self._tail(-low))

    def _log_cdf(self, z):
        low, high = z.clamp(max=0), z.clamp(min=0)
        return torch.where(z > 0, torch.log1p(-self._tail(high)), torch.log(self._tail(-low)))

    def _density(self, z):
        return (2 + z * z) ** -1.5

    def _score(self, z):
        return self._density(z) / self._cdf(z)

    def _quantile(self, u):
        return (2 * u - 1) / torch.sqrt(2 * u * (1 - u))


@dataclass(frozen=True)
class Cosine(el.NoiseLaw):
    """Of density ``cos(a) / 2`` between -pi/2 and pi/2."""

    def _angle(self, z):
        return (z.clamp(-math.pi / 2, math.pi / 2) + math.pi / 2) / 2

    def _cdf(self, z):
        return torch.sin(self._angle(z)) ** 2

    def _log_cdf(self, z):
        return 2 * torch.log(torch.sin(self._angle(z)))

    def _density(self, z):
        angle = self._angle(z)
        return torch.sin(angle) * torch.cos(angle)

    def _score(self, z):
        tangent = torch.tan(self._angle(z))
        return torch.where(tangent > 0, 1 / torch.where(tangent > 0, tangent, 1), 0)

    def _quantile(self, u):
        return 2 * torch.asin(torch.sqrt(u)) - math.pi / 2
'''
OBJECTIVES = '''
from dataclasses import dataclass

import torch

import estimlab as el


@dataclass(frozen=True)
class Huber(el.Objective):
    """Quadratic up to a width, linear beyond."""

    width: float = 0.5

    def __call__(self, output, target):
        return torch.nn.functional.huber_loss(output, target, reduction="none", delta=self.width).sum(1)


def fourth(output, target):
    return ((output - target) ** 4).sum(1)
'''
ESTIMATORS = '''
from dataclasses import dataclass

import estimlab as el


@dataclass(frozen=True)
class Halfway(el.HardForward):
    """Between straight-through and ZGR."""

    def derivative(self, a, bit, uniform, law):
        return (law.density(a) + el.ZGR().derivative(a, bit, uniform, law)) / 2
'''
MAKER = """
from dataclasses import dataclass

import torch
from estimators import Halfway
from laws import Cosine, Student
from objectives import Huber

import estimlab as el
from estimlab.cells import ExactMoments, ProblemMaker
from estimlab.results import Study


@dataclass(frozen=True)
class Small(ProblemMaker):
    law: el.NoiseLaw

    def columns(self):
        return {"problem": type(self.law).__name__}

    def build(self):
        chain = el.Chain([el.Logits([0.7, -0.4])], torch.nn.Linear(2, 1), self.law).double()
        with torch.no_grad():
            chain.head.weight.fill_(1.0)
            chain.head.bias.fill_(0.1)
        return el.Problem(chain, Huber(), None, torch.ones(1, 1, dtype=torch.float64))


CELLS = tuple(ExactMoments(Small(law), one) for law in (Student(0.5), Cosine()) for one in (Halfway(), el.ZGR()))
STUDY = Study(question="Which of two factors is less biased?", cells=CELLS, smoke=CELLS[:1])
"""
DRAWS = 1 << 11
FILES = {"laws": LAWS, "objectives": OBJECTIVES, "estimators": ESTIMATORS, "factors": MAKER}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder that holds the files."""
    found = tmp_path_factory.mktemp("one_file")
    for name, text in FILES.items():
        (found / f"{name}.py").write_text(text)
    return found


def load(folder, name):
    """A file as a module, as an import would have it."""
    spec = importlib.util.spec_from_file_location(f"one_file_{name}", folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=["Student", "Cosine"])
def law(request, folder):
    """A law of which the package knows nothing."""
    return getattr(load(folder, "laws"), request.param)(1.5)


@pytest.fixture
def run(folder, monkeypatch):
    """The command line in the folder."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def powers(degree):
    """An objective of this degree in each of its units, with their product; of infinite degree a sine."""
    if math.isinf(degree):
        return networks.sines
    return lambda output, target: (output**degree).sum(1) + output.prod(1)


def problem(law, objective, values):
    return el.Problem(networks.logits(values, law, -0.5, 2.0), objective)


def mean_and_truth(estimator, law, degree):
    """Of one layer: by quadrature where the joint nodes are few, of one unit else."""
    many = getattr(estimator, "extra_channels", 0) > 1
    values = (0.7,) if getattr(estimator, "reads_uniform", False) or estimator.name == "arms" else (0.7, -0.4)
    found = (el.exact_moments if many else el.quadrature_moments)(problem(law, powers(degree), values), estimator)
    return found.mean["stages.0.logits"], found.reference["stages.0.logits"]


def test_what_is_derived_of_a_law(law):
    student = type(law).__name__ == "Student"
    assert law.bounded is not student
    assert law.reach == pytest.approx(math.inf if student else 1.5 * math.pi / 2, rel=1e-15)
    assert law.variance == pytest.approx(math.inf if student else 2.25 * (math.pi**2 / 4 - 2), rel=1e-12)


def test_a_law_of_infinite_variance_is_refused_by_name_where_the_variance_is_needed(law):
    chain = el.Chain([torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)], None, law).double()
    deep = el.Problem(chain, el.Polynomial(), networks.normal(0, 1, 2))
    if math.isfinite(law.variance):
        assert el.MomentPropagation().surrogate(deep, el.TorchNoise()).isfinite().all()
    else:
        with pytest.raises(EstimlabError, match=re.escape(f"{law!r} is infinite")):
            el.MomentPropagation().surrogate(deep, el.TorchNoise())


@pytest.mark.parametrize("cls", catalogue(), ids=lambda cls: cls.name)
def test_every_estimator_serves_a_law_of_one_file(cls, law):
    """Claimed degrees are exact; where none is claimed, what is drawn has the mean that integrals say."""
    estimator = cls()
    degree = estimator.claims().exact_degree
    mean, truth = mean_and_truth(estimator, law, degree or 2)
    if degree:
        assert torch.allclose(mean, truth, rtol=1e-9, atol=1e-11)
        return
    one = problem(law, powers(2), (0.7, -0.4)[: len(mean)])
    if isinstance(estimator, el.HardForward):  # its draws are summed by one integral, its factors by another
        assert torch.allclose(mean, el.exact_moments(one, estimator).mean["stages.0.logits"], rtol=1e-9, atol=1e-11)
        return
    sampled = el.measure(one, estimator, draws=DRAWS)
    error = (sampled.mean["stages.0.logits"] - mean).abs()
    assert bool((error <= 5 * (sampled.variance["stages.0.logits"] / DRAWS).sqrt() + 1e-9).all())


@pytest.mark.parametrize("temperature", [0.3, 1.7])
def test_the_slope_of_the_relaxation_has_the_mean_of_its_draws(law, temperature):
    """Gumbel-Rao has one mean for every number of samples, each by an integral of its own."""
    one = problem(law, powers(2), (0.7,))
    drawn = el.quadrature_moments(one, el.STGumbelSoftmax(temperature)).mean["stages.0.logits"]
    for estimator in (el.STGumbelSoftmax(temperature), el.GumbelRao(temperature), el.AnalyticGumbelRao(temperature)):
        assert torch.allclose(el.exact_moments(one, estimator).mean["stages.0.logits"], drawn, rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", ["Huber", "fourth"])
def test_an_objective_of_one_file_is_referenced_and_measured(folder, name):
    found = getattr(load(folder, "objectives"), name)
    objective = found() if isinstance(found, type) else found
    network = networks.mlp((2, 2, 2), 1)
    one = el.Problem(network, objective, networks.normal(0, 1, 2), networks.normal(1, 1, 1))
    truth = el.LayerwiseEnumeration().gradient(one)
    assert networks.blocks_close(truth.value, el.PathEnumeration().gradient(one).value)
    assert networks.blocks_close(el.quadrature_moments(one, el.DisARM()).mean, truth.value)
    sampled = el.measure(one, el.DisARM(), truth, draws=DRAWS)
    for block, mean in sampled.mean.items():
        spread = (sampled.variance[block] / DRAWS).sqrt()
        assert bool(((mean - truth.value[block]).abs() <= 5 * spread + 1e-12).all())


def test_an_estimator_of_one_file_is_measured_and_checked(folder, run):
    """Of a quadratic its bias is half of that of straight-through, as that of ZGR is none."""
    one, name = problem(el.Logistic(), powers(2), (0.7,)), "stages.0.logits"
    halfway = load(folder, "estimators").Halfway()
    plain = el.exact_moments(one, el.StraightThrough()).bias[name]
    assert torch.allclose(el.exact_moments(one, halfway).bias[name], plain / 2)
    done = run("check", "estimators.py:Halfway", "--claims", "exact within one layer, degree 1")
    assert done.exit_code == 0, done.output


def test_a_study_of_one_file_is_run_and_tabled(folder, run):
    """Its maker of problems, law, objective and estimator are the user's own too."""
    done = run("run", "factors.py")
    assert done.exit_code == 0, done.output
    table = pd.read_csv(folder / "tables" / "factors.csv")
    bias = table[(table["statistic"] == "relative_bias") & (table["layer"] == "0")]
    assert set(bias["estimator"]) == {"halfway", "zgr"}
    assert len(bias) == 4
    done = run("table", "factors.py")
    assert done.exit_code == 0, done.output
    assert "halfway" in done.output
