"""What a layerwise enumeration will cost, said before any work."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor, nn

from estimlab.errors import EstimlabError
from estimlab.model.chain import Chain
from estimlab.model.problem import Problem
from estimlab.model.units import BinaryUnits, LayerOfUnits
from estimlab.references.contraction import LayerTables, Workspace
from estimlab.references.sweep import Sweep

PRODUCTS_PER_PAIR = 3  # value, derivative, marginal
TIMED_UNITS, TIMED_TARGETS = 18, 4  # largest block that is timed: a fraction of a second


@dataclass(frozen=True)
class Plan:
    """Cost of an exact computation.

    Attributes:
        states: number of states of the widest layer.
        pairs: number of (state below, state above) pairs, summed over adjacent layers and examples.
        targets: number of distinct targets; the value tables depend on the target.
        flops: floating-point operations of the matrix products.
        bytes: peak memory of the tables.
        seconds: estimate for this machine, from one timed block of each pair of layers.

    >>> import estimlab as el
    >>> plan = el.LayerwiseEnumeration().plan(el.problems.load("quadratic/v1"))
    >>> plan.states, plan.targets
    (256, 1)
    """

    states: int
    pairs: int
    targets: int
    flops: float
    bytes: float
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.states:.3g} states in the widest layer, {self.pairs:.3g} pairs of states, {self.targets} distinct "
            f"target(s), {self.flops:.3g} flops, {format_bytes(self.bytes)}, about {format_seconds(self.seconds)}"
        )

    def check(self, max_seconds: float, max_bytes: float, widths: tuple[int, ...]) -> None:
        """Refuse what exceeds the budget."""
        if self.seconds > max_seconds or self.bytes > max_bytes:
            raise EstimlabError(
                f"Enumerating layers of {'-'.join(map(str, widths))} units takes {self}. The budget is "
                f"{format_seconds(max_seconds)} and {format_bytes(max_bytes)}. Use narrower layers (the cost is the "
                "sum of 2^(n_k + n_k+1) over adjacent layers), raise max_seconds and max_bytes, pass "
                "force=True, or sample the truth by el.MonteCarloReference()."
            )


def plan_enumeration(problem: Problem, block_rows: int, dtype: torch.dtype, calibrate: bool = True) -> Plan:
    """Cost of the value, the derivative and the marginal of every layer pair.

    The time of a pair of layers is that of one block of its rows (products ``3 * 2 * 2^n`` flops per row, elementwise
    work of the order of ``2^(n/2)``, the stage forward and backward), timed once in a process, times the number of
    blocks; to it comes what the smallest layer takes. Without ``calibrate`` it is the time of the products alone, at
    the rate of a square one: a lower bound.
    """
    targets, layers = len(problem.distinct_targets), problem.layered
    assert layers is not None
    states = [layer.states for layer in layers]
    shared = sum(below * above for below, above in pairwise(states))
    first = problem.batch * states[0]
    flops = 2.0 * PRODUCTS_PER_PAIR * (shared * targets + first)
    widest = max(layer.count * layer.unit_states for layer in layers) // 2
    per_state = 3 * targets + 2 + widest * (targets + 3)
    half_tables = max(map(half_states, layers)) * (4 + 3 * targets) * min(block_rows, max(states))
    size = float(dtype.itemsize) * (sum(states) * per_state + half_tables)
    seconds = flops / product_rate(problem.device.type)
    if calibrate:
        widths = [max(1, round(math.log2(number))) for number in states]  # of binary layers of as many states
        seconds = _seconds(widths, problem.batch, targets, block_rows, dtype, problem.device)
    return Plan(max(states), shared + first, targets, flops, size, seconds)


def half_states(layer: LayerOfUnits) -> int:
    """Number of joint states of the larger half of a layer."""
    return layer.unit_states ** ((layer.count + 1) // 2)


def _seconds(
    widths: list[int], batch: int, targets: int, block_rows: int, dtype: torch.dtype, device: torch.device
) -> float:
    first = [(rows, widths[0], 1) for rows in [max(1, batch // targets)] * targets]
    total = len(widths) * layer_seconds(dtype, device)
    for rows, units, columns in [*first, *((2**below, above, targets) for below, above in pairwise(widths))]:
        block = min(rows, block_rows)
        timed = min(units, TIMED_UNITS), min(columns, TIMED_TARGETS)
        larger = 2.0 ** (units - timed[0]) * columns / timed[1]  # wider blocks are as good as pure products
        total += rows / block * larger * block_seconds(timed[0], timed[1], block, dtype, device)
    return total


@lru_cache(maxsize=256)
def block_seconds(units: int, targets: int, rows: int, dtype: torch.dtype, device: torch.device) -> float:
    """Seconds of one block of rows below a layer: stage, tables, three products, and the stage's backward; median."""
    like = torch.empty(0, dtype=dtype, device=device)
    weight, workspace = like.new_zeros(units, units).requires_grad_(), Workspace()
    states, values, weights = (like.new_ones(*shape) for shape in ((rows, units), (targets, 2**units), (targets, rows)))
    kind, total = BinaryUnits(), torch.zeros_like(values)

    def once() -> None:
        a = states @ weight
        with torch.no_grad():
            drive = a.T.contiguous().T
            tables = LayerTables.build(kind.probabilities(drive), workspace, keep=True)
            _, conditional = tables.value_and_conditionals(values)
            tables.add_marginal(weights, total)
            signal = kind.pull(drive, conditional.unflatten(1, (units, 2)))
            cotangent = (signal * weights[:, None]).sum(0).T
        float(torch.autograd.grad(a, weight, cotangent)[0][0, 0])  # waits for a device

    return _median_seconds(once)


@lru_cache(maxsize=4)
def layer_seconds(dtype: torch.dtype, device: torch.device) -> float:
    """Seconds of one layer however small: those of a chain of two layers of one unit, halved."""
    linears = [nn.utils.skip_init(nn.Linear, 1, 1, dtype=dtype, device=device) for _ in range(3)]
    for parameter in nn.ModuleList(linears).parameters():
        nn.init.zeros_(parameter)  # random ones would come from the global generator
    problem = Problem(Chain(linears[:2], linears[2]), _first_output, torch.zeros(1, 1, dtype=dtype, device=device))

    def once() -> None:
        sweep = Sweep(problem.copy(), 1024, shows_progress=False)
        with torch.no_grad():
            sweep.states()
        sweep.parameters()

    return _median_seconds(once) / 2


def _first_output(output: Tensor, target: Tensor | None) -> Tensor:
    return output[:, 0]


def _median_seconds(function: Callable[[], None]) -> float:
    function()
    return statistics.median(_timed(function) for _ in range(3))


def _timed(function: Callable[[], None]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


@lru_cache(maxsize=4)
def product_rate(device: str) -> float:
    """Floating-point operations per second of a float64 matrix product on this machine, measured in a few ms."""
    a = torch.ones(512, 512, dtype=torch.float64, device=device)
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        float((a @ a)[0, 0])
        best = min(best, time.perf_counter() - start)
    return 2 * 512**3 / best


def format_seconds(seconds: float) -> str:
    """Seconds in the unit a person would choose."""
    for unit, size in (("years", 3.156e7), ("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s"


def format_bytes(size: float) -> str:
    """Bytes in the unit a person would choose."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
