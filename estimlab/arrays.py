"""Arrays on disk: an npz file whose bytes depend on the arrays alone, and a hash over what they are.

The hash is taken over names, dtypes, shapes and values of the arrays and over the canonical JSON of a content, not over
the zip file: it survives another compression, and finds a changed bit of any value. Nothing is ever unpickled.
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

from estimlab.arguments import described
from estimlab.errors import EstimlabError
from estimlab.files import replace_file

Arrays = dict[str, np.ndarray]
ENDING = ".npz"
FORMAT = 1  # of saved files: a change of what they hold raises it
_RECORD = "record"  # the array that holds JSON
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date of a zip file: a file does not depend on when it was written
UNREADABLE = (OSError, ValueError, TypeError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)
"""What a file raises that is no npz file, or is damaged."""


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
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, version=(1, 0), allow_pickle=False)
            member = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            member.create_system, member.external_attr = 3, 0o644 << 16
            archive.writestr(member, buffer.getvalue(), zipfile.ZIP_DEFLATED, 9)
    replace_file(path, content.getvalue())


def unpacked(path: Path) -> Arrays:
    """The arrays of an npz file; raises one of ``UNREADABLE`` where it is none."""
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:  # of a path it may leave open a file
        return {name: archive[name] for name in archive.files}


def save(path: str | Path, kind: str, content: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Path:
    """Write content and arrays of a result to one file, at once or not at all; returns its path.

    Args:
        path: ends in ``.npz``.
        kind: what is saved: ``"Measurement"``.
        content: all that is no array, as JSON.
        arrays: by name.

    Errors:
        EstimlabError: another ending, or a place that cannot be written.
    """
    path = _npz(path, f"{kind}.save")
    head = {"kind": kind, "format": FORMAT, "sha256": content_hash(content, arrays), "content": content}
    text = np.frombuffer(json.dumps(head, allow_nan=False).encode(), dtype=np.uint8)
    write_arrays(path, {_RECORD: text, **arrays})
    return path


def load(path: str | Path, kind: str) -> tuple[dict[str, Any], Arrays]:
    """Content and arrays of a file that ``save`` wrote.

    Errors:
        EstimlabError: no such file, another ending, a file of something else, or a damaged one.
    """
    path = _npz(path, f"{kind}.load")
    try:
        arrays = unpacked(path)
    except FileNotFoundError as error:
        raise EstimlabError(f"{kind}.load: there is no file {path}. Write one by .save({str(path)!r}).") from error
    except UNREADABLE as error:
        raise EstimlabError(f"{path} is no saved {kind}, or it is damaged: {error}. Save it again.") from error
    head = _head(path, kind, arrays)
    if content_hash(head["content"], arrays) != head["sha256"]:
        raise EstimlabError(f"{path} is damaged: its content is not what its hash says. Save it again.")
    return head["content"], arrays


def _npz(path: Any, who: str) -> Path:
    if not isinstance(path, str | Path):
        raise EstimlabError(f"{who}({described(path)}): give the path of a file that ends in {ENDING}.")
    if Path(path).suffix != ENDING:
        raise EstimlabError(
            f"{who}({str(path)!r}): the file ends in {ENDING}; write {str(Path(path).stem + ENDING)!r}."
        )
    return Path(path)


def _head(path: Path, kind: str, arrays: Arrays) -> dict[str, Any]:
    """What a file says of itself; taken from the arrays."""
    try:
        head = dict(json.loads(arrays.pop(_RECORD).tobytes()))
        found, version = head["kind"], head["format"]
    except (KeyError, ValueError, TypeError) as error:
        raise EstimlabError(f"{path} is an npz file of something else: {kind}.load reads what .save wrote.") from error
    if found != kind:
        raise EstimlabError(f"{path} holds a {found}, not a {kind}: read it by el.{found}.load.")
    if version != FORMAT:
        raise EstimlabError(f"{path} has format {version}; this version of estimlab reads {FORMAT}. Save it again.")
    return head
