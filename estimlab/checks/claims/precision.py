"""Precision: draws in float32 and float64 at the same noise, and staircases where draws should be smooth."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from estimlab.checks.claims.identities import COUNT, prepared, rows, tolerant
from estimlab.checks.problems.causes import first_failure
from estimlab.checks.problems.covering import COVERING
from estimlab.checks.problems.settings import Setting
from estimlab.checks.report import Refuted
from estimlab.checks.single_draws import SHOW_DRAW, mapped, noise_of, tables_of
from estimlab.estimators.base import Estimator
from estimlab.model.network import all_low
from estimlab.model.problem import Problem

SINGLE = 1e-3  # difference of draws in both types, relative to their size
STEP = 1e-6  # of parameters
ROUNDING, JUMP = 1e-9, 1e-3  # between both, relative to its size, lies what rounding of float32 changes in a draw


def precision(estimator: Estimator, seed: int) -> str:
    """Draws in float32 are those in float64 to rounding, and draws in float64 have no rounding of smaller types."""

    @tolerant
    def fails(setting: Setting) -> bool:
        return bool(_lost(setting, estimator, seed))

    found = first_failure(COVERING, fails)
    if found is not None:
        words = f"; {found.words}" if found.words else ""
        said = f"{_lost(found.setting, estimator, seed)}; smallest: {found.setting.title}{words}"
        raise Refuted(said, snippet=found.setting.case.snippet(estimator, SHOW_DRAW), cause="precision")
    return f"equal to rounding at the same noise, on {len(COVERING)} problems"


def _lost(setting: Setting, estimator: Estimator, seed: int) -> str:
    """What is lost, in words; nothing where nothing is."""
    problem = prepared(setting)
    small = _half(problem, estimator, seed)
    if small:
        return f"a network in float64 is computed in {small} at one point: see the casts, and tensors without dtype="
    smooth = setting.head and setting.batch == 1  # in time for estimators whose factor is an integral
    if smooth and _coarse(problem, estimator, seed):
        return (
            "a draw of a network in float64 changes in steps when parameters move a little: something cancels, or is "
            "computed in a smaller floating type (a cast, or tensors without dtype=)"
        )
    if _apart(problem, estimator, seed):
        return (
            "a draw of the network in float32 is another one at the same noise: something overflows, cancels, or is "
            "computed in a smaller floating type"
        )
    return ""


class _Types(TorchDispatchMode):
    """Floating types of half the size that occur in what is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and out.dtype in (torch.float16, torch.bfloat16):
            self.seen.add(str(out.dtype).removeprefix("torch."))
        return out


def _half(problem: Problem, estimator: Estimator, seed: int) -> str:
    """A floating type of half the size in which one draw is computed in part; nothing where there is none."""
    with _Types() as types:
        estimator.surrogate(problem, noise_of(seed))
    return " and ".join(sorted(types.seen))


def _apart(problem: Problem, estimator: Estimator, seed: int) -> bool:
    """Whether more than half of the draws in float32 differ from those in float64 by more than rounding."""
    single = problem.to(dtype=torch.float32)
    tables = tables_of(single, estimator, COUNT, seed)
    one, other = rows(mapped(single, estimator, tables)), rows(mapped(problem, estimator, tables))
    size = other.abs().amax(1) + 1e-2 * max(1.0, float(_size(problem)))
    return bool(((one - other).abs().amax(1) / size).median() > SINGLE) or not bool(torch.isfinite(one).all())


def _size(problem: Problem) -> Tensor:
    """Of the objective, at all units low."""
    with torch.no_grad():
        return problem.run(all_low(problem.sites)).abs().max()


def _coarse(problem: Problem, estimator: Estimator, seed: int) -> bool:
    """Whether draws are staircases of the parameters: fourth differences, which are none where they are smooth.

    Along a line of parameters in steps of 1e-6, the fourth difference of a smooth draw is 1e-24 times its fourth
    derivative, plus rounding; that of a draw computed in float32 is some 1e-7 of it, and that of a jump is of its size.
    """
    tables = tables_of(problem, estimator, COUNT, seed)
    moved = problem.copy()
    draws = []
    for step in range(5):
        with torch.no_grad():
            for start, parameter in zip(problem.network.parameters(), moved.network.parameters(), strict=True):
                direction = torch.cos(torch.arange(parameter.numel(), dtype=parameter.dtype)).reshape(parameter.shape)
                parameter.copy_(start + step * STEP * direction)
        draws.append(rows(mapped(moved, estimator, tables)))
    fourth = draws[0] - 4 * draws[1] + 6 * draws[2] - 4 * draws[3] + draws[4]
    change = fourth.abs().amax(1) / draws[0].abs().amax(1).clamp(min=1e-30)
    return ROUNDING < float(change.median()) < JUMP
