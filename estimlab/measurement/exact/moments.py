"""Exact bias and variance of hard-forward estimators on a chain of any units, at any depth, without sampling."""

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
from estimlab.measurement.exact.covariance import LayerBackward, loses_digits, summed_variance
from estimlab.measurement.exact.layers import ChainLayers, StageJacobian
from estimlab.measurement.measurement import Measurement
from estimlab.model.laws import NoiseLaw
from estimlab.model.local_map import LocalMap
from estimlab.model.problem import Problem
from estimlab.model.units import LayerOfUnits
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

    The backward pass of a hard-forward estimator is a product of local maps B, one per unit, and stage Jacobians A
    along the state path, so its moments obey a recursion over the states of one layer at a time. With ``b_L(x)`` the
    gradient of the objective's extension at x, ``beta = E[b | x]`` and ``S = Cov[b | x]``, zero in the last layer,

        E[delta_k | x] = sum_y P(y | x) B(y)' beta_k(y),                        beta_{k-1}(x) = A' E[delta_k | x],
        C_k(x) = sum_y P(y | x) B(y)' S_k(y) B(y) + Cov_y[B(y)' beta_k(y)],     S_{k-1}(x) = A' C_k(x) A.

    The map of a binary unit is the estimator's factor J; that of other units follows from their scan. One that is
    random given the state enters by its conditional mean, and within its unit by its second moments.
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
    problem.chain_of_layers("exact_moments")
    problem.check_finite()
    problem.check_independent()
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


def checked_maps(estimator: HardForward, layers: ChainLayers, k: int) -> LocalMap:
    """Moments of layer k's local maps under an estimator's rule, whose factors are checked."""

    def factors(a: Tensor, law: NoiseLaw) -> tuple[Tensor, Tensor]:
        moments = estimator.derivative_moments(a, law)
        for moment in moments:
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
        return moments

    return layers.layers[k].units.backward(layers.drive[k], factors)


def _check_budget(problem: Problem, max_seconds: float) -> None:
    _, layers = problem.chain_of_layers("exact_moments")
    states = [layer.states for layer in layers]
    numbers = [layer.count * layer.shown for layer in layers]  # of what each layer shows
    pairs = sum(one * other for one, other in pairwise(states)) + problem.batch * states[0]
    columns = max(map(_columns, layers))
    flops = 2.0 * pairs * columns * len(problem.distinct_targets)
    size = 8.0 * (max(states) * (columns + 3 * max(numbers) ** 2 + problem.batch))
    seconds = flops / product_rate(problem.device.type)
    plan = Plan(max(states), pairs, len(problem.distinct_targets), flops, size, seconds)
    plan.check(max_seconds, 16e9, tuple(layer.count for layer in layers))


def _columns(layer: LayerOfUnits) -> int:
    """Columns that are summed over a layer's states: of each unit and state, and of each pair of them."""
    one, pair = layer.unit_states * layer.shown, (layer.unit_states * layer.shown) ** 2
    return layer.count * one * (1 + layer.shown) + layer.count * (layer.count - 1) // 2 * pair


class _Moments:
    """The recursion from the head down, once per distinct target."""

    def __init__(self, layers: ChainLayers, estimator: HardForward):
        self.layers, self.batch = layers, layers.problem.batch
        zero = {name: torch.zeros_like(p) for name, p in layers.chain.named_parameters()}
        self.mean, self.variance = zero, {name: torch.zeros_like(p) for name, p in zero.items()}
        self.marginals = layers.marginals(layers.depth)
        self.maps = [checked_maps(estimator, layers, k) for k in range(layers.depth)]

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
        for k in range(layers.depth - 1, -1, -1):
            stage, rows = layers.stage(k), slice(None) if k else examples
            full = k > 0 or not stage.unit_local
            layer = LayerBackward(layers, k, layers.drive[k][rows], self.maps[k].of_rows(rows), full)
            delta, spread = layer.signal(beta, covariance)
            self._parameters(k, examples, delta, spread)
            states = layers.inputs[k]
            if k > 0 and states is not None:
                beta, covariance = stage.pull_mean(states, delta), stage.pull_second(states, spread)

    def _head(self, blocks: dict[str, Tensor], weights: Float[Tensor, "examples states"]) -> None:
        for name, block in blocks.items():
            flat = in_rows(block)
            means, total = weights @ flat, weights.sum(0) @ (flat * flat)
            variance = total - (means * means).sum(0)
            if loses_digits(variance, total):
                variance = summed_variance(weights, flat)
            self._add(name, means, variance)

    def _parameters(self, k: int, examples: Tensor, delta: Tensor, spread: Tensor) -> None:
        """By the law of total variance over the rows below: within them, and of the mean between them.

        The first layer's rows are the examples, each certain of its own: nothing varies between them.
        """
        stage, inputs = self.layers.stage(k), self.layers.inputs[k]
        if k == 0:
            inputs = None if inputs is None else inputs[examples]
            weights = delta.new_ones(len(examples)).diag()
            means = stage.parameter_mean(inputs, weights, delta)
            variances = stage.parameter_second(inputs, weights.sum(0), spread)
        else:
            weights = self.marginals[k - 1][examples]
            means = stage.parameter_mean(inputs, weights, delta)
            variances = _total_variance(stage, inputs, weights, delta, spread, means)
        for name, mean in means.items():
            self._add(name, mean, variances[name])

    def _add(self, name: str, means: Float[Tensor, "examples ..."], variance: Tensor) -> None:
        """One draw is the mean over examples with independent noise, so the variances add."""
        shape = self.mean[name].shape
        self.mean[name] += means.sum(0).reshape(shape) / self.batch
        self.variance[name] += variance.reshape(shape) / self.batch**2


def _total_variance(
    stage: StageJacobian,
    inputs: Tensor | None,
    weights: Float[Tensor, "examples rows"],
    delta: Float[Tensor, "rows d"],
    spread: Float[Tensor, "rows d d"],
    means: dict[str, Tensor],
) -> dict[str, Tensor]:
    """Variance of each block, summed over the examples: from second moments, or in two parts where digits are lost."""
    rows = weights.sum(0)
    totals = stage.parameter_second(inputs, rows, spread + delta[:, :, None] * delta[:, None, :])
    variances = {name: totals[name] - (mean * mean).sum(0) for name, mean in means.items()}
    if not any(loses_digits(variances[name], totals[name]) for name in means):
        return variances
    within, columns = stage.parameter_second(inputs, rows, spread), stage.parameter_columns(inputs, delta)
    between = {name: summed_variance(weights, column) for name, column in columns.items()}
    return {name: within[name] + between[name].reshape(within[name].shape) for name in means}
