"""Objectives: output and target to one value per example, together with their extension off the corners."""

from __future__ import annotations

import abc
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from estimlab.arguments import described
from estimlab.declared import Declared
from estimlab.errors import EstimlabError


@dataclass(frozen=True)
class Objective(Declared, abc.ABC):
    """``objective(output, target)`` gives one value per example, differentiable in the output.

    Relaxed and straight-through estimators evaluate it, or its derivative, off the corners of the hypercube: two
    objectives that agree on the corners and differ elsewhere are different for such an estimator.
    """

    @abc.abstractmethod
    def __call__(self, output: Tensor, target: Tensor | None) -> Float[Tensor, " batch"]:
        """Value per example."""

    def check(self, output: Tensor, target: Tensor | None) -> None:
        """Raise an ``EstimlabError`` that names the fix where output and target do not fit."""


@final
@dataclass(frozen=True)
class CrossEntropy(Objective):
    """``-log softmax(output)[target]``, in nats; output (batch, classes), integer targets in 0 .. classes - 1.

    >>> CrossEntropy()(torch.zeros(1, 4), torch.tensor([2])).exp()
    tensor([4.])
    """

    def __call__(self, output: Tensor, target: Tensor | None) -> Float[Tensor, " batch"]:
        """Value per example."""
        assert target is not None
        return functional.cross_entropy(output, target, reduction="none")

    def check(self, output: Tensor, target: Tensor | None) -> None:
        """Integer targets within the number of outputs."""
        if output.ndim != 2 or output.shape[1] < 2:
            raise EstimlabError(
                f"CrossEntropy needs an output of shape (batch, classes) with at least two classes; the network's is "
                f"{tuple(output.shape)}. For one logit per example use el.LogisticLoss()."
            )
        if target is None or target.ndim != 1 or target.dtype != torch.long:
            raise EstimlabError(
                "CrossEntropy needs one integer target per example, torch.long of shape (batch,); targets "
                f"{_are(target)}. Give class numbers, 0 .. classes - 1; whole numbers become that by "
                "targets.long().flatten()."
            )
        if target.numel() and not (int(target.min()) >= 0 and int(target.max()) < output.shape[1]):
            raise EstimlabError(
                f"CrossEntropy: targets lie in {int(target.min())} .. {int(target.max())}, the network has "
                f"{output.shape[1]} outputs, so they must lie in 0 .. {output.shape[1] - 1}."
            )


@final
@dataclass(frozen=True)
class LogisticLoss(Objective):
    """``log(1 + exp(-target * output))``, in nats; output (batch,) or (batch, 1), targets -1 or +1.

    >>> LogisticLoss()(torch.zeros(1), torch.tensor([-1.0])).exp()
    tensor([2.])
    """

    def __call__(self, output: Tensor, target: Tensor | None) -> Float[Tensor, " batch"]:
        """Value per example."""
        assert target is not None
        return functional.softplus(-target.to(output.dtype) * output.reshape(target.shape))

    def check(self, output: Tensor, target: Tensor | None) -> None:
        """Targets of -1 and +1, one output per example."""
        if output.shape[1:].numel() != 1:
            raise EstimlabError(
                f"LogisticLoss needs one output per example, the network's output has shape {tuple(output.shape)}: "
                "end the head in nn.Linear(n, 1), or use el.CrossEntropy()."
            )
        if target is None or target.ndim != 1 or target.dtype == torch.bool:
            raise EstimlabError(
                f"LogisticLoss needs targets -1 or +1 of shape (batch,); targets {_are(target)}. From 0/1 labels: "
                "2 * labels - 1."
            )
        if not bool((target.abs() == 1).all()):
            wrong = target[target.abs() != 1][0].item()
            raise EstimlabError(
                f"LogisticLoss: targets must be -1 or +1, one of them is {wrong}. From 0/1 labels: 2 * labels - 1."
            )


@final
@dataclass(frozen=True)
class Quadratic(Objective):
    """``z' A z + b' z`` with z = output - target (z = output where there is no target), summed over the output.

    Attributes:
        matrix: A as a tuple of rows; the identity where it is None.
        linear: b as a tuple; zero where it is None.

    >>> x = torch.tensor([[1.0, -1.0]])
    >>> Quadratic(matrix=((1, 2), (2, 1)), linear=(3, 0))(x, None)
    tensor([1.])
    """

    matrix: tuple[tuple[float, ...], ...] | None = None
    linear: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        rows = self.matrix or ()
        if any(len(row) != len(rows) for row in rows):
            sizes = [len(row) for row in rows]
            raise EstimlabError(f"Quadratic(matrix=...): {len(rows)} rows of {sizes} numbers; a matrix must be square.")
        _check_finite("Quadratic", [*(number for row in rows for number in row), *(self.linear or ())])

    def __call__(self, output: Tensor, target: Tensor | None) -> Float[Tensor, " batch"]:
        """Value per example."""
        z = (output if target is None else output - target).flatten(1)
        value = (z * z).sum(1) if self.matrix is None else ((z @ z.new_tensor(self.matrix)) * z).sum(1)
        return value if self.linear is None else value + z @ z.new_tensor(self.linear)

    def check(self, output: Tensor, target: Tensor | None) -> None:
        """Sizes of target, matrix and linear term."""
        n = output.shape[1:].numel()
        if target is not None and target.shape != output.shape:
            raise EstimlabError(
                f"Quadratic: targets of shape {tuple(target.shape)} for outputs of shape {tuple(output.shape)}; "
                "the two must be equal, or the targets None."
            )
        if self.matrix is not None and (len(self.matrix) != n or any(len(row) != n for row in self.matrix)):
            raise EstimlabError(f"Quadratic: the matrix must have {n} rows of {n} numbers, as the output has {n}.")
        if self.linear is not None and len(self.linear) != n:
            raise EstimlabError(f"Quadratic: the linear term has {len(self.linear)} numbers, the output has {n}.")


@final
@dataclass(frozen=True)
class Multilinear(Objective):
    """``sum_t c_t prod_{i in S_t} x_i``: affine in each output separately.

    Attributes:
        terms: tuples ``(c_t, S_t)``, a coefficient and the tuple of *distinct* output indices of its product; an
            empty tuple of indices is a constant.

    >>> x = torch.tensor([[2.0, 3.0]])
    >>> Multilinear(((1, (0, 1)), (10, ())))(x, None)
    tensor([16.])
    """

    terms: tuple[tuple[float, tuple[int, ...]], ...]

    def __post_init__(self) -> None:
        _check_finite("Multilinear", [coefficient for coefficient, _ in self.terms])
        for coefficient, indices in self.terms:
            if len(set(indices)) != len(indices):
                raise EstimlabError(
                    f"Multilinear: the term ({coefficient}, {indices}) repeats an index and is not multilinear; "
                    "use el.Quadratic or a callable of your own."
                )

    def __call__(self, output: Tensor, target: Tensor | None) -> Float[Tensor, " batch"]:
        """Value per example."""
        x = output.flatten(1)
        value = x.new_zeros(len(x))
        for coefficient, indices in self.terms:
            value = value + coefficient * x[:, list(indices)].prod(1)
        return value

    def check(self, output: Tensor, target: Tensor | None) -> None:
        """Indices within the output."""
        n = output.shape[1:].numel()
        highest = max((max(indices, default=-1) for _, indices in self.terms), default=-1)
        lowest = min((min(indices, default=0) for _, indices in self.terms), default=0)
        if highest >= n or lowest < 0:
            raise EstimlabError(
                f"Multilinear: indices {lowest} .. {highest} for {n} outputs; allowed are 0 .. {n - 1}."
            )


@final
@dataclass(frozen=True)
class Polynomial(Objective):
    """``|w . x - c|^p`` of the output x (the toy of Hooper & Shekhovtsov, AISTATS 2026, has c = 0.45).

    Attributes:
        power: p, at least 1.
        center: c.
        weights: w as a tuple; one over the number of outputs each where it is None.

    >>> Polynomial(power=3, center=0.0)(torch.tensor([[1.0, 3.0]]), None)
    tensor([8.])
    """

    power: float = 2.0
    center: float = 0.45
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        _check_finite("Polynomial", [self.power, self.center, *(self.weights or ())])
        if not self.power >= 1:
            raise EstimlabError(f"Polynomial(power={self.power}): the power must be at least 1.")

    def __call__(self, output: Tensor, target: Tensor | None) -> Float[Tensor, " batch"]:
        """Value per example."""
        x = output.flatten(1)
        mean = x.mean(1) if self.weights is None else x @ x.new_tensor(self.weights)
        return (mean - self.center).abs() ** self.power

    def check(self, output: Tensor, target: Tensor | None) -> None:
        """One weight per output."""
        n = output.shape[1:].numel()
        if self.weights is not None and len(self.weights) != n:
            raise EstimlabError(f"Polynomial: {len(self.weights)} weights for {n} outputs; give one per output.")


def _check_finite(who: str, numbers: Iterable[float]) -> None:
    wrong = [number for number in numbers if not math.isfinite(number)]
    if wrong:
        raise EstimlabError(f"{who}: {wrong[0]} is among its numbers; give finite ones.")


def _are(target: Tensor | None) -> str:
    return _describe(target).replace("is", "are", 1)


def _describe(target: Tensor | None) -> str:
    return "is None" if target is None else f"is {target.dtype} of shape {tuple(target.shape)}"


def check_objective(objective: object, output: Tensor, target: Tensor | None) -> None:
    """Raise a clear error unless ``objective(output, target)`` is one finite value per example."""
    assert callable(objective)
    if isinstance(objective, Objective):
        objective.check(output, target)
    try:
        value = objective(output, target)
    except EstimlabError:
        raise
    except Exception as error:
        raise EstimlabError(
            f"The objective, {described(objective)}, fails on an output of shape {tuple(output.shape)}: "
            f"{type(error).__name__}: {error}. It must take (output, target), the target {_describe(target)}."
        ) from error
    if not isinstance(value, Tensor) or value.shape != output.shape[:1]:
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise EstimlabError(
            f"The objective, {described(objective)}, returned {shape} for {len(output)} examples: it must return one "
            f"value per example, a tensor of shape ({len(output)},); do not average inside."
        )
    if not bool(torch.isfinite(value).all()):
        raise EstimlabError(
            f"The objective, {described(objective)}, is not finite on the network's outputs and these targets."
        )
