"""Draws folded into rows where every parameter belongs to a linear map that is used once: no gradient per draw.

With delta_r the gradient at a linear map's output in row r (one draw of one example) and x_r its input, the weight's
gradient in that row is ``delta_r x_r'``. Its sum over draws and the sum of its squares are two matrix products,
``delta' x`` and ``(delta^2)' (x^2)``. It is valid where noise is independent between rows: one use of each parameter,
no shared sites, no module that couples examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from estimlab.estimators.base import Estimator
from estimlab.model.chain import Chain, Logits
from estimlab.model.problem import Problem
from estimlab.randomness import Key, TableNoise


@dataclass(frozen=True, eq=False)
class Captured:
    """What one linear map (or ``Logits``) saw in every row.

    Attributes:
        prefix: of the names of its blocks.
        module: the map itself.
        inputs: its inputs, with a column of ones at the end where it has a bias; ones alone for ``Logits``.
        delta: gradient of the row's objective by its output.
    """

    prefix: str
    module: nn.Module
    inputs: Float[Tensor, "draws batch i"]
    delta: Float[Tensor, "draws batch o"]

    @property
    def names(self) -> list[str]:
        """Names of the module's blocks."""
        return [f"{self.prefix}.{name}" for name, _ in self.module.named_parameters()]

    def split(self, outer: Float[Tensor, "*lead o i"]) -> dict[str, Tensor]:
        """Blocks from an array over pairs of an output and an input."""
        if type(self.module) is Logits:
            return {f"{self.prefix}.logits": outer[..., 0]}
        width = outer.shape[-1] - ("bias" in dict(self.module.named_parameters()))
        parts = {"weight": outer[..., :width], "bias": outer[..., -1]}
        return {f"{self.prefix}.{name}": parts[name] for name, _ in self.module.named_parameters()}

    def join(self, blocks: Mapping[str, Tensor]) -> Float[Tensor, "o i"]:
        """The inverse of ``split``, for one array."""
        return torch.cat([blocks[name].reshape(self.delta.shape[2], -1) for name in self.names], 1)


def serves(problem: Problem) -> bool:
    """Whether this is valid: a chain whose parameters all belong to linear maps and ``Logits``, none of them twice."""
    network = problem.network
    if not isinstance(network, Chain):
        return False
    owners = [m for m in network.modules() if any(True for _ in m.parameters(recurse=False))]
    linear = all(type(m) in (nn.Linear, Logits) for m in owners)
    parameters = [id(p) for m in owners for p in m.parameters(recurse=False)]
    flat = problem.inputs is None or problem.inputs.ndim == 2
    return linear and flat and len(parameters) == len(set(parameters)) and all(len(s.shape) == 1 for s in problem.sites)


def capture(problem: Problem, estimator: Estimator, tables: Mapping[Key, Tensor], draws: int) -> list[Captured] | None:
    """Inputs and output gradients of every linear map for a block of draws; None where one was used more than once."""
    rows = problem.repeated(draws)
    seen: dict[nn.Module, list[tuple[Tensor | None, Tensor]]] = {}

    def hook(module: nn.Module, arguments: tuple[Tensor | None], output: Tensor) -> None:
        if output.requires_grad and torch.is_grad_enabled():
            seen.setdefault(module, []).append((arguments[0], output))

    modules = {name: m for name, m in problem.network.named_modules() if type(m) in (nn.Linear, Logits)}
    handles = [module.register_forward_hook(hook) for module in modules.values()]
    try:
        flat = {key: table.reshape(-1, *table.shape[2:]) for key, table in tables.items()}
        value = estimator.surrogate(rows, TableNoise(flat)).sum()
    finally:
        for handle in handles:
            handle.remove()
    if any(len(calls) != 1 for calls in seen.values()) or len(seen) != len(modules):
        return None
    outputs = [seen[module][0][1] for module in modules.values()]
    deltas = torch.autograd.grad(value, outputs, allow_unused=True)
    return [
        _captured(name, module, seen[module][0], delta, draws)
        for (name, module), delta in zip(modules.items(), deltas, strict=True)
    ]


def _captured(
    name: str, module: nn.Module, call: tuple[Tensor | None, Tensor], delta: Tensor | None, draws: int
) -> Captured:
    inputs, output = call
    delta = torch.zeros_like(output) if delta is None else delta
    ones = delta.new_ones(len(delta), 1)
    if inputs is None or type(module) is Logits:
        inputs = ones
    elif module.bias is not None:
        inputs = torch.cat((inputs.detach(), ones), 1)
    return Captured(name, module, *(t.detach().reshape(draws, -1, t.shape[1]) for t in (inputs, delta)))
