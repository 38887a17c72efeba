"""Where only sampling reaches: refute on two independent samples, or say what would have been seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
from torch import Tensor

from estimlab.checks.comparisons import describe_sampled
from estimlab.checks.gates import MATTERS, POWER, Gate, detectable, mean_gate, restricted
from estimlab.checks.problems.cases import Case
from estimlab.checks.report import Refuted, Undecided
from estimlab.estimators.base import Estimator
from estimlab.measurement.measurement import Measurement
from estimlab.measurement.sampled.monte_carlo import measure
from estimlab.model.problem import Problem

PILOT, MOST_DRAWS = 1 << 12, 1 << 19
SHOW_SAMPLED = """\
measured = el.measure(problem, estimator, draws={draws}, seed={seed})
for name, truth in measured.reference.items():
    print(name, "mean", measured.mean[name], "true gradient", truth)"""


def seeds(seed: int) -> tuple[int, int, int]:
    """Seeds of three samples that share no noise: a pilot, a sample, and one that must confirm it."""
    pilot, first, second = np.random.SeedSequence(seed).generate_state(3)
    return int(pilot), int(first), int(second)


def rejected(
    sample: Callable[[int], Measurement], gate: Callable[[Measurement], Gate], seed: int
) -> tuple[Gate, Measurement, int] | None:
    """The gate of a sample that rejects and is confirmed by a second sample, and its seed; None where none rejects.

    Raises ``Undecided`` where the second sample does not confirm: one of a thousand right estimators is rejected once.
    """
    _, first, second = seeds(seed)
    measured = sample(first)
    found = gate(measured)
    if not found.rejects:
        return None
    again = gate(sample(second))
    if not again.rejects:
        raise Undecided(
            f"z = {found.worst:.1f} in {measured.draws:.0f} draws, which as many other draws do not confirm "
            f"(z = {again.worst:.1f}): try another seed",
            found.worst,
        )
    return found, measured, first


def by_sampling(case: Case, estimator: Estimator, seed: int, blocks: tuple[str, ...] = ("",)) -> Undecided:
    """Refute, or say what would have been seen; sampling never shows that a bias is zero."""
    problem = case.build()

    @cache
    def sample(draws: int, seed: int) -> Measurement:
        return restricted(measure(problem, estimator, draws=draws, seed=seed), blocks)

    pilot, first, _ = seeds(seed)
    needed = PILOT * (detectable(sample(PILOT, pilot)) / MATTERS) ** 2 * 1.1
    draws = int(min(max(needed, PILOT), MOST_DRAWS))
    refute_mean(case, estimator, lambda seed: sample(draws, seed), seed)
    seen = detectable(sample(draws, first))
    return Undecided(_power(seen, draws), effect=seen)


def refute_mean(
    case: Case,
    estimator: Estimator,
    sample: Callable[[int], Measurement],
    seed: int,
    expected: Mapping[str, Tensor] | None = None,
) -> None:
    """Raise where the mean gate rejects twice; heavy tails leave it undecided."""
    found = rejected(sample, lambda measured: mean_gate(measured, expected), seed)
    if found is None:
        return
    gate, measured, first = found
    if any(measured.heavy_tailed().values()):
        said = f"z = {gate.worst:.1f} in {measured.draws:.0f} draws, of which few carry the variance"
        raise Undecided(f"{said} (heavy tails): its standard error promises too much", gate.worst)
    described, bias = describe_sampled(measured, measured.reference if expected is None else expected)
    said = f"z = {gate.worst:.1f} in {measured.draws:.0f} draws, confirmed by as many others; {described}; {case.title}"
    snippet = case.snippet(estimator, SHOW_SAMPLED.format(draws=int(measured.draws), seed=first))
    raise Refuted(said, gate.worst, bias, snippet)


def _power(seen: float, draws: int) -> str:
    said = f"a bias of {100 * seen:.2g} % of the gradient's norm would be seen with {100 * POWER:g} %"
    if seen > MATTERS:
        return f"too little power: only {said} in {draws} draws; not rejected, which says little"
    return f"not rejected in {draws} draws, where {said}; no integral reaches it"


def sampler(problem: Problem, estimator: Estimator, draws: int) -> Callable[[int], Measurement]:
    """Measurements by their seed; each is made once."""
    return cache(lambda seed: measure(problem, estimator, draws=draws, seed=seed))
