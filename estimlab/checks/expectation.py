"""Expectations by quadrature over the noise: is one layer exact up to a degree, is a deep network unbiased."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import product

import torch
from torch import Tensor

from estimlab.checks.cases import CODINGS, Case, deep, one_layer
from estimlab.checks.draws import Blocks, close, mapped, tables_of
from estimlab.checks.gates import MATTERS, POWER, detectable, flat, mean_gate, restricted
from estimlab.checks.report import Found, Refuted, Undecided
from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator, HardForward
from estimlab.measurement.draws import record
from estimlab.measurement.measurement import Measurement
from estimlab.measurement.monte_carlo import measure
from estimlab.measurement.quadrature import quadrature_moments
from estimlab.model.problem import Problem
from estimlab.model.units import NoiseLaw
from estimlab.randomness import QuadratureGrid, Rule, gauss_legendre

TOLERANCE = 1e-10
QUICK_NODES, MANY_NODES = 1 << 16, 1 << 22
COARSE, FINE = 12, 20  # nodes between cuts, of draws that are smooth there
LAWS = ("Logistic()", "Logistic(scale=0.5)", "Gaussian()")
PILOT, MOST_DRAWS = 1 << 12, 1 << 19
SHOW_MEAN = """\
measured = el.quadrature_moments(problem, estimator)
for name, truth in measured.reference.items():
    print(name, "mean", measured.mean[name], "true gradient", truth)"""
SHOW_SAMPLED = """\
measured = el.measure(problem, estimator, draws={draws})
for name, truth in measured.reference.items():
    print(name, "mean", measured.mean[name], "true gradient", truth)"""


@dataclass(frozen=True)
class Comparison:
    """A mean beside the true gradient, on one problem.

    Attributes:
        case: the problem.
        bias: norm of the difference over that of the truth.
        factor: of the truth, of which the mean is closest to a multiple.
        rest: what that multiple leaves, over the norm of the truth.
    """

    case: Case
    bias: float
    factor: float
    rest: float

    @classmethod
    def of(cls, case: Case, mean: Tensor, truth: Tensor) -> Comparison:
        """Compare."""
        factor = float(mean @ truth / (truth @ truth))
        rest = float((mean - factor * truth).norm() / truth.norm())
        return cls(case, float((mean - truth).norm() / truth.norm()), factor, rest)


def nodes(problem: Problem, estimator: Estimator, smooth: Rule | None = None) -> int:
    """Joint nodes of the noise of one example."""
    one = problem.example(0).with_expected(torch.zeros(1))
    return QuadratureGrid(record(one, estimator), smooth).size


def reached(problem: Problem, estimator: Estimator) -> bool:
    """Whether the joint nodes are few enough for a quick check."""
    return nodes(problem, estimator) <= QUICK_NODES


def by_quadrature(cases: list[Case], estimator: Estimator, blocks: str = "") -> list[Comparison]:
    """Comparisons of the cases that quadrature reaches, of the blocks whose name begins as given."""
    found: list[Comparison] = []
    plain = [case for case in cases if reached(case.build(), estimator)]
    for case in plain or cases:
        try:
            comparison = _compare(case, estimator, blocks)
        except EstimlabError as error:
            if not found:
                raise Undecided(f"{case.title}: {error}") from error
            continue  # an estimator may serve some laws only, and says so
        if comparison is not None:
            found.append(comparison)
    return found


def _compare(case: Case, estimator: Estimator, blocks: str) -> Comparison | None:
    """By the rules of ``quadrature_moments``, else by two Gauss-Legendre rules that must agree; None beyond that."""
    problem = case.build()
    if reached(problem, estimator):
        measured = quadrature_moments(problem, estimator)
        return Comparison.of(case, *(_part(moments, blocks) for moments in (measured.mean, measured.reference)))
    if nodes(problem, estimator, gauss_legendre(FINE)) > MANY_NODES:
        return None
    coarse, fine = (
        quadrature_moments(problem, estimator, max_nodes=MANY_NODES, smooth=gauss_legendre(count))
        for count in (COARSE, FINE)
    )
    means = [_part(measured.mean, blocks) for measured in (coarse, fine)]
    comparison = Comparison.of(case, means[1], _part(fine.reference, blocks))
    error = float((means[0] - means[1]).norm() / _part(fine.reference, blocks).norm())
    return comparison if comparison.bias <= TOLERANCE or comparison.bias > 10 * error else None


def _part(moments: dict[str, Tensor], blocks: str) -> Tensor:
    return flat({name: value for name, value in moments.items() if name.startswith(tuple(blocks.split("|")))})


def single_layers(degree: int) -> list[Case]:
    """Smallest first: one unit and two, in either coding, at three noise laws."""
    return [one_layer(size, degree, law, coding) for size, law, coding in product((1, 2), LAWS, CODINGS)]


def one_layer_exact(degree: int, estimator: Estimator) -> str:
    """Within one layer, up to a degree per unit."""
    return _judge(single_layers(degree), estimator, "")


def described(degree: int, estimator: Estimator) -> str:
    """What the mean of one layer is, where nothing is claimed of it."""
    try:
        found = by_quadrature(single_layers(degree)[:2], estimator)
    except Found as stopped:
        return stopped.detail
    return _describe(found) if found else "too many joint nodes for a quick check"


def unbiased(where: str, estimator: Estimator) -> str:
    """In all layers of a deep network, or in the last one and the head, for a cubic objective."""
    cases = [deep(widths, 3, batch=1) for widths in ((1, 1), (2, 2))]
    return _judge(cases, estimator, "" if where == "all layers" else "stages.1|head")


def head_exact(estimator: Estimator) -> str:
    """The head, which is differentiated at the drawn states, or has the mean of that."""
    case = deep()
    problem = case.build()
    tables = tables_of(problem, estimator, 8)
    head = {name: block for name, block in mapped(problem, estimator, tables).items() if name.startswith("head")}
    if close(head, {name: block for name, block in at_drawn_states(problem, tables).items() if name in head}, 1e-12):
        return "differentiated at the drawn states"
    return _judge([deep(widths, 3, batch=1) for widths in ((1, 1), (2, 2))], estimator, "head")


def at_drawn_states(problem: Problem, tables: dict[tuple[int, int], Tensor]) -> Blocks:
    """Gradient of the objective at the states that channel 0 decides, where states pass nothing on."""
    return mapped(problem, _Detached(), tables)


@dataclass(frozen=True)
class _Detached(HardForward):
    """A factor of zero: only the head is differentiated."""

    def derivative(self, a: Tensor, bit: Tensor, uniform: Tensor, law: NoiseLaw) -> Tensor:
        return torch.zeros_like(a)


def _judge(cases: list[Case], estimator: Estimator, blocks: str) -> str:
    found = by_quadrature(cases, estimator, blocks)
    if not found:
        return by_sampling(cases[0], estimator, blocks)
    wrong = [comparison for comparison in found if not comparison.bias <= TOLERANCE]
    if wrong:
        first = wrong[0]  # cases come in ascending size
        snippet = first.case.snippet(estimator, SHOW_MEAN)
        said = f"{_describe(wrong)}; smallest: {first.case.title} ({len(wrong)} of {len(found)} problems)"
        raise Refuted(said, effect=first.bias, snippet=snippet)
    return f"relative bias {max(c.bias for c in found):.1g} by quadrature on {len(found)} problems"


def _describe(found: list[Comparison]) -> str:
    """A common factor where there is one, else the range of biases."""
    factors = [c.factor for c in found]
    if max(c.bias for c in found) <= TOLERANCE:
        return "the mean is the true gradient"
    if max(c.rest for c in found) < 1e-6 and max(factors) - min(factors) < 1e-6:
        return f"the mean is {factors[0]:.4f} x the true gradient"
    between = f"{min(factors):.3f} to {max(factors):.3f}" if len(found) > 1 else f"{factors[0]:.3f}"
    return f"relative bias up to {max(c.bias for c in found):.3g}; along the true gradient the mean is {between} x it"


def by_sampling(case: Case, estimator: Estimator, blocks: str = "") -> str:
    """Refute, or say what would have been seen; sampling never shows that a bias is zero."""
    problem, prefixes = case.build(), tuple(blocks.split("|"))
    pilot = restricted(measure(problem, estimator, draws=PILOT), prefixes)
    needed = PILOT * (detectable(pilot) / MATTERS) ** 2 * 1.1
    draws = int(min(max(needed, PILOT), MOST_DRAWS))
    measured = restricted(measure(problem, estimator, draws=draws, seed=1), prefixes)
    judge_means(case, estimator, measured, None)
    raise Undecided(_power(measured), effect=detectable(measured))


def judge_means(case: Case, estimator: Estimator, measured: Measurement, expected: dict[str, Tensor] | None) -> None:
    """Raise where the mean gate rejects."""
    gate = mean_gate(measured, expected)
    if gate.rejects:
        effect = Comparison.of(case, flat(measured.mean), flat(measured.reference if expected is None else expected))
        said = f"z = {gate.worst:.1f} in {measured.draws:.0f} draws; {_describe([effect])}; {case.title}"
        snippet = case.snippet(estimator, SHOW_SAMPLED.format(draws=int(measured.draws)))
        raise Refuted(said, gate.worst, effect.bias, snippet)


def _power(measured: Measurement) -> str:
    seen = f"a bias of {100 * detectable(measured):.2g} % of the gradient's norm would be seen with {100 * POWER:g} %"
    if detectable(measured) > MATTERS:
        return f"too little power: only {seen} in {measured.draws:.0f} draws; not rejected, which says little"
    return f"not rejected in {measured.draws:.0f} draws, where {seen}; too many joint nodes for quadrature"


EXACT = {degree: partial(one_layer_exact, degree) for degree in (1, 2, 3, 4)}
