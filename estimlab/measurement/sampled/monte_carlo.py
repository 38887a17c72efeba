"""Bias and variance of any estimator by sampling, streamed, with standard errors."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import local

import torch

from estimlab.arguments import count, integer
from estimlab.declared import checked
from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator
from estimlab.measurement import arguments
from estimlab.measurement.groups import Groups
from estimlab.measurement.measurement import Measurement
from estimlab.measurement.sampled.sampler import Sampler
from estimlab.model.problem import Problem
from estimlab.progress import track
from estimlab.randomness.streams import RandomStream
from estimlab.references.reference import Gradient, Reference

GROUPS = 64


@checked
def measure(
    problem: Problem,
    estimator: Estimator | type[Estimator] | str,
    reference: Gradient | Reference | None = None,
    draws: int = 10_000,
    seed: int = 0,
) -> Measurement:
    """Moments of one draw from a number of draws; memory does not depend on that number.

    Draw i depends on (seed, i) alone, so more draws extend a run. Moments are merged in float64 (Chan, Golub & LeVeque
    1979) in 64 groups of draws, from which the jackknife makes every standard error. The squared bias is debiased:
    ``|mean - truth|^2`` overestimates it by trace(V) / draws and by the reference's own variance.

    Args:
        problem: any problem; draws are made in the network's dtype and on its device.
        estimator: any estimator, its class or its name.
        reference: the true gradient or a way to compute it; ``exact_reference(problem)`` by default.
        draws: number of draws, at least 512; rounded down to a multiple of 256.
        seed: non-negative integer.

    Errors:
        EstimlabError: too few draws; a surrogate of the wrong shape, or NaN, or that cannot be mapped over draws; a
            reference of another problem, or of this one before it changed.

    >>> import estimlab as el
    >>> problem = el.Problem(el.Chain([el.Logits([0.0, 1.0])]), el.Quadratic(linear=(1.0, 2.0)))
    >>> found = el.measure(problem, el.ARM(), draws=512)
    >>> low, high = found.squared_bias_interval()["0"]
    >>> low <= 0 <= high
    True
    """
    problem = arguments.problem(problem, "measure")
    return _measure("measure", problem, (arguments.estimator(estimator, "measure"),), reference, draws, seed)[0]


@checked
def measure_many(
    problem: Problem,
    estimators: Iterable[Estimator | type[Estimator] | str],
    reference: Gradient | Reference | None = None,
    draws: int = 10_000,
    seed: int = 0,
) -> tuple[Measurement, ...]:
    """What ``measure`` gives for each estimator, from one set of uniforms.

    Estimators that differ in their local factors alone (straight-through, ZGR, ReinMax, DARN, ...) visit the same
    states: where draws can be folded into rows (linear stages, each used once) one pass forward serves them all, and
    each only goes back.

    Args:
        problem: any problem.
        estimators: at least one.
        reference: the true gradient or a way to compute it, as in ``measure``.
        draws: number of draws of each estimator.
        seed: non-negative integer.

    Errors:
        EstimlabError: as ``measure``; no estimator.

    >>> import estimlab as el
    >>> problem = el.Problem(el.Chain([el.Logits([0.0, 1.0])]), el.Quadratic(linear=(1.0, 2.0)))
    >>> exact, noisy = el.measure_many(problem, [el.StraightThrough(), el.ARM()], draws=512)
    >>> f"{exact.relative_std['0']:.3f}", noisy.relative_std["0"] > 0.5
    ('1.310', True)
    """
    problem = arguments.problem(problem, "measure_many")
    return _measure("measure_many", problem, arguments.estimators(estimators, "measure_many"), reference, draws, seed)


def _measure(
    who: str,
    problem: Problem,
    estimators: tuple[Estimator, ...],
    reference: Gradient | Reference | None,
    draws: int,
    seed: int,
) -> tuple[Measurement, ...]:
    draws, seed = integer(draws, who, "draws"), count(seed, who, "seed")
    if draws < 8 * GROUPS:
        raise EstimlabError(f"draws={draws}: standard errors come from {GROUPS} groups; give at least {8 * GROUPS}.")
    problem.check_finite()
    problem.check_independent()
    truth = arguments.truth(reference, problem, who)
    if problem.expected is None:
        problem = problem.with_expected(truth.expected)
    sampler = Sampler.prepare(problem, estimators, truth, RandomStream(seed))
    groups = _run(sampler, draws // (4 * GROUPS) * 4)
    return tuple(_measurement(problem, *one, truth) for one in zip(estimators, groups, strict=True))


def _measurement(problem: Problem, estimator: Estimator, groups: Groups, truth: Gradient) -> Measurement:
    count = float(groups.count.sum())
    totals = {name: groups.total(name) for name in groups.mean}
    return Measurement(
        estimator,
        "monte_carlo",
        mean={name: mean for name, (mean, _) in totals.items()},
        variance={name: square / (count - 1) for name, (_, square) in totals.items()},
        reference=truth.value,
        reference_stderr=truth.stderr,
        layers=problem.network.layers(),
        cost=estimator.cost(problem.depth),
        draws=count,
        groups=groups,
    )


def _run(sampler: Sampler, per_group: int) -> list[Groups]:
    """All draws, per estimator. A group is one thread's own, so the result does not depend on the number of threads."""
    layers = sampler.problem.network.layers()
    groups = [Groups.empty(GROUPS, sampler.truth, layers) for _ in sampler.estimators]
    title = ", ".join(map(repr, sampler.estimators))
    threads = torch.get_num_threads() if sampler.families and sampler.problem.device.type == "cpu" else 1
    if threads == 1:
        _run_groups(sampler, groups, track(range(GROUPS), title, GROUPS), per_group)
        return groups
    # a chunk's arrays are too small for torch to split well among threads; whole groups are not
    own = local()  # hooks on the network are each thread's own, and so is the network
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads, initializer=_own_network, initargs=(own, sampler)) as pool:
            jobs = [pool.submit(lambda g: _run_groups(own.sampler, groups, [g], per_group), g) for g in range(GROUPS)]
            for job in track(as_completed(jobs), title, GROUPS):
                job.result()
    finally:
        torch.set_num_threads(threads)
    return groups


def _own_network(own: local, sampler: Sampler) -> None:
    own.sampler = sampler.with_own_network()


def _run_groups(sampler: Sampler, groups: list[Groups], numbers: Iterable[int], per_group: int) -> None:
    for group in numbers:
        for start in range(group * per_group, (group + 1) * per_group, sampler.size):
            chunks = sampler.chunk(start, min(start + sampler.size, (group + 1) * per_group))
            for one, chunk in zip(groups, chunks, strict=True):
                one.add(group, chunk)
