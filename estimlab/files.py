"""Files that are written at once or not at all, and whether they can be."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from estimlab.errors import EstimlabError


def require_writable(*paths: Path) -> None:
    """Make sure, before long work, that files can be written in these places; nothing is left of the trial.

    Folders that are missing are not made: a file can be written into the one that they would lie in.

    Raises:
        EstimlabError: one cannot.
    """
    for path in paths:
        if path.is_dir():
            raise EstimlabError(f"{path} is a folder, where a file is to be written. Move it away.")
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        probe = folder / f".{path.name}.{os.getpid()}.{threading.get_ident()}"
        try:
            probe.write_bytes(b"?")
        except OSError as error:
            raise EstimlabError(
                f"{path} cannot be written: {error}. Free space, correct the permissions, or choose another place; "
                "nothing was begun."
            ) from error
        finally:
            with contextlib.suppress(OSError):
                probe.unlink()


def replace_file(path: Path, data: bytes) -> None:
    """Write beside the file, then rename: a reader sees the old bytes or the new ones, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise EstimlabError(
            f"{path} cannot be written: {error}. Free space or correct the permissions, then do the same "
            "again; what is finished is kept."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
