"""Monte Carlo throughput against a per-draw loop of autograd and against ``vmap(grad)``; memory of a long run."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch

import estimlab as el
from benchmarks.networks import chain
from benchmarks.timing import Row, compare, peak_memory, row, seconds
from estimlab.measurement.chunks import from_draws
from estimlab.measurement.draws import gradients, record
from estimlab.randomness import RandomStream, TableNoise

DRAWS, MAPPED, LOOPED = 1 << 20, 1 << 14, 200
ESTIMATOR = el.StraightThrough()


def throughput() -> list[Row]:
    """Draws per second of ``measure`` on 10-10-10-10, one example, float64 moments."""
    problem = chain([10, 10, 10])
    truth = el.LayerwiseEnumeration().gradient(problem)
    fast, mapped = compare(
        lambda: el.measure(problem, ESTIMATOR, truth, DRAWS), lambda: _mapped(problem, truth), rounds=3
    )
    again, looped = compare(lambda: el.measure(problem, ESTIMATOR, truth, DRAWS), lambda: _looped(problem), rounds=3)
    rates = [DRAWS / t for t in (*fast, *again)]
    by_map = [DRAWS / a / (MAPPED / b) for a, b in zip(fast, mapped, strict=True)]
    by_loop = [DRAWS / a / (LOOPED / b) for a, b in zip(again, looped, strict=True)]
    name = "draws of straight-through on 10-10-10-10"
    return [
        row(f"{name}, per second", rates, "draws per second", ">= 1.5e6"),
        row(f"{name}, over a loop of autograd", by_loop, "times", ">= 300"),
        row(f"{name}, over vmap(grad)", by_map, "times", ">= 3"),
    ]


def _mapped(problem: el.Problem, truth: el.Gradient) -> None:
    """The same statistics from the gradient of every draw."""
    requests = record(problem, ESTIMATOR)
    tables = RandomStream(0).tables(requests, 0, MAPPED, torch.empty(0, dtype=torch.float64))
    draws, _ = gradients(problem, ESTIMATOR, TableNoise, tables)
    from_draws(draws, truth.value, problem.network.layers())


def _looped(problem: el.Problem) -> None:
    parameters = list(problem.network.parameters())
    total = [torch.zeros_like(p) for p in parameters]
    for _ in range(LOOPED):
        value = ESTIMATOR.surrogate(problem, el.TorchNoise()).mean()
        for t, g in zip(total, torch.autograd.grad(value, parameters), strict=True):
            t += g * g


def long_run(draws: int = 10**8) -> Row:
    """Rate of a long measurement over that of a short one, and its peak memory, in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        ratio, took, memory = pool.submit(_long_run, draws).result()
    name = f"{draws:.0e} draws: rate over that of {DRAWS:.0e}"
    return row(name, [ratio], "times", "under 0.6 GB", seconds=took, peak_memory_GB=memory)


def _long_run(draws: int) -> tuple[float, float, float]:
    problem = chain([10, 10, 10])
    truth = el.LayerwiseEnumeration().gradient(problem)
    short = seconds(lambda: el.measure(problem, ESTIMATOR, truth, DRAWS))
    took = seconds(lambda: el.measure(problem, ESTIMATOR, truth, draws))
    memory = peak_memory()
    return draws / took / (DRAWS / short), took, memory
