"""What a reference and an estimator both receive."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from estimlab.arguments import count
from estimlab.declared import Declared
from estimlab.errors import EstimlabError, ImpureError, Impurity
from estimlab.model import arguments
from estimlab.model.chain import Chain
from estimlab.model.network import Activation, StochasticNetwork, all_low
from estimlab.model.objectives import check_objective
from estimlab.model.probe import private, probe
from estimlab.model.units import LayerOfUnits, Site
from estimlab.model.watch import undisturbed

_Embeddings = (nn.Embedding, nn.EmbeddingBag)  # read integers


@dataclass(frozen=True, eq=False, repr=False)
class Problem(Declared):
    """A network, an objective and data: minimise the mean over examples of the expected objective.

    Checked at construction: widths, targets, finite inputs and parameters; and, by calling them on a few rows, that
    every stage, the head and the objective are functions of one example: they leave what they are given as it was, give
    the same twice, and a batch is its rows (``estimlab.model.probe``). Compared by identity.

    Args:
        network: a ``StochasticNetwork``.
        objective: ``objective(output, target) -> (batch,)``, an ``el.Objective`` or any callable.
        inputs: of shape (batch, ...), in the network's dtype; None for a network without input (one example).
        targets: of shape (batch, ...), or None.
        expected: expected objective of each example where it is known, as REINFORCE's exact-mean baseline reads it;
            ``el.measure`` and ``with_expected`` fill it in from a reference.

    Errors:
        ImpureError: a stage, the head or the objective writes in place, draws, couples examples or keeps state; its
            ``reason`` says which, its ``where`` the module.
        EstimlabError: whatever else does not fit.

    >>> import estimlab as el
    >>> el.Problem(el.Chain([el.Logits(3)]), el.Quadratic(linear=(1.0, 2.0, 3.0)))
    <Problem: Quadratic of 3 BinaryUnits(law=Logistic(scale=1.0), low=-1.0, high=1.0), 1 example, float32>
    """

    network: StochasticNetwork
    objective: Callable[[Tensor, Tensor | None], Tensor]
    inputs: Tensor | None = None
    targets: Tensor | None = None
    expected: Float[Tensor, " batch"] | None = None
    sites: tuple[Site, ...] = field(init=False, repr=False)
    layered: tuple[LayerOfUnits, ...] | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.check_finite()
        self.check_independent()
        self._check_data()
        with undisturbed(self.network):
            tried = private(self.network)
            layered, sites = self._find_sites(tried)
            object.__setattr__(self, "layered", layered)
            object.__setattr__(self, "sites", sites)
            probe(self.network, tried, layered, sites, self.objective, self.inputs, self.targets)

    def __repr__(self) -> str:
        """Units, laws, objective and number of examples; the network, inputs and targets are long."""
        layers: tuple[Site, ...] | tuple[LayerOfUnits, ...] = self.sites if self.layered is None else self.layered
        widths = "-".join(str(layer.size if isinstance(layer, Site) else layer.count) for layer in layers)
        units = " and ".join(dict.fromkeys(repr(layer.units) for layer in layers))
        objective = getattr(self.objective, "__name__", type(self.objective).__name__)
        examples = f"{self.batch} example{'s' if self.batch > 1 else ''}"
        return f"<Problem: {objective} of {widths} {units}, {examples}, {str(self.dtype).removeprefix('torch.')}>"

    @classmethod
    def choices(cls) -> list[type]:
        """None has a name here."""
        return []

    @classmethod
    def called(cls) -> str:
        """What one is called in a sentence."""
        return "an el.Problem(network, objective, inputs, targets)"

    @classmethod
    def advice(cls, value: Any) -> str:
        """What to write in place of what is often given for one."""
        if isinstance(value, str):
            return "A frozen one is had by el.problems.load('toy-late/v1')."
        if isinstance(value, nn.Module):
            return "Put the network into one, with its objective and data."
        is_estimator = hasattr(value, "surrogate")
        return "The problem comes first, the estimator second: swap the two." if is_estimator else ""

    def _convert(self) -> None:
        """Make each argument what is meant by it, or refuse it."""
        network = arguments.network(self.network)
        like = arguments.uniform_parameters(network)
        floats = not any(isinstance(module, _Embeddings) for module in network.modules())
        taken = {
            "objective": arguments.objective(self.objective),
            "inputs": arguments.data(self.inputs, "Problem", "inputs", like, floats),
            "targets": arguments.data(self.targets, "Problem", "targets", like),
            "expected": arguments.data(self.expected, "Problem", "expected", like, floats=True),
        }
        for name, value in taken.items():
            object.__setattr__(self, name, value)

    @property
    def batch(self) -> int:
        """Number of examples."""
        data = self.inputs if self.inputs is not None else self.targets
        return 1 if data is None else len(data)

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the network."""
        return next(self.network.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return next(self.network.parameters()).device

    @cached_property
    def distinct_targets(self) -> tuple[tuple[Tensor | None, Int[Tensor, " examples"]], ...]:
        """Each distinct target with the numbers of its examples; one entry, None, where there are no targets.

        Value tables of exact recursions depend on the target, so their cost is counted in distinct targets.
        """
        if self.targets is None:
            return ((None, torch.arange(self.batch, device=self.device)),)
        dim = None if self.targets.ndim == 1 else 0  # torch.unique sorts numbers faster than rows
        distinct, group = torch.unique(self.targets, dim=dim, return_inverse=True)
        return tuple((target, torch.nonzero(group == number)[:, 0]) for number, target in enumerate(distinct))

    def value(self, output: Tensor) -> Float[Tensor, " batch"]:
        """The objective at a network output, one value per example."""
        return self.objective(output, self.targets)

    def run(self, activation: Activation, start: int = 0, carry: Any = None) -> Float[Tensor, " batch"]:
        """The objective after one pass in which ``activation(k, a, carry)`` gives the states of site k.

        Args:
            activation: as ``StochasticNetwork.run`` takes it.
            start: first site of the pass.
            carry: before that site; of the inputs where the pass starts at the first.
        """
        network = self.network
        if start == 0:
            carry = network.initial(self.inputs)
        return self.value(network.output(network.through(carry, activation, start, len(self.sites))))

    def to(self, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Problem:
        """The problem in another floating type or on another device: itself where it is there already, else a copy."""
        dtype, device = arguments.place(dtype, device)
        if dtype in (None, self.dtype) and (device is None or torch.device(device) == self.device):
            return self

        def move(tensor: Tensor | None) -> Tensor | None:
            if tensor is None:
                return None
            return tensor.to(dtype=dtype if tensor.is_floating_point() else None, device=device)

        network = copy.deepcopy(self.network).to(dtype=dtype, device=device)
        return self._with(
            network=network, inputs=move(self.inputs), targets=move(self.targets), expected=move(self.expected)
        )

    def copy(self) -> Problem:
        """The same problem with a network of its own."""
        return self.with_network(copy.deepcopy(self.network))

    def differentiable(self, dtype: torch.dtype) -> Problem:
        """In the given floating type, every parameter differentiable: freezing one is a choice of training only."""
        problem = self.to(dtype=dtype)
        if all(p.requires_grad for p in problem.network.parameters()):
            return problem
        problem = problem.copy()
        problem.network.requires_grad_(True)
        return problem

    def example(self, index: int) -> Problem:
        """The problem of one example; the network is shared, not copied."""
        index = count(index, "Problem.example", "index", 0, self.batch - 1)

        def pick(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor[index : index + 1]

        return self._with(inputs=pick(self.inputs), targets=pick(self.targets), expected=pick(self.expected))

    def repeated(self, times: int) -> Problem:
        """The problem of all examples, one after the other, the given number of times; the network is shared."""

        def repeat(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.repeat(times, *(1,) * (tensor.ndim - 1))

        empty = torch.empty(1, 0, dtype=self.dtype, device=self.device)  # tells the batch to a network without input
        inputs = empty if self.inputs is None else self.inputs
        return self._with(inputs=repeat(inputs), targets=repeat(self.targets), expected=repeat(self.expected))

    def with_data(self, inputs: Tensor | None, targets: Tensor | None) -> Problem:
        """The same network and objective on another batch of the same kind, which is not checked again."""
        return self._with(inputs=inputs, targets=targets, expected=None)

    def with_network(self, network: StochasticNetwork) -> Problem:
        """The same objective and data with a network of the same sites, which is not checked again."""
        return self._with(network=network, inputs=self.inputs, targets=self.targets, expected=self.expected)

    def with_expected(self, expected: Float[Tensor, " batch"]) -> Problem:
        """The same problem with the expected objective of each example attached."""
        arguments.check_expected(expected, self.batch)
        data = {"inputs": self.inputs, "targets": self.targets}
        return self._with(**data, expected=expected.to(dtype=self.dtype, device=self.device))

    def _with(self, **data: Any) -> Problem:
        """The same network and sites on data made of the present data: nothing to check again."""
        derived = object.__new__(Problem)
        values = {name: getattr(self, name) for name in ("network", "objective", "sites", "layered")} | data
        for name, value in values.items():
            object.__setattr__(derived, name, value)
        return derived

    def check_finite(self) -> None:
        """Raise where a parameter, an input or a floating target is NaN or infinite."""
        tensors: list[tuple[str, Tensor | None]] = [
            (f"the parameter {name!r}", p) for name, p in self.network.named_parameters()
        ]
        tensors += [("inputs", self.inputs), ("targets", self.targets)]
        for name, tensor in tensors:
            if tensor is not None and tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                count = int((~torch.isfinite(tensor)).sum())
                raise EstimlabError(
                    f"Problem: {name} holds {count} NaN or infinite value(s) of {tensor.numel()}. "
                    "Load or train the network again, or clean the data."
                )

    def check_independent(self) -> None:
        """Raise where a module couples examples or draws noise of its own: what is measured would not be one draw."""
        for name, module in self.network.named_modules():
            couples = isinstance(module, _BatchNorm) and (module.training or module.running_mean is None)
            if couples or (isinstance(module, _DropoutNd) and module.training and module.p > 0):
                raise ImpureError(
                    f"The module {name!r} ({type(module).__name__}) couples examples or is random in this mode. Call "
                    "network.eval(), with running statistics tracked, so that each stage is a deterministic function "
                    "of one example's state.",
                    Impurity.COUPLES if couples else Impurity.DRAWS,
                    name,
                )

    def _check_data(self) -> None:
        if next(self.network.parameters(), None) is None:
            raise EstimlabError("Problem: the network has no parameters, so there is no gradient to estimate.")
        arguments.check_examples(self.inputs, self.targets, self.dtype)
        if self.expected is not None:
            arguments.check_expected(self.expected, self.batch)

    @property
    def depth(self) -> int:
        """Number of layers: of sites, where the network is no chain of layers."""
        return len(self.sites if self.layered is None else self.layered)

    def chain_of_layers(self, who: str) -> tuple[Chain, tuple[LayerOfUnits, ...]]:
        """The network and its layers, for ``who`` walks them.

        Errors:
            EstimlabError: the network is no chain of layers.
        """
        if self.layered is None or not isinstance(self.network, Chain):
            raise EstimlabError(
                f"{who} works on an el.Chain, this network is a {type(self.network).__name__}. For other networks of "
                "few units use el.PathEnumeration()."
            )
        return self.network, self.layered

    def _find_sites(self, network: StochasticNetwork) -> tuple[tuple[LayerOfUnits, ...] | None, tuple[Site, ...]]:
        """Layers and sites, after one pass with every unit low has shown that all shapes fit together."""
        inputs, targets = _cloned(self.inputs), _cloned(self.targets)
        given = "no inputs" if self.inputs is None else f"inputs of shape {tuple(self.inputs.shape)}"
        try:
            with torch.no_grad():
                layered = network.layered(inputs)
                sites = network.sites(inputs) if layered is None else tuple(s for one in layered for s in one.sites)
                output = network.run(inputs, all_low(sites), len(sites))
        except EstimlabError:
            raise
        except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise EstimlabError(
                f"Problem: the network cannot be evaluated on {given}: {error}. {arguments.advice(self.inputs)}"
            ) from error
        with torch.no_grad():
            check_objective(self.objective, output, targets)
        return layered, sites


def _cloned(data: Tensor | None) -> Tensor | None:
    return None if data is None else data.clone()
