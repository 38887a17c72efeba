"""What a problem is, as digests: by them a reference knows whether it belongs to the problem it is handed with."""

from __future__ import annotations

import enum
import functools
import hashlib
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from estimlab.model.units import BinaryUnits

if TYPE_CHECKING:
    from estimlab.model.problem import Problem

FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
COARSER: dict[torch.dtype | None, tuple[torch.dtype, ...]] = {
    torch.float64: FLOATS,
    torch.float32: FLOATS[1:],
    torch.bfloat16: FLOATS[2:],
    torch.float16: FLOATS[2:],
}
DEPTH = 8  # of objects within objects that an objective is told apart by


@dataclass(frozen=True)
class Numbers:
    """Digests of a tensor's shape and numbers, in its own precision and in every coarser one.

    So a copy in another precision is recognised: the two are compared in the coarser one, bit by bit.

    Attributes:
        precision: floating type; int64 for integers, None where there is no tensor.
        digests: by precision.
    """

    precision: torch.dtype | None
    digests: Mapping[torch.dtype | None, str]

    @classmethod
    def of(cls, tensor: Tensor | None) -> Numbers:
        """Of a tensor, or of none."""
        own = _precision(tensor)
        return cls(own, {one: _digest(tensor, one) for one in COARSER.get(own, (own,))})

    def match(self, tensor: Tensor | None) -> bool:
        """Whether these are the tensor's numbers."""
        theirs = _precision(tensor)
        if (theirs in FLOATS) != (self.precision in FLOATS):
            return False
        common = theirs if theirs in self.digests else self.precision
        return self.digests[common] == _digest(tensor, common)


@dataclass(frozen=True)
class Fingerprint:
    """Digests of a problem's parameters, data, objective and network. No names of files or modules enter.

    Attributes:
        parameters: of each block.
        inputs: of the inputs.
        targets: of the targets.
        buffers: of the network's buffers, without numbers that count (integers without dimension).
        network: what the network prints as, with the shape, law and coding of every site.
        objective: an object by its class, fields and the code of its call; a function by its code, defaults, closure,
            and what it reads of its own module: numbers, texts, tensors, functions. None where calling it changes it
            (it counts its calls): then it is not compared.
    """

    parameters: Mapping[str, Numbers]
    inputs: Numbers
    targets: Numbers
    buffers: Mapping[str, Numbers]
    network: str
    objective: str | None

    @classmethod
    def of(cls, problem: Problem) -> Fingerprint:
        """Of the problem as it is now."""
        return cls(
            parameters={name: Numbers.of(p) for name, p in problem.network.named_parameters()},
            inputs=Numbers.of(problem.inputs),
            targets=Numbers.of(problem.targets),
            buffers={name: Numbers.of(buffer) for name, buffer in _buffers(problem.network)},
            network=_structure(problem),
            objective=identity(problem.objective),
        )

    def after(self, problem: Problem) -> Fingerprint:
        """The same once the objective has been called: without it, where that changed it."""
        return self if identity(problem.objective) == self.objective else replace(self, objective=None)

    def differences(self, problem: Problem) -> Iterator[str]:
        """What of the problem is not what it was."""
        changed = [name for name, p in problem.network.named_parameters() if not _match(self.parameters, name, p)]
        if changed:
            yield f"parameters ({', '.join(changed[:3])}{', ...' * (len(changed) > 3)})"
        if not self.inputs.match(problem.inputs):
            yield "inputs"
        if not self.targets.match(problem.targets):
            yield "targets"
        if self.objective is not None and identity(problem.objective) != self.objective:
            yield "objective"
        buffers = [name for name, buffer in _buffers(problem.network) if not _match(self.buffers, name, buffer)]
        if self.network != _structure(problem) or buffers:
            yield f"network (buffers {', '.join(buffers[:3])})" if buffers else "network"


def identity(value: Any) -> str:
    """A digest of what an objective computes, as far as its fields, its code and what that reads tell."""
    return hashlib.blake2b(repr(_content(value, DEPTH, None)).encode(), digest_size=16).hexdigest()


def _content(value: Any, depth: int, home: str | None) -> Any:
    """Nested tuples of names and texts; ``home`` is the module whose functions are followed."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | enum.Enum):
        return repr(value)
    if isinstance(value, Tensor):
        return _digest(value, _precision(value))
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, hashlib.blake2b(np.ascontiguousarray(value).tobytes()).hexdigest()
    if isinstance(value, type | types.ModuleType | types.BuiltinFunctionType):
        return value.__name__
    if depth == 0:
        return type(value).__qualname__
    inner = functools.partial(_content, depth=depth - 1, home=home)
    if isinstance(value, Mapping):
        return tuple((repr(key), inner(item)) for key, item in value.items())
    if isinstance(value, tuple | list):
        return tuple(map(inner, value))
    if isinstance(value, set | frozenset):
        return tuple(sorted(map(repr, value)))
    if isinstance(value, types.MethodType):
        return inner(value.__func__), inner(value.__self__)
    if isinstance(value, functools.partial):
        return inner(value.func), inner(value.args), inner(value.keywords)
    if isinstance(value, types.FunctionType):
        return _function(value, depth, home)
    return type(value).__qualname__, inner(_state(value)), inner(_call(value))


def _state(value: Any) -> dict[str, Any]:
    """The fields of an object; of a module also its tensors and parts."""
    if is_dataclass(value):
        return {field.name: getattr(value, field.name, None) for field in fields(value)}
    state = {name: item for name, item in getattr(value, "__dict__", {}).items() if name[:1] != "_"}
    if isinstance(value, nn.Module):
        state.pop("training", None)
        state |= {"tensors": value.state_dict(), "parts": dict(value.named_children())}
    return state


def _call(value: Any) -> Any:
    """The code of a user's class; that of this package changes with its version and not with the problem."""
    kind = type(value)
    own = kind.__module__.partition(".")[0] not in ("estimlab", "torch")
    return getattr(kind, "forward" if isinstance(value, nn.Module) else "__call__", None) if own else None


def _function(function: types.FunctionType, depth: int, home: str | None) -> Any:
    home = home or function.__module__
    if function.__module__ != home:
        return function.__qualname__
    inner = functools.partial(_content, depth=depth - 1, home=home)
    cells = [cell.cell_contents for cell in function.__closure__ or () if _filled(cell)]
    read = {name: function.__globals__.get(name) for name in sorted(_names(function.__code__))}
    kinds = (bool, int, float, complex, str, Tensor, np.ndarray, types.FunctionType)
    read = {name: item for name, item in read.items() if isinstance(item, kinds) and item is not function}
    given = (function.__defaults__, function.__kwdefaults__, cells, read)
    return _code(function.__code__), inner(given)


def _code(code: types.CodeType) -> Any:
    constants = [
        _code(one) if isinstance(one, types.CodeType) else _content(one, DEPTH, None) for one in code.co_consts
    ]
    return code.co_code.hex(), tuple(constants), code.co_names, code.co_varnames


def _names(code: types.CodeType) -> set[str]:
    inner = [_names(one) for one in code.co_consts if isinstance(one, types.CodeType)]
    return set(code.co_names).union(*inner)


def _filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _structure(problem: Problem) -> str:
    text = f"{problem.network!r} {[(site.shape, site.units, site.shared) for site in problem.sites]!r}"
    others = [layer for layer in problem.layered or () if not isinstance(layer.units, BinaryUnits)]
    text += f" {others!r}" if others else ""  # of binary units the sites say it all
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def _buffers(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, buffer in network.named_buffers():
        if buffer.ndim > 0 or buffer.is_floating_point():
            yield name, buffer


def _match(numbers: Mapping[str, Numbers], name: str, tensor: Tensor) -> bool:
    return name in numbers and numbers[name].match(tensor)


def _precision(tensor: Tensor | None) -> torch.dtype | None:
    """The type in which a tensor is digested: its own, int64 for integers and truth values."""
    if tensor is None:
        return None
    return tensor.dtype if tensor.is_floating_point() or tensor.is_complex() else torch.int64


def _digest(tensor: Tensor | None, dtype: torch.dtype | None) -> str:
    if tensor is None:
        return "none"
    numbers = tensor.detach().to(dtype=dtype).cpu().contiguous().flatten()
    digest = hashlib.blake2b(repr(tuple(tensor.shape)).encode(), digest_size=16)
    digest.update(numbers.view(torch.uint8).numpy().data)
    return digest.hexdigest()
