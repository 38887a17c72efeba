"""The data sets by name: scikit-learn's digits, MNIST, Fashion-MNIST, binarised MNIST and CIFAR-10."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from estimlab.errors import EstimlabError, closest
from estimlab.training.data import published
from estimlab.training.data.files import FileRecord, data_folder, find_file, present, where
from estimlab.training.data.formats import (
    pixel_checksum,
    read_amat,
    read_cifar_pickle,
    read_cifar_records,
    read_idx,
    text_checksum,
)


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set, as tensors.

    Attributes:
        inputs: bytes, (examples, channels, height, width).
        targets: class numbers, or None where there are none.

    >>> split = Split(torch.zeros(5, 1, 8, 8, dtype=torch.uint8), torch.arange(5))
    >>> len(split.part(slice(2))), split.part(slice(2)).targets.tolist()
    (2, [0, 1])
    """

    inputs: UInt8[Tensor, "examples channels height width"]
    targets: Int[Tensor, " examples"] | None

    def __len__(self) -> int:
        return len(self.inputs)

    def to(self, device: torch.device | str) -> Split:
        """The same on a device."""
        return Split(self.inputs.to(device), None if self.targets is None else self.targets.to(device))

    def part(self, chosen: slice | Tensor) -> Split:
        """Some of its examples."""
        return Split(self.inputs[chosen], None if self.targets is None else self.targets[chosen])


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set and where it came from.

    Attributes:
        name: as ``load`` takes it.
        splits: ``train``, ``test`` and, where the authors made one, ``validation``.
        files: what was read, for provenance.
        top: the byte that stands for 1: 255 of grey values, 1 of bits, 16 of scikit-learn's digits.
        cite: whom to cite, and the terms.

    >>> split = Split(torch.zeros(5, 1, 8, 8, dtype=torch.uint8), torch.arange(5))
    >>> Dataset("mine", {"train": split}, files=(), top=255, cite="nobody").record()["examples"]
    {'train': 5}
    """

    name: str
    splits: Mapping[str, Split]
    files: tuple[FileRecord, ...]
    top: int
    cite: str

    @property
    def verified(self) -> bool:
        """Whether every file is the published one."""
        return all(file.verified for file in self.files)

    def record(self) -> dict[str, Any]:
        """For provenance: name, files with their checksums, sizes."""
        return {
            "name": self.name,
            "verified": self.verified,
            "files": [file.columns() for file in self.files],
            "examples": {name: len(split) for name, split in self.splits.items()},
            "cite": self.cite,
        }


def load(name: str, folder: str | Path | None = None, accept_unverified: bool = False) -> Dataset:
    """A data set from its official files.

    Args:
        name: one of ``NAMES``.
        folder: that holds the files; by default that of ``ESTIMLAB_DATA``, else the cache.
        accept_unverified: read files that are not, or cannot be shown to be, the published ones; ``record`` says so.

    Raises:
        EstimlabError: an unknown name; a file that is missing, truncated, or another one than published.
    """
    if name not in NAMES:
        raise EstimlabError(f"There is no data set {name!r}.{closest(name, NAMES)} Names: {', '.join(NAMES)}.")
    return _LOADERS[name](data_folder(folder), accept_unverified)


def _split(images: np.ndarray, labels: np.ndarray | None) -> Split:
    inputs = torch.from_numpy(np.array(images, np.uint8))  # a copy: arrays over read bytes are not writable
    if inputs.ndim == 3:
        inputs = inputs[:, None]
    if labels is not None and len(labels) != len(images):
        raise EstimlabError(f"{len(images)} images and {len(labels)} labels: the two files do not belong together.")
    return Split(inputs, None if labels is None else torch.from_numpy(np.asarray(labels, np.int64)))


def _idx_set(name: str, cite: str) -> Callable[[Path, bool], Dataset]:
    def loader(folder: Path, accept: bool) -> Dataset:
        found = [find_file(file, folder, accept) for file in getattr(published, name.upper())]
        arrays = [read_idx(path) for path, _ in found]
        splits = {"train": _split(*arrays[:2]), "test": _split(*arrays[2:])}
        return Dataset(name, splits, tuple(record for _, record in found), 255, cite)

    return loader


def _binarized(folder: Path, accept: bool) -> Dataset:
    """From the published text, or from ``binarized_mnist.npz``, whose text is then what is verified."""
    packed = folder / "binarized_mnist.npz"
    splits, records = {}, []
    for split, file in published.BINARIZED_MNIST.items():
        if where(file, folder) is None and packed.is_file():
            bits = _packed_bits(packed, "valid" if split == "validation" else split)
            found = text_checksum(bits)
            records.append(FileRecord(f"{packed.name}:{split}", found, found == file.checksum))
            if not (records[-1].verified or accept):
                raise EstimlabError(
                    f"{packed}: the {split} part is not the published text, expected {file.checksum}, found {found}. "
                    "Get the file again, or accept unverified files (--accept-unverified, accept_unverified=True)."
                )
        else:
            path, record = find_file(file, folder, accept)
            bits = read_amat(path)
            records.append(record)
        splits[split] = _split(bits.reshape(-1, 28, 28), None)
    return Dataset("binarized_mnist", splits, tuple(records), 1, published.CITE_BINARIZED)


def _packed_bits(path: Path, name: str) -> np.ndarray:
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            bits = arrays[name]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise EstimlabError(
            f"{path} is truncated, or does not hold the arrays train, valid and test ({error}). Get it again."
        ) from error
    if bits.ndim != 2 or bits.shape[1] != 784:
        raise EstimlabError(f"{path}: {name} has the shape {bits.shape}; it must be (images, 784), of zeros and ones.")
    return bits


def _cifar10(folder: Path, accept: bool) -> Dataset:
    """From either archive (verified as a whole), the Python batches or the binary ones, in this order of preference."""
    archives = [file for file in (published.CIFAR10_BINARY, published.CIFAR10_PYTHON) if where(file, folder)]
    for files, read in (
        (published.CIFAR10_BATCHES_PY, read_cifar_pickle),
        (published.CIFAR10_BATCHES_BIN, read_cifar_records),
    ):
        if not archives and present(files, folder):
            found = [find_file(file, folder, accept) for file in files]
            parts = [read(path.read_bytes(), str(path)) for path, _ in found]
            return _cifar10_of(parts, tuple(record for _, record in found))
    path, record = find_file(archives[0] if archives else published.CIFAR10_BINARY, folder, accept)
    return _cifar10_of(_members(path), (record,))


def _members(archive: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """The six batches of an archive, read in memory."""
    binary = "binary" in archive.name
    names = [f"data_batch_{k}" for k in range(1, 6)] + ["test_batch"]
    folder, ending = ("cifar-10-batches-bin", ".bin") if binary else ("cifar-10-batches-py", "")
    read = read_cifar_records if binary else read_cifar_pickle
    try:
        with tarfile.open(archive) as tar:
            members = [tar.extractfile(f"{folder}/{name}{ending}") for name in names]
            return [read(file.read(), f"{archive}:{name}") for file, name in zip(members, names, strict=True) if file]
    except (tarfile.TarError, EOFError, OSError, KeyError) as error:
        raise EstimlabError(f"{archive} is truncated or not CIFAR-10's archive ({error}). Get it again.") from error


def _cifar10_of(parts: list[tuple[np.ndarray, np.ndarray]], files: tuple[FileRecord, ...]) -> Dataset:
    images, labels = (np.concatenate([part[k] for part in parts[:5]]) for k in (0, 1))
    splits = {"train": _split(images, labels), "test": _split(*parts[5])}
    return Dataset("cifar10", splits, files, 255, published.CITE_CIFAR10)


def _digits(folder: Path, accept: bool) -> Dataset:
    """scikit-learn's 8x8 digits; every fifth image is a test image."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise EstimlabError(
            "The digits come with scikit-learn, which is not installed: pip install 'estimlab[data]'."
        ) from None
    data = load_digits()
    images, labels = data.images.astype(np.uint8), data.target
    found = pixel_checksum(images, labels)
    record = FileRecord("scikit-learn digits", found, found == published.DIGITS)
    if not (record.verified or accept):
        raise EstimlabError(
            f"scikit-learn's digits are not those that estimlab knows: expected {published.DIGITS}, found {found}. "
            "Accept unverified files, or install another version."
        )
    test = np.arange(len(images)) % 5 == 4
    splits = {"train": _split(images[~test], labels[~test]), "test": _split(images[test], labels[test])}
    return Dataset("digits", splits, (record,), 16, published.CITE_DIGITS)


_LOADERS: dict[str, Callable[[Path, bool], Dataset]] = {
    "digits": _digits,
    "mnist": _idx_set("mnist", published.CITE_MNIST),
    "fashion_mnist": _idx_set("fashion_mnist", published.CITE_FASHION),
    "binarized_mnist": _binarized,
    "cifar10": _cifar10,
}
NAMES = tuple(_LOADERS)
"""What ``load`` takes."""
