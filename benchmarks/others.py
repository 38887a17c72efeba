"""The same gradient by other libraries, where they are installed: storchastic's Expect and Pyro's TraceEnum_ELBO."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import torch
from torch import Tensor, nn

import estimlab as el
from benchmarks.networks import chain, largest_difference
from benchmarks.timing import Row, compare, row

EXACT = el.LayerwiseEnumeration()


def rows() -> list[Row]:
    """A row per library that is installed."""
    found = {"storch": ("storchastic Expect", storchastic), "pyro": ("Pyro TraceEnum_ELBO", pyro_enumeration)}
    installed = [entry for package, entry in found.items() if importlib.util.find_spec(package)]
    return [_against(*entry, width) for entry in installed for width in (4, 7)]


def _against(name: str, make: Callable[[el.Problem], Callable[[], dict[str, Tensor]]], width: int) -> Row:
    problem = chain([width, width])
    other = make(problem)
    ours, theirs = compare(lambda: EXACT.gradient(problem), other, rounds=5)
    difference = largest_difference(EXACT.gradient(problem).value, other())
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    return row(f"{name} over layers, {width}-{width}", ratios, "times", difference=difference, seconds=min(ours))


def _loss(problem: el.Problem, states: Tensor) -> Tensor:
    head: nn.Module = problem.network.head
    return nn.functional.softplus(-head(states)[..., 0])


def storchastic(problem: el.Problem) -> Callable[[], dict[str, Tensor]]:
    """Expect enumerates the joint states of each layer."""
    import storch
    from torch.distributions import Bernoulli

    network, parameters = problem.network, dict(problem.network.named_parameters())

    def gradient() -> dict[str, Tensor]:
        for parameter in parameters.values():
            parameter.grad = None
        states = problem.inputs[0]
        for k, stage in enumerate(network.stages):
            bits = storch.method.Expect(f"x{k}")(Bernoulli(logits=stage(states)))
            states = 2 * bits - 1
        storch.add_cost(_loss(problem, states), "loss")
        storch.backward()
        return {name: p.grad.clone() for name, p in parameters.items()}

    return gradient


def pyro_enumeration(problem: el.Problem) -> Callable[[], dict[str, Tensor]]:
    """Parallel enumeration of every unit as a site of the guide; the model repeats it: the ELBO is minus the loss."""
    import pyro
    from pyro.distributions import Bernoulli
    from pyro.infer import TraceEnum_ELBO

    network, parameters = problem.network, dict(problem.network.named_parameters())
    units = sum(site.size for site in problem.sites)

    def sample_all() -> Tensor:
        states = problem.inputs[0]
        for k, stage in enumerate(network.stages):
            logits = stage(states)
            names = [f"x{k}_{i}" for i in range(logits.shape[-1])]
            bits = [pyro.sample(name, Bernoulli(logits=logits[..., i])) for i, name in enumerate(names)]
            states = 2 * torch.stack(torch.broadcast_tensors(*bits), -1) - 1
        return states

    @pyro.infer.config_enumerate(default="parallel")
    def guide() -> None:
        sample_all()

    def model() -> None:
        pyro.factor("loss", -_loss(problem, sample_all()))

    elbo = TraceEnum_ELBO(max_plate_nesting=0, strict_enumeration_warning=False)
    assert units <= 20

    def gradient() -> dict[str, Tensor]:
        pyro.clear_param_store()
        loss = elbo.differentiable_loss(model, guide)
        grads = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        return dict(zip(parameters, (g for g in grads if g is not None), strict=True))

    return gradient
