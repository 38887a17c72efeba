"""Exact bias and variance of hard-forward estimators on a chain, at any depth, without sampling."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator, HardForward
from estimlab.measurement.layers import ChainLayers
from estimlab.measurement.measurement import Measurement
from estimlab.model.problem import Problem
from estimlab.references.base import Gradient
from estimlab.references.layers import LayerwiseEnumeration, require_chain
from estimlab.references.plan import Plan, product_rate


def exact_moments(
    problem: Problem,
    estimator: Estimator,
    reference: Gradient | None = None,
    max_seconds: float = 600.0,
    force: bool = False,
) -> Measurement:
    """Mean and variance of one draw, exactly (our derivation).

    The backward pass of a hard-forward estimator is a product of diagonal factors J and stage Jacobians A along the
    state path, so its moments obey a recursion over the states of one layer at a time. With ``b_L(x)`` the gradient of
    the objective's extension at x, ``beta = E[b | x]`` and ``B = E[b b' | x]``,

        E[delta_k | x] = sum_y P(y | x) J(y) * beta_k(y),      beta_{k-1}(x) = A' E[delta_k | x],
        M_k(x) = sum_y P(y | x) (J J')(y) * B_k(y),             B_{k-1}(x) = A' M_k(x) A.

    A factor that is random given the state enters by its conditional mean, on the diagonal by its second moment.

    Args:
        problem: on an ``el.Chain``; computed on a float64 copy.
        estimator: a hard-forward estimator.
        reference: the true gradient, ``LayerwiseEnumeration().gradient(problem)`` where it is not given.
        max_seconds: refuse what is estimated to take longer, unless ``force``.
        force: ignore ``max_seconds``.

    Returns:
        A ``Measurement`` whose standard errors are zero.

    Errors:
        EstimlabError: the estimator is not hard-forward; the network is not a chain or is too wide.
    """
    hard = require_hard_forward(estimator, "exact_moments")
    require_chain(problem, "exact_moments")
    if not force:
        _check_budget(problem, max_seconds)
    truth = LayerwiseEnumeration().gradient(problem, force=force) if reference is None else reference
    truth.check_blocks(problem)
    layers = ChainLayers(problem.to(dtype=torch.float64))
    with torch.no_grad():
        mean, second = _Moments(layers, hard).compute()
    variance = {name: second[name].clamp(min=0) for name in mean}
    return Measurement.exact(problem, estimator, mean, variance, truth)


def require_hard_forward(estimator: Estimator, who: str) -> HardForward:
    """The estimator, refused where it has no local backward rule."""
    if not isinstance(estimator, HardForward):
        raise EstimlabError(
            f"{who} serves hard-forward estimators (a drawn state and a local factor); {estimator!r} is not one. "
            "Use el.measure(problem, estimator, draws=...) instead."
        )
    return estimator


def checked_factors(
    estimator: HardForward, layers: ChainLayers, k: int
) -> tuple[Float[Tensor, "2 rows units"], Float[Tensor, "2 rows units"]]:
    """Mean and second moment of layer k's factors given bit 0 and bit 1, scaled by the coding; checked."""
    a, units = layers.a[k], layers.site(k).units
    mean, square = estimator.derivative_moments(a, units.law)
    for moment in (mean, square):
        if moment.shape != (2, *a.shape):
            raise EstimlabError(
                f"{estimator!r}: derivative() returned the shape {tuple(moment.shape[1:])} for "
                f"pre-activations of shape {tuple(a.shape)}; the two shapes must be equal."
            )
        if not bool(torch.isfinite(moment).all()):
            raise EstimlabError(
                f"{estimator!r}: derivative() is not finite in layer {k}. If it reads the uniform, declare "
                "`reads_uniform: ClassVar[bool] = True`; otherwise the factor itself overflows or is NaN."
            )
    return mean * units.gap, square * units.gap**2


def _check_budget(problem: Problem, max_seconds: float) -> None:
    widths = [site.size for site in problem.sites]
    targets = len(problem.distinct_targets)
    pairs = sum(2 ** (m + n) for m, n in pairwise(widths)) + problem.batch * 2 ** widths[0]
    columns = 2 * max(widths) ** 2 + 2 * max(widths)
    flops = 2.0 * pairs * columns * targets
    size = 8.0 * (2 ** max(widths) * (columns + 3 * max(widths) ** 2 + problem.batch))
    seconds = flops / product_rate(problem.device.type)
    Plan(2 ** max(widths), pairs, targets, flops, size, seconds).check(max_seconds, 16e9, tuple(widths))


class _Moments:
    """The recursion from the head down, once per distinct target."""

    def __init__(self, layers: ChainLayers, estimator: HardForward):
        self.layers, self.estimator = layers, estimator
        self.batch = layers.problem.batch
        zero = {name: torch.zeros_like(p) for name, p in layers.chain.named_parameters()}
        self.mean, self.variance = zero, {name: torch.zeros_like(p) for name, p in zero.items()}
        self.marginals = layers.marginals(layers.depth)
        self.factors = [checked_factors(estimator, layers, k) for k in range(layers.depth)]

    def compute(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Mean and variance of one draw of the batch's gradient, per block."""
        for target, examples in self.layers.problem.distinct_targets:
            self._target(target, examples)
        return self.mean, self.variance

    def _target(self, target: Tensor | None, examples: Tensor) -> None:
        layers = self.layers
        _, beta, head = layers.head(target)
        weights = self.marginals[-1][examples]
        for name, block in head.items():
            flat = block.flatten(1)
            self._add(name, weights @ flat, (weights.sum(0) @ (flat * flat)))
        second = beta[:, :, None] * beta[:, None, :]
        for k in range(layers.depth - 1, 0, -1):
            delta, product = self._backward(k, beta, second, layers.a[k], self.factors[k], full=True)
            self._parameters(k, layers.inputs[k], self.marginals[k - 1][examples], delta, product)
            stage, states = layers.stage(k), layers.inputs[k]
            assert states is not None
            beta, second = stage.pull_mean(states, delta), stage.pull_second(states, product)
        full = not layers.stage(0).unit_local
        factors = tuple(factor[:, examples] for factor in self.factors[0])
        delta, product = self._backward(0, beta, second, layers.a[0][examples], factors, full)
        inputs = None if layers.inputs[0] is None else layers.inputs[0][examples]
        self._parameters(0, inputs, torch.eye(len(examples), dtype=delta.dtype, device=delta.device), delta, product)

    def _backward(
        self, k: int, beta: Tensor, second: Tensor, a: Tensor, factors: tuple[Tensor, ...], full: bool
    ) -> tuple[Tensor, Tensor]:
        """``E[delta | row]`` and ``E[delta delta' | row]`` (its diagonal only where not ``full``)."""
        bits = self.layers.bits(k)
        n = bits.shape[1]
        i, j = torch.triu_indices(n, n, 1, device=bits.device) if full else torch.empty(2, 0, dtype=torch.long)
        diagonal, pairs = second.diagonal(dim1=1, dim2=2), second[:, i, j]
        first_bit, second_bit = bits[:, i] * pairs, bits[:, j] * pairs
        parts = [beta, bits * beta, diagonal, bits * diagonal, pairs, first_bit, second_bit, bits[:, i] * second_bit]
        expected = self.layers.expect(k, torch.cat(parts, 1), a).split([part.shape[1] for part in parts], 1)
        low, change = factors[0][0], factors[0][1] - factors[0][0]
        delta = low * expected[0] + change * expected[1]
        square = factors[1][0] * expected[2] + (factors[1][1] - factors[1][0]) * expected[3]
        product = torch.diag_embed(square)
        product[:, i, j] = (
            low[:, i] * low[:, j] * expected[4]
            + change[:, i] * low[:, j] * expected[5]
            + low[:, i] * change[:, j] * expected[6]
            + change[:, i] * change[:, j] * expected[7]
        )
        product[:, j, i] = product[:, i, j]
        return delta, product

    def _parameters(self, k: int, inputs: Tensor | None, weights: Tensor, delta: Tensor, product: Tensor) -> None:
        stage = self.layers.stage(k)
        means = stage.parameter_mean(inputs, weights, delta)
        squares = stage.parameter_second(inputs, weights.sum(0), product)
        for name, mean in means.items():
            self._add(name, mean, squares[name])

    def _add(self, name: str, means: Float[Tensor, "examples ..."], square: Tensor) -> None:
        """One draw is the mean over examples with independent noise, so the variances add."""
        shape = self.mean[name].shape
        self.mean[name] += means.sum(0).reshape(shape) / self.batch
        self.variance[name] += (square - (means * means).sum(0)).reshape(shape) / self.batch**2
