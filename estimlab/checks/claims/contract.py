"""The rest of the contract: what an estimator declares about itself, and what it does at the edges."""

from __future__ import annotations

import builtins
import dataclasses
import importlib
import inspect
import pickle
import pkgutil
import sys
from typing import Any

import torch
from torch import Tensor

import estimlab.estimators
from estimlab.checks.claims.identities import extension, prepared, tolerant
from estimlab.checks.problems.cases import deep, saturated
from estimlab.checks.problems.causes import first_failure
from estimlab.checks.problems.covering import COVERING
from estimlab.checks.problems.settings import Setting
from estimlab.checks.report import Refuted, Undecided, Unused
from estimlab.checks.single_draws import SHOW_DRAW, equal, mapped, tables_of
from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator
from estimlab.measurement.counting import count_passes
from estimlab.model.problem import Problem
from estimlab.randomness.noise import TableNoise

SHOW_COST = """\
from estimlab.measurement.counting import count_passes
print("declared", estimator.cost({depth}), "counted", count_passes(problem, estimator))"""


def saturation(estimator: Estimator, seed: int) -> str:
    """Finite where units are certain."""
    for name in ("float64", "float32"):
        case = saturated(name)
        problem = case.build()
        for block, value in mapped(problem, estimator, tables_of(problem, estimator, 64, seed)).items():
            if not bool(torch.isfinite(value).all()):
                said = f"{block} is NaN or infinite for pre-activations of 40 and -40, {name}"
                raise Refuted(said, snippet=case.snippet(estimator, SHOW_DRAW), cause="tail")
    return "finite for pre-activations of 40 and -40, float32 and float64"


def states(estimator: Estimator, seed: int) -> str:
    """The value is the objective at the states that channel 0 decides: high where u < F(a)."""
    errors: dict[Setting, tuple[float, float]] = {}

    @tolerant
    def fails(setting: Setting) -> bool:
        problem = prepared(setting)
        tables = {key: table[0] for key, table in tables_of(problem, estimator, 4, seed).items()}
        expected = objective_at_states(problem, tables)
        value = estimator.surrogate(problem, TableNoise(tables)).detach()
        size = float(expected.abs().max())
        errors[setting] = float((value - expected).abs().max()), size
        return not errors[setting][0] <= 1e-12 * max(1.0, size)

    found = first_failure(COVERING, fails)
    if found is not None:
        error, size = errors[found.setting]
        words = f"; {found.words}" if found.words else ""
        raise Refuted(
            f"the value differs by {error:.3g} from the objective at the states that channel 0 decides (high where "
            "u < F(a)); claim draws_states=False where units are relaxed or not drawn; smallest: "
            f"{found.setting.title}{words}",
            effect=error / (size or 1.0),
            snippet=found.setting.case.snippet(estimator, SHOW_DRAW),
            cause=found.cause,
        )
    return f"the value is the objective at the states that channel 0 decides, on {len(COVERING)} problems"


def objective_at_states(problem: Problem, tables: dict[tuple[int, int], Tensor]) -> Tensor:
    """The objective after one pass of the network whose units are high where u < F(a)."""

    def states(k: int, a: Tensor, carry: Any) -> Tensor:
        units = problem.sites[k].units
        bit = (tables[k, 0] < units.law.cdf(a)).to(a.dtype)
        return units.state(bit)

    with torch.no_grad():
        return problem.run(states)


def cost(estimator: Estimator, seed: int) -> str:
    """Declared passes are counted passes, at three depths."""
    for depth in (1, 2, 3):
        case = deep((2,) * depth)
        declared, counted = estimator.cost(depth), count_passes(case.build(), estimator)
        if declared != counted:
            said = f"depth {depth}: declared {declared}, counted {counted}"
            raise Refuted(said, snippet=case.snippet(estimator, SHOW_COST.format(depth=depth)))
    return f"{estimator.cost(3)} at depth 3"


def value(estimator: Estimator, seed: int) -> str:
    """A frozen dataclass, hashable, rebuilt by its ``repr``, unchanged by pickling."""
    show = "import pickle\nprint(hash(estimator), pickle.loads(pickle.dumps(estimator)) == estimator)"
    snippet = deep().snippet(estimator, show)
    parameters = getattr(type(estimator), "__dataclass_params__", None)
    if parameters is None or not parameters.frozen or "__dataclass_params__" not in vars(type(estimator)):
        raise Refuted("decorate the class with @dataclass(frozen=True): an estimator is a value", snippet=snippet)
    try:
        hash(estimator)
    except TypeError as error:
        raise Refuted(f"cannot be hashed: {error}; give fields numbers, texts and tuples", snippet=snippet) from error
    if not _holds_named_functions(estimator):
        _check_repr(estimator, snippet)
    try:
        again = pickle.loads(pickle.dumps(estimator))
    except (pickle.PicklingError, AttributeError) as error:
        raise Undecided(f"defined where pickle cannot find it: {error}") from error
    if again != estimator:
        raise Refuted(f"pickling changes it to {again!r}", snippet=snippet)
    if _holds_named_functions(estimator):
        raise Unused(
            "frozen, hashable, unchanged by pickling; but a function does not print: studies need an Expression"
        )
    return "frozen, hashable, rebuilt by its repr, unchanged by pickling"


def _holds_named_functions(estimator: Estimator) -> bool:
    """Whether a field is a function: where it has a name it can be found again, but not from its repr."""
    return any(inspect.isroutine(getattr(estimator, one.name, None)) for one in dataclasses.fields(estimator))


def _check_repr(estimator: Estimator, snippet: str) -> None:
    try:
        again = eval(repr(estimator), _names(estimator))
    except Exception as error:
        raise Refuted(f"repr does not rebuild it: {repr(estimator)[:80]} is {error!r:.80}", snippet=snippet) from error
    if again != estimator:
        raise Refuted(f"repr rebuilds {again!r}, which is not equal", snippet=snippet)


def _names(estimator: Estimator) -> dict[str, Any]:
    """What a repr may mention: estimlab's estimators and laws, and the names of the estimator's own module."""
    names: dict[str, Any] = dict(vars(builtins))
    inside = [f"estimlab.estimators.{one.name}" for one in pkgutil.iter_modules(estimlab.estimators.__path__)]
    for name in [*inside, "estimlab.model.laws", "estimlab.model.units"]:
        names |= vars(importlib.import_module(name))
    own = {type(estimator)} | {type(getattr(estimator, f.name)) for f in dataclasses.fields(estimator)}
    for cls in own:
        names |= {**vars(sys.modules.get(cls.__module__, builtins)), cls.__name__: cls}
    return names


class Poisoned(torch.autograd.Function):
    """The sum of sines, whose derivative raises: whoever differentiates it shows it."""

    generate_vmap_rule = True

    @staticmethod
    def forward(states: Tensor) -> Tensor:
        """Plain values."""
        return torch.sin(states * torch.arange(1, 1 + states.shape[1])).sum(1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Raise."""
        raise EstimlabError("the derivative of the objective was asked for")


POISONED = deep(head=False, objective="Poisoned.apply(x)")
CLEAN = deep(head=False, objective="Poisoned.forward(x)")
_IMPORT = "from estimlab.checks.claims.contract import Poisoned\n\n"


def values_only(estimator: Estimator, seed: int) -> str:
    """Where the derivative of the objective raises, an estimator that reads values only gives the same draws."""
    cases = [dataclasses.replace(case, source=_IMPORT + case.source) for case in (CLEAN, POISONED)]
    clean, poisoned = (case.build() for case in cases)
    tables = tables_of(clean, estimator, 8, seed)
    snippet = cases[1].snippet(estimator, SHOW_DRAW)
    try:
        same = equal(mapped(clean, estimator, tables), mapped(poisoned, estimator, tables))
    except EstimlabError as error:
        raise Refuted("the objective is differentiated: claim reads_extension=True", snippet=snippet) from error
    if not same:
        raise Refuted("draws change with the objective's derivative", snippet=snippet)
    return f"the objective's derivative is never asked for; draws are {extension(estimator, seed)}"
