"""The Monte Carlo reference: the gradient of a network of any size, with a standard error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.errors import EstimlabError
from estimlab.model.functional import per_draw_gradients
from estimlab.model.problem import Problem
from estimlab.model.units import BinaryUnits, NoiseLaw
from estimlab.progress import track
from estimlab.randomness import REFERENCE_STREAM, Key, RandomStream, Request
from estimlab.references.base import Gradient, Reference

CHUNK_ELEMENTS = 1 << 20  # 8 MB in float64: larger chunks leave the cache and are slower
DRAWS, PILOT = 0, 1  # channels: the pilot shares no uniform with the draws whose number it fixes


@final
@dataclass(frozen=True)
class MonteCarloReference(Reference):
    """The gradient by local expectations under common random numbers (Titsias & Lazaro-Gredilla 2015, NeurIPS 28).

    A draw samples all states with uniforms u (high iff ``u < F(a)``). The derivative by the pre-activation of unit i
    of site k, whose state is b_i = +1 (high) or -1 (low), is

        g_ki = F'(a_i) b_i (f(states) - f(states of the future with unit i flipped)),

    an expectation over the unit itself given the other units; the future with the flipped unit uses the same uniforms
    at all later sites (our choice: the difference of two futures then has a small variance). The gradient of the draw
    is that of ``sum_k sum_i g_ki a_ki`` plus the direct derivative of f (head, real-valued carries) at fixed states.
    Where the last site has few units, its states are enumerated given the carry (our choice): every f above becomes
    ``sum_y P(y | carry) f(y)``, whose derivative includes those of the last layer and the head. Unbiased for every
    network and objective; uses no derivative of the objective by a state. A network of one enumerated site is exact:
    one draw, no standard error.

    Cost of a draw, with n_k units in site k = 1 .. L and the head counted as a layer: ``L + 1 + sum_k n_k (L + 1 - k)``
    forward and L + 1 backward layer passes; with enumeration the head is passed ``2^n_L`` times per future instead.
    Memory does not depend on the number of draws. Examples of a shared site are moved by its one state together: its
    pre-activations must not depend on states that differ between examples.

    Attributes:
        relative_error: target of ``sqrt(sum of stderr^2) / norm of the gradient``. A pilot that is not used again
            fixes the number of draws in advance: stopping once the error looks small would bias the result.
        draws: number of draws, at least 2; then there is no pilot.
        pilot: draws of the pilot, and the least number of draws that follow it; four times as many, again and again,
            until the pilot tells the gradient from zero (relative error of a half).
        max_draws: refuse what needs more draws.
        enumerate_last: enumerate the last site where it has at most so many units (and is not shared); 0: never.
        seed: non-negative integer; draw i depends on (seed, i) alone, in a stream that no measurement uses.

    The result's ``checks``: ``draws``; ``relative_error`` (achieved, by the standard errors); ``objective_stderr``;
    ``pilot_relative_error`` (of the pilot's own mean) where there was a pilot.

    Errors:
        EstimlabError: more than ``max_draws`` needed; a NaN or infinite draw; modules that couple examples; a network
            that cannot be mapped over draws.
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
            if number is not None and not (isinstance(number, int) and number >= least):
                raise EstimlabError(f"MonteCarloReference({name}={number}): give an integer of at least {least}.")
        RandomStream(self.seed)

    def gradient(self, problem: Problem) -> Gradient:
        """The gradient of the expected objective by every block, with the standard error of each coordinate."""
        problem.check_finite()
        problem.check_independent()
        draw = LocalExpectation(problem.to(dtype=torch.float64), self.enumerate_last)
        sampler, draws, checks = _Sampler(self, draw), self.draws, dict[str, float]()
        if draw.sampled == 0:
            draws = 1
        elif draws is None:
            draws, checks["pilot_relative_error"] = self._size(sampler)
        moments, values = sampler.run(draws, DRAWS)
        checks |= {"draws": float(draws), "relative_error": moments.relative_error()}
        checks["objective_stderr"] = float(values.stderr["objective"])
        expected = values.mean["expected"]
        return Gradient(float(expected.mean()), moments.mean, moments.stderr, expected, repr(self), checks)

    def _size(self, sampler: _Sampler) -> tuple[int, float]:
        """Number of draws, and relative error of the pilot that fixed it."""
        pilot = self.pilot
        while True:
            moments, _ = sampler.run(pilot, PILOT)
            error = moments.relative_error()
            resolved = error <= 0.5  # else the norm of the pilot's mean, too large, tells what is needed at least
            ratio = error if resolved else math.sqrt(moments.noise() / moments.square_norm())
            needed = math.ceil(pilot * (ratio / self.relative_error) ** 2)
            if needed > self.max_draws:
                raise EstimlabError(self._too_many(needed, resolved))
            if resolved:
                return min(max(needed, pilot), self.max_draws), error
            pilot *= 4

    def _too_many(self, needed: int, resolved: bool) -> str:
        return (
            f"MonteCarloReference: a relative error of {self.relative_error:g} needs {'about' if resolved else 'over'} "
            f"{needed:,} draws, at most max_draws = {self.max_draws:,} are allowed. Give max_draws={needed}, a larger "
            "relative_error, or draws=... to take a number of draws whatever the error; more examples help as well."
            + ("" if resolved else " (The pilot cannot tell the gradient from zero: it may be zero.)")
        )


@dataclass(eq=False)
class _Moments:
    """Mean and sum of squared deviations of draws, merged chunk by chunk (Chan, Golub & LeVeque 1979)."""

    count: int = 0
    mean: dict[str, Tensor] = field(default_factory=dict)
    square: dict[str, Tensor] = field(default_factory=dict)

    def add(self, draws: Mapping[str, Tensor], count: int) -> None:
        """Merge a chunk of draws, (count, \\*block) per block."""
        total = self.count + count
        for name, block in draws.items():
            mean = block.mean(0)
            shift = mean - self.mean.setdefault(name, torch.zeros_like(mean))
            self.mean[name] += shift * (count / total)
            deviations = ((block - mean) ** 2).sum(0) + shift**2 * (self.count * count / total)
            self.square[name] = self.square.get(name, 0) + deviations
        self.count = total

    @property
    def stderr(self) -> dict[str, Tensor]:
        """Standard error of each mean; zero for a single draw, which is exact."""
        return {name: (s / max(self.count - 1, 1) / self.count).sqrt() for name, s in self.square.items()}

    def noise(self) -> float:
        """Squared standard errors, summed over all coordinates."""
        return sum(float((error**2).sum()) for error in self.stderr.values())

    def square_norm(self) -> float:
        """Squared norm of the mean; larger than that of the gradient by the noise."""
        return sum(float((mean**2).sum()) for mean in self.mean.values())

    def relative_error(self) -> float:
        """Root of the noise over the norm of the gradient; infinite where noise hides the gradient."""
        noise = self.noise()
        signal = self.square_norm() - noise
        return 0.0 if noise == 0 else math.sqrt(noise / signal) if signal > 0 else math.inf


@dataclass(eq=False)
class _Sampler:
    """Streams draws, in chunks of so many draws and flipped units that their arrays fit the cache."""

    reference: MonteCarloReference
    draw: LocalExpectation

    def __post_init__(self) -> None:
        problem, sites = self.draw.problem, self.draw.problem.sites
        widest = max(site.size for site in sites)
        corners = 2 ** sites[-1].size if self.draw.enumerated else 1
        future = 8 * problem.batch * max(widest, corners * sites[-1].size)
        parameters = sum(p.numel() for p in problem.network.parameters())
        self.chunk = max(4, CHUNK_ELEMENTS // (parameters + widest * future) // 4 * 4)
        self.draw = replace(self.draw, flips=max(1, CHUNK_ELEMENTS // (self.chunk * future)))

    def run(self, draws: int, channel: int) -> tuple[_Moments, _Moments]:
        """Moments of the gradient, and of the values (of the examples, and their mean), of draws 0 .. draws - 1."""
        moments, values = _Moments(), _Moments()
        starts = range(0, draws, self.chunk)
        for start in track(starts, f"{self.reference!r}", len(starts)):
            stop = min(start + self.chunk, draws)
            blocks, value = self._chunk(start, stop, channel)
            moments.add(blocks, stop - start)
            values.add({"expected": value, "objective": value.mean(1)}, stop - start)
        return moments, values

    def _chunk(self, start: int, stop: int, channel: int) -> tuple[dict[str, Tensor], Tensor]:
        problem, stream = self.draw.problem, RandomStream(self.reference.seed, REFERENCE_STREAM)
        like = torch.empty(0, dtype=problem.dtype, device=problem.device)
        tables = {k: u for (k, _), u in stream.tables(self.draw.requests(channel), start, stop, like).items()}
        tables[self.draw.sampled] = like.new_zeros(stop - start)  # draws to map over even where nothing is drawn
        try:
            blocks, value = per_draw_gradients(problem.network, self.draw, tables)
        except RuntimeError as error:
            raise EstimlabError(
                f"The network or its objective cannot be mapped over draws: {error}. Write both in tensor operations: "
                "torch.where instead of `if`, no .item(), no in-place writes, no torch.rand."
            ) from error
        for name, block in {"objective": value, **blocks}.items():
            if not bool(torch.isfinite(block.sum())):
                raise EstimlabError(
                    f"MonteCarloReference: {name!r} is NaN or infinite within draws {start} .. {stop - 1} (seed "
                    f"{self.reference.seed}). Look for an objective that is not finite at some states."
                )
        return blocks, value


@dataclass(frozen=True, eq=False)
class LocalExpectation:
    """One draw of the gradient of a problem, as a function of the uniforms that decide its states.

    Attributes:
        problem: what is differentiated.
        enumerate_last: enumerate the last site where it has at most so many units.
        flips: number of flipped units whose futures are followed at a time.
    """

    problem: Problem
    enumerate_last: int = 0
    flips: int | None = None

    @property
    def enumerated(self) -> bool:
        """Whether the states of the last site are enumerated."""
        last = self.problem.sites[-1]
        return not last.shared and last.size <= self.enumerate_last

    @property
    def sampled(self) -> int:
        """Number of sites whose states are drawn."""
        return len(self.problem.sites) - self.enumerated

    def requests(self, channel: int) -> dict[Key, Request]:
        """The uniforms of a draw, one request per sampled site."""
        sites = self.problem.sites[: self.sampled]
        shapes = [site.shape if site.shared else (self.problem.batch, *site.shape) for site in sites]
        return {(k, channel): Request(shape, 1, 0) for k, shape in enumerate(shapes)}

    def __call__(self, uniforms: Mapping[int, Tensor]) -> tuple[Float[Tensor, ""], Float[Tensor, " batch"]]:
        """A scalar whose gradient is the draw, and the value of each example; one tensor of uniforms per site."""
        network, carry = self.problem.network, self.problem.network.initial(self.problem.inputs)
        path: list[tuple[Any, Tensor, Tensor]] = []
        for k in range(self.sampled):
            a, carry = network.preactivation(k, carry)
            high = self._high(k, a.detach(), uniforms)
            path.append((carry, a, high))
            carry = self._advance(k, carry, high, a)
        value = self._tail(carry)
        surrogate = value.mean()
        for k, (carry, a, high) in enumerate(path):
            with torch.no_grad():
                flipped = self._flipped(k, carry, high, a, uniforms)
                signal = self._signal(k, a.detach(), high, value.detach() - flipped)
            surrogate = surrogate + (signal * a).sum()
        return surrogate, value.detach()

    def _signal(self, k: int, a: Tensor, high: Tensor, difference: Float[Tensor, "units batch"]) -> Tensor:
        """Derivative of the mean value by the pre-activations of site k."""
        site = self.problem.sites[k]
        difference = difference.mean(1) if site.shared else difference.T / self.problem.batch
        return site.units.law.density(a) * torch.where(high, 1, -1) * difference.reshape(a.shape)

    def _flipped(
        self, k: int, carry: Any, high: Tensor, a: Tensor, uniforms: Mapping[int, Tensor]
    ) -> Float[Tensor, "units batch"]:
        """Value of each example in the future of the drawn states of site k with one unit flipped, unit by unit."""
        site = self.problem.sites[k]

        def value(unit: Tensor) -> Tensor:
            return self._future(k + 1, self._advance(k, carry, high ^ unit, a), uniforms)

        units = torch.eye(site.size, dtype=torch.bool, device=a.device).reshape(-1, *site.shape)
        return torch.vmap(value, chunk_size=self.flips, randomness="error")(units)

    def _future(self, start: int, carry: Any, uniforms: Mapping[int, Tensor]) -> Float[Tensor, " batch"]:
        for k in range(start, self.sampled):
            a, carry = self.problem.network.preactivation(k, carry)
            carry = self._advance(k, carry, self._high(k, a, uniforms), a)
        return self._tail(carry)

    def _high(self, k: int, a: Tensor, uniforms: Mapping[int, Tensor]) -> Tensor:
        return uniforms[k] < self.problem.sites[k].units.law.cdf(a)

    def _advance(self, k: int, carry: Any, high: Tensor, like: Tensor) -> Any:
        return self.problem.network.advance(k, carry, self.problem.sites[k].units.state(high.to(like.dtype)))

    def _tail(self, carry: Any) -> Float[Tensor, " batch"]:
        """Objective of each example after the last sampled site: its conditional expectation where enumerated."""
        network = self.problem.network
        if not self.enumerated:
            return self.problem.value(network.output(carry))
        k, units = self.sampled, self.problem.sites[-1].units
        a, carry = network.preactivation(k, carry)

        def value(state: Tensor) -> Tensor:
            return self.problem.value(network.output(network.advance(k, carry, state.expand(a.shape))))

        states = all_states(units, self.problem.sites[k].shape, a)
        return (joint_probabilities(units.law, a.flatten(1)) * torch.vmap(value)(states).T).sum(1)


def all_states(units: BinaryUnits, shape: tuple[int, ...], like: Tensor) -> Float[Tensor, "states *shape"]:
    """All joint states of a site; unit 0 is the most significant bit."""
    bits = torch.cartesian_prod(*[torch.arange(2, device=like.device)] * math.prod(shape))
    return units.state(bits.to(like.dtype)).reshape(-1, *shape)


def joint_probabilities(law: NoiseLaw, a: Float[Tensor, "batch units"]) -> Float[Tensor, "batch states"]:
    """P(state) of all joint states, in the order of ``all_states``; differentiable where a probability is zero."""
    pairs = torch.stack((law.cdf(-a), law.cdf(a)), -1)
    table = pairs[:, 0]
    for unit in range(1, a.shape[1]):
        table = (table[:, :, None] * pairs[:, unit, None, :]).flatten(1)
    return table
