"""Checkpoints: everything a run needs to go on, written at once or not at all."""

from __future__ import annotations

import os
import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

from estimlab.errors import EstimlabError

_DAMAGE = (pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, NotImplementedError)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write beside the file, then rename: a kill leaves the old checkpoint or the new one, never a part.

    Raises:
        EstimlabError: the disk is full, or the folder may not be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        raise EstimlabError(
            f"The checkpoint {path} cannot be written: {error}. Free space or correct the permissions, then go on with "
            "--resume; the last checkpoint is kept."
        ) from error


def load_checkpoint(path: Path, keys: tuple[str, ...], device: torch.device) -> dict[str, Any]:
    """Read a checkpoint of the run with one of the given keys: that of today, or of a former version.

    Raises:
        EstimlabError: a corrupt file, or one of another run.
    """
    try:
        _require_whole(path)
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        found = state["key"]
    except (OSError, RuntimeError, LookupError, EOFError, ValueError, TypeError, *_DAMAGE) as error:
        raise EstimlabError(
            f"The checkpoint {path} cannot be read ({type(error).__name__}). Delete it and start again."
        ) from error
    if found not in keys:
        raise EstimlabError(
            f"The checkpoint {path} is of another recipe, estimator or seed: give those of run.json beside it, or "
            "another folder with --out."
        )
    return state


def _require_whole(path: Path) -> None:
    """Torch writes checksums into the archive and does not look at them."""
    with zipfile.ZipFile(path) as archive:
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"the checksum of {damaged} does not fit")
