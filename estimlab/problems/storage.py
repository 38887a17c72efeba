"""How a problem lies on disk: one npz file of arrays, one manifest for all, one hash over arrays and architecture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from estimlab.arrays import UNREADABLE, Arrays, content_hash, unpacked
from estimlab.errors import EstimlabError

MANIFEST = "manifest.json"


def read_arrays(path: Path, content: Mapping[str, Any], sha256: str) -> Arrays:
    """The arrays of a file; an ``EstimlabError`` unless it is there, whole, and what its hash says. Never unpickles."""
    try:
        arrays = unpacked(path)
    except FileNotFoundError as error:
        raise EstimlabError(f"{path} is missing: {_ADVICE}") from error
    except UNREADABLE as error:
        raise EstimlabError(
            f"{path} is damaged: it cannot be read ({error}), so it has no hash; expected is {sha256}. {_ADVICE}"
        ) from error
    found = content_hash(content, arrays)
    if found != sha256:
        raise EstimlabError(
            f"{path} is not the file that was published: the hash of its content is {found}, expected is {sha256}. "
            f"The content is that of the file and its entry in {MANIFEST}. {_ADVICE}"
        )
    return arrays


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a suite."""
    path = folder / MANIFEST
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EstimlabError(f"{path} is missing: {_ADVICE}") from error
    except ValueError as error:
        raise EstimlabError(f"{path} is damaged: it is not JSON ({error}). {_ADVICE}") from error


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """The manifest, readable and byte-deterministic."""
    text = json.dumps(manifest, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")


_ADVICE = "Install estimlab again, or restore the file from version control; a published problem is never edited."
