"""Faults that make everything else meaningless: each is named, and the first one found is the only one reported."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import torch
from torch import Tensor

from estimlab.checks.claims.identities import prepared, tolerant
from estimlab.checks.problems.cases import deep
from estimlab.checks.problems.causes import Blame, first_failure
from estimlab.checks.problems.covering import COVERING
from estimlab.checks.problems.settings import Setting
from estimlab.checks.report import Cause, Refuted
from estimlab.checks.single_draws import SHOW_DRAW, close, crash, draw, equal, mapped, noise_of, tables_of
from estimlab.checks.torch_state import generators, kept, settings_of_torch
from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator
from estimlab.model.problem import Problem
from estimlab.randomness.noise import TableNoise

PLAIN = deep()
SHOW_TWICE = """\
def gradient(seed):
    noise = el.TorchNoise(torch.Generator().manual_seed(seed))
    value = estimator.surrogate(problem, noise).mean()
    return torch.autograd.grad(value, next(problem.network.parameters()))[0]


first = gradient(0)
for seed in range(1, 9):
    gradient(seed)
print("the same noise, before and after other draws:", first, gradient(0), sep="\\n")"""
SHOW_MAPPED = "print(el.measure(problem, estimator, draws=512).table())"


def runs(estimator: Estimator, seed: int) -> str:
    """One draw in either floating type."""
    for dtype in ("float64", "float32"):
        case = deep(dtype=dtype)
        try:
            draw(case.build(), estimator, noise_of(seed))
        except Refuted as found:
            raise Refuted(found.detail, snippet=case.snippet(estimator, SHOW_DRAW)) from None
        except Exception as error:
            said = f"crashes on a network in {dtype}. {crash(error, estimator)}"
            raise Refuted(said, snippet=case.snippet(estimator, SHOW_DRAW)) from error
    return "float32 and float64"


def shape(estimator: Estimator, seed: int) -> str:
    """One value per example."""
    problem = PLAIN.build()
    value = estimator.surrogate(problem, noise_of(seed))
    if not isinstance(value, Tensor) or value.shape != (problem.batch,):
        found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise _refuted(
            f"surrogate() returned the shape {found} for {problem.batch} examples; it must be ({problem.batch},), "
            "without a mean inside",
            estimator,
        )
    return f"({problem.batch},) for {problem.batch} examples"


def dtype(estimator: Estimator, seed: int) -> str:
    """The floating type of the network."""
    for name in ("float64", "float32"):
        problem = deep(dtype=name).build()
        value = estimator.surrogate(problem, noise_of(seed))
        if value.dtype != problem.dtype:
            said = f"the network is {problem.dtype}, the value {value.dtype}"
            raise Refuted(said, snippet=deep(dtype=name).snippet(estimator, SHOW_DRAW))
    return "that of the network, float32 and float64"


def finite(estimator: Estimator, seed: int) -> str:
    """No NaN in 16 draws."""
    problem = PLAIN.build()
    for number in range(seed, seed + 16):
        for name, block in draw(problem, estimator, noise_of(number)).items():
            if not bool(torch.isfinite(block).all()):
                show = SHOW_DRAW.replace("manual_seed(0)", f"manual_seed({number})")
                raise _refuted(f"{name}: NaN or infinite in draw {number - seed} of 16", estimator, show)
    return "16 draws"


def own_noise(estimator: Estimator, seed: int) -> str:
    """No global generator is used, in whatever branch."""
    used: dict[Setting, list[str]] = {}

    @tolerant
    def fails(setting: Setting) -> bool:
        before, problem = generators(), prepared(setting)
        for number in (seed, seed + 1):
            draw(problem, estimator, noise_of(number))
        used[setting] = [name for name, state in generators().items() if state != before[name]]
        return bool(used[setting])

    found = first_failure(COVERING, fails)
    if found is not None:
        names = ", ".join(used[found.setting])
        said = f"uses global randomness ({names}): ask `noise` instead; smallest: {found.setting.title}"
        raise _of(found, said, estimator, "generator", SHOW_TWICE)
    return f"randomness comes through `noise` alone, on {len(COVERING)} problems"


def _of(found: Blame, said: str, estimator: Estimator, cause: Cause, shown: str) -> Refuted:
    words = f"; {found.words}" if found.words else ""
    return Refuted(said + words, snippet=found.setting.case.snippet(estimator, shown), cause=cause)


def stateless(estimator: Estimator, seed: int) -> str:
    """The same noise gives the same gradient, whatever was drawn in between."""
    problem = PLAIN.build()
    before = _attributes(estimator)
    for number in range(seed, seed + 9):
        draw(problem, estimator, noise_of(number))
    after = _attributes(estimator)
    changed = [name for name in after if name not in before or not _same(before[name], after[name])]
    if changed:
        raise _refuted(
            f"keeps state between calls: a draw changes {', '.join(changed)}", estimator, SHOW_TWICE, "state"
        )
    found = first_failure(COVERING, tolerant(lambda setting: not _repeats(setting, estimator, seed)))
    if found is not None:
        said = "the same noise gave two gradients: state is kept between calls outside the estimator, or randomness"
        said = f"{said} has a source other than `noise`; smallest: {found.setting.title}"
        raise _of(found, said, estimator, "state", SHOW_TWICE)
    return f"same noise, same gradient, on {len(COVERING)} problems"


def _repeats(setting: Setting, estimator: Estimator, seed: int) -> bool:
    """Whether a draw is the same before and after other draws, and on a problem of its own."""
    problem = prepared(setting)
    first = draw(problem, estimator, noise_of(seed))
    draw(problem, estimator, noise_of(seed + 1))
    return equal(first, draw(problem, estimator, noise_of(seed)))


def _attributes(estimator: Estimator) -> dict[str, Any]:
    """Copies of the attributes of an estimator and of its class."""
    own = {f"self.{name}": value for name, value in vars(estimator).items()}
    plain = {n: v for n, v in vars(type(estimator)).items() if not n.startswith("_") and not callable(v)}
    found = own | {f"{type(estimator).__name__}.{name}": value for name, value in plain.items()}
    return {name: _copied(value) for name, value in found.items()}


def _copied(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # what cannot be copied is compared with itself
        return value


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    return bool(one == other) or repr(one) == repr(other)


def unchanged(estimator: Estimator, seed: int) -> str:
    """Parameters, buffers and data of the problem are left alone, and what is set for all of torch."""
    moved: dict[Setting, list[str]] = {}

    @tolerant
    def fails(setting: Setting) -> bool:
        with kept():
            before, problem = settings_of_torch(), prepared(setting)
            with contextlib.suppress(RuntimeError, Refuted):  # no gradient without grad mode: the mode is what matters
                draw(problem, estimator, noise_of(seed))
            moved[setting] = [name for name, value in settings_of_torch().items() if value != before[name]]
        return bool(moved[setting])

    found = first_failure(COVERING, fails)
    if found is not None:
        said = f"a draw changes {', '.join(moved[found.setting])}; smallest: {found.setting.title}"
        raise _of(found, said, estimator, "state", SHOW_DRAW)
    _require_same_contents(estimator, seed)
    return "parameters, data and torch's settings are left alone"


def _require_same_contents(estimator: Estimator, seed: int) -> None:
    problem = PLAIN.build()
    before = _contents(problem)
    draw(problem, estimator, noise_of(seed))
    changed = [name for name, value in _contents(problem).items() if not _same(before[name], value)]
    if changed:
        raise _refuted(f"a draw changes {', '.join(changed)}", estimator, cause="state")


def _contents(problem: Problem) -> dict[str, Any]:
    found: dict[str, Any] = {name: value.detach().clone() for name, value in problem.network.state_dict().items()}
    for name, parameter in problem.network.named_parameters():
        found[f"{name}.grad"] = None if parameter.grad is None else parameter.grad.clone()
        found[f"{name}.requires_grad"] = parameter.requires_grad
    assert problem.inputs is not None
    return found | {"problem.inputs": problem.inputs.clone()}


def independent(estimator: Estimator, seed: int) -> str:
    """An example's gradient depends on its own noise: change that of the last one, and the others must not move."""
    problem = PLAIN.build()
    tables = {key: table[0] for key, table in tables_of(problem, estimator, 4, seed).items()}
    other = {key: torch.cat((table[:-1], 1 - table[-1:])) for key, table in tables.items() if table.ndim > 1}
    values = [estimator.surrogate(problem, TableNoise({**tables, **change})) for change in ({}, other)]
    parameters = list(problem.network.parameters())
    for index in range(problem.batch - 1):
        pair = [torch.autograd.grad(v[index], parameters, retain_graph=True, allow_unused=True) for v in values]
        if not all(_same_gradient(a, b) for a, b in zip(*pair, strict=True)):
            raise _refuted(
                f"draw {index} depends on the noise of draw {problem.batch - 1}: examples of a batch are mixed (a mean "
                "over the batch as a baseline?), so they are not independent draws",
                estimator,
                cause="batch",
            )
    return "draw i depends on noise i only"


def _same_gradient(one: Tensor | None, other: Tensor | None) -> bool:
    return (one is None) == (other is None) and (one is None or other is None or torch.equal(one, other))


def mappable(estimator: Estimator, seed: int) -> str:
    """Draws mapped over their noise, as a measurement makes them, are those that training makes one by one."""
    problem = PLAIN.build()
    tables = tables_of(problem, estimator, 8, seed)
    try:
        together = mapped(problem, estimator, tables)
    except EstimlabError as error:
        raise _refuted(str(error), estimator, SHOW_MAPPED) from error
    for number in (0, 5):
        single = draw(problem, estimator, TableNoise({key: table[number] for key, table in tables.items()}))
        if not close({name: block[number] for name, block in together.items()}, single, 1e-12):
            raise _refuted(f"draw {number} is another one when draws are mapped by torch.vmap", estimator, SHOW_MAPPED)
    return "draws can be mapped"


def _refuted(detail: str, estimator: Estimator, shown: str = SHOW_DRAW, cause: Cause = "") -> Refuted:
    return Refuted(detail, snippet=PLAIN.snippet(estimator, shown), cause=cause)
