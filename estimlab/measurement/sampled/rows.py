"""Draws folded into rows where every parameter belongs to a linear map that is used once: no gradient per draw.

With delta_r the gradient at a linear map's output in row r (one draw of one example) and x_r its input, the weight's
gradient in that row is ``delta_r x_r'``. Its sum over draws and the sum of its squares are two matrix products,
``delta' x`` and ``(delta^2)' (x^2)``. It is valid where noise is independent between rows: one use of each parameter,
no shared sites, no module that couples examples.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from estimlab.estimators.base import Estimator
from estimlab.measurement.sampled.family import Family
from estimlab.model.chain import Chain, Logits
from estimlab.model.problem import Problem
from estimlab.randomness.noise import Key, TableNoise


@dataclass(frozen=True, eq=False)
class LinearMap:
    """A linear map (or ``Logits``) and what it read in every row.

    Attributes:
        prefix: of the names of its blocks.
        module: the map itself.
        states: its inputs that differ between draws; without columns where it reads the data.
        fixed: its inputs that do not: the data, and a column of ones where it has a bias; ones alone for ``Logits``.
    """

    prefix: str
    module: nn.Module
    states: Float[Tensor, "draws batch v"]
    fixed: Float[Tensor, "batch c"]

    @property
    def names(self) -> list[str]:
        """Names of the module's blocks."""
        return [f"{self.prefix}.{name}" for name, _ in self.module.named_parameters()]

    @property
    def inputs(self) -> Float[Tensor, "draws batch i"]:
        """All inputs."""
        return torch.cat((self.states, self.fixed.expand(len(self.states), -1, -1)), 2)

    def split(self, outer: Float[Tensor, "*lead o i"]) -> dict[str, Tensor]:
        """Blocks from an array over pairs of an output and an input."""
        if type(self.module) is Logits:
            return {f"{self.prefix}.logits": outer[..., 0]}
        width = outer.shape[-1] - ("bias" in dict(self.module.named_parameters()))
        parts = {"weight": outer[..., :width], "bias": outer[..., -1]}
        return {f"{self.prefix}.{name}": parts[name] for name, _ in self.module.named_parameters()}

    def join(self, blocks: Mapping[str, Tensor]) -> Float[Tensor, "o i"]:
        """The inverse of ``split``, for one array."""
        return torch.cat([blocks[name].reshape(len(blocks[name]), -1) for name in self.names], 1)


Delta = Float[Tensor, "draws batch _"]  # gradient of the row's objective by the outputs of a map


@dataclass(frozen=True, eq=False)
class Rows:
    """A block of draws folded into rows.

    Attributes:
        maps: the linear maps with what they read, which all estimators share.
        deltas: per estimator and map, the gradients by the map's outputs.
    """

    maps: list[LinearMap]
    deltas: list[list[Delta]]


@dataclass(frozen=True)
class NotFoldable:
    """Draws that rows do not serve.

    Attributes:
        reason: why not, in words.
    """

    reason: str


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


def capture(
    problem: Problem, estimators: Sequence[Estimator], tables: Mapping[Key, Tensor], draws: int
) -> Rows | NotFoldable:
    """A block of draws, folded into rows where each map was used once.

    Several estimators must be a family (``family.py``): they share the pass, and only go back one by one.
    """
    rows = problem.repeated(draws)
    modules = {name: m for name, m in problem.network.named_modules() if type(m) in (nn.Linear, Logits)}
    family = Family(estimators)
    noise = TableNoise({key: table.reshape(-1, *table.shape[2:]) for key, table in tables.items()})
    with _watched(modules.values()) as uses:
        value = family.surrogate(rows, noise).sum()
    for name, module in modules.items():
        if len(uses[module]) != 1:
            return NotFoldable(f"the map {name!r} was used {len(uses[module])} times in a draw, not once")
        if uses[module][0].output.shape[:-1] != (rows.batch,):
            return NotFoldable(f"the map {name!r} was used at several places of a draw, in one call")
    once = [uses[module][0] for module in modules.values()]
    maps = [_linear_map(*named, use.inputs, rows, draws) for named, use in zip(modules.items(), once, strict=True)]
    gradients = family.gradients(value, [use.output for use in once])
    return Rows(maps, [[delta.reshape(draws, -1, delta.shape[1]) for delta in deltas] for deltas in gradients])


@dataclass(frozen=True, eq=False)
class _Use:
    """What a map read and gave, once."""

    inputs: Tensor | None
    output: Tensor


@contextmanager
def _watched(modules: Collection[nn.Module]) -> Iterator[dict[nn.Module, list[_Use]]]:
    """Every use of the modules in the block that a gradient can flow through."""
    uses: dict[nn.Module, list[_Use]] = {module: [] for module in modules}

    def hook(module: nn.Module, arguments: tuple[Tensor | None], output: Tensor) -> None:
        if output.requires_grad and torch.is_grad_enabled():
            uses[module].append(_Use(arguments[0], output))

    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield uses
    finally:
        for handle in handles:
            handle.remove()


def _linear_map(name: str, module: nn.Module, inputs: Tensor | None, rows: Problem, draws: int) -> LinearMap:
    batch, like = rows.batch // draws, next(module.parameters()).detach()
    ones = like.new_ones(batch, 1)
    if inputs is None or type(module) is Logits:
        return LinearMap(name, module, like.new_empty(draws, batch, 0), ones)
    bias = ones if module.bias is not None else ones[:, :0]
    states = inputs.detach().reshape(draws, batch, -1)
    if inputs is rows.inputs:  # the data are the same in every draw
        return LinearMap(name, module, states[:, :, :0], torch.cat((states[0], bias), 1))
    return LinearMap(name, module, states, bias)
