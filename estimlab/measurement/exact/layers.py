"""A chain laid out for exact recursions: all states of each layer, pre-activations, marginals, stage Jacobians."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from estimlab.errors import EstimlabError
from estimlab.model.chain import Chain
from estimlab.model.network import Site
from estimlab.model.problem import Problem
from estimlab.references.contraction import LayerTables, product_table, row_blocks, state_table

TABLE_ELEMENTS = 1 << 22  # probabilities P(y | row) that are in memory at a time


@dataclass(eq=False)
class ChainLayers:
    """States, pre-activations and marginals of a chain in float64. Layer k has ``rows`` below it: examples or states.

    Attributes:
        problem: a float64 problem on a chain.
        inputs: what each stage reads: the examples (or None), then all states of the layer below.
        a: pre-activations of each layer, (rows below, units).
    """

    problem: Problem
    inputs: list[Tensor | None] = field(init=False)
    a: list[Tensor] = field(init=False)

    def __post_init__(self) -> None:
        assert isinstance(self.problem.network, Chain)
        self.chain, self.sites = self.problem.network, self.problem.sites
        self.depth = len(self.sites)
        _require_single_use(self.chain)
        self.inputs = [self.problem.inputs, *(self.states(k) for k in range(self.depth - 1))]
        with torch.no_grad():
            self.a = [stage(x).flatten(1) for stage, x in zip(self.chain.stages, self.inputs, strict=True)]

    def states(self, k: int) -> Float[Tensor, "states *shape"]:
        """All states of layer k."""
        site = self.sites[k]
        like = torch.empty(0, dtype=self.problem.dtype, device=self.problem.device)
        return state_table(site.units, site.shape, like, 0, 2**site.size)

    def bits(self, k: int) -> Float[Tensor, "states units"]:
        """All states of layer k in 0/1 coding."""
        return self.sites[k].units.bit(self.states(k)).flatten(1)

    def expect(self, k: int, columns: Float[Tensor, "states c"], a: Tensor) -> Float[Tensor, "rows c"]:
        """``sum_y P(y | a) columns(y)`` over the states of layer k, for rows of pre-activations."""
        result = columns.new_empty(len(a), columns.shape[1])
        for rows in row_blocks(len(a), max(1, TABLE_ELEMENTS // len(columns))):
            torch.mm(self.probabilities(k, a[rows]), columns, out=result[rows])
        return result

    def probabilities(self, k: int, a: Float[Tensor, "rows units"]) -> Float[Tensor, "rows states"]:
        """P(state of layer k) for rows of pre-activations; those of the rarest states to all digits."""
        law, columns = self.sites[k].units.law, a.T
        units = list(torch.stack((law.cdf(-columns), law.cdf(columns)), 1))
        ones, half = columns.new_ones(1, len(a)), len(units) // 2
        first, second = product_table(units[:half], ones), product_table(units[half:], ones)
        return (first[:, None] * second).flatten(0, 1).T

    def expect_slope(self, k: int, slope: Float[Tensor, "states units"], a: Tensor) -> tuple[Tensor, Tensor]:
        """``E[slope]`` and ``E[bit * slope]`` over the states of layer k, unit by unit, for rows of pre-activations.

        Under a linear head of one output the slopes of all states are parallel, ``s(y) w``: one column says it all,
        and is contracted as the values are, which reaches wider layers.
        """
        direction = slope[slope.norm(dim=1).argmax()]
        direction = direction / direction.norm().clamp(min=torch.finfo(slope.dtype).tiny)
        size = slope @ direction
        if float((slope - size[:, None] * direction).abs().max()) > 1e-14 * float(size.abs().max()):
            mean, high = self.expect(k, torch.cat((slope, self.bits(k) * slope), 1), a).chunk(2, 1)
            return mean, high
        value, difference = self._tables(k, a).value_and_difference(size[None])
        law = self.sites[k].units.law
        high = law.cdf(a) * (value[0][:, None] + law.cdf(-a) * difference[0].T)
        return value[0][:, None] * direction, high * direction

    def marginals(self, layers: int) -> list[Float[Tensor, "batch states"]]:
        """P(state of layer k | example), for the first layers, at least one."""
        result = [self.probabilities(0, self.a[0])]
        for k in range(1, layers):
            total = torch.zeros(len(result[0]), 2 ** self.sites[k].size, dtype=result[0].dtype, device=result[0].device)
            for rows in row_blocks(len(self.a[k]), max(1, TABLE_ELEMENTS // total.shape[1])):
                total += result[-1][:, rows] @ self.probabilities(k, self.a[k][rows])
            result.append(total)
        return result

    def value_and_signal(self, k: int, values: Float[Tensor, " states"], a: Tensor) -> tuple[Tensor, Tensor]:
        """The exact value of layer k's rows, and its derivative by the pre-activations, (rows, units)."""
        value, difference = self._tables(k, a).value_and_difference(values[None])
        return value[0], difference[0].T * self.sites[k].units.law.density(a)

    def _tables(self, k: int, a: Tensor) -> LayerTables:
        return LayerTables.build(self.sites[k].units.law, a)

    def site(self, k: int) -> Site:
        """Site of layer k."""
        return self.sites[k]

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
