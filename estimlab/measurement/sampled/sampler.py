"""One chunk of draws of one or several estimators, by the fast path where it is valid."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from estimlab.draws import Moments
from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator
from estimlab.measurement.mapped import elements_per_draw, gradients, record
from estimlab.measurement.sampled.chunks import from_draws, from_rows, gradients_of_rows
from estimlab.measurement.sampled.family import shares_states
from estimlab.measurement.sampled.rows import NotFoldable, Rows, capture, serves
from estimlab.model.problem import Problem
from estimlab.randomness.noise import Key, Request, TableNoise
from estimlab.randomness.streams import RandomStream
from estimlab.references.reference import Gradient

CHUNK_ELEMENTS = 1 << 23  # numbers that the draws of a chunk keep in memory


@dataclass(frozen=True, eq=False)
class Sampler:
    """Draws of estimators on a problem, the same noise for all; a chunk of them is a function of its numbers alone.

    Attributes:
        problem: what is differentiated.
        estimators: whose draws they are.
        truth: the true gradient, for cosines and signs.
        stream: source of the noise.
        requests: what one draw of each estimator asks of the noise.
        families: numbers of estimators that share one pass (``family.py``); each draw of theirs is
            folded into rows (``rows.py``). The others are mapped over their draws.
    """

    problem: Problem
    estimators: tuple[Estimator, ...]
    truth: dict[str, Tensor]
    stream: RandomStream
    requests: tuple[dict[Key, Request], ...]
    families: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def prepare(
        cls, problem: Problem, estimators: tuple[Estimator, ...], truth: Gradient, stream: RandomStream
    ) -> Sampler:
        """Check the estimators on their first draws, and choose the path of each."""
        reference = {name: value.to(problem.device) for name, value in truth.value.items()}
        requests = tuple(record(problem, estimator) for estimator in estimators)
        sampler = cls(problem, estimators, reference, stream, requests)
        tables, by_rows = sampler._tables(0, 8), list[int]()
        for number, estimator in enumerate(estimators):
            first = sampler._gradients(number, tables)
            sampler._check(estimator, first, 0)
            if serves(problem) and sampler._rows_give(estimator, first, tables):
                by_rows.append(number)
        together = tuple(number for number in by_rows if shares_states(estimators[number]))
        alone = tuple((number,) for number in by_rows if number not in together)
        return replace(sampler, families=(together, *alone) if together else alone)

    def with_own_network(self) -> Sampler:
        """The same draws from a copy of the network, for another thread."""
        return replace(self, problem=self.problem.copy())

    @property
    def size(self) -> int:
        """Draws of a chunk."""
        elements = max(elements_per_draw(self.problem, requests) for requests in self.requests)
        return max(4, CHUNK_ELEMENTS // elements // 4 * 4)

    def chunk(self, start: int, stop: int) -> list[Moments]:
        """Moments of draws ``start .. stop - 1`` of each estimator; start divisible by four."""
        tables = self._tables(start, stop)
        found: dict[int, Moments] = {}
        for family in self.families:
            found |= self._by_rows(family, tables, start, stop - start)
        for number in set(range(len(self.estimators))) - set(found):
            found[number] = self._moments(number, self._gradients(number, tables), start)
        return [found[number] for number in range(len(self.estimators))]

    def _by_rows(
        self, family: tuple[int, ...], tables: dict[Key, Tensor], start: int, draws: int
    ) -> dict[int, Moments]:
        """Moments of the estimators of a family; none where rows turn out not to serve."""
        captured = capture(self.problem, [self.estimators[number] for number in family], tables, draws)
        if isinstance(captured, NotFoldable):
            return {}
        if self.problem.batch > 1:
            found: dict[int, Moments] = {}
            for number, deltas in zip(family, captured.deltas, strict=True):
                found[number] = self._moments(number, gradients_of_rows(captured.maps, deltas), start)
            return found
        moments = from_rows(captured, self.truth, self.problem.network.layers())
        for number, one in zip(family, moments, strict=True):
            self._check(self.estimators[number], one.mean, start)
        return dict(zip(family, moments, strict=True))

    def _moments(self, number: int, draws: dict[str, Tensor], start: int) -> Moments:
        self._check(self.estimators[number], draws, start)
        return from_draws(draws, self.truth, self.problem.network.layers())

    def _tables(self, start: int, stop: int) -> dict[Key, Tensor]:
        like = torch.empty(0, dtype=self.problem.dtype, device=self.problem.device)
        requests = {key: request for one in self.requests for key, request in one.items()}
        return self.stream.tables(requests, start, stop, like)

    def _gradients(self, number: int, tables: dict[Key, Tensor]) -> dict[str, Tensor]:
        asked = {key: tables[key] for key in self.requests[number]}
        return gradients(self.problem, self.estimators[number], TableNoise, asked)[0]

    def _rows_give(self, estimator: Estimator, draws: dict[str, Tensor], tables: dict[Key, Tensor]) -> bool:
        """Whether draws folded into rows have the gradients of draws taken one by one, on the first eight."""
        captured = self._first_rows(estimator, tables)
        if isinstance(captured, NotFoldable):
            return False
        folded = gradients_of_rows(captured.maps, captured.deltas[0])
        tolerance = 100 * torch.finfo(self.problem.dtype).eps
        return all(
            torch.allclose(folded[name], block, rtol=tolerance, atol=tolerance * float(block.abs().max()))
            for name, block in draws.items()
        )

    def _first_rows(self, estimator: Estimator, tables: dict[Key, Tensor]) -> Rows | NotFoldable:
        """The first eight draws."""
        try:
            return capture(self.problem, [estimator], tables, 8)
        except RuntimeError as error:
            if estimator.mappable:
                raise
            return NotFoldable(str(error))  # other people's code need not take further examples

    def _check(self, estimator: Estimator, blocks: dict[str, Tensor], start: int) -> None:
        for name, block in blocks.items():
            if not bool(torch.isfinite(block.sum())) and not bool(torch.isfinite(block).all()):
                raise EstimlabError(
                    f"{estimator!r}: a draw from number {start} on (seed {self.stream.seed}) of the block "
                    f"{name!r} is NaN or infinite. Look for a division by a probability or a logarithm of zero."
                )
