"""Expectations by quadrature over the noise: is one layer exact up to a degree, is a deep network unbiased."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from estimlab.checks.comparisons import TOLERANCE, Blocks, Comparison, compare, compared, describe
from estimlab.checks.integrals.means import decomposed_mean, quick_mean, reached
from estimlab.checks.problems.causes import blame
from estimlab.checks.problems.covering import COVERING
from estimlab.checks.problems.settings import PLAIN, Setting
from estimlab.checks.report import Refuted, Undecided
from estimlab.checks.sampling import by_sampling
from estimlab.checks.single_draws import Blocks as Gradients
from estimlab.checks.single_draws import close, mapped, tables_of
from estimlab.estimators.base import Estimator, HardForward
from estimlab.model.laws import NoiseLaw
from estimlab.model.problem import Problem

NOT_REACHED = "no integral reaches it: a draw depends on too many uniforms at once"
BY_DEFAULT = (
    "by default an estimator claims that one layer is exact for linear objectives (exact_degree = 1): let claims() "
    "return el.Claims(exact_degree=0) to claim nothing"
)
SHOW_MEAN = """\
mean = el.quadrature_moments(problem, estimator).mean
for name, truth in el.PathEnumeration().gradient(problem).value.items():
    print(name, "mean", mean[name], "true gradient", truth)"""
SHOW_INTEGRAL = """\
from estimlab.checks.integrals import means

mean = means.mean(problem, estimator)
for name, truth in el.PathEnumeration().gradient(problem).value.items():
    print(name, "mean", mean[name], "true gradient", truth)"""


def one_layer_exact(degree: int, estimator: Estimator, seed: int) -> str:
    """Within one layer, up to a degree per unit: the layers of single-layer networks, and the last layers of deep ones.

    Given the states below, the last layer of a deep network is one layer; only where states are drawn. What is exact
    for every degree is tried on all problems in degrees 1 and 4, between them on those of one unit.
    """
    few = math.isinf(estimator.claims().exact_degree) and degree in (2, 3)
    settings = [one for one in COVERING if one.depth == 1 or estimator.claims().draws_states]
    settings = [replace(one, degree=degree) for one in settings if one.units == 1 or not few]
    try:
        return judge(settings, estimator, seed, last_stage)
    except Refuted as found:
        if degree == 1 and by_default(estimator):
            found.detail += f"; {BY_DEFAULT}"
        raise


def by_default(estimator: Estimator) -> bool:
    """Whether its claims are those of every estimator that says nothing."""
    return type(estimator).claims is Estimator.claims


def last_stage(setting: Setting) -> tuple[str, ...]:
    """Blocks of the last stage."""
    return (f"stages.{setting.depth - 1}",)


def last_stage_and_head(setting: Setting) -> tuple[str, ...]:
    """Blocks after the last but one layer."""
    return (*last_stage(setting), "head")


def everything(setting: Setting) -> tuple[str, ...]:
    """All blocks."""
    return ("",)


def head(setting: Setting) -> tuple[str, ...]:
    """Those of the head."""
    return ("head",)


def described(degree: int, estimator: Estimator, seed: int) -> str:
    """What the mean of one layer is, where nothing is claimed of it."""
    settings = [replace(PLAIN, degree=degree), replace(PLAIN, degree=degree, coding=(-1.0, 1.0))]
    found, refusal = by_integrals(settings, estimator, everything)
    return describe(found) if found else refusal or NOT_REACHED


def unbiased(where: str, estimator: Estimator, seed: int) -> str:
    """In all layers of a deep network, or in the last one and the head, for a cubic objective."""
    blocks = everything if where == "all layers" else last_stage_and_head
    return judge([replace(one, degree=3) for one in (*COVERING, *FEW)], estimator, seed, blocks)


FEW = (Setting((1, 1), head=True), Setting((1, 1)))
"""Two layers that a decomposition reaches."""


def head_exact(estimator: Estimator, seed: int) -> str:
    """The head, which is differentiated at the drawn states, or has the mean of that."""
    settings = [one for one in COVERING if one.head]
    if all(_at_drawn_states(one, estimator, seed) for one in settings):
        return f"differentiated at the drawn states, on {len(settings)} problems"
    return judge([replace(one, degree=3) for one in settings], estimator, seed, head)


def _at_drawn_states(setting: Setting, estimator: Estimator, seed: int) -> bool:
    problem = setting.case.build()
    problem = problem.with_expected(torch.full((problem.batch,), 0.5))
    try:
        tables = tables_of(problem, estimator, 8, seed)
        found = {name: block for name, block in mapped(problem, estimator, tables).items() if name.startswith("head")}
    except setting.unserved:  # an estimator may serve some problems only
        return True
    return close(
        found, {name: block for name, block in at_drawn_states(problem, tables).items() if name in found}, 1e-12
    )


def at_drawn_states(problem: Problem, tables: dict[tuple[int, int], Tensor]) -> Gradients:
    """Gradient of the objective at the states that channel 0 decides, where states pass nothing on."""
    return mapped(problem, _Detached(), tables)


@dataclass(frozen=True)
class _Detached(HardForward):
    """A factor of zero: only the head is differentiated."""

    def derivative(self, a: Tensor, bit: Tensor, uniform: Tensor, law: NoiseLaw) -> Tensor:
        return torch.zeros_like(a)


def by_integrals(settings: list[Setting], estimator: Estimator, blocks: Blocks) -> tuple[list[Comparison], str]:
    """Comparisons on the problems that an integral reaches, and what a refusal said.

    All that quick integrals reach; where those reach none of that depth, the first two by decomposition, in seconds.
    """
    found, refusal = compared(settings, estimator, blocks, quick_mean)
    depths = {one.setting.depth for one in found if one.wrong or not one.vanishing}
    deepest = max(one.depth for one in settings)
    if (deepest == 1 and depths) or max(depths, default=1) > 1:
        return found, refusal
    least = [one for one in settings if one.depth > 1 and one.units == 2] if depths else settings
    slow, other = compared(least[:2], estimator, blocks, decomposed_mean)
    return found + slow, refusal or other


def judge(settings: list[Setting], estimator: Estimator, seed: int, blocks: Blocks) -> str:
    """Refute with the cause, or say on how many problems there is no bias; by sampling where no integral reaches."""
    found, refusal = by_integrals(settings, estimator, blocks)
    if all(one.vanishing and not one.wrong for one in found):
        if refusal:
            raise Undecided(refusal)
        raise by_sampling(settings[0].case, estimator, seed, blocks(settings[0]))
    wrong = [one for one in found if not one.unbiased]
    if wrong:
        raise _refuted(wrong, len(found), estimator, blocks)
    error = max(one.error for one in found)
    precision = f", to {error:.1g}" if max(one.bias for one in found) > TOLERANCE and error else ""
    return f"no bias by quadrature{precision} on {len(found)} of {len(settings)} problems"


def _refuted(wrong: list[Comparison], judged: int, estimator: Estimator, blocks: Blocks) -> Refuted:
    def fails(setting: Setting) -> bool | None:
        found = {one.setting: one for one in wrong}.get(setting)
        try:
            found = found or compare(setting, estimator, blocks, quick_mean)
        except setting.unserved:
            return None
        return None if found is None else not found.unbiased

    blamed = blame(wrong[0].setting, fails)
    case = blamed.setting.case
    smallest = compare(blamed.setting, estimator, blocks, quick_mean) or wrong[0]
    shown = SHOW_MEAN if reached(case.build(), estimator) else SHOW_INTEGRAL
    said = f"{describe(wrong)}; smallest: {case.title} ({len(wrong)} of {judged} problems)"
    said += f"; {blamed.words}" if blamed.words else ""
    return Refuted(said, effect=smallest.bias, snippet=case.snippet(estimator, shown), cause=blamed.cause)


EXACT = {degree: partial(one_layer_exact, degree) for degree in (1, 2, 3, 4)}
