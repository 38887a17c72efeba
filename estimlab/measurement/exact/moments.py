"""Exact bias and variance of hard-forward estimators on a chain, at any depth, without sampling."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.arguments import flag, number
from estimlab.declared import checked
from estimlab.draws import in_rows
from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator, HardForward
from estimlab.measurement import arguments
from estimlab.measurement.exact.covariance import LayerFactors, loses_digits, summed_variance
from estimlab.measurement.exact.layers import ChainLayers
from estimlab.measurement.measurement import Measurement
from estimlab.model.problem import Problem
from estimlab.references.layerwise import require_chain
from estimlab.references.plan import Plan, product_rate
from estimlab.references.reference import Gradient, Reference


@checked
def exact_moments(
    problem: Problem,
    estimator: Estimator | type[Estimator] | str,
    reference: Gradient | Reference | None = None,
    max_seconds: float = 600.0,
    force: bool = False,
) -> Measurement:
    """Mean and variance of one draw, exactly (our derivation).

    The backward pass of a hard-forward estimator is a product of diagonal factors J and stage Jacobians A along the
    state path, so its moments obey a recursion over the states of one layer at a time. With ``b_L(x)`` the gradient of
    the objective's extension at x, ``beta = E[b | x]`` and ``S = Cov[b | x]``, zero in the last layer,

        E[delta_k | x] = sum_y P(y | x) J(y) * beta_k(y),                        beta_{k-1}(x) = A' E[delta_k | x],
        C_k(x) = sum_y P(y | x) (J J')(y) * S_k(y) + Cov_y[J(y) * beta_k(y)],    S_{k-1}(x) = A' C_k(x) A.

    A factor that is random given the state enters by its conditional mean, on the diagonal by its second moment.
    Variances are sums of what each state contributes, centred at the likeliest state wherever a difference of moments
    would lose digits: a unit of probability 1e-300 has the variance that it should, and so has a draw whose mean is a
    million times its deviation.

    Args:
        problem: on an ``el.Chain``; computed on a float64 copy.
        estimator: a hard-forward estimator, its class or its name.
        reference: the true gradient or a way to compute it; ``LayerwiseEnumeration()`` where it is not given.
        max_seconds: refuse what is estimated to take longer, unless ``force``.
        force: ignore ``max_seconds``.

    Returns:
        A ``Measurement`` whose standard errors are zero.

    Errors:
        EstimlabError: the estimator is not hard-forward; the network is not a chain or is too wide; the reference
            belongs to another problem, or to this one before it changed.

    >>> import estimlab as el
    >>> found = el.exact_moments(el.problems.load("quadratic/v1"), el.StraightThrough())
    >>> f"{found.relative_bias['0']:.3f}", f"{found.relative_std['0']:.3f}"
    ('0.417', '3.051')
    """
    problem = arguments.problem(problem, "exact_moments")
    estimator = hard = require_hard_forward(estimator, "exact_moments")
    number(max_seconds, "exact_moments", "max_seconds")
    flag(force, "exact_moments", "force")
    require_chain(problem, "exact_moments")
    if not force:
        _check_budget(problem, max_seconds)
    truth = arguments.truth(reference, problem, "exact_moments", force)
    layers = ChainLayers(problem.to(dtype=torch.float64))
    with torch.no_grad():
        mean, variance = _Moments(layers, hard).compute()
    variance = {name: block.clamp(min=0) for name, block in variance.items()}
    return Measurement.exact(problem, estimator, mean, variance, truth)


def require_hard_forward(estimator: Any, who: str) -> HardForward:
    """The estimator, refused where it has no local backward rule."""
    estimator = arguments.estimator(estimator, who)
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
        self._head(head, self.marginals[-1][examples])
        covariance = None
        for k in range(layers.depth - 1, 0, -1):
            layer = LayerFactors(layers, k, layers.a[k], *self.factors[k])
            delta, spread = layer.signal(beta, covariance)
            self._parameters(k, self.marginals[k - 1][examples], delta, spread)
            stage, states = layers.stage(k), layers.inputs[k]
            assert states is not None
            beta, covariance = stage.pull_mean(states, delta), stage.pull_second(states, spread)
        mean, square = (factor[:, examples] for factor in self.factors[0])
        layer = LayerFactors(layers, 0, layers.a[0][examples], mean, square, full=not layers.stage(0).unit_local)
        self._data(examples, *layer.signal(beta, covariance))

    def _head(self, blocks: dict[str, Tensor], weights: Float[Tensor, "examples states"]) -> None:
        for name, block in blocks.items():
            flat = in_rows(block)
            means, total = weights @ flat, weights.sum(0) @ (flat * flat)
            variance = total - (means * means).sum(0)
            if loses_digits(variance, total):
                variance = summed_variance(weights, flat)
            self._add(name, means, variance)

    def _parameters(self, k: int, weights: Float[Tensor, "examples rows"], delta: Tensor, spread: Tensor) -> None:
        """By the law of total variance over the states below: within them, and of the mean between them."""
        stage, inputs, rows = self.layers.stage(k), self.layers.inputs[k], weights.sum(0)
        means = stage.parameter_mean(inputs, weights, delta)
        totals = stage.parameter_second(inputs, rows, spread + delta[:, :, None] * delta[:, None, :])
        variances = {name: totals[name] - (mean * mean).sum(0) for name, mean in means.items()}
        if any(loses_digits(variances[name], totals[name]) for name in means):
            within, columns = stage.parameter_second(inputs, rows, spread), stage.parameter_columns(inputs, delta)
            between = {name: summed_variance(weights, column) for name, column in columns.items()}
            variances = {name: within[name] + between[name].reshape(within[name].shape) for name in means}
        for name, mean in means.items():
            self._add(name, mean, variances[name])

    def _data(self, examples: Tensor, delta: Tensor, spread: Tensor) -> None:
        """The first stage: each example is a row of its own."""
        stage, inputs = self.layers.stage(0), self.layers.inputs[0]
        inputs, each = None if inputs is None else inputs[examples], delta.new_ones(len(examples))
        means, variances = (
            stage.parameter_mean(inputs, each.diag(), delta),
            stage.parameter_second(inputs, each, spread),
        )
        for name, mean in means.items():
            self._add(name, mean, variances[name])

    def _add(self, name: str, means: Float[Tensor, "examples ..."], variance: Tensor) -> None:
        """One draw is the mean over examples with independent noise, so the variances add."""
        shape = self.mean[name].shape
        self.mean[name] += means.sum(0).reshape(shape) / self.batch
        self.variance[name] += variance.reshape(shape) / self.batch**2
