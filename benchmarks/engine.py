"""The exact gradient against the machine's own matrix product, against depth, width and path enumeration."""

from __future__ import annotations

import statistics
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import pairwise
from multiprocessing import get_context
from typing import Any

import torch

import estimlab as el
from benchmarks.networks import chain, largest_difference
from benchmarks.timing import Row, compare, peak_memory, row, seconds
from estimlab.references.plan import block_seconds, layer_seconds

EXACT = el.LayerwiseEnumeration(max_seconds=3600, max_bytes=16e9)


def flops(widths: list[int]) -> float:
    """Three products per pair of adjacent layers: value, derivative, marginal."""
    return 6.0 * sum(2 ** (m + n) for m, n in pairwise(widths))


def against_dgemm(widths: tuple[int, ...] = (10, 16, 16)) -> Row:
    """Rate of the whole gradient over the rate of square matrix products, both in float64."""
    problem = chain(list(widths))
    a = torch.randn(2048, 2048, dtype=torch.float64)
    ours, product = compare(lambda: EXACT.gradient(problem), lambda: [a @ a for _ in range(2)], rounds=15)
    ratios = [flops(list(widths)) / t / (2 * 2 * 2048**3 / s) for t, s in zip(ours, product, strict=True)]
    memory = peak_memory()
    name = f"exact gradient of {'-'.join(map(str, widths))}, rate over dgemm"
    return row(name, ratios, "of dgemm", ">= 0.6", seconds=min(ours), peak_memory_GB=memory)


def against_dgemm_on_one_thread() -> Row:
    """The same with one thread on both sides: on a busy machine, threads wait for one another in every small step."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = against_dgemm()
    finally:
        torch.set_num_threads(threads)
    return replace(found, name=f"{found.name}, one thread")


def depth() -> Row:
    """Twice the layers, twice the time."""
    deep, deeper = chain([10] * 20), chain([10] * 40)
    ours, other = compare(lambda: EXACT.gradient(deeper), lambda: EXACT.gradient(deep), rounds=9)
    ratios = [a / b for a, b in zip(ours, other, strict=True)]
    return row("40 layers of 10 over 20 layers of 10", ratios, "times", "1.8 to 2.2", units=400)


def growth(widths: tuple[int, ...] = (12, 14), rounds: int = 9) -> list[Row]:
    """Two units more on both sides: sixteen times the products, eight times the elementwise work; as planned?"""
    rows = []
    for n in widths:
        small, large = chain([n, n]), chain([n + 2, n + 2])
        ours, other = compare(
            lambda p=large: EXACT.gradient(p), lambda p=small: [EXACT.gradient(p) for _ in range(4)], rounds
        )
        planned = [_planned(large) / _planned(small) for _ in range(rounds)]
        ratios, products = [4 * a / b for a, b in zip(ours, other, strict=True)], flops([n + 2] * 2) / flops([n] * 2)
        name = f"{n + 2}-{n + 2} over {n}-{n}"
        rows.append(row(name, ratios, "times", "as planned", seconds=min(ours), products_alone=products))
        expected = statistics.median(planned)
        agreement = [ratio / expected for ratio in ratios]
        rows.append(row(f"{name}: measured over planned ratio", agreement, "times", "1/1.5 to 1.5", planned=expected))
    return rows


def _planned(problem: el.Problem) -> float:
    """Planned seconds, every block timed afresh."""
    for cached in (block_seconds, layer_seconds):
        cached.cache_clear()
    return EXACT.plan(problem).seconds


def against_paths() -> Row:
    """The same gradient by enumeration of all paths."""
    problem, paths = chain([8, 8, 8]), el.PathEnumeration(max_units=24)
    ours, other = compare(lambda: EXACT.gradient(problem), lambda: paths.gradient(problem), rounds=1)
    ratios = [b / a for a, b in zip(ours, other, strict=True)]
    difference = largest_difference(EXACT.gradient(problem).value, paths.gradient(problem).value)
    return row("path enumeration over layers, 8-8-8 (2^24 paths)", ratios, "times", ">= 1000", difference=difference)


def toy() -> Row:
    """The 2-5-5-5-1 network of Shekhovtsov et al. (2020) with 200 points and two targets."""
    problem = el.problems.load("toy-late/v1")
    a = torch.randn(512, 512, dtype=torch.float64)
    ours, product = compare(lambda: EXACT.gradient(problem), lambda: a @ a, rounds=50)
    ratios = [t / s for t, s in zip(ours, product, strict=True)]
    name = "2-5-5-5-1 on 200 points over one 512 x 512 product"
    return row(name, ratios, "times", "under 2 ms", seconds=min(ours))


def honesty(widths: tuple[int, ...] = (18, 20)) -> list[Row]:
    """Actual over planned seconds of long runs, and their memory, each in a process of its own."""
    rows = []
    for width in widths:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            actual, planned, memory = pool.submit(_honesty, width).result()
        name, details = f"{width}-{width}: actual over planned time", {"seconds": actual, "planned": planned}
        rows.append(row(name, [actual / planned], "times", "1/1.5 to 1.5", **details, peak_memory_GB=memory))
    return rows


def _honesty(width: int) -> tuple[float, float, float]:
    problem = chain([width, width])
    planned = EXACT.plan(problem).seconds
    return seconds(lambda: EXACT.gradient(problem, force=True)), planned, peak_memory()


def on_device(device: str = "cuda", bars: dict[int, float] | None = None, square: int = 8192) -> dict[str, Any]:
    """Seconds of the exact gradient of two layers of 20 and of 22 units, and its rate over the device's own dgemm."""
    a = torch.randn(square, square, dtype=torch.float64, device=device)
    rows = []
    for width, bar in (bars or {20: 1.0, 22: 5.0}).items():
        problem = chain([width, width]).to(device=device)
        ours, product = compare(lambda p=problem: EXACT.gradient(p, force=True), lambda: a @ a, rounds=3)
        rate = statistics.median(
            flops([width, width]) / t / (2 * square**3 / s) for t, s in zip(ours, product, strict=True)
        )
        rows.append({"width": width, "seconds": min(ours), "bar": bar, "of_dgemm": rate, "holds": min(ours) <= bar})
    summary = {f"seconds_{row['width']}": row["seconds"] for row in rows}
    return summary | {"holds": all(row["holds"] for row in rows), "rows": rows}


def moments() -> list[Row]:
    """Exact bias and variance over the exact gradient of the same network."""
    rows = []
    for widths, target in (([10] * 10, "under 0.5 s"), ([12] * 4, "under 3 s"), ([13] * 2, "under 1 GB")):
        problem = chain(widths)
        truth = EXACT.gradient(problem)
        ours, other = compare(
            lambda p=problem, t=truth: el.exact_moments(p, el.StraightThrough(), t),
            lambda p=problem: EXACT.gradient(p),
            rounds=3,
        )
        ratios = [a / b for a, b in zip(ours, other, strict=True)]
        memory = peak_memory()
        name = f"exact moments of {'-'.join(map(str, widths))} over its exact gradient"
        rows.append(row(name, ratios, "times", target, seconds=min(ours), peak_memory_GB=memory))
    return rows
