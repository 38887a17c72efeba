"""What a run leaves behind: metrics and diagnoses as CSV, and a JSON file from which it can be repeated."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from estimlab.errors import EstimlabError
from estimlab.results.provenance import command, environment, git_state, now
from estimlab.results.table import replace_file
from estimlab.training.configuration import Configuration, Execution, rebuild
from estimlab.training.data import Dataset
from estimlab.training.distributed import World
from estimlab.training.recipes import find_recipe

CHECKPOINT = "checkpoint.pt"


class Record:
    """The files of a run in its folder ``out``; None: nothing is written."""

    def __init__(
        self,
        configuration: Configuration,
        execution: Execution,
        data: Dataset,
        choices: dict[str, Any],
        device: torch.device,
        world: World,
        out: Path | None,
    ):
        self.configuration, self.out, self.world = configuration, out, world
        self.metrics: list[dict[str, Any]] = []
        self.diagnostics: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []
        self.provenance = _provenance(configuration, execution, data, choices, device, world)

    @property
    def checkpoint(self) -> Path:
        """Its file."""
        assert self.out is not None
        return self.out / CHECKPOINT

    def open(self, resume: bool) -> bool:
        """Whether there is a checkpoint to go on from.

        Raises:
            EstimlabError: the folder holds a run that is not to be resumed.
        """
        if self.out is None or not self.checkpoint.is_file():
            return False
        if not resume:
            raise EstimlabError(f"{self.out} holds a run: go on with --resume, or give another folder with --out.")
        return True

    def restore(self, metrics: list[dict[str, Any]], diagnostics: list[dict[str, Any]]) -> None:
        """Take the rows of a checkpoint, and leave a note that the run was resumed."""
        self.metrics, self.diagnostics = metrics, diagnostics
        self.provenance["resumed_at_epoch"] = metrics[-1]["epoch"] if metrics else 0

    def add_epoch(self, metrics: dict[str, Any], diagnostics: list[dict[str, Any]]) -> None:
        """The rows of an epoch."""
        self.metrics.append(metrics)
        self.diagnostics += diagnostics

    def write(self) -> None:
        """All files, each at once or not at all."""
        if self.out is None or not self.world.leads:
            return
        for name, rows in (("metrics", self.metrics), ("diagnostics", self.diagnostics)):
            if rows:
                replace_file(self.out / f"{name}.csv", _csv(rows))
        content = {**self.provenance, "finished_epochs": len(self.metrics), "results": self.results}
        replace_file(self.out / "run.json", (json.dumps(content, indent=2) + "\n").encode())

    def close(self, results: list[dict[str, Any]]) -> None:
        """The last word."""
        self.results = results
        self.provenance["finished_at"] = now()
        self.write()


def _csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _provenance(
    configuration: Configuration,
    execution: Execution,
    data: Dataset,
    choices: dict[str, Any],
    device: torch.device,
    world: World,
) -> dict[str, Any]:
    return {
        "command": command(),
        "key": configuration.key,
        "recipe": {"name": configuration.recipe.name, "settings": _plain(configuration.recipe)},
        "estimator": {"name": configuration.estimator.name, "repr": repr(configuration.estimator)},
        "seed": configuration.seed,
        "data": data.record(),
        "accept_unverified": execution.accept_unverified,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "device_type": device.type,
        **choices,
        "processes": world.size,
        "threads": torch.get_num_threads(),
        **git_state(Path(__file__).parent),
        **environment(),
        "cuda": torch.version.cuda,
        "started_at": now(),
        "environment": {name: os.environ[name] for name in ("OMP_NUM_THREADS",) if name in os.environ},
    }


def _plain(choice: Any) -> dict[str, str]:
    """Fields as Python expressions, which rebuild them."""
    return {field.name: repr(getattr(choice, field.name)) for field in fields(choice)}


def read_run(path: Path) -> tuple[Configuration, bool]:
    """The configuration of a run, and whether it accepted unverified files, from its ``run.json``.

    Raises:
        EstimlabError: no such file, or another kind of file.
    """
    try:
        content = json.loads(Path(path).read_bytes())
        recipe, estimator = content["recipe"], content["estimator"]
        seed, accepted = int(content["seed"]), bool(content["accept_unverified"])
        return Configuration(
            find_recipe(recipe["name"])(**_rebuilt(recipe["settings"])),
            rebuild(estimator["repr"]),
            seed,
        ), accepted
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EstimlabError(f"{path} is not the run.json of a run ({type(error).__name__}: {error}).") from error


def _rebuilt(settings: dict[str, str]) -> dict[str, Any]:
    return {name: rebuild(text) for name, text in settings.items()}
