"""The Monte Carlo reference: the gradient of a network of any size, with a standard error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.declared import checked
from estimlab.draws import Moments, per_draw_gradients
from estimlab.errors import EstimlabError
from estimlab.model.fingerprint import Fingerprint
from estimlab.model.laws import NoiseLaw
from estimlab.model.problem import Problem
from estimlab.model.units import LayerOfUnits
from estimlab.progress import track
from estimlab.randomness.noise import Key, Request
from estimlab.randomness.streams import REFERENCE_STREAM, RandomStream
from estimlab.references.reference import Gradient, Reference

CHUNK_ELEMENTS = 1 << 20  # 8 MB in float64, about a cache
Uniforms = Mapping[int, Tensor]  # one table per site
DRAWS, PILOT = 0, 1  # channels: the pilot shares no uniform with the draws whose number it fixes


@final
@dataclass(frozen=True)
class MonteCarloReference(Reference):
    """The gradient by local expectations under common random numbers (Titsias & Lazaro-Gredilla 2015, NeurIPS 28).

    A draw samples all states by uniforms u (high iff ``u < F(a)``). With b_i = +1 or -1 for unit i of site k drawn high
    or low, the derivative by its pre-activation is, as an expectation over unit i alone given all else at its site,

        g_ki = F'(a_i) b_i (f(drawn states) - f(states of the future with unit i flipped)),

    where both futures use the same uniforms at all later sites (our choice: their difference varies little). The draw
    is the gradient of ``sum_k sum_i g_ki a_ki`` plus the derivative of f at fixed states (head, real-valued carries).
    Where the last site has few units, its states are enumerated given the carry (our choice): every f above becomes
    ``sum_y P(y | carry) f(y)``, whose derivative includes the last layer and the head. Unbiased for every network and
    objective; the objective is not differentiated by a state. A network of one enumerated site is exact in one draw.

    Cost of a draw with n_k units in site k = 1 .. L, the head counted as a layer: ``L + 1 + sum_k n_k (L + 1 - k)``
    forward and L + 1 backward layer passes; with enumeration ``2^n_L`` heads per future instead of a layer and a head.
    Memory does not depend on the number of draws. Shared sites must not depend on states that differ by example.

    Attributes:
        relative_error: target of ``sqrt(sum of stderr^2) / norm of the gradient``, in (0, 1). A pilot that is not used
            again fixes the number of draws in advance: to stop once the error looks small would bias the result.
        draws: number of draws, at least 2; then there is no pilot.
        pilot: draws of the pilot, at least 16, taken four times as many until it tells the gradient from zero
            (relative error of a half); as many draws follow at least.
        max_draws: refuse what needs more draws.
        enumerate_last: enumerate the last site where it has at most so many units (and is not shared); 0: never.
        seed: non-negative integer; draw i depends on (seed, i) alone, in a stream that no measurement uses.

    The result's ``checks``: ``draws``, ``relative_error``, ``objective_stderr``, and ``pilot_relative_error``, that of
    the pilot's own mean.

    Errors:
        EstimlabError: over ``max_draws``; NaN or infinite draws; a network that couples examples or cannot be mapped.

    >>> import estimlab as el
    >>> problem, exact = el.problems.load("quadratic/v1"), el.problems.truth("quadratic/v1")
    >>> sampled = el.MonteCarloReference(draws=256).gradient(problem)
    >>> error = sampled.value["stages.0.logits"] - exact.value["stages.0.logits"]
    >>> sampled.exact, bool((error.abs() < 4 * sampled.stderr["stages.0.logits"]).all())
    (False, True)
    """

    relative_error: float = 0.01
    draws: int | None = None
    pilot: int = 512
    max_draws: int = 1_000_000
    enumerate_last: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.relative_error < 1:
            raise EstimlabError(f"MonteCarloReference(relative_error={self.relative_error}): give one in (0, 1).")
        for name, least in (("draws", 2), ("pilot", 16), ("max_draws", 2), ("enumerate_last", 0)):
            number = getattr(self, name)
            if not (isinstance(number, int) and number >= least) and (name, number) != ("draws", None):
                raise EstimlabError(f"MonteCarloReference({name}={number!r}): give an integer of at least {least}.")
        RandomStream(self.seed)

    @checked
    def gradient(self, problem: Problem) -> Gradient:
        """The gradient of the expected objective by every block, with the standard error of each coordinate."""
        Problem.given(problem, "MonteCarloReference.gradient", "problem")
        problem.check_finite()
        problem.check_independent()
        fingerprint = Fingerprint.of(problem)
        draw = FlippedFutures(problem.to(dtype=torch.float64), self.enumerate_last)
        sampler, draws, checks = _Sampler(self, draw), self.draws, dict[str, float]()
        if draw.sampled == 0:
            draws = 1
        elif draws is None:
            draws, checks["pilot_relative_error"] = self._size(sampler)
        blocks, values = sampler.run(draws, DRAWS)
        checks |= {"draws": float(draws), "relative_error": blocks.relative_error()}
        checks |= {"objective_stderr": float(values.stderr["mean"])}
        expected = values.mean["examples"]
        owner = fingerprint.after(problem)
        return Gradient(float(expected.mean()), blocks.mean, blocks.stderr, expected, repr(self), checks, owner)

    def _size(self, sampler: _Sampler) -> tuple[int, float]:
        """Number of draws, and relative error of the pilot that fixed it."""
        pilot = self.pilot
        while True:
            blocks, _ = sampler.run(pilot, PILOT)
            error = blocks.relative_error()
            resolved = error <= 0.5  # else take the norm of the mean, which is too large: so many are needed at least
            square = error**2 if resolved else blocks.noise / blocks.square_norm
            needed = math.ceil(pilot * square / self.relative_error**2)
            if needed > self.max_draws:
                known = "about" if resolved else "(the pilot cannot tell the gradient from zero) more than"
                raise EstimlabError(
                    f"MonteCarloReference(relative_error={self.relative_error:g}) needs {known} {needed:,} draws, of "
                    f"max_draws = {self.max_draws:,}. Raise one of the two, or give the number of draws: draws=..."
                )
            if resolved:
                return min(max(needed, pilot), self.max_draws), error
            pilot *= 4


@dataclass(frozen=True, eq=False)
class FlippedFutures:
    """One draw of the gradient as a function of the uniforms; the futures of ``flips`` units are followed at a time."""

    problem: Problem
    enumerate_last: int = 0
    flips: int | None = None

    @property
    def sampled(self) -> int:
        """Number of sites whose states are drawn: all, or all but the last."""
        last = self.problem.sites[-1]
        return len(self.problem.sites) - (not last.shared and last.size <= self.enumerate_last)

    def requests(self, channel: int) -> dict[Key, Request]:
        """The uniforms of a draw, one request per sampled site."""
        sites, batch = self.problem.sites[: self.sampled], (self.problem.batch,)
        shapes = [site.shape if site.shared else batch + site.shape for site in sites]
        return {(k, channel): Request(shape, 1, 0) for k, shape in enumerate(shapes)}

    def __call__(self, uniforms: Uniforms) -> tuple[Float[Tensor, ""], Float[Tensor, " batch"]]:
        """A scalar whose gradient is the draw, and the value of each example; one tensor of uniforms per site."""
        network = self.problem.network
        path: list[tuple[Tensor, Any, Tensor]] = []

        def states(k: int, a: Tensor, carry: Any) -> Tensor:
            high = self._high(k, a.detach(), uniforms)
            path.append((a, carry, high))
            return self._state(k, high)

        carry = network.through(network.initial(self.problem.inputs), states, 0, self.sampled)
        value = self._tail(carry)
        surrogate = value.mean()
        for k, (a, carry, high) in enumerate(path):
            with torch.no_grad():
                difference = value.detach() - self._flipped(k, carry, high, uniforms)
                signal = self._signal(k, a.detach(), high, difference)
            surrogate = surrogate + (signal * a).sum()
        return surrogate, value.detach()

    def _signal(self, k: int, a: Tensor, high: Tensor, difference: Float[Tensor, "units batch"]) -> Tensor:
        """Derivative of the mean value by the pre-activations of site k."""
        site = self.problem.sites[k]
        difference = difference.mean(1) if site.shared else difference.T / self.problem.batch
        return site.units.law.density(a) * torch.where(high, 1, -1) * difference.reshape(a.shape)

    def _flipped(self, k: int, carry: Any, high: Tensor, uniforms: Uniforms) -> Float[Tensor, "units batch"]:
        """Value of each example in the future with one unit of site k flipped, unit by unit."""

        def value(unit: Tensor) -> Tensor:
            state = self._state(k, high ^ unit)
            return self._future(k + 1, self.problem.network.advance(k, carry, state), uniforms)

        site = self.problem.sites[k]
        units = torch.eye(site.size, dtype=torch.bool, device=high.device).reshape(-1, *site.shape)
        return torch.vmap(value, chunk_size=self.flips)(units)

    def _future(self, start: int, carry: Any, uniforms: Uniforms) -> Float[Tensor, " batch"]:
        """Value of each example after the sites from ``start`` on, drawn by the given uniforms."""

        def states(k: int, a: Tensor, carry: Any) -> Tensor:
            return self._state(k, self._high(k, a, uniforms))

        return self._tail(self.problem.network.through(carry, states, start, self.sampled))

    def _high(self, k: int, a: Tensor, uniforms: Uniforms) -> Tensor:
        return uniforms[k] < self.problem.sites[k].units.law.cdf(a)

    def _state(self, k: int, high: Tensor) -> Tensor:
        return self.problem.sites[k].units.state(high.to(self.problem.dtype))

    def _tail(self, carry: Any) -> Float[Tensor, " batch"]:
        """Objective of each example after the last sampled site; its expectation where the last one is enumerated."""
        problem, k = self.problem, self.sampled
        network = problem.network
        if k == len(problem.sites):
            return problem.value(network.output(carry))
        site = problem.sites[k]
        a, carry = network.preactivation(k, carry)

        def value(state: Tensor) -> Tensor:
            return problem.value(network.output(network.advance(k, carry, state.expand(a.shape))))

        states = LayerOfUnits(site.units, site.shape).table(a, 0, 2**site.size)
        values = torch.vmap(value)(states)
        probabilities = joint_probabilities(site.units.law, a.flatten(1))
        return (probabilities * values.T).sum(1)


def joint_probabilities(law: NoiseLaw, a: Float[Tensor, "batch units"]) -> Float[Tensor, "batch states"]:
    """P(state) of all joint states, unit 0 the most significant bit; differentiable where a probability is zero."""
    pairs = torch.stack((law.cdf(-a), law.cdf(a)), -1)
    table = pairs[:, 0]
    for unit in range(1, a.shape[1]):
        table = (table[:, :, None] * pairs[:, unit, None, :]).flatten(1)
    return table


@dataclass(eq=False)
class _Sampler:
    """Streams draws in chunks of so many draws and flipped units that their arrays fit a cache."""

    reference: MonteCarloReference
    draw: FlippedFutures
    chunk: int = field(init=False)

    def __post_init__(self) -> None:
        problem, sites = self.draw.problem, self.draw.problem.sites
        widest = max(site.size for site in sites)
        enumerated = 2 ** sites[-1].size * sites[-1].size if self.draw.sampled < len(sites) else 0
        future = 8 * problem.batch * max(widest, enumerated)
        parameters = sum(p.numel() for p in problem.network.parameters())
        self.chunk = max(4, CHUNK_ELEMENTS // (parameters + widest * future) // 4 * 4)
        self.draw = replace(self.draw, flips=max(1, CHUNK_ELEMENTS // (self.chunk * future)))

    def run(self, draws: int, channel: int) -> tuple[Moments, Moments]:
        """Moments of the gradient's blocks, and of the values, of draws 0 .. draws - 1."""
        blocks, values = Moments(), Moments()
        starts = range(0, draws, self.chunk)
        for start in track(starts, f"{self.reference!r}", len(starts)):
            gradients, value = self._chunk(start, min(start + self.chunk, draws), channel)
            blocks = blocks.merge(Moments.of(gradients))
            values = values.merge(Moments.of({"examples": value, "mean": value.mean(1)}))
        return blocks, values

    def _chunk(self, start: int, stop: int, channel: int) -> tuple[dict[str, Tensor], Tensor]:
        problem, stream = self.draw.problem, RandomStream(self.reference.seed, REFERENCE_STREAM)
        like = torch.zeros(stop - start, dtype=problem.dtype, device=problem.device)
        tables = {k: u for (k, _), u in stream.tables(self.draw.requests(channel), start, stop, like).items()}
        tables[self.draw.sampled] = like  # something to map over even where nothing is drawn
        try:
            blocks, value = per_draw_gradients(problem.network, self.draw, tables)
        except RuntimeError as error:
            raise EstimlabError(
                f"The network or its objective cannot be mapped over draws: {error}. Write both in tensor operations: "
                "torch.where instead of `if`, no .item(), no in-place writes, no torch.rand."
            ) from error
        for name, block in {"the objective": value, **blocks}.items():
            if not bool(torch.isfinite(block.sum())):
                raise EstimlabError(
                    f"{self.reference!r}: {name} is NaN or infinite in one of the draws {start} .. {stop - 1}. Look "
                    "for an objective that is not finite at some states."
                )
        return blocks, value
