"""Small files in the formats in which data sets are published."""

import gzip
import hashlib
import pickle
import struct

import numpy as np

from estimlab.training.data import published
from estimlab.training.data.files import PublishedFile
from estimlab.training.data.formats import amat_text


def pixels(*shape, top=256, seed=0):
    return np.random.default_rng(seed).integers(0, top, shape, dtype=np.uint8)


def idx(array):
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


def cifar_records(images, labels):
    return np.concatenate([labels[:, None], images.reshape(len(images), -1)], 1).tobytes()


def cifar_pickle(images, labels):
    return pickle.dumps({b"data": images.reshape(len(images), -1), b"labels": labels.tolist()}, protocol=2)


def sha256(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def put(folder, files):
    """Write files, {path: bytes}."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def small_mnist(monkeypatch, name="mnist", train=40, test=20):
    """Files of MNIST's form, declared to be the published ones; {path: bytes} and the arrays."""
    arrays = [pixels(train, 28, 28), pixels(train, top=10), pixels(test, 28, 28, seed=1), pixels(test, top=10, seed=1)]
    contents = list(map(idx, arrays))
    declared = getattr(published, name.upper())
    small = [PublishedFile(f.name, f.folders, sha256(data)) for f, data in zip(declared, contents, strict=True)]
    monkeypatch.setattr(published, name.upper(), tuple(small))
    return {f"{name}/{f.name}": data for f, data in zip(declared, contents, strict=True)}, arrays


def small_binarized(monkeypatch):
    bits = {split: pixels(6, 784, top=2, seed=k) for k, split in enumerate(published.BINARIZED_MNIST)}
    small = {
        split: PublishedFile(file.name, file.folders, sha256(amat_text(bits[split])), size=6 * 784 * 2)
        for split, file in published.BINARIZED_MNIST.items()
    }
    monkeypatch.setattr(published, "BINARIZED_MNIST", small)
    return {f"binarized_mnist/{file.name}": amat_text(bits[split]) for split, file in small.items()}, bits
