"""What a layerwise enumeration will cost, said before any work."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch

from estimlab.errors import EstimlabError
from estimlab.model.problem import Problem

PRODUCTS_PER_PAIR = 3  # value, derivative, marginal


@dataclass(frozen=True)
class Plan:
    """Cost of an exact computation.

    Attributes:
        states: number of states of the widest layer.
        pairs: number of (state below, state above) pairs, summed over adjacent layers and examples.
        targets: number of distinct targets; the value tables depend on the target.
        flops: floating-point operations of the matrix products.
        bytes: peak memory of the tables.
        seconds: flops over the measured rate of this machine's own matrix product.
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


def plan_enumeration(problem: Problem, block_rows: int, item_bytes: int = 8) -> Plan:
    """Cost of the value, the derivative and the marginal of every layer pair."""
    targets = len(problem.distinct_targets)
    widths = [site.size for site in problem.sites]
    shared = sum(2 ** (below + above) for below, above in pairwise(widths))
    first = problem.batch * 2 ** widths[0]
    flops = 2.0 * PRODUCTS_PER_PAIR * (shared * targets + first)
    per_state = 3 * targets + 2 + max(widths) * (targets + 3)
    half_tables = 2 ** ((max(widths) + 1) // 2) * (4 + 3 * targets) * min(block_rows, 2 ** max(widths))
    size = float(item_bytes) * (sum(2**n for n in widths) * per_state + half_tables)
    return Plan(2 ** max(widths), shared + first, targets, flops, size, flops / product_rate(problem.device.type))


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
