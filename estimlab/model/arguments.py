"""What a user gives for a network, an objective and data, made into what is meant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from estimlab.arguments import count, described, is_number, plain, refusal
from estimlab.errors import EstimlabError
from estimlab.model.laws import NoiseLaw
from estimlab.model.network import StochasticNetwork
from estimlab.model.objectives import Objective
from estimlab.model.units import BinaryUnits, Units

OURS = {"CrossEntropyLoss": "el.CrossEntropy()", "NLLLoss": "el.CrossEntropy()", "MSELoss": "el.Quadratic()"}
OURS |= dict.fromkeys(("BCEWithLogitsLoss", "SoftMarginLoss"), "el.LogisticLoss(), with targets -1 or +1,")


def modules(value: Any, who: str, name: str) -> list[nn.Module]:
    """A list of modules; a bare one is refused, as its parts could be meant."""
    if isinstance(value, nn.Module) and not isinstance(value, nn.ModuleList):
        parts = f" or {who}(list(stage)) for one per part" if isinstance(value, nn.Sequential) else ""
        raise EstimlabError(
            f"{who}({name}={described(value)}): {name} must be a list with one module per layer of units. For one "
            f"layer write {who}([stage]){parts}."
        )
    if isinstance(value, (str, dict)) or not isinstance(value, Iterable):
        raise refusal(
            who,
            name,
            value,
            "a list with one module per layer of units",
            f"Write {who}([nn.Linear(3, 2), nn.Linear(2, 2)], head).",
        )
    found = [module(item, who, f"{name}[{index}]") for index, item in enumerate(value)]
    if not found:
        raise EstimlabError(f"{who}({name}=[]): a chain needs at least one stage, for example nn.Linear(64, 10).")
    return found


def module(value: Any, who: str, name: str) -> nn.Module:
    """A module of torch."""
    if isinstance(value, nn.Module):
        return value
    if isinstance(value, type):
        raise refusal(who, name, value, "a module", f"Build it: {value.__name__}(...).")
    advice = "Put a function into a class that derives from nn.Module." if callable(value) else ""
    raise refusal(who, name, value, "a module such as nn.Linear(3, 2)", advice)


def network(value: Any) -> StochasticNetwork:
    """A network of binary units."""
    if isinstance(value, StochasticNetwork):
        return value
    advice = ""
    if isinstance(value, type):
        advice = f"Build it: {value.__name__}(...)."
    elif isinstance(value, nn.Module):
        advice = "Give its parts to a chain: el.Chain([stage, stage], head), without activations between them."
    elif callable(value):
        advice = "The network comes first, the objective second: swap the two."
    elif isinstance(value, (list, tuple)):
        advice = "Write el.Chain([...], head)."
    raise refusal("Problem", "network", value, "an el.Chain or another StochasticNetwork", advice)


def uniform_parameters(network: nn.Module) -> Tensor:
    """A parameter, after all have turned out to be of one floating type and on one device."""
    parameters = dict(network.named_parameters())
    if not parameters:
        raise EstimlabError("Problem: the network has no parameters, so there is no gradient to estimate.")
    first, *_ = parameters
    for name, parameter in parameters.items():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise EstimlabError(
                f"Problem: the parameter {name!r} has no shape yet. Pass inputs through the lazy module once, or give "
                "its width, as in nn.Linear(3, 2)."
            )
        for what in ("dtype", "device"):
            mine, firsts = getattr(parameter, what), getattr(parameters[first], what)
            if mine != firsts:
                how = "network.double()" if what == "dtype" else f"network.to({firsts.type!r})"
                raise EstimlabError(f"Problem: {first!r} is {firsts}, {name!r} is {mine}. Make them one, as by {how}.")
    if parameters[first].device.type == "meta":
        raise EstimlabError("Problem: the network is on the meta device and holds no numbers. Build it on 'cpu'.")
    return parameters[first]


def place(dtype: Any, device: Any) -> tuple[torch.dtype | None, torch.device | None]:
    """A floating type and a device that this machine has; a device may come first, as in ``tensor.to("cuda")``."""
    if isinstance(dtype, (str, torch.device)) and device is None and not _dtype(dtype):
        if str(dtype).partition(":")[0] not in ("cpu", "cuda", "mps", "xpu", "meta"):
            raise refusal("Problem.to", "dtype", dtype, "a floating type such as torch.float64, or a device as 'cpu'")
        dtype, device = None, dtype
    kind = _dtype(dtype)
    if dtype is not None and (kind is None or not kind.is_floating_point):
        raise refusal("Problem.to", "dtype", dtype, "a floating type such as torch.float64")
    return kind, None if device is None else _device(device)


def _dtype(value: Any) -> torch.dtype | None:
    found = getattr(torch, value.removeprefix("torch."), None) if isinstance(value, str) else value
    return found if isinstance(found, torch.dtype) else None


def _device(value: Any) -> torch.device:
    try:
        device = torch.device(value)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        said = str(error).splitlines()[0].partition(":")[0][:80]
        raise refusal(
            "Problem.to", "device", value, "a device of this machine, for example 'cpu'", f"Torch says: {said}"
        ) from error
    if device.type == "meta":
        raise refusal("Problem.to", "device", value, "a device that holds numbers, for example 'cpu'")
    return device


def binary_units(value: Any, who: str, name: str) -> BinaryUnits:
    """Binary units; of a law (an instance, a class or a name) with states -1 and +1."""
    is_law = isinstance(value, (NoiseLaw, str)) or (isinstance(value, type) and issubclass(value, NoiseLaw))
    law = NoiseLaw.given(value, who, name) if is_law else None
    found: BinaryUnits = BinaryUnits.given(value, who, name) if law is None else BinaryUnits(law)
    return found


def units(value: Any, who: str, name: str) -> Units:
    """Units of any kind, of a class without required fields too; else what stands for binary ones."""
    if isinstance(value, Units) or (isinstance(value, type) and issubclass(value, Units)):
        found: Units = Units.given(value, who, name)
        return found
    return binary_units(value, who, name)


def units_of_layers(value: Any, depth: int) -> tuple[Units, ...]:
    """Units of each layer: one kind for all, or one each."""
    if value is None:
        return (BinaryUnits(),) * depth
    if isinstance(value, (list, tuple)):
        each = tuple(units(one, "Chain", f"units[{index}]") for index, one in enumerate(value))
        if len(each) != depth:
            raise EstimlabError(
                f"Chain got {depth} stages and {len(each)} units: give one kind for all layers or exactly one "
                "per stage."
            )
        return each
    return (units(value, "Chain", "units"),) * depth


def objective(value: Any) -> Any:
    """An objective, a class or a name of one, or a function of output and target; a loss that averages is refused."""
    if isinstance(value, str) or (isinstance(value, type) and issubclass(value, Objective)):
        return Objective.given(value, "Problem", "objective")
    cls = value if isinstance(value, type) else type(value)
    if issubclass(cls, nn.modules.loss._Loss) and getattr(value, "reduction", "mean") != "none":
        ours = OURS.get(cls.__name__)
        advice = f"Write {ours} instead" if ours else f"Write nn.{cls.__name__}(reduction='none')"
        raise EstimlabError(
            f"Problem(objective={described(value)}): the objective must return one value per example, and "
            f"nn.{cls.__name__} averages over them by default. {advice}."
        )
    if isinstance(value, type):
        raise refusal("Problem", "objective", value, "an instance", f"Build it: {value.__name__}(...).")
    if not callable(value):
        allowed = "el.CrossEntropy(), another objective of el, or a function (output, target) -> one value per example"
        raise refusal("Problem", "objective", value, allowed)
    return value


def data(value: Any, who: str, name: str, like: Tensor, floats: bool = False) -> Tensor | None:
    """A tensor as it is; numbers of numpy, pandas or a list as a tensor on the network's device.

    Fractions take the network's floating type, and so do integers where ``floats`` says that numbers are meant; other
    integers become ``torch.long``.
    """
    if value is None:
        return None
    if isinstance(value, (type, str, dict)):
        raise refusal(who, name, value, "a tensor, an array or a list of numbers", "")
    if not isinstance(value, Tensor):
        value = _tensor(value, who, name).to(like.device)
        if value.is_floating_point() or floats:
            value = value.to(like.dtype)
    elif not floats and value.dtype in (torch.int8, torch.int16, torch.int32, torch.uint8):
        value = value.long()
    if value.is_complex():
        raise refusal(who, name, value, "real", f"Give its parts, for example torch.view_as_real({name}).")
    if value.device != like.device:
        raise EstimlabError(
            f"{who}: {name} are on {value.device}, the network is on {like.device}. Move one, for example by "
            f"{name}.to({like.device.type!r})."
        )
    return value


def numbers(value: Any, who: str, name: str) -> Tensor:
    """A tensor of its own, made of a list, an array or a tensor of finite numbers; zeros, of a whole number."""
    if type(value) is int or isinstance(value, np.integer):
        return torch.zeros(count(value, who, name, 1))
    if is_number(plain(value)):
        advice = f"Write {who}([{value}]) for one unit that starts there."
        raise refusal(who, name, value, "a number of units or a list of pre-activations", advice)
    found = value.detach().clone() if isinstance(value, Tensor) else _tensor(value, who, name)
    found = found if found.is_floating_point() else found.to(torch.get_default_dtype())
    if found.ndim == 0 or found.numel() == 0:
        raise refusal(who, name, value, "at least one number in a list", f"For example {who}([0.3, -1.0]).")
    if not bool(torch.isfinite(found).all()):
        raise refusal(who, name, value, "finite numbers", "It holds NaN or an infinity.")
    return found


def _tensor(value: Any, who: str, name: str) -> Tensor:
    """Of numbers alone; floats of a list take torch's default type."""
    allowed = "a tensor, an array or a list of numbers"
    if not isinstance(value, Iterable) and not is_number(plain(value)):
        raise refusal(who, name, value, allowed)
    listed = list(value) if isinstance(value, Iterable) and not hasattr(value, "__array__") else value
    if isinstance(listed, list) and listed and all(isinstance(item, Tensor) for item in listed):
        return _stacked(listed, who, name)
    try:
        array = np.array(listed)
    except ValueError as error:
        raise refusal(who, name, value, allowed, "Its rows have different lengths.") from error
    if array.dtype.kind not in "fiub":
        what = "texts" if array.dtype.kind in "US" else f"{array.dtype} objects"
        raise refusal(who, name, value, allowed, f"It holds {what}.")
    wide = array.astype(np.int64) if array.dtype.kind in "iu" else array
    return torch.from_numpy(wide) if array.dtype.kind != "f" or hasattr(value, "__array__") else torch.tensor(listed)


def _stacked(tensors: list[Tensor], who: str, name: str) -> Tensor:
    try:
        return torch.stack(tensors)
    except RuntimeError as error:
        raise refusal(who, name, tensors, "tensors of one shape", str(error)) from error


def check_expected(expected: Any, batch: int) -> None:
    """Raise unless it is one number per example."""
    if not isinstance(expected, Tensor) or tuple(expected.shape) != (batch,):
        raise refusal("Problem", "expected", expected, f"one number per example, a tensor of shape ({batch},)")


def advice(inputs: Tensor | None) -> str:
    """What to look at where a network cannot be evaluated on its inputs."""
    if inputs is None:
        return "Give inputs=..., or begin with el.Logits, a stage without input."
    if not inputs.is_floating_point():
        return f"The inputs are {inputs.dtype}: where the first stage takes fractions, write inputs.float()."
    return "Check that the input width fits the first stage, and each layer's width the next stage."


def check_examples(inputs: Tensor | None, targets: Tensor | None, dtype: torch.dtype) -> None:
    """Raise unless there are examples, one input and one target each, in the network's floating type."""
    for name, data in (("inputs", inputs), ("targets", targets)):
        if data is not None and (data.ndim == 0 or len(data) == 0):
            raise EstimlabError(
                f"Problem: {name} have shape {tuple(data.shape)}; the first dimension is the batch. Give at least "
                f"one example, for one {name}[None]."
            )
    if inputs is None:
        if targets is not None and len(targets) != 1:
            raise EstimlabError(
                f"Problem: a network without inputs has one example, but there are {len(targets)} targets."
            )
        return
    if inputs.is_floating_point() and inputs.dtype != dtype:
        raise EstimlabError(
            f"Problem: inputs are {inputs.dtype}, the network is {dtype}: "
            f"convert one, for example inputs.to({dtype}) or network.double()."
        )
    if targets is not None and len(targets) != len(inputs):
        raise EstimlabError(f"Problem: {len(inputs)} inputs and {len(targets)} targets; give one each.")
