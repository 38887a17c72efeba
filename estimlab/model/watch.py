"""What a call does besides returning a result: random numbers that it draws, given tensors that it writes into."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from estimlab.errors import Impurity


@dataclass(frozen=True)
class Incident:
    """What was seen.

    Attributes:
        reason: a draw or a write.
        module: name of the innermost module that was running, empty where none was.
        kind: repr of a module without children, else its class.
        operation: the tensor operation.
    """

    reason: Impurity
    module: str
    kind: str
    operation: str


class Watch(TorchDispatchMode):
    """Sees every tensor operation inside its block; remembers the first incident.

    A write is one into the memory of a tensor that was handed over (so also into a view, or through ``.data``), even
    where it writes the numbers that were there. A draw is an operation that moves a generator, global or not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.incident: Incident | None = None
        self._handed: dict[int, Tensor] = {}  # by address; kept alive, so that no address is used again
        self._running: list[tuple[str, nn.Module]] = []

    def hand_over(self, given: Any) -> None:
        """Tensors, in any nesting, that the calls which follow must leave alone."""
        for tensor in _tensors(given):
            self._handed[_address(tensor)] = tensor

    @contextmanager
    def names_of(self, network: nn.Module) -> Iterator[None]:
        """Within the block incidents name the module of the network that was running."""
        handles = []
        for name, module in network.named_modules():
            handles.append(module.register_forward_pre_hook(partial(self._enter, name)))
            handles.append(module.register_forward_hook(self._leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler at the first operation: seconds

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        schema = getattr(func, "_schema", None)
        if schema is not None and schema.is_mutable and self._writes(schema, args, kwargs):
            self._see(Impurity.WRITES, str(func))
        if torch.Tag.nondeterministic_seeded not in getattr(func, "tags", ()):
            return func(*args, **kwargs)
        # the tag is on attention and recurrent layers without dropout too: only a moved generator is a draw
        generators = [*_generators(), *(g for g in tree_leaves((args, kwargs)) if isinstance(g, torch.Generator))]
        before = [generator.get_state() for generator in generators]
        result = func(*args, **kwargs)
        if any(not torch.equal(g.get_state(), state) for g, state in zip(generators, before, strict=True)):
            self._see(Impurity.DRAWS, str(func))
        return result

    def _writes(self, schema: Any, args: Any, kwargs: Any) -> bool:
        names = [argument.name for argument in schema.arguments]
        given = dict(zip(names, args, strict=False)) | kwargs
        written = [given.get(a.name) for a in schema.arguments if a.alias_info is not None and a.alias_info.is_write]
        return any(_address(tensor) in self._handed for tensor in _tensors(written))

    def _see(self, reason: Impurity, operation: str) -> None:
        if self.incident is None:
            name, module = self._running[-1] if self._running else ("", None)
            leaf = module is not None and next(module.children(), None) is None
            self.incident = Incident(reason, name, repr(module) if leaf else type(module).__name__, operation)

    def _enter(self, name: str, module: nn.Module, arguments: Any) -> None:
        self._running.append((name, module))

    def _leave(self, module: nn.Module, arguments: Any, output: Any) -> None:
        self._running.pop()


@contextmanager
def undisturbed(network: nn.Module) -> Iterator[None]:
    """Global generators and the network's buffers are after the block what they were before."""
    generators = _generators()
    before = [generator.get_state() for generator in generators], random.getstate(), np.random.get_state()  # noqa: NPY002
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    try:
        yield
    finally:
        for generator, state in zip(generators, before[0], strict=True):
            generator.set_state(state)
        random.setstate(before[1])
        np.random.set_state(before[2])  # noqa: NPY002
        with torch.no_grad():
            for buffer, value in buffers:
                if not torch.equal(buffer, value):
                    buffer.copy_(value)


def numpy_state() -> tuple[Any, ...]:
    """State of numpy's global generator, to be compared."""
    name, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
    return (name, np.asarray(keys).tobytes(), *rest)


def _generators() -> list[torch.Generator]:
    used = torch.cuda.is_available() and torch.cuda.is_initialized()
    return [torch.default_generator, *(torch.cuda.default_generators if used else ())]


def _tensors(given: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(given) if isinstance(leaf, Tensor) and leaf.layout is torch.strided]


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
