"""Descent along the exact gradient: the training of small networks without any estimator."""

from __future__ import annotations

import math

import torch

from estimlab.errors import EstimlabError
from estimlab.model.problem import Problem
from estimlab.references.choice import exact_reference
from estimlab.references.reference import Reference


def exact_descent(
    problem: Problem, steps: int, learning_rate: float, reference: Reference | None = None
) -> list[float]:
    """Train the problem's network in place by Adam on the exact gradient of all examples (full batch).

    No randomness, no estimator: what it reaches is what an estimator's training can be compared with. Parameters with
    ``requires_grad=False`` stay as they are, ``.grad`` is None afterwards.

    Args:
        problem: its network's parameters must be float64.
        steps: number of steps of Adam, 0 or more.
        learning_rate: Adam's, positive; constant.
        reference: computes the gradient; ``exact_reference(problem)`` where it is None.

    Returns:
        The exact expected objective before each step, and after the last one: ``steps + 1`` numbers.

    Errors:
        EstimlabError: parameters that are not float64; steps or learning rate out of range; whatever the reference
            refuses.

    Example:
        >>> import estimlab as el
        >>> network = el.Chain([el.Logits([0.0, 0.0])]).double()
        >>> problem = el.Problem(network, el.Quadratic(linear=(1.0, -1.0)))
        >>> objectives = exact_descent(problem, steps=20, learning_rate=0.1)
        >>> len(objectives), objectives[-1] < objectives[0]
        (21, True)
    """
    _check(problem, steps, learning_rate)
    gradient = exact_reference if reference is None else reference.gradient
    parameters = {name: p for name, p in problem.network.named_parameters() if p.requires_grad}
    optimizer = torch.optim.Adam(parameters.values(), lr=learning_rate)
    objectives = []
    for _ in range(steps):
        truth = gradient(problem)
        objectives.append(truth.objective)
        for name, parameter in parameters.items():
            parameter.grad = truth.value[name].to(parameter.device)
        optimizer.step()
    optimizer.zero_grad()
    return [*objectives, gradient(problem).objective]


def _check(problem: Problem, steps: int, learning_rate: float) -> None:
    for name, parameter in problem.network.named_parameters():
        if parameter.dtype != torch.float64:
            raise EstimlabError(
                f"exact_descent needs a network in float64, {name!r} is {parameter.dtype}: an exact gradient is worth "
                "no more than the numbers it changes. Use problem.to(dtype=torch.float64), and train that copy."
            )
    if steps < 0:
        raise EstimlabError(f"exact_descent(steps={steps}): the number of steps must be 0 or more.")
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise EstimlabError(f"exact_descent(learning_rate={learning_rate}): the learning rate must be positive.")
