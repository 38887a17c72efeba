"""Does an estimator do what it claims? Its contract, and its exactness by quadrature over the noise."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator, HardForward
from estimlab.measurement.counting import count_passes
from estimlab.measurement.draws import gradients, record
from estimlab.measurement.exact import exact_moments
from estimlab.measurement.quadrature import quadrature_moments
from estimlab.model.chain import Chain, Logits
from estimlab.model.problem import Problem
from estimlab.model.units import BinaryUnits, Logistic
from estimlab.randomness import QuadratureGrid, RandomStream, TableNoise

Verdict = Literal["holds", "refuted", "undecided", "not claimed"]
TOLERANCE = 1e-10
QUICK_NODES = 1 << 16


@dataclass(frozen=True)
class CheckReport:
    """What was checked: ``rows`` of (claim, verdict, detail)."""

    estimator: Estimator
    rows: list[tuple[str, Verdict, str]]

    @property
    def passed(self) -> bool:
        """True where nothing is refuted."""
        return all(verdict != "refuted" for _, verdict, _ in self.rows)


@dataclass(frozen=True)
class _Power:
    """``prod_i (w_i x_i + 1/3)^degree``: of that degree in each unit."""

    degree: int

    def __call__(self, output: Tensor, target: Tensor | None) -> Tensor:
        weights = torch.linspace(0.6, 1.1, output.shape[1], dtype=output.dtype, device=output.device)
        return ((output * weights + 1 / 3) ** self.degree).prod(1)


def check_estimator(estimator: Estimator, strict: bool = True) -> CheckReport:
    """Check the contract and the claims of an estimator.

    Args:
        estimator: an instance; a class that needs no arguments may be given too.
        strict: raise where a claim is refuted; otherwise the report says so.

    Errors:
        EstimlabError: not an estimator, or a refuted claim, named with what was found.
    """
    if isinstance(estimator, type) and issubclass(estimator, Estimator):
        estimator = estimator()
    if not isinstance(estimator, Estimator):
        raise EstimlabError(f"{estimator!r} is not an estimator: derive it from el.HardForward, or from el.Estimator.")
    rows = [_judge("runs", _runs, estimator)]
    if rows[0][1] == "holds":  # nothing else can be judged of what does not run
        rows += [_judge(claim, check, estimator) for claim, check in _CHECKS.items()]
        rows += list(_exactness(estimator))
    report = CheckReport(estimator, rows)
    if strict and not report.passed:
        refuted = "; ".join(f"{claim}: {detail}" for claim, verdict, detail in rows if verdict == "refuted")
        raise EstimlabError(f"{estimator!r} does not do what it claims. {refuted}")
    return report


def _judge(claim: str, check: Callable[[Estimator], str], estimator: Estimator) -> tuple[str, Verdict, str]:
    """A check returns what it found, and raises ``AssertionError`` or any other error where the claim fails."""
    try:
        return claim, "holds", check(estimator)
    except _NotDecidable as error:
        return claim, "undecided", str(error)
    except AssertionError as error:
        return claim, "refuted", str(error)
    except Exception as error:
        return claim, "refuted", f"{type(error).__name__}: {error}"


class _NotDecidable(Exception):
    """The check does not reach this estimator."""


def _network(dtype: torch.dtype, depth: int = 2, scale: float = 1.0, width: int = 2) -> Chain:
    generator = torch.Generator().manual_seed(7)
    stages = [nn.Linear(2 if k == 0 else width, width, dtype=dtype) for k in range(depth)]
    head = nn.Linear(width, 1, dtype=dtype)
    with torch.no_grad():
        for module in (*stages, head):
            for parameter in module.parameters():
                parameter.copy_(scale * torch.randn(parameter.shape, generator=generator, dtype=dtype))
    return Chain(stages, head, BinaryUnits(Logistic(), 0.0, 1.0))


def _problem(dtype: torch.dtype = torch.float64, depth: int = 2, scale: float = 1.0) -> Problem:
    inputs = torch.tensor([[0.3, -1.0], [1.0, 0.4], [-0.5, 0.9]], dtype=dtype)
    problem = Problem(_network(dtype, depth, scale), _Power(2), inputs)
    return problem.with_expected(torch.full((3,), 0.5))


def _draws(estimator: Estimator, problem: Problem, count: int = 8) -> dict[str, Tensor]:
    like = torch.empty(0, dtype=problem.dtype)
    tables = RandomStream(1).tables(record(problem, estimator), 0, count, like)
    return gradients(problem, estimator, TableNoise, tables)[0]


def _runs(estimator: Estimator) -> str:
    for dtype in (torch.float32, torch.float64):
        draws = _draws(estimator, _problem(dtype))
        wrong = {name: block.dtype for name, block in draws.items() if block.dtype != dtype}
        assert not wrong, f"the network is {dtype}, the gradients are {wrong}"
        bad = [name for name, block in draws.items() if not bool(torch.isfinite(block).all())]
        assert not bad, f"NaN or infinite gradients of {', '.join(bad)}, {dtype}"
    return "finite, one value per example, float32 and float64"


def _pure(estimator: Estimator) -> str:
    problem = _problem()
    before = [p.clone() for p in problem.network.parameters()]
    state = torch.random.get_rng_state()
    first, second = _draws(estimator, problem), _draws(estimator, problem)
    assert all(torch.equal(first[n], second[n]) for n in first), "the same noise gave two different gradients"
    unchanged = all(torch.equal(p, q) for p, q in zip(problem.network.parameters(), before, strict=True))
    assert unchanged, "surrogate() changed the network's parameters"
    assert torch.equal(state, torch.random.get_rng_state()), "torch's global generator was used; ask `noise`"
    return "same noise, same gradient; nothing is changed"


def _independent(estimator: Estimator) -> str:
    problem = _problem()
    tables = RandomStream(1).tables(record(problem, estimator), 0, 8, torch.empty(0, dtype=torch.float64))
    alone = [
        gradients(problem.example(i), estimator, TableNoise, {k: t[:, i : i + 1] for k, t in tables.items()})[0]
        for i in range(problem.batch)
    ]
    whole = gradients(problem, estimator, TableNoise, tables)[0]
    for name, block in whole.items():
        mean = torch.stack([draws[name] for draws in alone]).mean(0)
        error = float((block - mean).abs().max())
        assert error <= 1e-12 * max(1.0, float(block.abs().max())), f"{name} differs by {error:.2g}"
    return "an example's gradient depends on its own noise only"


def _finite(estimator: Estimator) -> str:
    for dtype in (torch.float32, torch.float64):
        for name, block in _draws(estimator, _problem(dtype, scale=40.0)).items():
            assert bool(torch.isfinite(block).all()), f"{name} is not finite for pre-activations of size 40, {dtype}"
    return "finite for pre-activations of size 40"


def _cost(estimator: Estimator) -> str:
    for depth in (1, 2, 3):
        problem = _problem(depth=depth)
        declared, counted = estimator.cost(depth), count_passes(problem, estimator)
        assert declared == counted, f"depth {depth}: declared {declared}, counted {counted}"
    return f"{estimator.cost(3)} at depth 3"


def _value(estimator: Estimator) -> str:
    assert dataclasses.is_dataclass(estimator), "an estimator is a frozen dataclass"
    assert type(estimator).__dataclass_params__.frozen, "decorate the class with @dataclass(frozen=True)"  # type: ignore[attr-defined]
    hash(estimator)
    try:
        copy = pickle.loads(pickle.dumps(estimator))
    except (pickle.PicklingError, AttributeError) as error:
        raise _NotDecidable(f"defined where pickle cannot find it: {error}") from error
    assert copy == estimator, "pickling changes it"
    return "frozen, hashable, survives pickling"


def _moments(estimator: Estimator) -> str:
    if not isinstance(estimator, HardForward) or estimator.reads_uniform:
        raise _NotDecidable("for hard-forward estimators whose factor does not read the uniform")
    problem = _problem()
    exact, other = exact_moments(problem, estimator), quadrature_moments(problem, estimator)
    for name in exact.mean:
        for a, b in ((exact.mean, other.mean), (exact.variance, other.variance)):
            error = float((a[name] - b[name]).abs().max())
            assert error <= TOLERANCE * max(1.0, float(b[name].abs().max())), f"{name} differs by {error:.2g}"
    return "layerwise recursion = enumeration of all paths"


_CHECKS: dict[str, Callable[[Estimator], str]] = {
    "pure": _pure,
    "independent examples": _independent,
    "finite": _finite,
    "declared cost = counted cost": _cost,
    "is a value": _value,
    "exact moments": _moments,
}


def _exactness(estimator: Estimator) -> Iterator[tuple[str, Verdict, str]]:
    """Within one layer up to the claimed degree, and in all layers where that is claimed."""
    degrees = [degree for degree in (1, 2, 3, 4) if degree <= estimator.exact_degree]
    if not degrees:
        yield "exact within one layer", "not claimed", ""
    for degree in degrees:
        yield _judge(f"exact within one layer, degree {degree}", _one_layer(degree), estimator)
    if estimator.unbiased == "all layers":
        yield _judge("unbiased in all layers", _all_layers, estimator)
    else:
        yield "unbiased in all layers", "not claimed", ""


def _one_layer(degree: int) -> Callable[[Estimator], str]:
    def check(estimator: Estimator) -> str:
        networks = [_logits(size, low) for size in (1, 2) for low in (0.0, -1.0)]
        reached = [network for network in networks if _reached(Problem(network, _Power(degree)), estimator)]
        if not reached:
            raise _NotDecidable("too many joint nodes for a quick check, already for one unit")
        worst = max(_relative_bias(estimator, network, degree) for network in reached)
        assert worst <= TOLERANCE, f"relative bias {worst:.3g}"
        return f"relative bias {worst:.1g}"

    return check


def _logits(size: int, low: float) -> Chain:
    start = torch.tensor([0.7, -0.4, 1.3][:size], dtype=torch.float64)
    return Chain([Logits(start)], units=BinaryUnits(Logistic(), low, 1.0))


def _reached(problem: Problem, estimator: Estimator) -> bool:
    """Whether the joint nodes of the noise are few enough for a quick check."""
    return QuadratureGrid(record(problem.with_expected(torch.zeros(1)), estimator)).size <= QUICK_NODES


def _all_layers(estimator: Estimator) -> str:
    inputs = torch.tensor([[0.3, -1.0]], dtype=torch.float64)
    problems = [Problem(_network(torch.float64, width=width), _Power(3), inputs) for width in (2, 1)]
    problem = next((p for p in problems if _reached(p, estimator)), None)
    if problem is None:
        raise _NotDecidable("too many joint nodes for a quick check; compare el.measure with an exact reference")
    measured = quadrature_moments(problem, estimator)
    worst = max(abs(rows["relative_bias"][0]) for rows in measured.statistics().values())
    assert worst <= 1e-7, f"relative bias {worst:.3g}"  # the root of a squared bias of 1e-15 relative size
    return f"relative bias {worst:.1g}"


def _relative_bias(estimator: Estimator, network: Chain, degree: int) -> float:
    measured = quadrature_moments(Problem(network, _Power(degree)), estimator)
    bias = torch.cat([b.flatten() for b in measured.bias.values()]).norm()
    return float(bias / torch.cat([r.flatten() for r in measured.reference.values()]).norm())
