"""A chain laid out for exact recursions: all states of each layer, pre-activations, marginals, stage Jacobians."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from estimlab.errors import EstimlabError
from estimlab.model.chain import Chain
from estimlab.model.problem import Problem
from estimlab.model.units import LayerOfUnits
from estimlab.references.contraction import LayerTables, product_table, row_blocks

TABLE_ELEMENTS = 1 << 22  # probabilities P(y | row) that are in memory at a time


@dataclass(eq=False)
class ChainLayers:
    """States, drives and marginals of a chain in float64. Layer k has ``rows`` below it: examples or states.

    Attributes:
        problem: a float64 problem on a chain.
        chain: its network.
        layers: its layers.
        inputs: what each stage reads: the examples (or None), then all states of the layer below.
        drive: of each layer, (rows below, ...).
    """

    problem: Problem
    chain: Chain = field(init=False)
    layers: tuple[LayerOfUnits, ...] = field(init=False)
    inputs: list[Tensor | None] = field(init=False)
    drive: list[Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.chain, self.layers = self.problem.chain_of_layers("ChainLayers")
        _require_single_use(self.chain)
        self.inputs = [self.problem.inputs, *(self.states(k) for k in range(self.depth - 1))]
        with torch.no_grad():
            self.drive = [stage(x) for stage, x in zip(self.chain.stages, self.inputs, strict=True)]

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self.layers)

    def states(self, k: int) -> Float[Tensor, "states ..."]:
        """What layer k shows in each of its states."""
        layer = self.layers[k]
        like = torch.empty(0, dtype=self.problem.dtype, device=self.problem.device)
        return layer.table(like, 0, layer.states)

    def digits(self, k: int) -> Int[Tensor, "states n"]:
        """The state of each unit in each joint state of layer k."""
        layer = self.layers[k]
        return layer.digits(0, layer.states, self.problem.device)

    def members(self, k: int) -> Float[Tensor, "S states n"]:
        """One where a unit is in a state, for each joint state of layer k."""
        digits = self.digits(k)
        numbers = torch.arange(self.layers[k].unit_states, device=digits.device)
        return (digits == numbers[:, None, None]).to(self.problem.dtype)

    def of_units(self, k: int, columns: Float[Tensor, "rows numbers"]) -> Float[Tensor, "rows n each"]:
        """Numbers of what layer k shows, or of its drive, unit by unit."""
        return columns.reshape(len(columns), self.layers[k].count, -1)

    def expect(self, k: int, columns: Float[Tensor, "states c"], drive: Tensor) -> Float[Tensor, "rows c"]:
        """``sum_y P(y | drive) columns(y)`` over the states of layer k, for rows of drives."""
        result = columns.new_empty(len(drive), columns.shape[1])
        for rows in row_blocks(len(drive), max(1, TABLE_ELEMENTS // len(columns))):
            torch.mm(self.probabilities(k, drive[rows]), columns, out=result[rows])
        return result

    def probabilities(self, k: int, drive: Float[Tensor, "rows ..."]) -> Float[Tensor, "rows states"]:
        """P(state of layer k) for rows of drives; those of the rarest states to all digits."""
        units = list(self.layers[k].units.probabilities(drive))
        ones, half = units[0].new_ones(1, len(drive)), len(units) // 2
        first, second = product_table(units[:half], ones), product_table(units[half:], ones)
        return (first[:, None] * second).flatten(0, 1).T

    def expect_slope(
        self, k: int, slope: Float[Tensor, "states numbers"], drive: Tensor
    ) -> Float[Tensor, "rows S n C"]:
        """``E[slope; unit in state s]`` over the states of layer k, unit by unit, for rows of drives.

        Under a linear head of one output the slopes of all states are parallel, ``s(y) w``: one column says it all,
        and is contracted as the values are, which reaches wider layers.
        """
        direction = slope[slope.norm(dim=1).argmax()]
        direction = direction / direction.norm().clamp(min=torch.finfo(slope.dtype).tiny)
        size = slope @ direction
        if float((slope - size[:, None] * direction).abs().max()) > 1e-14 * float(size.abs().max()):
            return self.sums_by_state(k, self.of_units(k, slope), drive)
        units = self.layers[k].units.probabilities(drive)
        _, conditional = LayerTables.build(units).value_and_conditionals(size[None])
        size_by_state = (conditional[0].view_as(units) * units).permute(2, 1, 0)
        return size_by_state[..., None] * self.of_units(k, direction[None])[0]

    def sums_by_state(self, k: int, columns: Float[Tensor, "states n *each"], drive: Tensor) -> Tensor:
        """``E[column; unit in state s]`` of columns that each unit has, (rows, S, n, *each)."""
        return self.expect_all(k, [self.by_state(k, columns)], drive)[0]

    def by_state(self, k: int, columns: Float[Tensor, "states n *each"]) -> Float[Tensor, "states S n *each"]:
        """Columns that each unit has, kept apart by the unit's state."""
        members = self.members(k).unflatten(2, (-1, *[1] * (columns.ndim - 2)))
        return (members * columns).movedim(1, 0)

    def expect_all(self, k: int, columns: list[Tensor], drive: Tensor) -> list[Tensor]:
        """``expect`` of several arrays, (states, ...) each, in one product; (rows, ...) each."""
        sums = self.expect(k, torch.cat([column.flatten(1) for column in columns], 1), drive)
        parts = sums.split([column[0].numel() for column in columns], 1)
        return [part.unflatten(1, column.shape[1:]) for part, column in zip(parts, columns, strict=True)]

    def marginals(self, layers: int) -> list[Float[Tensor, "batch states"]]:
        """P(state of layer k | example), for the first layers, at least one."""
        result = [self.probabilities(0, self.drive[0])]
        for k in range(1, layers):
            total = result[0].new_zeros(len(result[0]), self.layers[k].states)
            for rows in row_blocks(len(self.drive[k]), max(1, TABLE_ELEMENTS // total.shape[1])):
                total += result[-1][:, rows] @ self.probabilities(k, self.drive[k][rows])
            result.append(total)
        return result

    def value_and_signal(self, k: int, values: Float[Tensor, " states"], drive: Tensor) -> tuple[Tensor, Tensor]:
        """The exact value of layer k's rows, and its derivative by their drive, (rows, numbers)."""
        units = self.layers[k].units
        probabilities = units.probabilities(drive)
        value, conditional = LayerTables.build(probabilities).value_and_conditionals(values[None])
        signal = units.pull(drive, conditional.view(1, *probabilities.shape))
        return value[0], signal[0].T

    def stage(self, k: int) -> StageJacobian:
        """Derivatives of stage k."""
        return stage_jacobian(self.chain.stages[k], f"stages.{k}.")

    def head(self, target: Tensor | None) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """On all states of the last layer: the objective, its extension's gradient, and the head's block gradients."""
        states = self.states(-1)
        parameters = {name: p.detach() for name, p in self.chain.head.named_parameters()}

        def objective(parameters: dict[str, Tensor], state: Tensor) -> tuple[Tensor, Tensor]:
            output = functional_call(self.chain.head, parameters, (state[None],))
            value = self.problem.objective(output, None if target is None else target[None])[0]
            return value, value

        derivative = torch.func.grad(objective, argnums=(0, 1), has_aux=True)
        (blocks, slope), value = torch.vmap(derivative, in_dims=(None, 0))(parameters, states)
        return value, slope.flatten(1), {f"head.{name}": block for name, block in blocks.items()}


def _require_single_use(chain: Chain) -> None:
    used: dict[int, str] = {}
    for part, module in [*((f"stages.{k}", s) for k, s in enumerate(chain.stages)), ("head", chain.head)]:
        for name, parameter in module.named_parameters():
            if id(parameter) in used:
                raise EstimlabError(
                    f"The parameter {part}.{name} is also {used[id(parameter)]}: exact moments of a parameter that "
                    "several stages share are not implemented; use el.measure."
                )
            used[id(parameter)] = f"{part}.{name}"


@dataclass(frozen=True, eq=False)
class StageJacobian:
    """Derivatives of a stage at each row, by automatic differentiation: any deterministic module."""

    stage: nn.Module
    prefix: str
    unit_local = False  # whether each parameter enters one pre-activation only

    def pull_mean(self, inputs: Tensor, delta: Float[Tensor, "rows units"]) -> Float[Tensor, "rows below"]:
        """``A' delta`` with A the derivative of the pre-activations by the row's state."""
        with torch.enable_grad():
            leaf = inputs.detach().requires_grad_()
            a = self.stage(leaf)
        if not a.requires_grad:
            return torch.zeros_like(inputs).flatten(1)
        (pulled,) = torch.autograd.grad(a, leaf, delta.reshape(a.shape), allow_unused=True)
        return torch.zeros_like(inputs).flatten(1) if pulled is None else pulled.flatten(1)

    def pull_second(self, inputs: Tensor, second: Float[Tensor, "rows u u"]) -> Float[Tensor, "rows b b"]:
        """``A' second A``."""
        jacobian = self._input_jacobian(inputs)
        return jacobian.mT @ second @ jacobian

    def parameter_mean(
        self, inputs: Tensor | None, weights: Float[Tensor, "outcomes rows"], delta: Float[Tensor, "rows units"]
    ) -> dict[str, Float[Tensor, "outcomes ..."]]:
        """``sum_rows weights(row) (da/dtheta)' delta(row)`` per block."""
        columns = self.parameter_columns(inputs, delta)
        return {name: self._reshape(name, weights @ column) for name, column in columns.items()}

    def parameter_columns(
        self, inputs: Tensor | None, delta: Float[Tensor, "rows units"]
    ) -> dict[str, Float[Tensor, "rows p"]]:
        """``(da/dtheta)' delta(row)`` per block, row by row."""
        return {name: torch.einsum("ru,rup->rp", delta, j) for name, j in self._parameter_jacobian(inputs).items()}

    def parameter_second(
        self, inputs: Tensor | None, weights: Float[Tensor, " rows"], second: Float[Tensor, "rows u u"]
    ) -> dict[str, Tensor]:
        """``sum_rows weights(row) E[((da/dtheta)' delta)^2 | row]`` per coordinate."""
        result = {}
        for name, j in self._parameter_jacobian(inputs).items():
            column = torch.einsum("rup,ruv,rvp->rp", j, second, j)
            result[name] = self._reshape(name, (weights @ column)[None])[0]
        return result

    def _reshape(self, name: str, flat: Tensor) -> Tensor:
        shape = self.stage.get_parameter(name.removeprefix(self.prefix)).shape
        return flat.reshape(len(flat), *shape)

    def _input_jacobian(self, inputs: Tensor) -> Float[Tensor, "rows units below"]:
        parameters = dict(self.stage.named_parameters())
        jacobian = torch.vmap(jacrev(self._row, argnums=1), in_dims=(None, 0))(parameters, inputs)
        return jacobian.flatten(2)

    def _parameter_jacobian(self, inputs: Tensor | None) -> dict[str, Float[Tensor, "rows units p"]]:
        parameters = {name: p.detach() for name, p in self.stage.named_parameters()}
        if inputs is None:
            jacobians = {name: j[None] for name, j in jacrev(self._row)(parameters, None).items()}
        else:
            jacobians = torch.vmap(jacrev(self._row), in_dims=(None, 0))(parameters, inputs)
        return {self.prefix + name: j.reshape(*j.shape[:2], math.prod(j.shape[2:])) for name, j in jacobians.items()}

    def _row(self, parameters: dict[str, Tensor], row: Tensor | None) -> Float[Tensor, " units"]:
        return functional_call(self.stage, parameters, (None if row is None else row[None],))[0].flatten()


@dataclass(frozen=True, eq=False)
class LinearJacobian(StageJacobian):
    """The closed form for ``nn.Linear``: A is the weight, and each parameter enters one pre-activation."""

    unit_local = True

    def pull_mean(self, inputs: Tensor, delta: Tensor) -> Tensor:
        """``W' delta``."""
        return delta @ self._weight

    def pull_second(self, inputs: Tensor, second: Tensor) -> Tensor:
        """``W' second W``."""
        return self._weight.T @ second @ self._weight

    def parameter_mean(self, inputs: Tensor | None, weights: Tensor, delta: Tensor) -> dict[str, Tensor]:
        """``delta x'`` and ``delta``."""
        assert inputs is not None
        return self._blocks(torch.einsum("or,ru,ri->oui", weights, delta, inputs), weights @ delta)

    def parameter_columns(self, inputs: Tensor | None, delta: Tensor) -> dict[str, Tensor]:
        """``delta x'`` and ``delta``."""
        assert inputs is not None
        return self._blocks((delta[:, :, None] * inputs[:, None]).flatten(1), delta)

    def parameter_second(self, inputs: Tensor | None, weights: Tensor, second: Tensor) -> dict[str, Tensor]:
        """``E[delta_i^2] x_j^2``."""
        assert inputs is not None
        diagonal = second.diagonal(dim1=1, dim2=2) * weights[:, None]
        return self._blocks(diagonal.T @ (inputs * inputs), diagonal.sum(0))

    def _blocks(self, weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
        blocks = {"weight": weight, "bias": bias}
        return {self.prefix + name: blocks[name] for name, _ in self.stage.named_parameters()}

    @property
    def _weight(self) -> Tensor:
        weight = self.stage.weight
        assert isinstance(weight, Tensor)
        return weight.detach()


def stage_jacobian(stage: nn.Module, prefix: str) -> StageJacobian:
    """The closed form where there is one, automatic differentiation elsewhere."""
    return (LinearJacobian if type(stage) is nn.Linear else StageJacobian)(stage, prefix)
