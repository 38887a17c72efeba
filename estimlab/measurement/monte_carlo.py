"""Bias and variance of any estimator by sampling, streamed, with standard errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator
from estimlab.measurement.draws import elements_per_draw, gradients, record
from estimlab.measurement.measurement import Groups, Measurement
from estimlab.model.problem import Problem
from estimlab.progress import track
from estimlab.randomness import RandomStream, TableNoise
from estimlab.references.base import Gradient, Reference
from estimlab.references.layers import LayerwiseEnumeration

GROUPS = 64
CHUNK_ELEMENTS = 1 << 22


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
    if isinstance(reference, Gradient):
        names = [name for name, _ in problem.network.named_parameters()]
        if list(reference.value) != names:
            raise EstimlabError(f"The reference has the blocks {list(reference.value)}, the network has {names}.")
        return reference
    return (LayerwiseEnumeration() if reference is None else reference).gradient(problem)


@dataclass(eq=False)
class _Sampler:
    problem: Problem
    estimator: Estimator
    truth: Gradient
    stream: RandomStream
    per_group: int
    groups: Groups = field(init=False)

    def __post_init__(self) -> None:
        self.requests = record(self.problem, self.estimator)
        self.like = torch.empty(0, dtype=self.problem.dtype, device=self.problem.device)
        count = torch.zeros(GROUPS, dtype=torch.float64)
        mean = {n: torch.zeros(GROUPS, *v.shape, dtype=torch.float64) for n, v in self.truth.value.items()}
        square = {n: torch.zeros_like(m) for n, m in mean.items()}
        names = ("mean_cosine", "sign_correct")
        per_draw = {layer: {n: torch.zeros_like(count) for n in names} for layer in self.problem.network.layers()}
        self.groups = Groups(count, mean, square, per_draw)

    def run(self) -> Groups:
        """All draws, chunk by chunk."""
        chunks = list(self._chunks())
        for group, start, stop in track(chunks, f"{self.estimator!r}", len(chunks)):
            self._add(group, *self._draw(start, stop))
        return self.groups

    def _chunks(self) -> Iterator[tuple[int, int, int]]:
        size = max(4, CHUNK_ELEMENTS // elements_per_draw(self.problem, self.requests) // 4 * 4)
        for group in range(GROUPS):
            first, last = group * self.per_group, (group + 1) * self.per_group
            for start in range(first, last, size):
                yield group, start, min(start + size, last)

    def _draw(self, start: int, stop: int) -> tuple[dict[str, Tensor], int]:
        tables = self.stream.tables(self.requests, start, stop, self.like)
        draws, _ = gradients(self.problem, self.estimator, TableNoise, tables)
        for name, block in draws.items():
            if not bool(torch.isfinite(block.sum())) and not bool(torch.isfinite(block).all()):
                bad = int((~torch.isfinite(block.flatten(1))).any(1).nonzero()[0])
                raise EstimlabError(
                    f"{self.estimator!r}: draw {start + bad} (seed {self.stream.seed}) of the block {name!r} is NaN or "
                    "infinite. Look for a division by a probability or a logarithm of zero."
                )
        return {name: block.double().cpu() for name, block in draws.items()}, stop - start

    def _add(self, group: int, draws: dict[str, Tensor], count: int) -> None:
        before = self.groups.count[group].clone()
        for name, block in draws.items():
            mean = block.mean(0)
            shift = mean - self.groups.mean[name][group]
            self.groups.mean[name][group] += shift * count / (before + count)
            weight = before * count / (before + count)
            self.groups.square[name][group] += ((block - mean) ** 2).sum(0) + shift**2 * weight
        self.groups.count[group] += count
        for layer, blocks in self.problem.network.layers().items():
            self._add_per_draw(group, layer, torch.cat([draws[name].flatten(1) for name in blocks], 1))

    def _add_per_draw(self, group: int, layer: str, draws: Tensor) -> None:
        blocks = self.problem.network.layers()[layer]
        truth = torch.cat([self.truth.value[name].flatten().cpu() for name in blocks])
        product = draws @ truth
        norms = draws.norm(dim=1) * truth.norm()
        cosine = torch.where(norms > 0, product / torch.where(norms > 0, norms, 1), 0)
        known = truth != 0
        right = (torch.sign(draws[:, known]) == torch.sign(truth[known])).double().mean(1)
        self.groups.per_draw[layer]["mean_cosine"][group] += cosine.sum()
        self.groups.per_draw[layer]["sign_correct"][group] += right.sum()
