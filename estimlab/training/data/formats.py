"""The formats in which data sets are published, read into arrays; what is malformed is named."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from estimlab.errors import EstimlabError

_IDX_BYTES = 0x08  # the type code of unsigned bytes
_CIFAR_RECORD = 1 + 3 * 32 * 32
_BITS_PER_ROW = 784


def read_idx(path: Path) -> np.ndarray:
    """An idx file of unsigned bytes (LeCun), gzipped or not: magic number, sizes (big-endian), bytes."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        zero, kind, dimensions = struct.unpack(">HBB", data[:4])
        shape = struct.unpack(f">{dimensions}I", data[4 : 4 + 4 * dimensions])
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise EstimlabError(f"{path} is truncated or no idx file ({error}). Get it again.") from error
    content = data[4 + 4 * dimensions :]
    if zero != 0 or kind != _IDX_BYTES or len(content) != np.prod(shape):
        raise EstimlabError(f"{path} is no idx file of unsigned bytes, or truncated: {len(content)} bytes of {shape}.")
    return np.frombuffer(content, np.uint8).reshape(shape)


def read_cifar_records(data: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """CIFAR-10's binary batches: records of one label byte and 1024 red, green and blue bytes each.

    Returns:
        Images, uint8 (records, 3, 32, 32), and labels, uint8 (records,).
    """
    if not data or len(data) % _CIFAR_RECORD:
        raise EstimlabError(
            f"{name} is truncated: {len(data)} bytes are no whole number of {_CIFAR_RECORD}-byte records."
        )
    rows = np.frombuffer(data, np.uint8).reshape(-1, _CIFAR_RECORD)
    return rows[:, 1:].reshape(-1, 3, 32, 32), _checked_labels(rows[:, 0], name)


def read_cifar_pickle(data: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """CIFAR-10's Python batches: a pickled dictionary with ``data`` (rows, 3072) and ``labels``; arrays as above."""
    try:
        content = _ArraysOnly(io.BytesIO(data), encoding="bytes").load()
        rows, labels = content[b"data"], np.asarray(content[b"labels"], np.uint8)
        images = np.asarray(rows, np.uint8).reshape(len(labels), 3, 32, 32)
    except (pickle.UnpicklingError, EOFError, KeyError, ValueError, TypeError, IndexError) as error:
        raise EstimlabError(
            f"{name} is no batch of CIFAR-10, or truncated ({type(error).__name__}: {error})."
        ) from error
    return images, _checked_labels(labels, name)


class _ArraysOnly(pickle.Unpickler):
    """A pickle may call any function: this one makes NumPy arrays and nothing else."""

    _NAMES: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy", "_reconstruct"): np.ndarray(0).__reduce__()[0],  # its module depends on the version of NumPy
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): codecs.encode,  # of bytes, in pickles of protocol 2 that Python 3 writes
    }

    def find_class(self, module: str, name: str) -> Any:
        """The names that an array's pickle asks for."""
        key = module.split(".")[0], name
        if key not in self._NAMES:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return self._NAMES[key]


def _checked_labels(labels: np.ndarray, name: str) -> np.ndarray:
    if labels.max(initial=0) > 9:
        raise EstimlabError(f"{name} is no batch of CIFAR-10: it holds the label {labels.max()}.")
    return labels


def read_amat(path: Path) -> np.ndarray:
    """Larochelle's text: one image per line, 784 digits 0 or 1 with one space between; uint8 (lines, 784)."""
    data = np.frombuffer(path.read_bytes(), np.uint8)
    width = 2 * _BITS_PER_ROW
    if len(data) == 0 or len(data) % width:
        raise EstimlabError(f"{path} is truncated: {len(data)} bytes are no whole number of lines of {width} bytes.")
    bits = data.reshape(-1, width)[:, ::2] - ord("0")
    if bits.max() > 1:
        raise EstimlabError(f"{path} is not a text of zeros and ones with one space between.")
    return bits


def amat_text(bits: np.ndarray) -> bytes:
    """The text that ``read_amat`` reads: what published checksums of binarised MNIST are of."""
    text = np.full((len(bits), _BITS_PER_ROW, 2), ord(" "), np.uint8)
    text[:, :, 0] = bits + ord("0")
    text[:, -1, 1] = ord("\n")
    return text.tobytes()


def text_checksum(bits: np.ndarray) -> str:
    """Checksum of the published text of some bits, whatever format they were kept in."""
    return f"sha256:{hashlib.sha256(amat_text(bits)).hexdigest()}"


def pixel_checksum(images: np.ndarray, labels: np.ndarray) -> str:
    """Checksum of bytes of images and labels, for a set that comes with a package and not as a file."""
    return f"sha256:{hashlib.sha256(images.tobytes() + labels.astype(np.uint8).tobytes()).hexdigest()}"
