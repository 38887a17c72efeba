"""The loop: steps, epochs, checkpoints; resumed bit for bit, on one process or several."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from estimlab.errors import EstimlabError
from estimlab.files import require_writable
from estimlab.training.checkpoint import load_checkpoint, save_checkpoint
from estimlab.training.configuration import Configuration, Execution
from estimlab.training.counter_noise import row_keys
from estimlab.training.data import Dataset
from estimlab.training.data.batches import shuffled
from estimlab.training.diagnostics import culprit, diagnose
from estimlab.training.distributed import World, choose_device, joined
from estimlab.training.evaluation import Accuracy, Mode, accuracy
from estimlab.training.listener import Listener
from estimlab.training.record import CHECKPOINT, Record
from estimlab.training.trainee import Trainee

EVALUATION_BATCH = 1000


class TrainingStopped(EstimlabError):
    """Training met a NaN or an infinity; the message names the layer."""


def train(
    configuration: Configuration,
    out: Path | None = None,
    execution: Execution | None = None,
    resume: bool = False,
    listener: Listener | None = None,
) -> Session:
    """Train, and return the session with its trained network and its metrics.

    Args:
        configuration: what is trained.
        out: folder of checkpoint, metrics and provenance; None: nothing is written.
        execution: device and the like.
        resume: go on from the folder's checkpoint where there is one.
        listener: told about every step and epoch.

    Raises:
        EstimlabError: missing data, NaN in a layer, a folder of another run, a corrupt checkpoint.

    >>> import estimlab as el
    >>> from estimlab.training.recipes import find_recipe
    >>> configuration = Configuration(find_recipe("digits")(epochs=1, examples=200, widths=(10,)), el.ZGR())
    >>> one, same = (train(configuration, execution=Execution(device="cpu")).record for _ in range(2))
    >>> one.metrics[-1]["test_loss"] == same.metrics[-1]["test_loss"]
    True
    """
    execution = execution or Execution()
    if out is not None:
        require_writable(out / CHECKPOINT, out / "run.json")
    device = choose_device(execution.device)
    listener = listener or Listener()
    with joined(device) as world, torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        session = Session(configuration, execution, device, world, out)
        session.begin(resume)
        try:
            _run(session, listener)
        except KeyboardInterrupt as interrupt:
            raise type(interrupt)(_so_far(session)) from None
        if session.epoch == configuration.recipe.epochs:
            session.finish()
    return session


def _run(session: Session, listener: Listener) -> None:
    """Epochs until the last one, or until the execution says so."""
    began, execution, recipe = time.monotonic(), session.execution, session.recipe
    last = min(execution.stop_after or recipe.epochs, recipe.epochs)
    with listener.of(session):
        while session.epoch < last:
            session.run_epoch(listener.step)
            listener.epoch(session.record.metrics[-1])
            if execution.seconds is not None and time.monotonic() - began > execution.seconds:
                break


def _so_far(session: Session) -> str:
    epochs = len(session.record.metrics)
    if session.record.out is None or not epochs:
        return "Interrupted. Nothing was kept."
    return f"Interrupted. {epochs} epochs are kept in {session.record.out}; go on with --resume."


class Session:
    """The state of a run between two epochs."""

    def __init__(
        self, configuration: Configuration, execution: Execution, device: torch.device, world: World, out: Path | None
    ):
        self.configuration, self.execution, self.device, self.world = configuration, execution, device, world
        self.recipe, self.seed = configuration.recipe, configuration.seed
        self.choices = execution.on(device, configuration.estimator)
        self.data: Dataset = self.recipe.load(execution.folder, execution.accept_unverified)
        self.splits = {name: split.to(device) for name, split in self.data.splits.items()}
        self.record = Record(configuration, execution, self.data, self.choices, device, world, out)
        self.epoch, self.step = 0, 0
        torch.manual_seed(self.seed)
        self.trainee = self._make_trainee()
        self.optimiser = self.recipe.make_optimiser(self.trainee.network)
        self.losses: Callable[..., Tensor] = self._compiled() if self.choices["compile"] else self.trainee

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches of the training set; the rest of an epoch's order is left out."""
        return len(self.splits["train"]) // self.recipe.batch_size

    def _compiled(self) -> Callable[..., Tensor]:
        """In one process a piece of code is compiled eight times at most, then runs uncompiled: begin counting anew."""
        torch.compiler.reset()
        return torch.compile(self.trainee)

    def _make_trainee(self) -> Trainee:
        inputs, targets = self.examples("train", slice(min(256, self.recipe.batch_size)))
        network = self.recipe.network(inputs.shape[1:])
        self.recipe.start(network, inputs.cpu())
        self.world.prepare(network, self.device).to(self.device)
        if self.device.type == "cuda" and inputs.ndim == 4:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        objective, recompute = self.recipe.objective(), self.choices["recompute"]
        return Trainee(network, self.configuration.estimator, objective, inputs, targets, recompute)

    def examples(self, split: str, chosen: slice | Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Inputs and targets of some examples; moved about where keys are given."""
        part = self.splits[split].part(chosen)
        inputs = self.recipe.inputs(part.inputs, self.data.top)
        if rows is not None:
            inputs = self.recipe.augment(inputs, rows)
        if self.device.type == "cuda" and inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return inputs, self.recipe.target(inputs, part.targets)

    def begin(self, resume: bool) -> None:
        """From scratch, or from the folder's checkpoint."""
        if self.record.open(resume):
            state = load_checkpoint(self.record.checkpoint, self.configuration.keys, self.device)
            self.trainee.network.load_state_dict(state["network"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.epoch, self.step = state["epoch"], state["step"]
            torch.set_rng_state(state["rng"].cpu())
            self.record.restore(state["metrics"], state["diagnostics"])

    def run_epoch(self, told: Callable[[], None] = lambda: None) -> None:
        """One pass through the training set, evaluation, diagnosis, checkpoint."""
        began = time.perf_counter()
        order = shuffled(len(self.splits["train"]), self.seed, self.epoch, self.device)
        size, part = self.recipe.batch_size, self.world.part(self.recipe.batch_size)
        total = torch.zeros(2, device=self.device, dtype=torch.float64)
        self.trainee.train()
        for number in range(self.steps_per_epoch):
            positions = torch.arange(size, device=self.device)[part]
            total += self.run_step(order[number * size :][:size][part], positions)
            told()
        loss, norm = (total / self.steps_per_epoch).tolist()
        seconds = time.perf_counter() - began
        self.epoch += 1
        self.record.add_epoch(self._metrics(loss, norm, seconds), self._diagnosis())
        self._save()

    def run_step(self, chosen: Tensor, positions: Tensor) -> Tensor:
        """One step of the optimiser; returns the global mean objective and the norm of its gradient."""
        rate = self.recipe.rate(self.step, self.recipe.epochs * self.steps_per_epoch)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)
        rows = row_keys(self.seed, self.step, positions)
        inputs, targets = self.examples("train", chosen, rows)
        with self.autocast():
            loss = self.losses(inputs, targets, rows).float().sum() / self.recipe.batch_size
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        parameters = list(self.trainee.network.parameters())
        self.world.add_gradients(parameters)
        clip = float("inf") if self.recipe.clip is None else self.recipe.clip
        norm = torch.nn.utils.clip_grad_norm_(parameters, clip)
        seen = torch.stack((self.world.add(loss.detach()), norm.detach()))
        if self.step % self.choices["check_every"] == 0 and not bool(torch.isfinite(seen).all()):
            raise TrainingStopped(self._nan_message(inputs, targets, rows))
        self.optimiser.step()
        self.step += 1
        return seen

    def autocast(self) -> AbstractContextManager[Any]:
        """bfloat16 for matrix products, where it is chosen."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.choices["autocast"])

    def _nan_message(self, inputs: Tensor, targets: Tensor, rows: Tensor) -> str:
        with self.autocast():
            where = culprit(self.trainee, inputs, targets, rows)
        return (
            f"{self.configuration.title}: training stopped at step {self.step} (epoch {self.epoch}), as {where}. "
            "Lower learning_rate, set clip=1.0, or choose another estimator; the last checkpoint is kept."
        )

    def evaluate(self, mode: Mode = "mean", draws: int = 1, split: str = "test") -> Accuracy:
        """Accuracy on a split."""

        with self.autocast():
            return accuracy(self.trainee, lambda: self.batches(split), mode, draws, self.seed)

    def batches(self, split: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and targets of a whole split, in order."""
        for start in range(0, len(self.splits[split]), EVALUATION_BATCH):
            yield self.examples(split, slice(start, start + EVALUATION_BATCH))

    def _metrics(self, loss: float, norm: float, seconds: float) -> dict[str, Any]:
        images = self.steps_per_epoch * self.recipe.batch_size
        rate = self.recipe.rate(self.step - 1, self.recipe.epochs * self.steps_per_epoch)
        row: dict[str, Any] = {"epoch": self.epoch, "step": self.step, "learning_rate": rate}
        row |= {"train_loss": loss, "gradient_norm": norm}
        row |= self.recipe.judge(self)
        return row | {"seconds": seconds, "images_per_second": images / seconds}

    def _diagnosis(self) -> list[dict[str, Any]]:
        if not self.execution.diagnose:
            return []
        inputs, targets = self.examples("train", slice(min(256, self.recipe.batch_size)))
        with self.autocast():
            return diagnose(self.trainee, inputs, targets, self.seed, self.epoch)

    def _save(self) -> None:
        if self.record.out is None or not self.world.leads:
            return
        state = {
            "key": self.configuration.key,
            "network": self.trainee.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "rng": torch.get_rng_state(),
            "metrics": self.record.metrics,
            "diagnostics": self.record.diagnostics,
        }
        save_checkpoint(self.record.checkpoint, state)
        self.record.write()

    def finish(self) -> None:
        """Evaluate in every way, and write the provenance."""
        self.record.close(self.recipe.judge_finally(self))
