"""Monte Carlo throughput against a per-draw loop of autograd and against ``vmap(grad)``; memory of a long run."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch

import estimlab as el
from benchmarks.networks import chain
from benchmarks.timing import Row, compare, peak_memory, row, seconds
from estimlab.draws import Moments
from estimlab.measurement.mapped import gradients, record
from estimlab.measurement.sampled.chunks import from_draws
from estimlab.randomness.noise import TableNoise
from estimlab.randomness.streams import RandomStream

DRAWS, MAPPED, LOOPED = 1 << 20, 1 << 14, 200
ESTIMATOR = el.StraightThrough()
FAMILY = (ESTIMATOR, el.ZGR(), el.ReinMax(), el.DARN())


def throughput(draws: int = DRAWS, rounds: int = 5) -> list[Row]:
    """Draws per second of ``measure`` on 10-10-10-10, one example, float64 moments."""
    problem = chain([10, 10, 10])
    truth = el.exact_reference(problem)
    others = {
        "a loop of autograd": (LOOPED, ">= 300", lambda: _looped(problem)),
        "vmap(grad), means and variances alone": (MAPPED, ">= 3", lambda: _mapped(problem)),
        "vmap(grad), the same statistics": (MAPPED, ">= 3", lambda: _mapped(problem, truth)),
    }
    name, rates, rows = "draws of straight-through on 10-10-10-10", list[float](), list[Row]()
    for other, (count, target, function) in others.items():
        ours, theirs = compare(lambda: el.measure(problem, ESTIMATOR, truth, draws), function, rounds)
        rates += [draws / t for t in ours]
        ratios = [draws / a / (count / b) for a, b in zip(ours, theirs, strict=True)]
        rows.append(row(f"{name}, over {other}", ratios, "times", target))
    return [row(f"{name}, per second", rates, "draws per second", ">= 1.5e6"), *rows]


def family(draws: int = DRAWS // 4, rounds: int = 5) -> Row:
    """Estimators that share states, measured one by one over together."""
    problem = chain([10, 10, 10])
    truth = el.exact_reference(problem)
    together, alone = compare(
        lambda: el.measure_many(problem, FAMILY, truth, draws),
        lambda: [el.measure(problem, estimator, truth, draws) for estimator in FAMILY],
        rounds,
    )
    ratios = [b / a for a, b in zip(together, alone, strict=True)]
    names = ", ".join(estimator.name for estimator in FAMILY)
    return row(f"{names}: measured one by one over together", ratios, "times", "above 1", seconds=min(together))


def _mapped(problem: el.Problem, truth: el.Gradient | None = None) -> None:
    """The gradient of every draw, and its moments; with the truth, also its cosines and signs."""
    requests = record(problem, ESTIMATOR)
    tables = RandomStream(0).tables(requests, 0, MAPPED, torch.empty(0, dtype=torch.float64))
    draws, _ = gradients(problem, ESTIMATOR, TableNoise, tables)
    if truth is None:
        Moments.of(draws)
    else:
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
    truth = el.exact_reference(problem)
    short = seconds(lambda: el.measure(problem, ESTIMATOR, truth, DRAWS))
    took = seconds(lambda: el.measure(problem, ESTIMATOR, truth, draws))
    memory = peak_memory()
    return draws / took / (DRAWS / short), took, memory
