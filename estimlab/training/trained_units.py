"""The drop-in activation as training uses it: noise by counters, float32 inside, nothing stored twice."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from estimlab.errors import EstimlabError
from estimlab.estimators.activation import BinaryActivation
from estimlab.estimators.base import ActivationEstimator, Estimator
from estimlab.model.units import BinaryUnits
from estimlab.training.counter_noise import uniforms, words


class TrainedUnits(BinaryActivation):
    """``BinaryActivation`` of one site, whose uniforms are a function of the examples' keys.

    The estimator's own ``activate`` is what runs, in float32 whatever autocast does around it: a pre-activation in
    bfloat16 has 8 bits, too few to place it between noise of 23 bits.

    With ``recompute`` the backward pass draws the noise again from its keys and computes the factor again. It is for
    compiled networks: by itself a compiler would keep a bit, a uniform or a factor per unit for every estimator whose
    factor depends on the draw. Told to recompute, it keeps what the same network with ReLU keeps. An uncompiled network
    keeps one number per unit in either case, as ReLU does.

    Args:
        estimator: a hard-forward or relaxed estimator.
        units: law and coding.
        site: number of the site, which tells its noise from others'.
        recompute: keep nothing but pre-activations and keys for the backward pass.

    Errors:
        EstimlabError: ``forward`` before ``rows`` was set.

    >>> import estimlab as el
    >>> from estimlab.training.counter_noise import row_keys
    >>> units = TrainedUnits(el.ZGR(), el.BinaryUnits(), site=0)
    >>> units.rows = row_keys(seed=0, step=0, positions=torch.arange(2))
    >>> torch.equal(units(torch.zeros(2, 3)), units(torch.zeros(2, 3)))
    True
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
        wide = a if a.dtype == torch.float64 else a.float()
        with torch.autocast(kind, enabled=False):
            if self.recompute and torch.is_grad_enabled():
                states = checkpoint(self.states, wide, self.rows, use_reentrant=False, preserve_rng_state=False)
            else:
                states = self.states(wide, self.rows)
            # rounded outside of what is recomputed: the next layer keeps the rounded states anyway
            return states.to(dtype)

    def states(self, a: Float[Tensor, "batch *units"], rows: Int[Tensor, "batch 2"]) -> Float[Tensor, "batch *units"]:
        """``activate`` at the noise of the given examples."""
        noise = [uniforms(rows, salt, a.shape[1:], a.dtype) for salt in self.salts]
        return self.estimator.activate(a, torch.stack(noise) if len(noise) > 1 else noise[0], self.units)
