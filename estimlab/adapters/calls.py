"""A call of somebody's function on plain tensors, unit by unit: its states, and what autograd takes for their slope."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.adapters.interception import Intercepted, UnitNoise
from estimlab.arguments import described
from estimlab.errors import EstimlabError

Interface = Literal["logit", "two logits", "centred logits", "probability"]
Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Call:
    """How a function is called, and what its output means.

    Attributes:
        function: from a tensor to the states.
        interface: what it takes. ``"logit"``: the pre-activations; ``"two logits"``: categories on a last dimension,
            (0, a), the state read off the last one; ``"centred logits"``: (-a/2, a/2); ``"probability"``: sigmoid(a).
        low: its output for the low state.
        high: its output for the high state.
    """

    function: Function
    interface: Interface = "logit"
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise EstimlabError(f"function={self.function!r} is not callable: give a function of a tensor.")
        if self.interface not in get_args(Interface):
            raise EstimlabError(f"interface={self.interface!r}: one of {', '.join(get_args(Interface))}.")

    def bits(self, a: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The output in 0/1 coding, differentiable by the function's own rule."""
        output = self._output(a)
        if not isinstance(output, Tensor) or output.shape != a.shape:
            got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise EstimlabError(
                f"{described(self.function)} returned {got} for {tuple(a.shape)} units: it must return one state per "
                "unit (with two logits, one vector of two). Wrap it in a function that picks the states out."
            )
        return (output.to(a.dtype) - self.low) / (self.high - self.low)

    def _output(self, a: Tensor) -> Any:
        match self.interface:
            case "logit":
                return self.function(a)
            case "probability":
                return self.function(torch.sigmoid(a))
            case "two logits":
                return self.function(torch.stack((torch.zeros_like(a), a), -1))[..., 1]
            case _:
                return self.function(torch.stack((-a / 2, a / 2), -1))[..., 1]

    def evaluate(
        self, a: Float[Tensor, "*shape"], noise: UnitNoise
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        """Bits (relaxed ones, where they are), and what autograd takes for their derivative by the pre-activation."""
        leaf = a.detach().requires_grad_()
        with torch.enable_grad(), Intercepted(noise):
            bits = self.bits(leaf)
            if not bits.requires_grad:
                return bits, torch.zeros_like(a)
            (factor,) = torch.autograd.grad(bits.sum(), leaf, allow_unused=True)
        return bits.detach(), torch.zeros_like(a) if factor is None else factor.detach()


class _Evaluate(torch.autograd.Function):
    """``Call.evaluate`` below ``torch.vmap`` and ``torch.func.grad``: the function sees plain tensors only."""

    @staticmethod
    def forward(a: Tensor, uniforms: Tensor, call: Call) -> tuple[Tensor, Tensor]:
        return call.evaluate(a, UnitNoise(tuple(a.shape), uniforms))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(*output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, None]:
        return None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, a: Tensor, uniforms: Tensor, call: Call) -> tuple[tuple[Tensor, Tensor], Any]:
        def moved(tensor: Tensor, dim: int | None) -> Tensor:
            return tensor.expand(info.batch_size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)

        return _Evaluate.apply(moved(a, in_dims[0]), moved(uniforms, in_dims[1]), call), (0, 0)


def evaluate(a: Tensor, uniforms: Float[Tensor, "... channels"], call: Call) -> tuple[Tensor, Tensor]:
    """``call.evaluate`` with given uniforms, also inside ``torch.vmap`` and ``torch.func.grad``."""
    return _Evaluate.apply(a, uniforms, call)


@dataclass(frozen=True)
class Probe:
    """What one call on a few pre-activations shows.

    Attributes:
        channels: uniforms per unit that a call takes.
        decides: whether they are a single bit per unit, the state.
        hard: whether every output is low or high, to rounding.
    """

    channels: int
    decides: bool
    hard: bool

    @classmethod
    def of(cls, call: Call) -> Probe:
        """Call it twice: for two rows of units, and for the first unit of each alone."""
        a = torch.tensor([[-1.2, 0.4, 2.0], [0.7, -0.3, 0.1]], dtype=torch.float64)
        whole, part = UnitNoise((2, 3)), UnitNoise((2, 1))
        bits, factor = call.evaluate(a, whole)
        alone = call.evaluate(a[:, :1], part)
        same = all(torch.allclose(x[:, :1], y, rtol=1e-5) for x, y in zip((bits, factor), alone, strict=True))
        if part.used != whole.used or not same:
            raise EstimlabError(
                f"{described(call.function)} does not act unit by unit: a unit's output depends on the others. Write "
                "it as a loss of the whole problem, el.SurrogateLoss."
            )
        hard = bool((bits - (bits > 0.5).to(bits)).abs().max() < 1e-6)  # hard + soft - soft.detach() rounds
        return cls(whole.used, len(whole.bits) == whole.used == 1, hard)
