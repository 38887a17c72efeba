"""How a problem lies on disk: one npz file of arrays, one manifest for all, one hash over the content.

The hash is taken over names, dtypes, shapes and values of the arrays and over the canonical JSON of the content (the
architecture), not over the zip file: it survives another compression, and finds a changed bit of any value.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from estimlab.errors import EstimlabError

Arrays = dict[str, np.ndarray]
MANIFEST = "manifest.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date of a zip file: a file does not depend on when it was written


def content_hash(content: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256, in hexadecimal, of the content and the arrays."""
    digest = hashlib.sha256(_canonical(content))
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name], dtype=arrays[name].dtype.newbyteorder("<"))
        digest.update(_canonical([name, array.dtype.str, list(arrays[name].shape)]))
        digest.update(array.tobytes())
    return digest.hexdigest()


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """An npz file whose bytes depend on the arrays alone (``np.savez`` does not promise it), in their order."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, version=(1, 0), allow_pickle=False)
            member = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            member.create_system, member.external_attr = 3, 0o644 << 16
            archive.writestr(member, buffer.getvalue(), zipfile.ZIP_DEFLATED, 9)


def read_arrays(path: Path, content: Mapping[str, Any], sha256: str) -> Arrays:
    """The arrays of a file; an ``EstimlabError`` unless it is there, whole, and what its hash says. Never unpickles."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise EstimlabError(f"{path} is missing: {_ADVICE}") from error
    except (OSError, ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
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
