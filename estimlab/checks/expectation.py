"""Expectations by quadrature over the noise: is one layer exact up to a degree, is a deep network unbiased."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product

import torch
from torch import Tensor

from estimlab.checks.cases import CODINGS, Case, deep, one_layer
from estimlab.checks.draws import Blocks, close, mapped, tables_of
from estimlab.checks.gates import MATTERS, POWER, detectable, flat, mean_gate, restricted
from estimlab.checks.integrals import MeanOf, decomposed_mean, quick_mean, reached, settled
from estimlab.checks.report import Found, Refuted, Undecided
from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator, HardForward
from estimlab.measurement.measurement import Measurement
from estimlab.measurement.monte_carlo import measure
from estimlab.model.problem import Problem
from estimlab.model.units import NoiseLaw
from estimlab.randomness import Rule
from estimlab.references.layers import LayerwiseEnumeration

TOLERANCE = 1e-10
WEAKEST = 1e-6  # bias that an integral which is less precise must tell from none; the report states its precision
NOT_REACHED = "no integral reaches it: a draw depends on too many uniforms at once"
LAWS = ("Logistic()", "Logistic(scale=0.5)", "Gaussian()")
PILOT, MOST_DRAWS = 1 << 12, 1 << 19
SHOW_MEAN = """\
mean = el.quadrature_moments(problem, estimator).mean
for name, truth in el.LayerwiseEnumeration().gradient(problem).value.items():
    print(name, "mean", mean[name], "true gradient", truth)"""
SHOW_INTEGRAL = """\
from estimlab.checks import integrals

mean = integrals.mean(problem, estimator)
for name, truth in el.LayerwiseEnumeration().gradient(problem).value.items():
    print(name, "mean", mean[name], "true gradient", truth)"""
SHOW_SAMPLED = """\
measured = el.measure(problem, estimator, draws={draws}, seed={seed})
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
        error: of an integral, over the norm of the truth; zero where it is rounding.
    """

    case: Case
    bias: float
    factor: float
    rest: float
    error: float = 0.0

    @classmethod
    def of(cls, case: Case, mean: Tensor, truth: Tensor, error: float = 0.0) -> Comparison:
        """Compare; the error is absolute."""
        factor = float(mean @ truth / (truth @ truth))
        norm = float(truth.norm())
        rest = float((mean - factor * truth).norm()) / norm
        return cls(case, float((mean - truth).norm()) / norm, factor, rest, error / norm)

    @property
    def unbiased(self) -> bool:
        """Whether the bias is none, to the precision of the integral."""
        return self.bias <= max(TOLERANCE, 10 * self.error)

    @property
    def decides(self) -> bool:
        """Whether the integral is precise enough to be told from none, or from some bias."""
        return self.bias <= TOLERANCE or not self.unbiased or 10 * self.error <= WEAKEST


def by_integrals(cases: list[Case], estimator: Estimator, blocks: str = "") -> list[Comparison]:
    """Comparisons of the cases that an integral reaches, of the blocks whose name begins as given.

    All that quick integrals reach; where those reach none, of the first two, by decomposition, in seconds each.
    """
    quick = _compared(cases, estimator, blocks, quick_mean)
    return quick or _compared(cases[:2], estimator, blocks, decomposed_mean)


def _compared(cases: list[Case], estimator: Estimator, blocks: str, mean_of: MeanOf) -> list[Comparison]:
    found, refusal = list[Comparison](), ""
    for case in cases:
        try:
            comparison = _compare(case, estimator, blocks, mean_of)
        except EstimlabError as error:  # an estimator may serve some laws only, and says so
            refusal = refusal or f"{case.title}: {error}"
            continue
        if comparison is not None and comparison.decides:
            found.append(comparison)
    if refusal and not found:
        raise Undecided(refusal)
    return found


def _compare(case: Case, estimator: Estimator, blocks: str, mean_of: MeanOf) -> Comparison | None:
    problem = case.build()
    reference = LayerwiseEnumeration().gradient(problem)
    truth = _part(reference.value, blocks)

    def integral(rule: Rule) -> Tensor | None:
        found = mean_of(problem, estimator, reference, rule)
        return None if found is None else _part(found, blocks)

    found = settled(integral, lambda mean: float((mean - truth).norm()) <= TOLERANCE * float(truth.norm()))
    return None if found is None else Comparison.of(case, found[0], truth, found[1])


def _part(blocks: Mapping[str, Tensor], prefixes: str) -> Tensor:
    return flat({name: block for name, block in blocks.items() if name.startswith(tuple(prefixes.split("|")))})


def single_layers(degree: int) -> list[Case]:
    """Smallest first: one unit and two, in either coding, at three noise laws."""
    return [one_layer(size, degree, law, coding) for size, law, coding in product((1, 2), LAWS, CODINGS)]


def one_layer_exact(degree: int, estimator: Estimator, seed: int) -> str:
    """Within one layer, up to a degree per unit."""
    return _judge(single_layers(degree), estimator, seed)


def described(degree: int, estimator: Estimator, seed: int) -> str:
    """What the mean of one layer is, where nothing is claimed of it."""
    try:
        found = by_integrals(single_layers(degree)[:2], estimator)
    except Found as stopped:
        return stopped.detail
    return _describe(found) if found else NOT_REACHED


def unbiased(where: str, estimator: Estimator, seed: int) -> str:
    """In all layers of a deep network, or in the last one and the head, for a cubic objective."""
    cases = [deep(widths, 3, batch=1) for widths in ((1, 1), (2, 2))]
    return _judge(cases, estimator, seed, "" if where == "all layers" else "stages.1|head")


def head_exact(estimator: Estimator, seed: int) -> str:
    """The head, which is differentiated at the drawn states, or has the mean of that."""
    case = deep()
    problem = case.build()
    tables = tables_of(problem, estimator, 8, seed)
    head = {name: block for name, block in mapped(problem, estimator, tables).items() if name.startswith("head")}
    if close(head, {name: block for name, block in at_drawn_states(problem, tables).items() if name in head}, 1e-12):
        return "differentiated at the drawn states"
    return _judge([deep(widths, 3, batch=1) for widths in ((1, 1), (2, 2))], estimator, seed, "head")


def at_drawn_states(problem: Problem, tables: dict[tuple[int, int], Tensor]) -> Blocks:
    """Gradient of the objective at the states that channel 0 decides, where states pass nothing on."""
    return mapped(problem, _Detached(), tables)


@dataclass(frozen=True)
class _Detached(HardForward):
    """A factor of zero: only the head is differentiated."""

    def derivative(self, a: Tensor, bit: Tensor, uniform: Tensor, law: NoiseLaw) -> Tensor:
        return torch.zeros_like(a)


def _judge(cases: list[Case], estimator: Estimator, seed: int, blocks: str = "") -> str:
    found = by_integrals(cases, estimator, blocks)
    if not found:
        return by_sampling(cases[0], estimator, seed, blocks)
    wrong = [comparison for comparison in found if not comparison.unbiased]
    if wrong:
        first = wrong[0]  # cases come in ascending size
        shown = SHOW_MEAN if reached(first.case.build(), estimator) else SHOW_INTEGRAL
        said = f"{_describe(wrong)}; smallest: {first.case.title} ({len(wrong)} of {len(found)} problems)"
        raise Refuted(said, effect=first.bias, snippet=first.case.snippet(estimator, shown))
    precision = f", to {max(c.error for c in found):.1g}" if max(c.bias for c in found) > TOLERANCE else ""
    return f"relative bias {max(c.bias for c in found):.1g} by quadrature{precision} on {len(found)} problem(s)"


def _describe(found: list[Comparison]) -> str:
    """A common factor where there is one, else the range of biases."""
    factors = [c.factor for c in found]
    if all(c.unbiased for c in found):
        return "the mean is the true gradient"
    if max(c.rest for c in found) < 1e-6 and max(factors) - min(factors) < 1e-6:
        return f"the mean is {factors[0]:.4f} x the true gradient"
    between = f"{min(factors):.3f} to {max(factors):.3f}" if len(found) > 1 else f"{factors[0]:.3f}"
    return f"relative bias up to {max(c.bias for c in found):.3g}; along the true gradient the mean is {between} x it"


def by_sampling(case: Case, estimator: Estimator, seed: int, blocks: str = "") -> str:
    """Refute, or say what would have been seen; sampling never shows that a bias is zero.

    The pilot, which chooses the number of draws, and the gate have seeds of their own: 2 seed and 2 seed + 1.
    """
    problem, prefixes = case.build(), tuple(blocks.split("|"))
    pilot = restricted(measure(problem, estimator, draws=PILOT, seed=2 * seed), prefixes)
    needed = PILOT * (detectable(pilot) / MATTERS) ** 2 * 1.1
    draws = int(min(max(needed, PILOT), MOST_DRAWS))
    measured = restricted(measure(problem, estimator, draws=draws, seed=2 * seed + 1), prefixes)
    judge_means(case, estimator, measured, 2 * seed + 1)
    raise Undecided(_power(measured), effect=detectable(measured))


def judge_means(
    case: Case,
    estimator: Estimator,
    measured: Measurement,
    seed: int,
    expected: dict[str, Tensor] | None = None,
) -> None:
    """Raise where the mean gate rejects what was measured with a seed; heavy tails leave it undecided."""
    gate = mean_gate(measured, expected)
    if gate.rejects:
        if any(measured.heavy_tailed().values()):
            said = f"z = {gate.worst:.1f} in {measured.draws:.0f} draws, of which few carry the variance"
            raise Undecided(f"{said} (heavy tails): its standard error promises too much", gate.worst)
        effect = Comparison.of(case, flat(measured.mean), flat(measured.reference if expected is None else expected))
        said = f"z = {gate.worst:.1f} in {measured.draws:.0f} draws; {_describe([effect])}; {case.title}"
        snippet = case.snippet(estimator, SHOW_SAMPLED.format(draws=int(measured.draws), seed=seed))
        raise Refuted(said, gate.worst, effect.bias, snippet)


def _power(measured: Measurement) -> str:
    seen = f"a bias of {100 * detectable(measured):.2g} % of the gradient's norm would be seen with {100 * POWER:g} %"
    if detectable(measured) > MATTERS:
        return f"too little power: only {seen} in {measured.draws:.0f} draws; not rejected, which says little"
    return f"not rejected in {measured.draws:.0f} draws, where {seen}; no integral reaches it"


EXACT = {degree: partial(one_layer_exact, degree) for degree in (1, 2, 3, 4)}
