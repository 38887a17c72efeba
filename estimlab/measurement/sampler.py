"""One chunk of draws of an estimator, by the fast path where it is valid."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator
from estimlab.measurement.chunks import ChunkMoments, from_draws, from_rows, per_draw_gradients
from estimlab.measurement.draws import elements_per_draw, gradients, record
from estimlab.measurement.rows import capture, serves
from estimlab.model.problem import Problem
from estimlab.randomness import Key, RandomStream, Request, TableNoise
from estimlab.references.base import Gradient

CHUNK_ELEMENTS = 1 << 23  # numbers that the draws of a chunk keep in memory


@dataclass(frozen=True, eq=False)
class Sampler:
    """Draws of an estimator on a problem; a chunk of them is a function of its numbers alone.

    Attributes:
        problem: what is differentiated.
        estimator: whose draws they are.
        truth: the true gradient, for cosines and signs.
        stream: source of the noise.
        requests: what one draw asks of the noise.
        by_rows: whether draws can be folded into rows (``estimlab.measurement.rows``).
    """

    problem: Problem
    estimator: Estimator
    truth: dict[str, Tensor]
    stream: RandomStream
    requests: dict[Key, Request] = field(default_factory=dict)
    by_rows: bool = False

    @classmethod
    def prepare(cls, problem: Problem, estimator: Estimator, truth: Gradient, stream: RandomStream) -> Sampler:
        """Check the estimator on its first draws, and choose the path."""
        reference = {name: value.to(problem.device) for name, value in truth.value.items()}
        sampler = cls(problem, estimator, reference, stream, record(problem, estimator))
        first = sampler._gradients(sampler._tables(0, 8))
        sampler._check(first, 0)
        return replace(sampler, by_rows=serves(problem) and sampler._rows_give(first))

    def with_own_network(self) -> Sampler:
        """The same draws from a copy of the network, for another thread."""
        return replace(self, problem=self.problem.copy())

    @property
    def size(self) -> int:
        """Draws of a chunk."""
        return max(4, CHUNK_ELEMENTS // elements_per_draw(self.problem, self.requests) // 4 * 4)

    def chunk(self, start: int, stop: int) -> ChunkMoments:
        """Moments of draws ``start .. stop - 1``; start divisible by four."""
        tables = self._tables(start, stop)
        captured = capture(self.problem, self.estimator, tables, stop - start) if self.by_rows else None
        layers = self.problem.network.layers()
        if captured is not None and self.problem.batch == 1:
            moments = from_rows(captured, self.truth, layers)
            self._check(moments.mean, start)
            return moments
        draws = self._gradients(tables) if captured is None else per_draw_gradients(captured)
        self._check(draws, start)
        return from_draws(draws, self.truth, layers)

    def _tables(self, start: int, stop: int) -> dict[Key, Tensor]:
        like = torch.empty(0, dtype=self.problem.dtype, device=self.problem.device)
        return self.stream.tables(self.requests, start, stop, like)

    def _gradients(self, tables: dict[Key, Tensor]) -> dict[str, Tensor]:
        return gradients(self.problem, self.estimator, TableNoise, tables)[0]

    def _rows_give(self, draws: dict[str, Tensor]) -> bool:
        """Whether draws folded into rows have the gradients of draws taken one by one, on the first eight."""
        captured = capture(self.problem, self.estimator, self._tables(0, 8), 8)
        if captured is None:
            return False
        folded, tolerance = per_draw_gradients(captured), 100 * torch.finfo(self.problem.dtype).eps
        return all(
            torch.allclose(folded[name], block, rtol=tolerance, atol=tolerance * float(block.abs().max()))
            for name, block in draws.items()
        )

    def _check(self, blocks: dict[str, Tensor], start: int) -> None:
        for name, block in blocks.items():
            if not bool(torch.isfinite(block.sum())) and not bool(torch.isfinite(block).all()):
                raise EstimlabError(
                    f"{self.estimator!r}: a draw from number {start} on (seed {self.stream.seed}) of the block "
                    f"{name!r} is NaN or infinite. Look for a division by a probability or a logarithm of zero."
                )
