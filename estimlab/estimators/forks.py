"""Futures that leave the main pass at a site with states of their own, and go on alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, final, get_args

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.utils._pytree import tree_leaves

from estimlab.errors import EstimlabError
from estimlab.model.problem import Problem
from estimlab.model.units import Site
from estimlab.randomness.noise import Noise

Tails = Literal["independent", "common"]
"""Whether forks draw noise of their own, or share the main pass's uniforms."""


@final
@dataclass(eq=False)
class Forks:
    """Futures that leave the main pass, in the order in which they were added; none is differentiated.

    At each site of the main pass, in its activation: ``cuts = forks.reach(k)`` takes all forks to the site, the main
    pass draws its uniforms u, ``forks.step(k, u)`` takes the forks through, and ``forks.add(k, carry, bits)`` starts
    another one there. After the pass, ``values()``.

    Args:
        problem: what they are futures of.
        noise: source of independent tails.
        tails: independent or common.
        channel: first channel of independent tails: fork j draws by channel + j.
        mapped: whether each fork is several futures, along the first dimension of its bits, which ``torch.vmap`` maps;
            their uniforms have the examples first. The network's carry must then consist of tensors.

    Errors:
        EstimlabError: mapped forks of a network whose carry holds anything but tensors.

    >>> import estimlab as el
    >>> problem = el.problems.load("quadratic/v1")
    >>> forks = Forks(problem, el.TorchNoise(), "independent", channel=1)
    >>> def all_high_and_a_fork(k, a, carry):
    ...     forks.add(k, carry, a < 0)
    ...     return torch.ones_like(a)
    >>> value = problem.run(all_high_and_a_fork)
    >>> [tuple(fork.shape) for fork in forks.values()]
    [(1,)]
    """

    problem: Problem
    noise: Noise
    tails: Tails
    channel: int
    mapped: bool = False
    carries: list[Any] = field(default_factory=list, init=False)
    chances: list[Tensor] = field(default_factory=list, init=False)

    def reach(self, k: int) -> list[Tensor]:
        """Take all forks to site k; where their states jump as a function of the main pass's uniforms there."""
        network, law = self.problem.network, self.problem.sites[k].units.law
        reached = [self._each(lambda fork: network.preactivation(k, fork), fork) for fork in self.carries]
        self.carries = [carry for _, carry in reached]
        self.chances = [law.cdf(a) for a, _ in reached]
        if self.tails == "independent":
            return []
        return [cut for chance in self.chances for cut in (chance if self.mapped else [chance])]

    def step(self, k: int, uniform: Tensor) -> None:
        """Take all forks through site k, which they have reached, where the main pass has drawn the uniforms."""
        bits = [self._uniform(k, j, uniform, chance) < chance for j, chance in enumerate(self.chances)]
        self.carries = [self._advance(k, fork, bit) for fork, bit in zip(self.carries, bits, strict=True)]

    def add(self, k: int, carry: Any, bits: Bool[Tensor, "..."]) -> None:
        """Start a fork with the given bits at site k, from the main pass's carry there."""
        self.carries.append(self._each(lambda bit: self._after(k, carry, bit), bits))

    def values(self) -> list[Tensor]:
        """The objective of each fork, of shape (batch,) or, mapped, (futures, batch)."""
        network, value = self.problem.network, self.problem.value
        return [self._each(lambda fork: value(network.output(fork)), fork) for fork in self.carries]

    def _uniform(self, k: int, j: int, uniform: Tensor, chance: Tensor) -> Tensor:
        if self.tails == "common":
            return uniform
        if not self.mapped or self.problem.sites[k].shared:
            return self.noise.uniform(k, self.channel + j, chance)
        return self.noise.uniform(k, self.channel + j, chance.transpose(0, 1)).transpose(0, 1)

    def _advance(self, k: int, fork: Any, bits: Tensor) -> Any:
        return self._each(lambda carry, bit: self._after(k, carry, bit), fork, bits)

    def _after(self, k: int, carry: Any, bit: Tensor) -> Any:
        state = self.problem.sites[k].units.state(bit.to(self.problem.dtype))
        return self.problem.network.advance(k, carry, state)

    def _each(self, step: Callable[..., Any], *fork: Any) -> Any:
        """A step of a fork, or of each of its futures."""
        with torch.no_grad():
            return torch.vmap(lambda *future: _tensors(step(*future)))(*fork) if self.mapped else step(*fork)


def flipped(site: Site, bit: Bool[Tensor, "..."]) -> Bool[Tensor, "units ..."]:
    """The bits of a site with each of its units flipped in turn."""
    unit = torch.eye(site.size, dtype=torch.bool, device=bit.device)
    example = () if site.shared else (1,)
    return bit ^ unit.reshape(site.size, *example, *site.shape)


def check_tails(who: str, tails: object) -> None:
    """Raise unless it is one of ``Tails``."""
    if tails not in get_args(Tails):
        raise EstimlabError(f"{who}(tails={tails!r}): tails is 'independent' or 'common'.")


def _tensors(carry: Any) -> Any:
    """The carry, refused where forks cannot be mapped over it."""
    others = [leaf for leaf in tree_leaves(carry) if not isinstance(leaf, Tensor)]
    if others:
        raise EstimlabError(
            "LocalExpectation follows its forks by torch.vmap, so a network's carry must be a tensor, or a tuple, list "
            f"or dict of tensors, but it holds an object of type {type(others[0]).__name__}. Carry tensors alone, or "
            "use el.Reinforce(), el.ARM() or el.DisARM()."
        )
    return carry
