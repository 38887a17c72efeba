"""Several processes with one model each, as ``torchrun`` starts them: each takes its part of every batch."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist

from estimlab.errors import EstimlabError

T = TypeVar("T", bound=nn.Module)


@dataclass(frozen=True)
class World:
    """Which of how many processes this one is.

    >>> World(rank=1, size=4).part(batch=100)
    slice(25, 50, None)
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and says what happens."""
        return self.rank == 0

    def part(self, batch: int) -> slice:
        """This process's examples of a global batch.

        Raises:
            EstimlabError: the batch does not divide into as many equal parts as there are processes.
        """
        if batch % self.size:
            raise EstimlabError(f"A batch of {batch} does not divide into {self.size} equal parts: change batch_size.")
        each = batch // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over the processes, in one message."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        for gradient, total in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(total.view_as(gradient))

    def add(self, number: Tensor) -> Tensor:
        """The sum of a tensor over the processes."""
        if self.size > 1:
            dist.all_reduce(number)
        return number

    def prepare(self, network: T, device: torch.device) -> T:
        """Batch norm over the global batch; equal parameters everywhere follow from equal seeds.

        Raises:
            EstimlabError: batch norm on several processes without a GPU, which torch does not offer.
        """
        normalised = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())
        if self.size == 1 or not normalised:
            return network
        if device.type != "cuda":
            raise EstimlabError(
                "Batch norm over several processes needs GPUs. On CPUs start the recipe without torchrun (one process "
                "uses all cores; OMP_NUM_THREADS says how many), or choose a recipe without batch norm, for example "
                "cifar10_psa or fashion."
            )
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)


@contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """The world that ``torchrun`` describes in the environment; alone where it does not.

    The group lasts as long as the process, as a second one would meet at the first one's address: a process that is
    ahead could join the group that another is about to leave, and both would wait for ever.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(dist.destroy_process_group)
    yield World(dist.get_rank(), size)


def choose_device(name: str) -> torch.device:
    """``auto`` is this process's GPU where there is one, else the CPU.

    Raises:
        EstimlabError: a device that this machine lacks.
    """
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EstimlabError(f"There is no device {name!r}: auto, cpu or cuda.") from error
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise EstimlabError("--device cuda: torch sees no GPU here; use --device cpu.")
        device = torch.device("cuda", local if device.index is None else device.index)
        torch.cuda.set_device(device)
    return device
