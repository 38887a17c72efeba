"""Bias and variance of any estimator by sampling, streamed, with standard errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator
from estimlab.measurement.chunks import ChunkMoments, from_draws, from_rows, per_draw_gradients
from estimlab.measurement.draws import elements_per_draw, gradients, record
from estimlab.measurement.measurement import Groups, Measurement
from estimlab.measurement.rows import capture, serves
from estimlab.model.problem import Problem
from estimlab.progress import track
from estimlab.randomness import Key, RandomStream, TableNoise
from estimlab.references.base import Gradient, Reference
from estimlab.references.layers import LayerwiseEnumeration

GROUPS = 64
CHUNK_ELEMENTS = 1 << 24


def measure(
    problem: Problem,
    estimator: Estimator,
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
        estimator: any estimator.
        reference: the true gradient or a way to compute it; ``LayerwiseEnumeration()`` by default.
        draws: number of draws, at least 512; rounded down to a multiple of 256.
        seed: non-negative integer.

    Errors:
        EstimlabError: too few draws; a surrogate of the wrong shape, or NaN, or that cannot be mapped over draws.
    """
    if draws < 8 * GROUPS:
        raise EstimlabError(f"draws={draws}: standard errors come from {GROUPS} groups; give at least {8 * GROUPS}.")
    problem.check_finite()
    problem.check_independent()
    truth = _truth(problem, reference)
    if problem.expected is None:
        problem = problem.with_expected(truth.expected)
    sampler = _Sampler(problem, estimator, truth, RandomStream(seed), draws // (4 * GROUPS) * 4)
    groups = sampler.run()
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
        cost=estimator.cost(len(problem.sites)),
        draws=count,
        groups=groups,
    )


def _truth(problem: Problem, reference: Gradient | Reference | None) -> Gradient:
    if not isinstance(reference, Gradient):
        return (LayerwiseEnumeration() if reference is None else reference).gradient(problem)
    reference.check_blocks(problem)
    return reference


@dataclass(eq=False)
class _Sampler:
    """All draws of a measurement, chunk by chunk, by the fast path where it is valid."""

    problem: Problem
    estimator: Estimator
    truth: Gradient
    stream: RandomStream
    per_group: int

    def __post_init__(self) -> None:
        self.requests = record(self.problem, self.estimator)
        self.like = torch.empty(0, dtype=self.problem.dtype, device=self.problem.device)
        self.layers = self.problem.network.layers()
        self.reference = {name: value.to(self.problem.device) for name, value in self.truth.value.items()}
        self.groups = _empty_groups(self.reference, self.layers)
        self.by_rows = serves(self.problem) and self._rows_agree()

    def run(self) -> Groups:
        """All draws."""
        chunks = list(self._chunks())
        for group, start, stop in track(chunks, f"{self.estimator!r}", len(chunks)):
            self._add(group, self._chunk(start, stop))
        return self.groups

    def _chunks(self) -> Iterator[tuple[int, int, int]]:
        size = max(4, CHUNK_ELEMENTS // elements_per_draw(self.problem, self.requests) // 4 * 4)
        for group in range(GROUPS):
            first, last = group * self.per_group, (group + 1) * self.per_group
            for start in range(first, last, size):
                yield group, start, min(start + size, last)

    def _chunk(self, start: int, stop: int) -> ChunkMoments:
        tables = self.stream.tables(self.requests, start, stop, self.like)
        captured = capture(self.problem, self.estimator, tables, stop - start) if self.by_rows else None
        if captured is not None and self.problem.batch == 1:
            moments = from_rows(captured, self.reference, self.layers)
            self._check(moments.mean, start)
            return moments
        draws = self._gradients(tables) if captured is None else per_draw_gradients(captured)
        self._check(draws, start)
        return from_draws(draws, self.reference, self.layers)

    def _gradients(self, tables: dict[Key, Tensor]) -> dict[str, Tensor]:
        return gradients(self.problem, self.estimator, TableNoise, tables)[0]

    def _rows_agree(self) -> bool:
        """Whether draws folded into rows give the gradients of draws taken one by one, on the first eight."""
        tables = self.stream.tables(self.requests, 0, 8, self.like)
        one_by_one = self._gradients(tables)
        self._check(one_by_one, 0)
        captured = capture(self.problem, self.estimator, tables, 8)
        if captured is None:
            return False
        folded = per_draw_gradients(captured)
        tolerance = 100 * torch.finfo(self.problem.dtype).eps
        return all(
            torch.allclose(folded[n], g, rtol=tolerance, atol=tolerance * float(g.abs().max()))
            for n, g in one_by_one.items()
        )

    def _check(self, blocks: dict[str, Tensor], start: int) -> None:
        for name, block in blocks.items():
            if not bool(torch.isfinite(block.sum())) and not bool(torch.isfinite(block).all()):
                raise EstimlabError(
                    f"{self.estimator!r}: a draw from number {start} on (seed {self.stream.seed}) of the block "
                    f"{name!r} is NaN or infinite. Look for a division by a probability or a logarithm of zero."
                )

    def _add(self, group: int, chunk: ChunkMoments) -> None:
        """Merge a chunk into its group (Chan, Golub & LeVeque 1979)."""
        before = self.groups.count[group].clone()
        for name, mean in chunk.mean.items():
            shift = mean - self.groups.mean[name][group]
            self.groups.mean[name][group] += shift * chunk.count / (before + chunk.count)
            weight = before * chunk.count / (before + chunk.count)
            self.groups.square[name][group] += chunk.square[name] + shift**2 * weight
        self.groups.count[group] += chunk.count
        for layer, sums in chunk.per_draw.items():
            for name, value in sums.items():
                self.groups.per_draw[layer][name][group] += value


def _empty_groups(truth: dict[str, Tensor], layers: dict[str, tuple[str, ...]]) -> Groups:
    device = next(iter(truth.values())).device
    count = torch.zeros(GROUPS, dtype=torch.float64, device=device)
    mean = {name: value.new_zeros(GROUPS, *value.shape) for name, value in truth.items()}
    square = {name: torch.zeros_like(value) for name, value in mean.items()}
    per_draw = {layer: {n: torch.zeros_like(count) for n in ("mean_cosine", "sign_correct")} for layer in layers}
    return Groups(count, mean, square, per_draw)
