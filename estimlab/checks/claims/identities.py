"""Identities of single draws, which need no integral and reach every width, depth and law."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from estimlab.checks.gates import flat
from estimlab.checks.problems.causes import first_failure
from estimlab.checks.problems.covering import COVERING
from estimlab.checks.problems.settings import Setting
from estimlab.checks.report import Refuted
from estimlab.checks.single_draws import SHOW_DRAW, Blocks, mapped, tables_of
from estimlab.estimators.base import Estimator
from estimlab.measurement.mapped import record
from estimlab.model.problem import Problem
from estimlab.randomness.noise import Key

Tables = dict[Key, Tensor]
COUNT = 8  # draws
FEW_OR_MANY = (64, 8192)  # in which every block must get a gradient; many only where few are not enough
ROUNDING = 1e-9  # of a draw in float64, relative to its size: no rounding is as large
SHOW_ROWS = """\
parameters = list(problem.network.parameters())


def gradient(problem):
    noise = el.TorchNoise(torch.Generator().manual_seed(0))
    value = estimator.surrogate(problem, noise)
    return torch.autograd.grad(value.mean(), parameters, allow_unused=True)[0]


print(gradient(problem), *(gradient(problem.example(i)) for i in range(problem.batch)), sep="\\n")"""


def prepared(setting: Setting) -> Problem:
    """The problem, whose expected objective is said to be 1/2."""
    problem = setting.case.build()
    return problem.with_expected(torch.full((problem.batch,), 0.5))


def tolerant(fails: Any) -> Any:
    """An estimator may serve some problems only, and says so: that is no failure."""

    def judged(setting: Setting) -> bool | None:
        try:
            return bool(fails(setting))
        except setting.unserved:
            return None

    return judged


def batch(estimator: Estimator, seed: int) -> str:
    """The gradient of a batch is the mean of the gradients of its examples, at the same noise."""
    ratios: dict[Setting, float] = {}

    @tolerant
    def fails(setting: Setting) -> bool:
        together, apart = _both(prepared(setting), estimator, seed)
        one, other = flat(together), flat(apart)
        ratios[setting] = float(one @ other) / (float(other @ other) or 1.0)
        return not near(together, apart, ROUNDING)

    settings = [setting for setting in COVERING if setting.batch > 1]
    found = first_failure(settings, fails)
    if found is not None:
        raise Refuted(
            f"the gradient of {found.setting.batch} examples is not the mean of the gradients of each alone at the "
            f"same noise, but about {ratios[found.setting]:.4f} x that: surrogate() returns one value per example, and "
            f"the mean over them is taken outside; smallest: {found.setting.title}",
            snippet=found.setting.case.snippet(estimator, SHOW_ROWS),
            cause="batch",
        )
    return f"the mean of the gradients of its examples, on {len(settings)} problems"


def _both(problem: Problem, estimator: Estimator, seed: int) -> tuple[Blocks, Blocks]:
    """Draws of the batch, and the mean over examples of draws of each alone."""
    tables = tables_of(problem, estimator, COUNT, seed)
    parts = [
        mapped(problem.example(i), estimator, rows_of(problem, estimator, tables, i)) for i in range(problem.batch)
    ]
    mean = {name: torch.stack([part[name] for part in parts]).mean(0) for name in parts[0]}
    return mapped(problem, estimator, tables), mean


def rows_of(problem: Problem, estimator: Estimator, tables: Tables, index: int) -> Tables:
    """The noise of one example: a row of each table, of those that have one."""
    one, all_ = (record(part, estimator) for part in (problem.example(index), problem))
    return {
        key: table[:, index : index + 1] if one[key].shape != all_[key].shape else table
        for key, table in tables.items()
    }


def near(one: Mapping[str, Tensor], other: Mapping[str, Tensor], tolerance: float) -> bool:
    """Whether all blocks agree, each relative to its size; beside 1e-13 of the largest one."""
    floor = 1e-4 * tolerance * max(float(block.abs().max()) for block in other.values())
    return all(
        float((one[name] - block).abs().max()) <= tolerance * float(block.abs().max()) + floor
        for name, block in other.items()
    )


def counts(estimator: Estimator, seed: int) -> str:
    """Every layer gets a gradient, and another target another one."""
    for setting in (*COVERING, DEEP):
        if setting.tail or setting.law not in ("Logistic", "Gaussian"):
            continue
        _require_gradients(setting, estimator, seed)
        if setting.target:
            _require_target(setting, estimator, seed)
    return "every layer gets a gradient, and another target another one"


DEEP = Setting((2, 2, 2), batch=3, target=True, head=True)
"""Three layers of which none is certain."""


def _require_gradients(setting: Setting, estimator: Estimator, seed: int) -> None:
    problem = prepared(setting)
    few, many = FEW_OR_MANY
    try:
        found = mapped(problem, estimator, tables_of(problem, estimator, few, seed))
        if _without(found, setting, estimator):  # relaxed draws at low temperatures are rarely more than zero
            found = mapped(problem, estimator, tables_of(problem, estimator, many, seed))
    except setting.unserved:
        return
    for name in _without(found, setting, estimator):
        raise Refuted(
            f"{name} gets no gradient in {many} draws: is a layer skipped, or detached? {setting.title}",
            snippet=setting.case.snippet(estimator, SHOW_DRAW),
            cause="layer",
        )


def _without(found: Blocks, setting: Setting, estimator: Estimator) -> list[str]:
    """Blocks that should have a gradient, and have none."""
    last = (f"stages.{setting.depth - 1}", "head") if estimator.claims().unbiased == "last layer" else ("",)
    return [name for name, block in found.items() if name.startswith(last) and not bool(block.any())]


def rows(blocks: Blocks) -> Tensor:
    """All blocks of a draw in a row."""
    return torch.cat([block.flatten(1).double() for block in blocks.values()], 1)


def _require_target(setting: Setting, estimator: Estimator, seed: int) -> None:
    problem = prepared(setting)
    assert problem.targets is not None
    other = problem.with_data(problem.inputs, problem.targets + 1)
    assert problem.expected is not None
    other = other.with_expected(problem.expected)
    try:
        tables = tables_of(problem, estimator, COUNT, seed)
        one, two = (rows(mapped(part, estimator, tables)) for part in (problem, other))
    except setting.unserved:
        return
    if bool(one.any()) and torch.equal(one, two):  # all zero: relaxed draws at low temperatures
        raise Refuted(
            f"the gradient does not depend on the target; {setting.title}",
            snippet=setting.case.snippet(estimator, SHOW_DRAW),
            cause="target",
        )


def extension(estimator: Estimator, seed: int) -> str:
    """Single draws do not move when something that is zero on the corners is added to the objective."""

    @tolerant
    def fails(setting: Setting) -> bool:
        with_it = prepared(replace(setting, null=1.7))
        problem = prepared(setting)
        tables = tables_of(problem, estimator, COUNT, seed)
        return not near(mapped(with_it, estimator, tables), mapped(problem, estimator, tables), ROUNDING)

    settings = [setting for setting in COVERING if not (setting.head or setting.shared)]
    found = first_failure(settings, fails)
    if found is not None:
        raise Refuted(
            "a draw moves when 1.7 (x - low)(x - high) is added to the objective, which is zero on the corners: the "
            f"objective is evaluated elsewhere; claim reads_extension=True; smallest: {found.setting.title}",
            snippet=replace(found.setting, null=1.7).case.snippet(estimator, SHOW_DRAW),
            cause="objective",
        )
    return f"not moved by the extension, on {len(settings)} problems"
