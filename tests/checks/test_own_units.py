"""The judge with problems of other units in place of its own finds of estimators what it finds on binary ones."""

import dataclasses
import math
from functools import cached_property

import pytest
import torch

import estimlab as el
from estimlab.checks.claims import contract, expectation, faults, identities, moments, precision
from estimlab.checks.problems.cases import Case
from estimlab.checks.problems.settings import Setting


@dataclasses.dataclass(frozen=True)
class OnUnits(Setting):
    """A problem of other units."""

    kind: str = "ternary"

    @cached_property
    def case(self):
        """The problem as source."""
        source = f"from own_units import problem_of\n\nproblem = problem_of({self.kind!r}, batch={self.batch})\n"
        return Case(f"{self.kind} units, {self.batch} examples", source)


@pytest.fixture(autouse=True)
def other_units(monkeypatch):
    layers = {"ternary": (2, 2), "refractory": (3, 6)}
    settings = tuple(OnUnits(layers[kind], batch=batch, head=True, kind=kind) for kind in layers for batch in (1, 2))
    for module in (contract, expectation, faults, identities, moments, precision):
        monkeypatch.setattr(module, "COVERING", settings)


CLAIMS = (
    "no global randomness",
    "no state between calls",
    "draw i depends on noise i only",
    "visits the network's states",
    "gradient of a batch = mean over its examples",
    "float32 = float64 to rounding",
    "exact at the head",
)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [el.ZGR(), el.DisARM(), el.LocalExpectation()], ids=repr)
def test_estimators_keep_the_contract(estimator):
    report = el.check_estimator(estimator, claims=CLAIMS)
    assert report.passed, report
    assert [row.claim for row in report.of("holds")] == list(CLAIMS), report


@pytest.mark.parametrize(
    "estimator", [el.ZGR(), pytest.param(el.AnalyticGumbelRao(0.7), marks=pytest.mark.slow)], ids=repr
)
def test_the_recursion_is_the_integral_of_the_draws(estimator):
    (row,) = el.check_estimator(estimator, claims="exact moments").rows
    assert row.verdict == "holds", row
    assert "on 4 of 4 problems" in row.detail


@dataclasses.dataclass(frozen=True)
class Inverted(el.HardForward):
    """States of its own: it draws where the network does not."""

    def derivative(self, a, bit, uniform, law):
        return law.density(a)

    def activate(self, a, uniform, units):
        return super().activate(a, 1 - uniform, units)


@dataclasses.dataclass(frozen=True)
class Misread(el.HardForward):
    """Exact moments of another factor than the one it applies."""

    def derivative(self, a, bit, uniform, law):
        return law.density(a)

    def derivative_moments(self, a, law):
        mean = (1.1 * law.density(a)).expand(2, *a.shape)
        return mean, mean * mean


@dataclasses.dataclass(frozen=True)
class Unbiased(el.StraightThrough):
    """A claim that does not hold."""

    def claims(self):
        return el.Claims(exact_degree=math.inf, unbiased="all layers")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("estimator", "claim"),
    [
        (Inverted(), "visits the network's states"),
        (Misread(), "exact moments"),
        (Unbiased(), "unbiased in all layers"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_wrong_ones_are_refuted(estimator, claim):
    (row,) = el.check_estimator(estimator, claims=claim, on_fail=None).rows
    assert row.verdict == "refuted", row


def test_cases_differ_from_those_of_binary_units():
    problem = OnUnits(kind="refractory").case.build()
    assert problem.depth < len(problem.sites)
    assert problem.dtype == torch.float64
