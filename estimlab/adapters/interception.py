"""Torch's random numbers answered from a supply of uniforms: code that draws its own noise becomes a pure function.

Inside ``Intercepted`` every random operation of torch (``bernoulli``, ``rand``, ``exponential_``, ``randn``,
``multinomial``, ...) is computed from uniforms by the inverse of its distribution function. Torch's generators are
neither read nor advanced, and what was drawn can be drawn again, integrated over, or enumerated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from estimlab.errors import EstimlabError
from estimlab.randomness.noise import into_open_interval

Supply = Callable[[tuple[int, ...], Tensor | None], Tensor]
"""Uniforms of a shape; the second argument is the probability of 1 where the operation draws bits, else None."""


class Intercepted(TorchDispatchMode):
    """Answers random operations from ``supply``.

    Bits are ``u < p``; a category is the last one where ``u < p_last``, the one before it where u is below the sum of
    the last two, and so on: a two-way choice whose last category means high is the bit of all other estimators.

    Errors:
        EstimlabError: a random operation that has no such answer (Poisson, gamma, permutations, ...).
    """

    def __init__(self, supply: Supply):
        super().__init__()
        self.supply = supply

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        answer = _ANSWERS.get(func.overloadpacket.__name__)
        if answer is None:
            raise EstimlabError(
                f"The function draws by torch's {func}, which cannot be computed from uniforms here. Known: "
                f"{', '.join(sorted(_ANSWERS))}."
            )
        return answer(self.supply, func, args, kwargs)


def _bernoulli(supply: Supply, func: Any, args: Any, kwargs: Any) -> Tensor:
    probability = args[0] if len(args) < 2 or not isinstance(args[1], float) else torch.full_like(args[0], args[1])
    return (supply(tuple(probability.shape), probability) < probability).to(probability.dtype)


def _bernoulli_in_place(supply: Supply, func: Any, args: Any, kwargs: Any) -> Tensor:
    value = args[1] if len(args) > 1 else kwargs.get("p", 0.5)
    probability = torch.as_tensor(value, dtype=torch.float64).expand(args[0].shape)
    return args[0].copy_(supply(tuple(probability.shape), probability) < probability)


def _multinomial(supply: Supply, func: Any, args: Any, kwargs: Any) -> Tensor:
    weights, count = args[0], args[1]
    if count != 1 and not (args[2] if len(args) > 2 else kwargs.get("replacement", False)):
        raise EstimlabError("The function draws several categories without replacement, which is not intercepted.")
    probability = weights / weights.sum(-1, keepdim=True)
    tails = probability.flip(-1).cumsum(-1)[..., :-1].flip(-1)  # of the categories after the first, the second, ...
    shape = (*weights.shape[:-1], count)
    bit = tails[..., -1:].expand(shape) if weights.shape[-1] == 2 else None
    return (supply(shape, bit)[..., None, :] < tails[..., None]).sum(-2)


def _filled(transform: Callable[..., Tensor]) -> Callable[[Supply, Any, Any, Any], Tensor]:
    """Operations that fill a tensor: ``rand(size)``, ``rand_like(tensor)``, ``tensor.uniform_(low, high)``."""

    def answer(supply: Supply, func: Any, args: Any, kwargs: Any) -> Tensor:
        first, in_place = args[0], func.overloadpacket.__name__.endswith("_")
        shape = tuple(first.shape) if isinstance(first, Tensor) else tuple(first)
        dtype = kwargs.get("dtype") or (first.dtype if isinstance(first, Tensor) else torch.get_default_dtype())
        parameters = args[1:] if in_place else ()
        drawn = transform(into_open_interval(supply(shape, None).reshape(shape).to(dtype)), *parameters)
        return first.copy_(drawn) if in_place else drawn

    return answer


def _normal(supply: Supply, func: Any, args: Any, kwargs: Any) -> Tensor:
    """``torch.normal(mean, std)``, one of them or both a tensor."""
    mean, std = args[0], args[1] if len(args) > 1 else kwargs.get("std", 1.0)
    shape = torch.broadcast_shapes(*(torch.as_tensor(part).shape for part in (mean, std)))
    like = mean if isinstance(mean, Tensor) else std
    return mean + std * torch.special.ndtri(supply(tuple(shape), None).reshape(shape).to(like))


def _uniform(u: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    return low + (high - low) * u


def _exponential(u: Tensor, rate: float = 1.0) -> Tensor:
    return -torch.log1p(-u) / rate


def _gaussian(u: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    return mean + std * torch.special.ndtri(u)


_ANSWERS: dict[str, Callable[[Supply, Any, Any, Any], Tensor]] = {
    "bernoulli": _bernoulli,
    "bernoulli_": _bernoulli_in_place,
    "multinomial": _multinomial,
    "rand": _filled(_uniform),
    "rand_like": _filled(_uniform),
    "uniform_": _filled(_uniform),
    "exponential_": _filled(_exponential),
    "randn": _filled(_gaussian),
    "randn_like": _filled(_gaussian),
    "normal_": _filled(_gaussian),
    "normal": _normal,
}


class UnitNoise:
    """A supply for code that acts unit by unit: every random operation takes the next uniforms of each unit.

    Attributes:
        uniforms: (\\*shape of the units, channels), or None to answer 1/2 and count.
        used: channels taken so far.
        bits: probabilities of 1 of the operations that drew bits, in order.
    """

    def __init__(self, shape: tuple[int, ...], uniforms: Tensor | None = None):
        self.units, self.uniforms = math.prod(shape), uniforms
        self.used, self.bits = 0, list[Tensor]()

    def __call__(self, shape: tuple[int, ...], probability: Tensor | None) -> Tensor:
        """The next ones."""
        count, rest = divmod(math.prod(shape), self.units)
        if rest or count == 0:
            raise EstimlabError(
                f"The function draws random numbers of shape {shape} for {self.units} units: it does not act unit by "
                "unit. Write it as a loss of the whole problem, el.SurrogateLoss."
            )
        first, self.used = self.used, self.used + count
        if probability is not None:
            self.bits.append(probability.detach())
        if self.uniforms is None:
            return torch.full(shape, 0.5, dtype=torch.float64)
        if self.used > self.uniforms.shape[-1]:
            raise EstimlabError("The function draws more random numbers than in its first call; their number is fixed.")
        return self.uniforms[..., first : self.used].reshape(shape)
