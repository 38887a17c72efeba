"""The drop-in activation as training uses it: noise by counters, float32 inside, nothing stored twice."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from estimlab.errors import EstimlabError
from estimlab.estimators.activation import BinaryActivation
from estimlab.estimators.base import ActivationEstimator, Estimator
from estimlab.model.units import BinaryUnits
from estimlab.training.noise import uniforms, words


class TrainedUnits(BinaryActivation):
    """``BinaryActivation`` of one site, whose uniforms are a function of the examples' keys.

    The estimator's own ``activate`` is what runs, in float32 whatever autocast does around it: a pre-activation in
    bfloat16 has 8 bits, too few to place it between noise of 23 bits. With ``recompute`` the backward pass draws the
    noise again from its keys and runs ``activate`` again, so that between the passes only the pre-activation and two
    words per example are kept. A compiler does the same by itself: it recomputes what is pointwise.

    Args:
        estimator: a hard-forward or relaxed estimator.
        units: law and coding.
        site: number of the site, which tells its noise from others'.
        recompute: keep pre-activations and keys alone.

    Errors:
        EstimlabError: ``forward`` before ``rows`` was set.
    """

    def __init__(self, estimator: Estimator, units: BinaryUnits, site: int, recompute: bool = False):
        super().__init__(estimator, units)
        assert isinstance(estimator, ActivationEstimator)  # checked above, with a message
        self.recompute = recompute
        self.rows: Int[Tensor, "batch 2"] | None = None
        self.salts = [words(site, channel) for channel in range(1 + estimator.extra_channels)]

    def forward(self, a: Float[Tensor, "batch *units"]) -> Float[Tensor, "batch *units"]:
        """Drawn (or relaxed) states, in the type of ``a``, or in autocast's, in which the next layer reads them."""
        if self.rows is None:
            raise EstimlabError("TrainedUnits: set `rows`, the keys of the batch's examples, before the forward pass.")
        kind = a.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else a.dtype
        with torch.autocast(kind, enabled=False):
            if self.recompute and torch.is_grad_enabled():
                return _Recomputed.apply(a, self.rows, self, dtype)
            return self.states(a, self.rows, dtype)

    def states(
        self, a: Float[Tensor, "batch *units"], rows: Int[Tensor, "batch 2"], dtype: torch.dtype
    ) -> Float[Tensor, "batch *units"]:
        """``activate`` in float32 at the noise of the given examples, rounded to the given type."""
        wide = a if a.dtype == torch.float64 else a.float()
        noise = [uniforms(rows, salt, a.shape[1:], wide.dtype) for salt in self.salts]
        u = torch.stack(noise) if len(noise) > 1 else noise[0]
        return self.estimator.activate(wide, u, self.units).to(dtype)


class _Recomputed(torch.autograd.Function):
    """``TrainedUnits.states`` that keeps ``a`` and the keys; the factor is computed in the backward pass."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, rows: Tensor, units: TrainedUnits, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(a, rows)
        ctx.units, ctx.dtype = units, dtype
        return units.states(a, rows, dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        a, rows = ctx.saved_tensors
        with torch.enable_grad(), torch.autocast(a.device.type, enabled=False):
            again = a.detach().requires_grad_()
            (result,) = torch.autograd.grad(ctx.units.states(again, rows, ctx.dtype), again, gradient)
        return result, None, None, None
